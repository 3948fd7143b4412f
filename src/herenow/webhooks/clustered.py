"""The outbox of nodes that share an engine: events wait there, each node delivers its share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from herenow.cluster.base import Clock
from herenow.cluster.partitions.engine import Engine
from herenow.webhooks.clustered_journal import ClusteredJournal
from herenow.webhooks.clustered_reading import Reader, Reading
from herenow.webhooks.clustered_shard import NotReader, Partitions, Shard
from herenow.webhooks.clustered_tidying import Tidying
from herenow.webhooks.events import Event, Volatile
from herenow.webhooks.journal import Depth, Entry, JournalUnavailable

if TYPE_CHECKING:
    from herenow.webhooks.deliveries import Deliveries
    from herenow.webhooks.endpoints import Endpoints

_STOP_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05

_log = logging.getLogger("herenow.webhooks")


@dataclass(frozen=True, slots=True)
class ClusteredSettings:
    """Times in seconds. ``max_backlog``: events that may wait in all partitions, 0 any number."""

    lease_seconds: float
    hold_seconds: float
    return_seconds: float
    keep_seconds: float
    max_backlog: int


class ClusteredOutbox:
    """Has the partitions that are this node's to read delivered, and volatile events of its own.

    Implements :class:`Sink` and, over all partitions, :class:`Journal`. Transitions do not come
    by :meth:`emit`: the engine writes them where it decides on them. ``dropped`` counts entries
    that will not be delivered.
    """

    problem = ""
    changes_dropped = 0

    def __init__(
        self,
        partitions: Partitions,
        engine: Engine,
        endpoints: Endpoints,
        deliveries: Deliveries,
        settings: ClusteredSettings,
        clock: Clock,
    ) -> None:
        self.dropped = 0
        self._partitions = partitions
        self._engine = engine
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._settings = settings
        self._clock = clock
        self._started = clock.time()
        self._shards = [Shard(partitions, index) for index in range(partitions.partitions)]
        self._journal = ClusteredJournal(self._shards, self._drop_from)
        self._readers: list[Reader] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._tidying: asyncio.Task[None] | None = None
        self._is_running = False
        deliveries.recovered = self._recovered

    @property
    def reading(self) -> int:
        """How many partitions this node reads."""
        return sum(reader.is_reading for reader in self._readers)

    def emit(self, event: Event) -> None:
        if isinstance(event, Volatile):
            self._deliveries.offer(event)

    async def start(self) -> None:
        """Take a share of the partitions, if there is an endpoint; else look what others left."""
        self._is_running = True
        if self._endpoints:
            self._start_reading()
        else:
            self._tidying = asyncio.create_task(self._tidy())

    def app_changed(self, app: str) -> None:
        """An application was made, changed or deleted."""
        changes = self._endpoints.app_changed(app)
        self._deliveries.endpoints_changed(changes)
        if self._endpoints and self._is_running and not self._readers:
            self._start_reading()
        elif changes.gone or changes.changed:
            for reader in self._readers:
                reader.endpoints_changed()

    def drain(self) -> None:
        """The server ends: leave the partitions to others."""
        self._is_running = False
        self._stop_tidying()
        for reader in self._readers:
            reader.stop()

    async def stop(self, grace: float) -> None:
        """Finish what is being delivered for *grace* seconds, and let go of the partitions."""
        self.drain()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=min(grace, _STOP_SECONDS))
        await self._deliveries.stop(grace)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_SECONDS)
        for task in self._tasks:
            task.cancel()
        tidying = () if self._tidying is None else (self._tidying,)
        await asyncio.gather(*self._tasks, *tidying, return_exceptions=True)

    async def depth(self, endpoint: str) -> Depth:
        return await self._journal.depth(endpoint)

    async def page(
        self, endpoint: str, cursor: str, most: int, *, buried_only: bool
    ) -> tuple[list[Entry], str]:
        return await self._journal.page(endpoint, cursor, most, buried_only=buried_only)

    async def revive(self, endpoint: str, ids: Sequence[str] | None) -> int:
        revived = await self._journal.revive(endpoint, ids)
        self._deliveries.hurry(endpoint)
        return revived

    async def drop(self, endpoint: str, ids: Sequence[str] | None) -> int:
        return await self._journal.drop(endpoint, ids)

    async def reconcile(self, endpoint: str) -> int:
        return await self._journal.reconcile(endpoint)

    async def _drop_from(self, shard: Shard, endpoint: str, ids: Sequence[str], most: int) -> int:
        """Only who delivers a partition knows what is under way: it drops."""
        for reader in self._readers:
            if reader.shard is shard and reader.is_reading:
                with contextlib.suppress(NotReader):
                    return await reader.drop(endpoint, ids, most)
        request = secrets.token_hex(8)
        await shard.ask_to_drop(request, endpoint, ids, most)
        deadline = self._clock.time() + _ANSWER_SECONDS
        while self._clock.time() < deadline:
            dropped = await shard.dropped(request)
            if dropped is not None:
                return dropped
            await asyncio.sleep(_LOOK_SECONDS)
        raise JournalUnavailable(f"the node that delivers partition {shard.index} did not answer")

    def _start_reading(self) -> None:
        self._stop_tidying()
        settings = self._settings
        reading = Reading(
            engine=self._engine,
            endpoints=self._endpoints,
            deliveries=self._deliveries,
            clock=self._clock,
            node=self._partitions.node,
            lease_seconds=settings.lease_seconds,
            hold_seconds=settings.hold_seconds,
            keep_seconds=settings.keep_seconds,
            started=self._started,
            removals_from=self._started + settings.return_seconds,
            limit=-(-settings.max_backlog // len(self._shards)),
            dropped=self._count_dropped,
        )
        self._readers = [Reader(shard, reading) for shard in self._shards]
        self._tasks = [asyncio.create_task(self._run(reader)) for reader in self._readers]

    async def _tidy(self) -> None:
        settings = self._settings
        try:
            await Tidying(
                self._shards,
                lambda: self._endpoints.complete,
                settings.keep_seconds,
                settings.lease_seconds,
            ).run()
        except Exception:
            _log.exception("what removed webhooks have left stays until a server starts again")

    def _stop_tidying(self) -> None:
        if self._tidying is not None:
            self._tidying.cancel()

    async def _run(self, reader: Reader) -> None:
        while not reader.is_stopped:
            try:
                await reader.run()
            except Exception:
                _log.exception("reading a partition's webhooks failed, it is tried again")
                await asyncio.sleep(_PAUSE_SECONDS)

    def _recovered(self, endpoint: str) -> None:
        for reader in self._readers:
            if reader.is_reading:
                reader.recovered(endpoint)

    def _count_dropped(self, number: int) -> None:
        self.dropped += number
