"""Looks into the store again and again, on a thread of its own, and tells what changed there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from herenow.apps.base import App
from herenow.apps.records import Record, Row, Unreadable, open_row, read_mark, read_marks, read_row
from herenow.log import RateLimitedLog, clean
from herenow.store.database import Database, StoreError, Transaction
from herenow.store.sealing import CannotOpen, Sealer

ReadApp = Callable[[Mapping[str, Any]], App]
"""Makes an application of an ``[[apps]]`` table, or raises an error that says what is wrong."""

Changes = Mapping[str, App | None]
"""Applications that are new or changed by id; ``None`` is one that is not served any more."""

_COMPLAINT_SECONDS: Final = 60.0

log = logging.getLogger("herenow.apps")


class StoreReader:
    """Remembers what it has read, so that only what changed is read again."""

    def __init__(self, database: Database, sealer: Sealer, read_app: ReadApp) -> None:
        self._database = database
        self._sealer = sealer
        self._read_app = read_app
        self._mark = ""
        self._marks: dict[str, str] = {}

    def changes(self) -> Changes:
        """What changed since the last time. Raises :class:`StoreError`, and forgets nothing."""
        if not self._database.exists:
            self._must_be_new()
            return {}
        with self._database.reading() as transaction:
            mark = read_mark(transaction)
            if mark == self._mark:
                return {}
            if not mark:
                self._must_be_new()
            marks = read_marks(transaction)
            changed = [id_ for id_, known in marks.items() if known != self._marks.get(id_)]
            rows = {app_id: self._row(transaction, app_id) for app_id in changed}
        found: dict[str, App | None] = {id_: None for id_ in self._marks if id_ not in marks}
        for app_id, row in rows.items():
            try:
                found[app_id] = None if row is None else self._app(open_row(row, self._sealer))
            except CannotOpen:
                found[app_id] = None
                _complain_of_key(app_id, bool(self._sealer))
        self._mark, self._marks = mark, marks
        return found

    def _must_be_new(self) -> None:
        """Applications that were read do not end because a file is away."""
        if self._mark:
            raise StoreError("the applications that were in it are not there any more")

    @staticmethod
    def _row(transaction: Transaction, app_id: str) -> Row | None:
        try:
            return read_row(transaction, app_id)
        except Unreadable as error:
            log.error("application %s of the store is not served: %s", app_id, error)
            return None

    def _app(self, record: Record) -> App | None:
        try:
            return self._read_app(record.table())
        except Exception as error:
            log.error(
                "application %s of the store is not served: %s",
                record.id,
                clean(" ".join(str(error).split()), 500),
            )
            return None

    def close(self) -> None:
        self._database.close()


def _complain_of_key(app_id: str, has_key: bool) -> None:
    log.error(
        "application %s of the store is not served: %s opens its secrets;"
        " give this server the key that sealed them, or make new ones with"
        " `herenow apps rotate %s`",
        app_id,
        "none of store.secret_key" if has_key else "no store.secret_key is set that",
        app_id,
    )


class Poller:
    """Calls *tell* with the changes, first with everything, from a thread of its own.

    A store that is away is tried again; what was told stays.
    """

    def __init__(
        self,
        open_reader: Callable[[], StoreReader],
        poll_seconds: float,
        tell: Callable[[Changes], None],
    ) -> None:
        self._open_reader = open_reader
        self._poll_seconds = poll_seconds
        self._tell = tell
        self._stopping = threading.Event()
        self._complaints = RateLimitedLog(log, per_second=1, window_seconds=_COMPLAINT_SECONDS)
        # A daemon: one that waits for a server that does not answer must not keep the process.
        self._thread = threading.Thread(target=self._run, name="herenow-apps", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Nothing is told any more, once what is being told now is."""
        self._stopping.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        reader = self._open_reader()
        away = False
        told = False
        while not self._stopping.is_set():
            try:
                changes = reader.changes()
            except StoreError as error:
                away = True
                self._complaints.warning(
                    "the store of applications cannot be read, what is known stays",
                    detail=str(error),
                )
            except Exception:
                away = True
                log.exception("the store of applications could not be read")
            else:
                if away:
                    away = False
                    log.info("the store of applications can be read again")
                if not self._stopping.is_set() and (changes or not told):
                    told = True
                    self._tell(changes)
            self._stopping.wait(self._poll_seconds)
        reader.close()
