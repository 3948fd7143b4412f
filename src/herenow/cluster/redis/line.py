"""One connection that is kept up: opened, and opened again after pauses when it was lost."""

from __future__ import annotations

import asyncio
import random
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from herenow.cluster.redis.address import Address, Location
from herenow.cluster.redis.wire import Connection, ConnectionGivenUp

FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 1.0
_OPENING_SECONDS: Final = 1.0
_CANCEL_AGAIN_SECONDS: Final = 0.1
_CLIENT_NAME: Final = "herenow"
_SILENT_ABOUT_TLS: Final = "it did not answer in time, perhaps it does not speak TLS"
_STOPPED: Final = "this node stops"


class NotPrimary(Exception):
    """The server copies another one and may not be written to."""

    def __str__(self) -> str:
        return "it is a replica"


class Pauses:
    """Waits that double up to the longest, with chance in them, so that nodes come one by one."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._seconds = FIRST_PAUSE_SECONDS

    def next(self) -> float:
        seconds = min(self._seconds, self._site.longest_pause)
        self._seconds = min(self._seconds * 2, LONGEST_PAUSE_SECONDS)
        return seconds * random.uniform(0.5, 1)

    def reset(self) -> None:
        self._seconds = FIRST_PAUSE_SECONDS


class Site:
    """What all connections to the engine have in common."""

    def __init__(
        self,
        address: Address,
        lease_seconds: float,
        outbox_entries: int,
        failed: Callable[[Location, Exception], None],
    ) -> None:
        self.address = address
        self.lease_seconds = lease_seconds
        self.outbox_entries = outbox_entries
        self.answer_seconds = 0.3 * lease_seconds
        self.opening_seconds = max(self.answer_seconds, _OPENING_SECONDS)
        self.tls: ssl.SSLContext | None = address.tls.context() if address.tls else None
        self.failed = failed
        self.longest_pause = LONGEST_PAUSE_SECONDS


async def end(task: asyncio.Task[None]) -> None:
    """Cancel *task* until it has ended: Python 3.11's wait_for swallows one now and then."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_AGAIN_SECONDS)


class Line(ABC):
    """Keeps a connection to one server.

    ``_greet`` prepares a new one and may refuse it; ``_opened`` and ``_lost`` take turns.
    """

    def __init__(self, site: Site, location: Location, limit: float) -> None:
        self._site = site
        self._location = location
        self._limit = limit
        self._connection: Connection | None = None
        self._ended = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._keep())

    @property
    def is_up(self) -> bool:
        return self._connection is not None

    @property
    def outstanding(self) -> int:
        """How many commands have no answer yet."""
        return self._connection.outstanding if self._connection is not None else 0

    def drop(self, reason: str) -> None:
        """Give the present connection up; another one is opened."""
        if self._connection is not None:
            self._connection.give_up(reason)

    async def stop(self) -> None:
        self._task.cancel()
        self.drop(_STOPPED)
        await end(self._task)

    @abstractmethod
    async def _greet(self, connection: Connection) -> None:
        """Prepare *connection*; raise what speaks against it."""

    @abstractmethod
    def _opened(self, connection: Connection) -> None: ...

    @abstractmethod
    def _lost(self, reason: str) -> None: ...

    def _pushed(self, answer: list[Any]) -> None:
        """Something came that was not asked for."""
        self.drop("what came is not the Redis protocol")

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        pauses = Pauses(self._site)
        while True:
            try:
                connection = await self._open()
            except Exception as error:
                self._site.failed(self._location, error)
            else:
                opened_at = loop.time()
                self._ended.clear()
                self._connection = connection
                self._opened(connection)
                await self._ended.wait()
                # One that is lost whenever it has been opened is not tried ever faster.
                if loop.time() - opened_at > LONGEST_PAUSE_SECONDS:
                    pauses.reset()
            await asyncio.sleep(pauses.next())

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(self._limit, self._closed, self._pushed, loop=loop)
        try:
            await self._connect(connection)
            async with asyncio.timeout(self._site.opening_seconds):
                await self._introduce(connection)
                await self._greet(connection)
            if connection.reason is not None:
                raise ConnectionGivenUp(connection.reason)
        except BaseException:
            connection.give_up(_STOPPED)
            raise
        connection.strict = True
        return connection

    async def _connect(self, connection: Connection) -> None:
        loop, tls = asyncio.get_running_loop(), self._site.tls
        host, port, path = self._location
        try:
            async with asyncio.timeout(self._site.opening_seconds):
                if path:
                    await loop.create_unix_connection(lambda: connection, path)
                else:
                    await loop.create_connection(lambda: connection, host, port, ssl=tls)
        except TimeoutError as error:
            raise (ConnectionGivenUp(_SILENT_ABOUT_TLS) if tls else error) from None

    async def _introduce(self, connection: Connection) -> None:
        """Say who we are and which database is meant."""
        address = self._site.address
        credentials = address.credentials
        if credentials.password is not None:
            user = () if credentials.username is None else (credentials.username,)
            await connection.request("AUTH", *user, credentials.password)
        if address.database:
            await connection.request("SELECT", address.database)
        await connection.request("CLIENT", "SETNAME", _CLIENT_NAME)

    def _closed(self, reason: str) -> None:
        if self._connection is None:
            return
        self._connection = None
        self._lost(reason)
        self._ended.set()
        if reason != _STOPPED:
            self._site.failed(self._location, ConnectionGivenUp(reason))
