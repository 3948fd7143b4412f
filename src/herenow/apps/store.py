"""Applications that are made at run time: how they are written into a store."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from herenow.apps.base import Key
from herenow.apps.records import (
    MAX_SETTINGS_BYTES,
    SCHEMA,
    VERSION,
    Listing,
    Record,
    Row,
    Unreadable,
    has_row,
    open_row,
    open_webhooks,
    read_listing,
    read_mark,
    read_row,
    secret_purpose,
    webhooks_purpose,
)
from herenow.store.database import Conflict, Database, StoreError, Transaction
from herenow.store.sealing import CannotOpen, Sealer

LIVE_KEYS: Final = 2
_TRIES: Final = 10
_SMALLEST_ID: Final = 1_000_000
_IDS: Final = 9_000_000

NO_KEY: Final = (
    "store.secret_key is not set, so nothing can be sealed: make a key with `herenow apps key`,"
    " keep it outside the database, and give it to every server and to this command"
)


class UnknownApp(StoreError):
    """The store has no such application."""

    def __init__(self, app_id: str) -> None:
        super().__init__(f"there is no application {app_id} in the store")
        self.app_id = app_id


class Sealed(StoreError):
    """An application's secrets cannot be opened with the keys that were given."""


class Rotated(NamedTuple):
    """An application with its new key pair, and what is gone: its webhooks, and which keys."""

    record: Record
    lost_webhooks: bool
    withdrawn: tuple[str, ...]


