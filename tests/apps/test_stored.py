"""Applications of the configuration and of a store together, as a server looks them up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from herenow.apps.base import App, Key, Limits
from herenow.apps.polling import StoreReader
from herenow.apps.store import AppStore
from herenow.apps.stored import StoredApps
from herenow.config.apps import read_app
from herenow.store.opening import open_database
from herenow.store.sealing import Sealer, new_key

pytestmark = pytest.mark.anyio

KEY = new_key()
STATIC = App("7", (Key("static-key", "static-secret"),))
LIMITS = Limits(max_connections=9)
POLL_SECONDS = 0.02
DEADLINE = 10.0


class Store:
    """A store in a file, and what looks into it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "store.db"
        self.url = f"sqlite:///{self.path}"

    def write(self, key: str = KEY) -> AppStore:
        return AppStore(open_database(self.url), Sealer([key]))

    def reader(self) -> StoreReader:
        return StoreReader(open_database(self.url), Sealer([KEY]), partial(read_app, limits=LIMITS))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@contextlib.asynccontextmanager
async def looking(store: Store, *static: App) -> AsyncIterator[tuple[StoredApps, list[str]]]:
    """Applications that are kept up to date, and the ids of those that changed."""
    apps = StoredApps(static, store.reader, POLL_SECONDS)
    changed: list[str] = []
    apps.on_change(changed.append)
    await apps.start()
    try:
        yield apps, changed
    finally:
        await apps.stop()


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_without_a_store_there_is_what_the_configuration_has(store: Store) -> None:
    """Everything is known at once, and looking makes no file."""
    async with looking(store, STATIC) as (apps, changed):
        assert apps.complete
        assert apps.all() == (STATIC,)
        assert apps.by_key("static-key") is apps.by_id("7") is STATIC
        assert changed == []
    assert not store.path.exists()


async def test_what_is_in_the_store_at_start_is_known_at_once(store: Store) -> None:
    """With its own settings over the limits of the server."""
    made = store.write().create({"client_events": True, "limits": {"max_watchlist": 3}})
    async with looking(store, STATIC) as (apps, _):
        app = apps.by_id(made.id)
        assert app is not None
        assert apps.by_key(made.keys[0].key) is app
        assert (app.client_events, app.keys) == (True, made.keys)
        assert app.limits == Limits(max_connections=9, max_watchlist=3)


async def test_each_change_is_told_once(store: Store) -> None:
    """When it is told, the new state is in force; others are not told."""
    writer = store.write()
    async with looking(store, STATIC) as (apps, changed):
        made, other = writer.create({}), writer.create({})
        await eventually(lambda: sorted(changed) == sorted([made.id, other.id]))
        seen: list[object] = []
        apps.on_change(lambda app_id: seen.append(apps.by_id(app_id)))
        writer.enable(made.id, False)
        await eventually(lambda: len(changed) == 3)
        writer.delete(made.id)
        await eventually(lambda: len(changed) == 4)
        assert changed[2:] == [made.id, made.id]
        assert isinstance(seen[0], App)
        assert not seen[0].enabled
        assert seen[1] is None
        assert apps.by_key(made.keys[0].key) is None
        assert apps.by_id(other.id) is not None


async def test_a_withdrawn_key_is_not_found(store: Store) -> None:
    """The pair that stays is."""
    writer = store.write()
    made = writer.create({})
    async with looking(store) as (apps, changed):
        rotated = writer.rotate(made.id).record
        await eventually(lambda: apps.by_key(rotated.keys[1].key) is not None)
        assert apps.by_key(made.keys[0].key) is apps.by_id(made.id)
        writer.finish_rotation(made.id)
        await eventually(lambda: apps.by_key(made.keys[0].key) is None)
        assert changed == [made.id] * 3


