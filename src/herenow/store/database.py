"""A database: an embedded file, or a server that nodes share. Both speak the same plain SQL."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

Value = str | int


class StoreError(Exception):
    """The store cannot be used, now or as it is configured. The sentence has no secret in it."""


class Conflict(StoreError):
    """What was to be written is there already."""


class Transaction(Protocol):
    """SQL that all databases know, with values as ``:name``."""

    def execute(self, sql: str, **values: Value) -> int:
        """Run *sql*; the answer is how many rows it changed. May raise :class:`Conflict`."""

    def rows(self, sql: str, **values: Value) -> list[tuple[Any, ...]]: ...

    def has_table(self, name: str) -> bool: ...


class Database(Protocol):
    """Connects when it is first used, and again after an error. For one thread at a time.

    Everything raises :class:`StoreError` if it cannot be done.
    """

    @property
    def exists(self) -> bool:
        """False if there is no database: reading would find nothing."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """A transaction that sees one state of the database. Nothing is made by it."""

    def writing(self) -> AbstractContextManager[Transaction]:
        """A transaction that is committed at its end, or undone by an exception.

        An embedded file is made if there is none.
        """

    def close(self) -> None: ...
