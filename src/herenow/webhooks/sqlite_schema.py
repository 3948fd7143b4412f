"""The tables of the journal in SQLite, and the file they are in."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import IO, Final

from herenow.private_files import make_private
from herenow.webhooks.journal import JournalUnusable

VERSION: Final = 1
BUSY_SECONDS: Final = 5.0
WAL_BYTES: Final = 16_777_216
CACHE_KIBIBYTES: Final = 16_384

# A member is '' where a fact is none of a member. ``before`` of a removal is what was told until
# then, as JSON [id, sequence, info, made]: it is told again if the removal is dropped. ``passed``:
# something later about the same fact was delivered, so what is told does not depend on this one.
SCHEMA: Final = """
CREATE TABLE webhooks_journal (version INTEGER NOT NULL, position INTEGER NOT NULL) STRICT;
INSERT INTO webhooks_journal VALUES (1, 0);
CREATE TABLE webhooks_endpoints (
    id TEXT PRIMARY KEY,
    seen REAL NOT NULL,
    failing_since REAL,
    answer TEXT NOT NULL DEFAULT '',
    attempted REAL,
    adrift INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE webhooks_lanes (
    endpoint TEXT NOT NULL,
    lane TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    used REAL NOT NULL,
    PRIMARY KEY (endpoint, lane)
) STRICT, WITHOUT ROWID;
CREATE TABLE webhooks_told (
    number INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL,
    lane TEXT NOT NULL,
    member TEXT NOT NULL,
    id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    info TEXT NOT NULL,
    made REAL NOT NULL,
    UNIQUE (endpoint, lane, member DESC)
) STRICT;
CREATE TABLE webhooks_entries (
    position INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL,
    lane TEXT NOT NULL,
    member TEXT NOT NULL,
    holds INTEGER NOT NULL,
    info TEXT NOT NULL,
    id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    made REAL NOT NULL,
    repeat INTEGER NOT NULL,
    buried INTEGER NOT NULL,
    before TEXT NOT NULL,
    passed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX webhooks_entries_endpoint ON webhooks_entries (endpoint, buried, position);
CREATE INDEX webhooks_entries_lane ON webhooks_entries (endpoint, lane, position);
CREATE INDEX webhooks_entries_fact ON webhooks_entries (endpoint, lane, member, position);
"""


class OutboxLock:
    """The right to be the one process that uses a file as its outbox, until it ends."""

    def __init__(self, path: Path) -> None:
        """Raises :class:`JournalUnusable` if another process has it."""
        beside = path.with_name(path.name + ".lock")
        try:
            self._file: IO[bytes] = os.fdopen(os.open(beside, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        except OSError as error:
            raise JournalUnusable(_cannot_open(beside, error)) from None
        try:
            _lock(self._file)
        except OSError:
            self._file.close()
            raise JournalUnusable(
                f"another server uses {path} as its webhook outbox: let both share an engine with"
                " cluster.url, or give this one a store of its own with store.url (where the store"
                " is a database on a server: a file of its own with store.outbox)"
            ) from None

    def release(self) -> None:
        self._file.close()


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ImportError:
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _cannot_open(path: Path, error: OSError) -> str:
    return (
        f"the webhook outbox needs {path}: {error.strerror or error};"
        " name a file that can be written with store.outbox"
    )


def connect(path: Path, *, check: bool = True) -> sqlite3.Connection:
    """A connection to the journal in *path*, which is made if there is none.

    Without *check* it is not looked whether the file is damaged, which reads all of it.
    Raises :class:`JournalUnusable` if the file cannot be opened, or is no database of ours.
    """
    try:
        # SQLite gives its -wal and -shm the mode of the database: nobody else reads what is told.
        make_private(path)
        path.chmod(0o600)
    except OSError as error:
        raise JournalUnusable(_cannot_open(path, error)) from None
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(connection, check)
    except sqlite3.OperationalError as error:
        connection.close()
        raise JournalUnusable(f"the webhook outbox {path} cannot be used now: {error}") from None
    except sqlite3.DatabaseError as error:
        connection.close()
        raise JournalUnusable(
            f"the webhook outbox {path} cannot be read: {error}; restore it, or move it away and"
            " a new one is made, whose receivers are told the present state"
        ) from None
    except JournalUnusable as unusable:
        connection.close()
        raise JournalUnusable(f"the webhook outbox {path} {unusable}") from None
    return connection


def _prepare(connection: sqlite3.Connection, check: bool) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    # A process that is killed loses nothing that was committed. A machine that loses its power may
    # lose the last commits: what was told is compared with the ledger after every start, so that
    # costs a repeat under another id at most.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIBIBYTES}")
    connection.execute("BEGIN IMMEDIATE")
    if not _exists(connection):
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
    connection.execute("COMMIT")
    if check and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("it is damaged")
    (version,) = connection.execute("SELECT version FROM webhooks_journal").fetchone()
    if version != VERSION:
        raise JournalUnusable(
            f"has version {version}, this program knows version {VERSION}:"
            " name another file with store.outbox"
        )


def _exists(connection: sqlite3.Connection) -> bool:
    asked = "SELECT 1 FROM sqlite_master WHERE name = 'webhooks_journal'"
    return connection.execute(asked).fetchone() is not None
