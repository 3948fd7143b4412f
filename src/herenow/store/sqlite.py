"""The embedded database: one SQLite file, which is made when something is first written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from herenow.private_files import make_private
from herenow.store.database import Conflict, StoreError, Transaction, Value

if TYPE_CHECKING:
    import sqlite3

BUSY_SECONDS: Final = 5.0


class SqliteDatabase:
    """The file at *path*, for its owner alone (mode 0600), with a write-ahead log beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    @property
    def exists(self) -> bool:
        return self._identity() is not None

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read: {error.strerror}") from None
        return (found.st_dev, found.st_ino) if found.st_size else None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._transaction("BEGIN", "rw") as transaction:
            yield transaction

    @contextlib.contextmanager
    def writing(self) -> Iterator[Transaction]:
        try:
            # SQLite gives its -wal and -shm the mode of the database.
            make_private(self._path)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from None
        with self._transaction("BEGIN IMMEDIATE", "rw") as transaction:
            yield transaction

    @contextlib.contextmanager
    def _transaction(self, begin: str, mode: str) -> Iterator[Transaction]:
        import sqlite3

        try:
            connection = self._connected(mode)
            connection.execute(begin)
            try:
                yield _SqliteTransaction(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            raise Conflict(str(error)) from None
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"{self._path}: {error}") from None

    def _connected(self, mode: str) -> sqlite3.Connection:
        """A connection to the file that is there now: it may have been restored meanwhile."""
        import sqlite3

        identity = self._identity()
        if self._connection is not None and identity == self._file:
            return self._connection
        self.close()
        uri = f"{self._path.resolve().as_uri()}?mode={mode}"
        self._connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode=WAL")
        # Of a key that is withdrawn nothing stays behind in the file.
        self._connection.execute("PRAGMA secure_delete=ON")
        self._file = self._identity()
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _SqliteTransaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, **values: Value) -> int:
        return self._connection.execute(sql, values).rowcount

    def rows(self, sql: str, **values: Value) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def has_table(self, name: str) -> bool:
        sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name"
        return bool(self.rows(sql, name=name))
