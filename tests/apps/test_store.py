"""Applications in a store, in each database: what is written, and what can be read there."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from herenow.apps.store import AppStore, Sealed, UnknownApp
from herenow.store.database import Database, StoreError
from herenow.store.opening import open_database
from herenow.store.sealing import Sealer, new_key
from outbox.marks import Marks
from store.places import Place

KEY, OTHER_KEY = new_key(), new_key()
SETTINGS: Mapping[str, Any] = {
    "client_events": True,
    "limits": {"max_connections": 5},
    "webhooks": [
        {
            "url": "https://example.com/hook?token=marked-query-token-1",
            "events": ["member_added"],
            "headers": {"X-Token": "marked-header-token-1"},
        }
    ],
}


OpenStore = Callable[..., AppStore]


@pytest.fixture
def store_at(place: Place) -> Iterator[OpenStore]:
    """Opens the store with the keys that it is given."""
    with contextlib.ExitStack() as opened:

        def open_store(*keys: str) -> AppStore:
            store = AppStore(open_database(place.url), Sealer(keys))
            opened.callback(store.close)
            return store

        yield open_store


def content(place: Place, database: Database) -> bytes:
    """Everything that the database keeps, as it stands on the disk."""
    database.close()
    if place.server is None:
        path = Path(place.url.removeprefix("sqlite:///"))
        return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    return place.server.content()


def test_a_new_application_is_read_by_another(store_at: OpenStore) -> None:
    """With a numeric id, a key of 20 and a secret of 40 hex digits, and its settings."""
    made = store_at(KEY).create(SETTINGS)
    assert re.fullmatch(r"[1-9][0-9]{6}", made.id)
    (pair,) = made.keys
    assert re.fullmatch(r"[0-9a-f]{20}", pair.key)
    assert re.fullmatch(r"[0-9a-f]{40}", pair.secret)
    other = store_at(KEY)
    assert other.open(other.row(made.id)) == made
    assert [row.id for row in other.rows()] == [made.id]
    assert made.settings == SETTINGS


def test_nothing_secret_stands_in_the_database(place: Place) -> None:
    """Neither secrets nor what webhooks are sent with, raw or in another form."""
    database = open_database(place.url)
    store = AppStore(database, Sealer([KEY]))
    made = store.create(SETTINGS)
    rotated = store.rotate(made.id).record
    marks = Marks({"key": KEY, "query": "marked-query-token-1", "header": "marked-header-token-1"})
    for number, pair in enumerate(rotated.keys):
        marks.add(f"secret {number}", pair.secret)
    written = content(place, database)
    assert marks.leaks("the database", written) == []
    assert rotated.keys[0].key.encode() in written, "what was searched is the database"


def test_without_a_key_nothing_is_made(store_at: OpenStore) -> None:
    """The error names the command that makes one."""
    store = store_at()
    with pytest.raises(StoreError, match="herenow apps key"):
        store.create({})
    assert store.rows() == []


def test_an_id_is_never_used_again(store_at: OpenStore) -> None:
    """Not by somebody who asks for it, after the application was deleted."""
    store = store_at(KEY)
    assert store.create({}, "42").id == "42"
    with pytest.raises(StoreError, match="42 exists"):
        store.create({}, "42")
    store.delete("42")
    with pytest.raises(StoreError, match="never used again"):
        store.create({}, "42")
    with pytest.raises(UnknownApp):
        store.row("42")
    assert store.rows() == []


def test_ids_of_the_configuration_are_not_taken(store_at: OpenStore) -> None:
    """An application that is not in the store keeps its id."""
    with pytest.raises(StoreError, match="stands in the configuration"):
        store_at(KEY).create({}, "7", other_ids={"7"})


def test_at_most_two_pairs_are_live(store_at: OpenStore) -> None:
    """A rotation adds the newest and drops what is older than the one before."""
    store = store_at(KEY)
    first = store.create({}).keys[0]
    app_id = store.rows()[0].id
    second = store.rotate(app_id).record
    assert second.keys[0] == first
    third = store.rotate(app_id).record
    assert third.keys[0] == second.keys[1]
    assert len({first, *second.keys, *third.keys}) == 3
    assert store.finish_rotation(app_id).keys == third.keys[1:]
    with pytest.raises(StoreError, match="one key pair"):
        store.finish_rotation(app_id)


def test_a_change_keeps_the_keys(store_at: OpenStore) -> None:
    """An error while the settings are made changes nothing."""
    store = store_at(KEY)
    made = store.create(SETTINGS)
    changed = store.change(made.id, lambda known: {**known, "client_events": False})
    assert changed.keys == made.keys
    assert store.open(store.row(made.id)).settings == {**SETTINGS, "client_events": False}
    with pytest.raises(ZeroDivisionError):
        store.change(made.id, lambda known: {"x": 1 // 0})
    assert store.open(store.row(made.id)) == changed


def test_settings_that_are_too_large_are_refused(store_at: OpenStore) -> None:
    """Whatever the database could hold."""
    with pytest.raises(StoreError, match="too large"):
        store_at(KEY).create({"allowed_origins": ["https://a.example"] * 3_000})


def test_enabling_needs_no_key(store_at: OpenStore) -> None:
    """Who lost it can still switch an application off and delete it."""
    made = store_at(KEY).create({})
    store = store_at()
    store.enable(made.id, False)
    assert store.row(made.id).settings == {"enabled": False}
    store.enable(made.id, True)
    assert store.row(made.id).settings == {"enabled": True}
    store.delete(made.id)
    assert store.rows() == []


def test_resealing_moves_all_to_the_first_key(store_at: OpenStore) -> None:
    """After that the old key is not needed any more; nothing else changes."""
    old = store_at(OTHER_KEY)
    made = [old.create(SETTINGS), old.create({})]
    assert store_at(KEY, OTHER_KEY).reseal() == (2, [])
    new = store_at(KEY)
    assert [new.open(new.row(one.id)) for one in made] == made
    with pytest.raises(Sealed):
        old.open(old.row(made[0].id))
    assert old.reseal() == (0, sorted(one.id for one in made))


def test_a_lost_key_costs_the_secrets_and_nothing_else(store_at: OpenStore) -> None:
    """Rotation gives new ones; it is refused unless it was said that the old ones may go."""
    made = store_at(OTHER_KEY).create(SETTINGS)
    store = store_at(KEY)
    with pytest.raises(Sealed, match=f"herenow apps rotate {made.id}"):
        store.rotate(made.id)
    with pytest.raises(Sealed):
        store.change(made.id, lambda known: known)
    assert store_at(OTHER_KEY).open(store.row(made.id)) == made
    rotated, lost_webhooks, _ = store.rotate(made.id, despite_lost_key=True)
    assert lost_webhooks
    assert len(rotated.keys) == 1
    assert store.open(store.row(made.id)) == rotated
    assert rotated.settings == {"client_events": True, "limits": {"max_connections": 5}}


def test_many_at_once_lose_nothing(store_at: OpenStore) -> None:
    """Applications that several commands make and rotate at the same time are all there."""
    shared = store_at(KEY)

    def work(number: int) -> None:
        store = store_at(KEY)
        store.create({}, str(number))
        store.rotate(str(number))
        store.change("1", lambda known: {**known, f"field_{number}": number})

    shared.create({}, "1")
    failed: list[Exception] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(2, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [(row.id, len(row.keys)) for row in shared.rows()][1:] == [
        (str(number), 2) for number in range(2, 8)
    ]
    assert shared.row("1").settings == {f"field_{number}": number for number in range(2, 8)}


def test_the_first_commands_may_come_at_once(store_at: OpenStore) -> None:
    """Each finds tables, whoever made them."""
    barrier = threading.Barrier(4)
    made: list[str] = []

    def first() -> None:
        store = store_at(KEY)
        barrier.wait()
        made.append(store.create({}).id)

    threads = [threading.Thread(target=first) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [row.id for row in store_at(KEY).rows()]
    assert len(made) == 4


def test_a_store_of_a_newer_version_is_refused(place: Place, store_at: OpenStore) -> None:
    """Nothing is read or written as if it were known."""
    store = store_at(KEY)
    store.create({})
    database = open_database(place.url)
    with database.writing() as transaction:
        transaction.execute("UPDATE herenow_apps_state SET version = 2")
    database.close()
    with pytest.raises(StoreError, match="version 2"):
        store.rows()
    with pytest.raises(StoreError, match="version 2"):
        store.create({})
