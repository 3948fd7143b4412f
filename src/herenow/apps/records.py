"""Applications as they stand in a store: what is legible there, and what is sealed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from herenow.apps.base import Key
from herenow.store.database import StoreError, Transaction
from herenow.store.sealing import CannotOpen, Sealer

VERSION: Final = 1
MAX_SETTINGS_BYTES: Final = 40_000

# A deleted application leaves its id behind, so that no other ever gets it. A mark is random and
# new with every change: whoever kept one sees by it whether there is something to read, also in a
# database that was restored to an earlier state.
SCHEMA: Final = (
    "CREATE TABLE herenow_apps ("
    " id VARCHAR(64) NOT NULL PRIMARY KEY, mark VARCHAR(32) NOT NULL, deleted INTEGER NOT NULL,"
    " settings TEXT NOT NULL, webhooks TEXT NOT NULL)",
    "CREATE TABLE herenow_app_keys ("
    " app_key VARCHAR(64) NOT NULL PRIMARY KEY, app_id VARCHAR(64) NOT NULL,"
    " place INTEGER NOT NULL, secret VARCHAR(512) NOT NULL)",
    # Made last: where it is, everything is.
    "CREATE TABLE herenow_apps_state ("
    " one INTEGER NOT NULL PRIMARY KEY, version INTEGER NOT NULL, mark VARCHAR(32) NOT NULL)",
)


class Unreadable(StoreError):
    """What the store holds about one application is damaged."""

    def __init__(self, app_id: str) -> None:
        super().__init__(f"the settings of application {app_id} in the store cannot be read")
        self.app_id = app_id


@dataclass(frozen=True, slots=True)
class Row:
    """What a store holds about one application. ``keys`` are pairs of key and sealed secret."""

    id: str
    mark: str
    settings: Mapping[str, Any]
    webhooks: str = field(repr=False)
    keys: tuple[tuple[str, str], ...] = field(repr=False)


class Listing(NamedTuple):
    """The applications of a store by id, and the ids of those that are damaged."""

    rows: list[Row]
    unreadable: list[str]


@dataclass(frozen=True, slots=True)
class Record:
    """One application of a store, opened. ``settings`` are those of an ``[[apps]]`` table that were
    given, without id and keys.
    """

    id: str
    settings: Mapping[str, Any] = field(repr=False)
    keys: tuple[Key, ...]

    def table(self) -> dict[str, Any]:
        """The whole ``[[apps]]`` table."""
        keys = [{"key": pair.key, "secret": pair.secret} for pair in self.keys]
        return {"id": self.id, **self.settings, "keys": keys}


def read_mark(transaction: Transaction) -> str:
    """The mark of the whole store; empty if there are no applications in it.

    Raises :class:`StoreError` if a newer version made it.
    """
    if not transaction.has_table("herenow_apps_state"):
        return ""
    rows = transaction.rows("SELECT version, mark FROM herenow_apps_state WHERE one = 1")
    if not rows:
        return ""
    version, mark = rows[0]
    if version != VERSION:
        raise StoreError(
            f"the store has version {version} of the applications' tables, this herenow knows"
            f" version {VERSION}: use the herenow that wrote it"
        )
    return str(mark)


def read_marks(transaction: Transaction) -> dict[str, str]:
    """The mark of every application."""
    return dict(transaction.rows("SELECT id, mark FROM herenow_apps WHERE deleted = 0"))


def has_row(transaction: Transaction, app_id: str) -> bool:
    found = "SELECT 1 FROM herenow_apps WHERE id = :id AND deleted = 0"
    return bool(transaction.rows(found, id=app_id))


def read_row(transaction: Transaction, app_id: str) -> Row | None:
    """Raises :class:`Unreadable`."""
    found = transaction.rows(
        "SELECT mark, settings, webhooks FROM herenow_apps WHERE id = :id AND deleted = 0",
        id=app_id,
    )
    if not found:
        return None
    mark, settings, webhooks = found[0]
    keys = transaction.rows(
        "SELECT app_key, secret FROM herenow_app_keys WHERE app_id = :id ORDER BY place", id=app_id
    )
    try:
        table = json.loads(settings)
    except ValueError:
        table = None
    if not isinstance(table, dict):
        raise Unreadable(app_id)
    return Row(app_id, mark, table, webhooks, tuple(keys))


def read_listing(transaction: Transaction) -> Listing:
    """Every application, by id."""
    listing = Listing([], [])
    if not read_mark(transaction):
        return listing
    for app_id in sorted(read_marks(transaction), key=lambda app_id: (len(app_id), app_id)):
        try:
            row = read_row(transaction, app_id)
        except Unreadable:
            listing.unreadable.append(app_id)
            continue
        if row is not None:
            listing.rows.append(row)
    return listing


def open_row(row: Row, sealer: Sealer) -> Record:
    """Raises :class:`CannotOpen` if some of it is sealed with another key."""
    keys = tuple(
        Key(key, sealer.open(secret_purpose(row.id, key), sealed)) for key, sealed in row.keys
    )
    webhooks = open_webhooks(row, sealer)
    return Record(row.id, {**row.settings, **({"webhooks": webhooks} if webhooks else {})}, keys)


def open_webhooks(row: Row, sealer: Sealer) -> list[Any]:
    if not row.webhooks:
        return []
    try:
        webhooks = json.loads(sealer.open(webhooks_purpose(row.id), row.webhooks))
    except ValueError:
        raise CannotOpen from None
    return webhooks if isinstance(webhooks, list) else []


def secret_purpose(app_id: str, key: str) -> str:
    return f"secret {app_id} {key}"


def webhooks_purpose(app_id: str) -> str:
    return f"webhooks {app_id}"
