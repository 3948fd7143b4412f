"""When users were last seen, kept over a restart in the store's file, if there is one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from herenow.cluster.base import Done, Refusal
from herenow.cluster.partitions.placement import decode, encode
from herenow.cluster.seen import MOST_SEEN, Seen, UserKey

if TYPE_CHECKING:
    import sqlite3

FLUSH_SECONDS: Final = 1.0
TRIM_SECONDS: Final = 3_600.0
BUSY_SECONDS: Final = 5.0
_ROWS_A_TRANSACTION: Final = 1_000

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS users_seen (
    app TEXT NOT NULL, user BLOB NOT NULL, at REAL NOT NULL, PRIMARY KEY (app, user)
) STRICT, WITHOUT ROWID
"""
_KEEP: Final = """
INSERT INTO users_seen VALUES (?, ?, ?)
ON CONFLICT (app, user) DO UPDATE SET at = max(at, excluded.at)
"""
_TRIM: Final = "DELETE FROM users_seen WHERE at < ?"
_BOUND: Final = """
DELETE FROM users_seen
WHERE at < (SELECT at FROM users_seen ORDER BY at DESC LIMIT 1 OFFSET ?)
"""

T = TypeVar("T")

log = logging.getLogger("herenow")

_Erased = tuple[UserKey, Done[bool | Refusal]]


class SeenFile:
    """Writes what *seen* learns to the SQLite file at *path*, about every second; it makes no file.

    All of it happens on a thread of its own: what waits for a disk is never the event loop. After
    a crash the last second is missing, and those who were there at that moment.
    """

    def __init__(self, path: Path, seen: Seen, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._seen = seen
        self._now = now
        self._changed: dict[UserKey, float] = {}
        self._erased: list[_Erased] = []
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "herenow-seen")
        self._connection: sqlite3.Connection | None = None
        self._trimmed_at = 0.0
        self._running: asyncio.Task[None] | None = None
        self._problem = ""
        self._stopping = False

    def changed(self, key: UserKey, at: float) -> None:
        if self._connection is not None:
            self._changed[key] = at

    def erase(self, key: UserKey, done: Done[bool | Refusal]) -> None:
        self._changed.pop(key, None)
        self._erased.append((key, done))
        self._wake.set()

    async def start(self) -> None:
        """Take in what was kept."""
        self._seen.keeper = self
        await self._open()
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._running is not None:
            # What is being written is finished, not given up.
            self._stopping = True
            self._wake.set()
            await self._running
        await self._flush()
        self._seen.keeper = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._thread.shutdown(wait=False)

    async def _run(self) -> None:
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            if self._connection is None:
                await self._open()
            await self._flush()

    async def _open(self) -> None:
        """Open the file if it is there by now, and take in what is in it."""
        import sqlite3

        try:
            opened = await self._on_thread(self._load)
        except sqlite3.Error as error:
            self._tell(str(error))
            return
        if opened is not None:
            connection, rows = opened
            erased = {key for key, _ in self._erased}
            self._seen.restore([row for row in rows if row[0] not in erased])
            self._connection = connection
            self._changed = self._seen.all()

    async def _flush(self) -> None:
        import sqlite3

        changed, self._changed = self._changed, {}
        erased, self._erased = self._erased, []
        gone: bool | Refusal = True
        try:
            await self._on_thread(lambda: self._write(changed, [key for key, _ in erased]))
            self._problem = ""
        except sqlite3.Error as error:
            self._tell(str(error))
            self._changed = {**changed, **self._changed}
            for key, _ in erased:
                self._changed.pop(key, None)
            gone = Refusal.UNAVAILABLE
        for _, done in erased:
            done(gone)

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.error("when users were last seen cannot be kept in %s: %s", self._path, problem)

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _load(self) -> tuple[sqlite3.Connection, list[tuple[UserKey, float]]] | None:
        import sqlite3

        if not _is_there(self._path):
            return None
        connection = sqlite3.connect(
            f"{self._path.resolve().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            # Of a user who is erased nothing stays behind in the file.
            connection.execute("PRAGMA secure_delete=ON")
            connection.execute(_TABLE)
            self._trim(connection)
            connection.execute(_BOUND, (MOST_SEEN - 1,))
            found = connection.execute("SELECT app, user, at FROM users_seen ORDER BY at")
            return connection, [(UserKey(app, decode(user)), at) for app, user, at in found]
        except sqlite3.Error:
            connection.close()
            raise

    def _trim(self, connection: sqlite3.Connection) -> None:
        self._trimmed_at = self._now()
        connection.execute(_TRIM, (self._trimmed_at - self._seen.keep,))

    def _write(self, changed: Mapping[UserKey, float], erased: Sequence[UserKey]) -> None:
        import sqlite3

        connection = self._connection
        if connection is None:
            if erased and _is_there(self._path):
                # Nobody is told to be forgotten whom the next start would know again.
                raise sqlite3.OperationalError("the file could not be opened")
            return
        rows = iter([(key.app, encode(key.user), at) for key, at in changed.items()])
        while group := list(islice(rows, _ROWS_A_TRANSACTION)):
            _in_one(connection, _KEEP, group)
        if erased:
            sql = "DELETE FROM users_seen WHERE app = ? AND user = ?"
            _in_one(connection, sql, [(key.app, encode(key.user)) for key in erased])
        if self._now() - self._trimmed_at > TRIM_SECONDS:
            self._trim(connection)


def _is_there(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _in_one(connection: sqlite3.Connection, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Run *sql* for all *rows* in one transaction: others who write wait for it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(sql, rows)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
