"""Statements 94 to 96 and 98 to 100: who of the watched is online."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.harness.connection import WATCHLIST, Connection
from conformance.harness.envelope import Event
from conformance.harness.names import unique
from conformance.harness.service import Service
from conformance.harness.signing import compact


def statuses(event: Event) -> dict[str, list[str]]:
    """The user ids of each kind of change in *event*, sorted."""
    data = event.decoded()
    assert data.keys() == {"events"}
    found: dict[str, list[str]] = {}
    changes: list[dict[str, Any]] = data["events"]
    for change in changes:
        assert change.keys() == {"name", "user_ids"}
        assert change["name"] in ("online", "offline")
        assert change["name"] not in found
        assert change["user_ids"], "categories that are empty are left out"
        assert all(isinstance(user, str) for user in change["user_ids"])
        found[change["name"]] = sorted(change["user_ids"])
    return found


@pytest.fixture
def ada(service: Service) -> Connection:
    return service.connect("watchlist")


@pytest.fixture
def bob(service: Service) -> Connection:
    return service.connect("watchlist")


def test_094_setting_off(service: Service) -> None:
    user = unique("bob")
    watcher, watched = service.connect("other"), service.connect("other")
    watcher.sign_in(unique("ada"), watchlist=[user])
    watcher.expect_nothing()
    watched.sign_in(user)
    watched.close()
    watcher.expect_nothing()


def test_095_initial_state(ada: Connection, bob: Connection) -> None:
    online, offline = unique("bob"), unique("carol")
    bob.sign_in(online)
    bob.expect_nothing()
    ada.sign_in(unique("ada"), watchlist=[online, offline])
    assert statuses(ada.expect_event(WATCHLIST)) == {"online": [online], "offline": [offline]}
    ada.expect_nothing()


def test_096_only_one_category(ada: Connection, bob: Connection) -> None:
    user, online, offline = unique("ada"), unique("bob"), [unique("carol"), unique("dave")]
    ada.sign_in(user, watchlist=offline)
    assert statuses(ada.expect_event(WATCHLIST)) == {"offline": sorted(offline)}
    bob.sign_in(online)
    ada.sign_in(user, watchlist=[online])
    assert statuses(ada.expect_event(WATCHLIST)) == {"online": [online]}
    ada.expect_nothing()


def test_098_presence_is_not_online(service: Service, ada: Connection, bob: Connection) -> None:
    user = unique("bob")
    bob.join(unique("presence-room"), user)
    ada.sign_in(unique("ada"), watchlist=[user])
    assert statuses(ada.expect_event(WATCHLIST)) == {"offline": [user]}
    service.connect("watchlist").join(unique("presence-room"), user)
    ada.expect_nothing()


def test_099_more_than_a_hundred(service: Service, ada: Connection, bob: Connection) -> None:
    users = [unique(f"u-{number}") for number in range(101)]
    user_data = {"id": unique("ada"), "watchlist": users}
    ada.request_sign_in(compact(user_data))
    ada.next_error(4302)
    ada.expect_object("pusher:signin_success", None, {"user_data": compact(user_data)})
    assert statuses(ada.expect_event(WATCHLIST)) == {"offline": sorted(users[:100])}
    ada.expect_nothing()
    last = service.connect("watchlist")
    last.sign_in(users[100])
    last.expect_nothing()
    ada.expect_nothing()
    bob.sign_in(users[99])
    assert statuses(ada.expect_event(WATCHLIST)) == {"online": [users[99]]}


def test_100_form_of_the_event(ada: Connection, bob: Connection) -> None:
    user = unique("bob")
    ada.sign_in(unique("ada"), watchlist=[user])
    initial = ada.expect_event("pusher_internal:watchlist_events")
    bob.sign_in(user)
    change = ada.expect_event("pusher_internal:watchlist_events")
    assert initial.channel is None
    assert change.channel is None
    assert statuses(change) == {"online": [user]}