async def test_what_the_rules_do_not_allow_is_not_served(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """As if somebody had written into the database by hand; the log names the setting."""
    writer = store.write()
    made, other = writer.create({"leave_grace_seconds": "long"}), writer.create({})
    async with looking(store) as (apps, _):
        assert apps.by_id(made.id) is None
        assert apps.by_id(other.id) is not None
    assert "app.leave_grace_seconds" in caplog.text


async def test_what_no_key_opens_is_not_served_and_logged_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Other changes do not bring the line again."""
    made = store.write(new_key()).create({})
    async with looking(store) as (apps, _):
        assert apps.by_id(made.id) is None
        other = store.write().create({})
        await eventually(lambda: apps.by_id(other.id) is not None)
    assert caplog.text.count(f"herenow apps rotate {made.id}") == 1


async def test_a_broken_store_keeps_what_is_known(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told with a line now and then, and read again when it is whole."""
    caplog.set_level(logging.INFO)
    writer = store.write()
    made = writer.create({})
    writer.close()
    whole = store.path.read_bytes()
    async with looking(store) as (apps, changed):
        store.path.with_suffix(".new").write_bytes(b"no database at all " * 100)
        store.path.with_suffix(".new").replace(store.path)
        await eventually(lambda: "what is known stays" in caplog.text)
        await asyncio.sleep(POLL_SECONDS * 5)
        assert apps.by_id(made.id) is not None
        store.path.with_suffix(".new").write_bytes(whole)
        store.path.with_suffix(".new").replace(store.path)
        await eventually(lambda: "can be read again" in caplog.text)
        assert apps.by_id(made.id) is not None
        assert changed == [made.id]
    assert caplog.text.count("what is known stays") == 1


async def test_a_store_that_was_restored_is_read_as_it_is(store: Store) -> None:
    """What was made after the backup is gone, what was changed is as it was."""
    writer = store.write()
    kept = writer.create({})
    writer.close()
    backup = store.path.read_bytes()
    async with looking(store) as (apps, _):
        later = writer.create({})
        writer.enable(kept.id, False)
        await eventually(lambda: apps.by_id(later.id) is not None and not _enabled(apps, kept.id))
        writer.close()
        store.path.with_suffix(".new").write_bytes(backup)
        for suffix in (".db-wal", ".db-shm"):
            store.path.with_suffix(suffix).unlink(missing_ok=True)
        store.path.with_suffix(".new").replace(store.path)
        await eventually(lambda: apps.by_id(later.id) is None and _enabled(apps, kept.id))


def _enabled(apps: StoredApps, app_id: str) -> bool:
    app = apps.by_id(app_id)
    return app is not None and app.enabled


@pytest.mark.parametrize("away", ["missing", "empty", "forbidden"])
async def test_a_file_that_is_away_for_a_while_ends_no_application(
    store: Store, away: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known stays, and changes are seen when the file is back."""
    caplog.set_level(logging.INFO)
    writer = store.write()
    made = writer.create({})
    writer.close()
    aside = store.path.with_suffix(".aside")
    async with looking(store) as (apps, changed):
        with monkeypatch.context() as patched:
            if away == "forbidden":
                patched.setattr(Path, "stat", _forbidden)
            else:
                store.path.replace(aside)
            if away == "empty":
                store.path.touch()
            await eventually(lambda: "what is known stays" in caplog.text)
            await asyncio.sleep(POLL_SECONDS * 5)
        assert apps.by_id(made.id) is not None
        if aside.exists():
            aside.replace(store.path)
        await eventually(lambda: "can be read again" in caplog.text)
        assert changed == [made.id]


def _forbidden(path: Path) -> None:
    raise PermissionError(13, "Permission denied")


async def test_settings_that_cannot_be_read_end_no_other_application(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Changes of the others arrive, and the damaged one can be deleted."""
    writer = store.write()
    damaged, other = writer.create({}), writer.create({})
    writer.close()
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE herenow_apps SET settings = '{' WHERE id = ?", (damaged.id,))
    async with looking(store) as (apps, _):
        assert [app.id for app in apps.all()] == [other.id]
        assert f"application {damaged.id} of the store is not served" in caplog.text
        writer.enable(other.id, False)
        await eventually(lambda: not _enabled(apps, other.id))
        writer.delete(damaged.id)
        assert [row.id for row in writer.rows()] == [other.id]
        writer.close()