class AppStore:
    """The applications in *database*. Every change is one transaction, one after another.

    Everything raises :class:`StoreError` with what is wrong.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    @property
    def exists(self) -> bool:
        """False if there is no database yet."""
        return self._database.exists

    def rows(self) -> list[Row]:
        """What can be read without a key, by id. Raises :class:`Unreadable` for what cannot."""
        listing = self.listing()
        if listing.unreadable:
            raise Unreadable(listing.unreadable[0])
        return listing.rows

    def listing(self) -> Listing:
        """What can be read without a key, and what is damaged."""
        if not self._database.exists:
            return Listing([], [])
        with self._database.reading() as transaction:
            return read_listing(transaction)

    def row(self, app_id: str) -> Row:
        if self._database.exists:
            with self._database.reading() as transaction:
                row = read_row(transaction, app_id) if read_mark(transaction) else None
            if row is not None:
                return row
        raise UnknownApp(app_id)

    def must_have(self, app_id: str) -> None:
        """Raise :class:`UnknownApp` unless there is such an application, damaged or not."""
        if self._database.exists:
            with self._database.reading() as transaction:
                if read_mark(transaction) and has_row(transaction, app_id):
                    return
        raise UnknownApp(app_id)

    def opens(self, row: Row) -> bool:
        """Whether the keys that seal open *row*: else no server that has these serves it."""
        try:
            self.open(row)
        except Sealed:
            return False
        return True

    def open(self, row: Row) -> Record:
        """Raises :class:`Sealed`."""
        try:
            return open_row(row, self._sealer)
        except CannotOpen:
            raise Sealed(_sealed(row.id)) from None

    def create(
        self,
        settings: Mapping[str, Any],
        app_id: str = "",
        *,
        other_ids: Collection[str] = (),
        other_keys: Collection[str] = (),
    ) -> Record:
        """Make an application with a random key pair, and with a random id if none is given.

        *other_ids* and *other_keys* are those of applications that are not in the store.
        """
        self._need_key()
        if app_id in other_ids:
            raise StoreError(f"application {app_id} stands in the configuration")
        for _ in range(1 if app_id else _TRIES):
            chosen = app_id or str(secrets.randbelow(_IDS) + _SMALLEST_ID)
            if chosen in other_ids:
                continue
            record = Record(chosen, settings, (new_pair(other_keys),))
            try:
                with self._changing(chosen, must_exist=False) as transaction:
                    transaction.execute(
                        "INSERT INTO herenow_apps (id, mark, deleted, settings, webhooks)"
                        " VALUES (:id, '', 0, '{}', '')",
                        id=chosen,
                    )
                    self._write(transaction, record)
            except Conflict:
                continue
            return record
        raise StoreError(
            f"application {app_id} exists, or did: ids are never used again, choose another"
            if app_id
            else "no free id was found"
        )

    def rotate(
        self, app_id: str, *, other_keys: Collection[str] = (), despite_lost_key: bool = False
    ) -> Rotated:
        """Add a random key pair; of the others only the newest stays.

        With *despite_lost_key*, pairs and webhooks that cannot be opened go; else
        :class:`Sealed` is raised.
        """
        self._need_key()
        with self._changing(app_id) as transaction:
            row = self._row_in(transaction, app_id)
            lost_webhooks = False
            try:
                record = open_row(row, self._sealer)
            except CannotOpen:
                if not despite_lost_key:
                    raise Sealed(_sealed(app_id)) from None
                record, lost_webhooks = self._salvage(row)
            keys = (*record.keys, new_pair(other_keys))[-LIVE_KEYS:]
            rotated = Record(app_id, record.settings, keys)
            self._write(transaction, rotated)
        left = {pair.key for pair in keys}
        withdrawn = tuple(key for key, _ in row.keys if key not in left)
        return Rotated(rotated, lost_webhooks, withdrawn)

    def finish_rotation(self, app_id: str) -> Record:
        """Withdraw every key pair but the newest."""
        self._need_key()
        with self._changing(app_id) as transaction:
            record = self.open(self._row_in(transaction, app_id))
            if len(record.keys) < LIVE_KEYS:
                raise StoreError(
                    f"application {app_id} has one key pair: there is none to withdraw"
                )
            finished = Record(app_id, record.settings, record.keys[-1:])
            self._write(transaction, finished)
        return finished

    def change(self, app_id: str, edit: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Record:
        """Give the application the settings that *edit* makes of those it has."""
        self._need_key()
        with self._changing(app_id) as transaction:
            record = self.open(self._row_in(transaction, app_id))
            changed = Record(app_id, edit(record.settings), record.keys)
            self._write(transaction, changed)
        return changed

    def enable(self, app_id: str, enabled: bool) -> None:
        """Needs no key: whoever lost it can still switch an application off."""
        with self._changing(app_id) as transaction:
            row = self._row_in(transaction, app_id)
            settings = {**row.settings, "enabled": enabled}
            transaction.execute(
                "UPDATE herenow_apps SET settings = :settings WHERE id = :id",
                settings=json.dumps(settings),
                id=app_id,
            )

    def delete(self, app_id: str) -> None:
        """Forget everything about the application but that its id was used."""
        with self._changing(app_id) as transaction:
            transaction.execute(
                "UPDATE herenow_apps SET deleted = 1, settings = '{}', webhooks = ''"
                " WHERE id = :id",
                id=app_id,
            )
            transaction.execute("DELETE FROM herenow_app_keys WHERE app_id = :id", id=app_id)

    def reseal(self) -> tuple[int, list[str]]:
        """Seal everything with the first key: how many applications, and those not opened."""
        self._need_key()
        resealed, unopened = 0, []
        for row in self.rows():
            with contextlib.suppress(UnknownApp), self._changing(row.id) as transaction:
                try:
                    record = open_row(self._row_in(transaction, row.id), self._sealer)
                except CannotOpen:
                    unopened.append(row.id)
                    continue
                self._write(transaction, record)
                resealed += 1
        return resealed, unopened

    def close(self) -> None:
        self._database.close()

    @contextlib.contextmanager
    def _changing(self, app_id: str, *, must_exist: bool = True) -> Iterator[Transaction]:
        """A transaction that changes the application; one waits here for another to end."""
        if must_exist and not self._database.exists:
            raise UnknownApp(app_id)
        self._prepare()
        mark = secrets.token_hex(16)
        with self._database.writing() as transaction:
            transaction.execute(
                "UPDATE herenow_apps_state SET mark = :mark WHERE one = 1", mark=mark
            )
            if must_exist and not has_row(transaction, app_id):
                raise UnknownApp(app_id)
            yield transaction
            transaction.execute(
                "UPDATE herenow_apps SET mark = :mark WHERE id = :id", mark=mark, id=app_id
            )

    def _prepare(self) -> None:
        """Make the tables. Others may be doing so at the same time."""
        for attempt in range(_TRIES):
            try:
                with self._database.writing() as transaction:
                    if read_mark(transaction):
                        return
                    for statement in SCHEMA:
                        name = statement.split()[2]
                        if not transaction.has_table(name):
                            transaction.execute(statement)
                    transaction.execute(
                        "INSERT INTO herenow_apps_state (one, version, mark)"
                        " VALUES (1, :version, :mark)",
                        version=VERSION,
                        mark=secrets.token_hex(16),
                    )
                    return
            except StoreError:
                if attempt == _TRIES - 1:
                    raise

    @staticmethod
    def _row_in(transaction: Transaction, app_id: str) -> Row:
        row = read_row(transaction, app_id)
        if row is None:
            raise UnknownApp(app_id)
        return row

    def _write(self, transaction: Transaction, record: Record) -> None:
        """Write all of *record* but the mark, sealed with the first key."""
        settings = dict(record.settings)
        webhooks = settings.pop("webhooks", [])
        texts = [json.dumps(settings), json.dumps(webhooks)]
        if any(len(text) > MAX_SETTINGS_BYTES for text in texts):
            raise StoreError(
                f"the settings are too large: expected at most {MAX_SETTINGS_BYTES} bytes of JSON"
            )
        seal = self._sealer.seal
        transaction.execute(
            "UPDATE herenow_apps SET settings = :settings, webhooks = :webhooks WHERE id = :id",
            settings=texts[0],
            webhooks=seal(webhooks_purpose(record.id), texts[1]) if webhooks else "",
            id=record.id,
        )
        transaction.execute("DELETE FROM herenow_app_keys WHERE app_id = :id", id=record.id)
        for place, pair in enumerate(record.keys):
            transaction.execute(
                "INSERT INTO herenow_app_keys (app_key, app_id, place, secret)"
                " VALUES (:app_key, :id, :place, :secret)",
                app_key=pair.key,
                id=record.id,
                place=place,
                secret=seal(secret_purpose(record.id, pair.key), pair.secret),
            )

    def _salvage(self, row: Row) -> tuple[Record, bool]:
        """What of *row* can be opened, and whether webhooks were lost."""
        keys = []
        for key, sealed in row.keys:
            with contextlib.suppress(CannotOpen):
                keys.append(Key(key, self._sealer.open(secret_purpose(row.id, key), sealed)))
        settings = dict(row.settings)
        try:
            if webhooks := open_webhooks(row, self._sealer):
                settings["webhooks"] = webhooks
            return Record(row.id, settings, tuple(keys)), False
        except CannotOpen:
            return Record(row.id, settings, tuple(keys)), True

    def _need_key(self) -> None:
        if not self._sealer:
            raise StoreError(NO_KEY)


def new_pair(others: Collection[str] = ()) -> Key:
    """A random key of 20 hex digits that is none of *others*, and a random secret of 40."""
    key = secrets.token_hex(10)
    while key in others:
        key = secrets.token_hex(10)
    return Key(key, secrets.token_hex(20))


def _sealed(app_id: str) -> str:
    return (
        f"none of store.secret_key opens the secrets of application {app_id}: give the key that"
        f" sealed them, or make new ones with `herenow apps rotate {app_id}`"
    )
