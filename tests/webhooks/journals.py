"""A journal in a file, and a receiver that takes what is in it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

from herenow.webhooks.journal import Change, Entry, Fact
from herenow.webhooks.sqlite import SqliteJournal

ENDPOINT = "0123456789abcdef"
OTHER = "fedcba9876543210"


class Time:
    """Seconds since 1970, as a test wants them."""

    def __init__(self, now: float = 1_760_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def journal(path: Path, time: Time | None = None) -> AsyncIterator[SqliteJournal]:
    opened = await SqliteJournal.open(path, time or Time())
    try:
        yield opened
    finally:
        await opened.close()


def comes(fact: Fact, info: bytes = b"", endpoint: str = ENDPOINT) -> Change:
    return Change(endpoint, fact, True, info)


def goes(fact: Fact, info: bytes = b"", endpoint: str = ENDPOINT) -> Change:
    return Change(endpoint, fact, False, info)


async def waiting(opened: SqliteJournal, endpoint: str = ENDPOINT) -> list[Entry]:
    return await opened.read(endpoint, 0, 10_000)


async def told(opened: SqliteJournal, endpoint: str = ENDPOINT) -> list[Fact]:
    return (await opened.told(endpoint, most=10_000)).facts


class Picture:
    """What a receiver believes, from the events that it got; each event counts once."""

    def __init__(self) -> None:
        self.holding: set[Fact] = set()
        self._seen: set[str] = set()

    def take(self, entry: Entry) -> None:
        """Fails where an addition does not follow a removal, or the other way round."""
        if entry.id in self._seen:
            return
        self._seen.add(entry.id)
        assert (entry.fact in self.holding) is not entry.holds, f"told twice: {entry}"
        if entry.holds:
            self.holding.add(entry.fact)
        else:
            self.holding.remove(entry.fact)


def query(path: Path, statement: str) -> list[tuple[object, ...]]:
    """What another process reads of the file."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()
