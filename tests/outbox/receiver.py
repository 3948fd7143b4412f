"""A backend that takes webhooks: a real HTTP server that keeps every request and may misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final, NamedTuple, Self

HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 20.0


class Outcome(Enum):
    """What became of a request."""

    ACCEPTED = "accepted"
    REFUSED = "refused with 500"
    DROPPED = "connection cut without an answer"
    SILENT = "never answered"
    UNHEARD = "accepted, but the connection was cut before the answer left"

    @property
    def taken_in(self) -> bool:
        """Whether the backend has what was in it."""
        return self in (Outcome.ACCEPTED, Outcome.UNHEARD)


class Request(NamedTuple):
    """One request as it came. ``at`` is the monotonic time; header names are as they were sent."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    at: float
    outcome: Outcome

    def header(self, name: str) -> str:
        """The one value of header *name*, or ``""``."""
        found = [value for known, value in self.headers if known.lower() == name.lower()]
        return found[0] if len(found) == 1 else ",".join(found)


Choice = Callable[[str, bytes], Outcome]
"""Decides by path and body what becomes of a request."""


def reliable(path: str, body: bytes) -> Outcome:
    return Outcome.ACCEPTED


class Failing:
    """A choice that fails a *share* of the requests, in every way that there is.

    ``UNHEARD`` counts as failed: the sender does not know better.
    """

    WAYS: Final = (Outcome.REFUSED, Outcome.DROPPED, Outcome.UNHEARD, Outcome.SILENT)

    def __init__(self, share: float, seed: int, ways: tuple[Outcome, ...] = WAYS) -> None:
        self.share = share
        self._ways = ways
        self._random = random.Random(seed)

    def __call__(self, path: str, body: bytes) -> Outcome:
        if self._random.random() >= self.share:
            return Outcome.ACCEPTED
        return self._random.choice(self._ways)


class Receiver:
    """Listens in a thread of its own; stopped and started again, on the same port.

    *choose* decides what becomes of each request; ``delay`` is how long an answer takes.
    ``requests`` has all that came, in order; ``most_at_once`` how many were under way together.
    """

    def __init__(self, choose: Choice = reliable, *, delay: float = 0.0, port: int = 0) -> None:
        self.choose = choose
        self.delay = delay
        self.port = port
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._at_once = 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def url(self, path: str = "/") -> str:
        return f"http://{HOST}:{self.port}{path}"

    def start(self) -> None:
        self._ready.clear()
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        self._thread.start()
        assert self._ready.wait(_START_SECONDS), "the receiver does not listen"
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        """Listen no more and cut what is open."""
        if self._thread is None:
            return
        loop, ending = self._loop, self._ending
        if loop is not None and ending is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(ending.set)
        self._thread.join(_START_SECONDS)
        assert not self._thread.is_alive(), "the receiver does not end"
        self._thread = None

    def to(self, path: str) -> list[Request]:
        """The requests to *path* so far."""
        return [request for request in list(self.requests) if request.path == path]

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Nobody listens meanwhile."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failed = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, HOST, self.port, backlog=1_024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ending.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take one request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        _, path, _ = head[0].split(" ")
        headers = tuple(
            (name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:-2])
        )
        lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
        body = await reader.readexactly(*lengths)
        outcome = self.choose(path, body)
        self.requests.append(Request(path, headers, body, time.monotonic(), outcome))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if outcome is Outcome.SILENT:
                await reader.read()
                return False
            if self.delay:
                await asyncio.sleep(self.delay)
        finally:
            self._at_once -= 1
        if outcome in (Outcome.DROPPED, Outcome.UNHEARD):
            return False
        status = "200 OK" if outcome is Outcome.ACCEPTED else "500 Internal Server Error"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok".encode())
        await writer.drain()
        return True
