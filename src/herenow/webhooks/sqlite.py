"""The journal of a server that is alone: one shard, in SQLite."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from herenow.webhooks import sqlite_dropping as dropping
from herenow.webhooks import sqlite_reading as reading
from herenow.webhooks.journal import Bounds, Change, Condition, Depth, Entry, Fact
from herenow.webhooks.sqlite_dropping import Dropped
from herenow.webhooks.sqlite_reading import FIRST_FACT, Repeated, ToldPage
from herenow.webhooks.sqlite_schema import OutboxLock, connect
from herenow.webhooks.sqlite_settling import Settled, settle
from herenow.webhooks.sqlite_threads import Reader, Writer

DROPS_A_STEP: Final = 1_000

# What drops entries must not drop any that is under way: its receiver may have it.
UnderWay = Collection[int]


class SqliteJournal:
    """Entries and what was told, in the file at *path*; the backlog of its only shard.

    Ids of events begin with ten random characters of this run: no run, and no copy of the file,
    gives an id that another gave. *clock* answers seconds since 1970. Methods raise
    :class:`JournalUnavailable` while the disk is full, or the database locked.
    """

    def __init__(
        self, lock: OutboxLock, writer: Writer, reader: Reader, clock: Callable[[], float]
    ) -> None:
        self._lock = lock
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._origin = secrets.token_hex(5)

    @classmethod
    async def open(cls, path: Path, clock: Callable[[], float]) -> SqliteJournal:
        """Raises :class:`JournalUnusable` if the file cannot be used, or another server does."""
        lock = OutboxLock(path)
        try:
            connection = await asyncio.to_thread(connect, path)
            second = await asyncio.to_thread(connect, path, check=False)
        except BaseException:
            lock.release()
            raise
        return cls(
            lock,
            Writer(connection, "herenow-outbox-writer"),
            Reader(second, "herenow-outbox-reader"),
            clock,
        )

    async def close(self) -> None:
        """Finish what was asked for, and let another process have the file."""
        await self._reader.close()
        await self._writer.close()
        self._lock.release()

    async def settle(self, changes: Sequence[Change]) -> Settled:
        now = self._clock()
        return await self._writer.ask(
            lambda connection: settle(connection, changes, self._origin, now)
        )

    async def read(
        self, endpoint: str, after: int, most: int, lane: str | None = None
    ) -> list[Entry]:
        return await self._reader.ask(
            lambda connection: reading.window(connection, endpoint, after, most, lane)
        )

    async def delivered(self, endpoint: str, positions: Sequence[int]) -> None:
        await self._writer.ask(lambda connection: reading.forget(connection, endpoint, positions))

    async def bury(self, endpoint: str, positions: Sequence[int]) -> None:
        await self._writer.ask(lambda connection: reading.bury(connection, endpoint, positions))

    async def condition(self, endpoint: str) -> Condition:
        return await self._reader.ask(lambda connection: reading.condition(connection, endpoint))

    async def note(self, endpoint: str, condition: Condition) -> None:
        now = self._clock()
        await self._writer.ask(
            lambda connection: reading.note(connection, endpoint, condition, now)
        )

    async def depth(self, endpoint: str) -> Depth:
        return await self._reader.ask(lambda connection: reading.depth(connection, endpoint))

    async def page(
        self, endpoint: str, cursor: str, most: int, *, buried_only: bool
    ) -> tuple[list[Entry], str]:
        after = int(cursor or 0)
        entries = await self._reader.ask(
            lambda connection: reading.page(connection, endpoint, after, most, buried_only)
        )
        return entries, str(entries[-1].position) if len(entries) == most else ""

    async def revive(self, endpoint: str, ids: Sequence[str] | None) -> int:
        return await self._writer.ask(lambda connection: reading.revive(connection, endpoint, ids))

    async def drop(
        self, endpoint: str, ids: Sequence[str] | None, under_way: UnderWay = ()
    ) -> Dropped:
        """Drop the events with these *ids*, or all: but for entries that are *under_way*."""
        now = self._clock()

        def do(connection: sqlite3.Connection) -> Dropped:
            if ids is None and not under_way:
                return dropping.drop_all(connection, endpoint, now)
            positions = reading.positions_of(connection, endpoint, ids)
            return dropping.drop(connection, set(positions).difference(under_way), now)

        return await self._writer.ask(do)

    async def too_many(self, bounds: Bounds) -> dict[str, list[int]]:
        """Positions of some entries that have to go, by endpoint; there may be more of them."""
        now = self._clock()
        return await self._reader.ask(
            lambda connection: dropping.too_many(connection, bounds, now, DROPS_A_STEP)
        )

    async def drop_at(self, positions: Iterable[int]) -> Dropped:
        """Drop the entries at *positions* and those that undo them."""
        now = self._clock()
        return await self._writer.ask(lambda connection: dropping.drop(connection, positions, now))

    async def number(self) -> int:
        """How many entries there are."""
        return await self._reader.ask(dropping.number)

    async def forget_unused(self, known: Iterable[str], keep_seconds: float) -> list[str]:
        """Forget endpoints not *known* and lanes not used for *keep_seconds*."""
        now, names = self._clock(), list(known)
        return await self._writer.ask(
            lambda connection: dropping.forget_unused(connection, names, keep_seconds, now)
        )

    async def told(self, endpoint: str, after: Fact = FIRST_FACT, most: int = 1_000) -> ToldPage:
        """Facts that count as told: lane by lane, the members of a channel before the channel."""
        return await self._reader.ask(
            lambda connection: reading.told(connection, endpoint, after, most)
        )

    async def repeat(self, endpoint: str, after: str = "", most: int = 100) -> Repeated:
        """Append the told additions of *most* lanes beyond *after* once more, but none twice."""
        now = self._clock()
        return await self._writer.ask(
            lambda connection: reading.repeat(connection, endpoint, after, most, now)
        )

    async def clear_adrift(self, endpoint: str) -> None:
        await self._writer.ask(lambda connection: reading.clear_adrift(connection, endpoint))
