"""Statements 59, 60, 66 and 97: when a user has left.

Each holds for an application without a grace, where a departure is told at once, and for one with
a grace: until it has passed nobody hears a thing, and the user is a member everywhere; then the
departure is told once; a return within it is silent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from conformance.harness.apps import SHORT_GRACE
from conformance.harness.connection import MEMBER_ADDED, MEMBER_REMOVED, WATCHLIST, Connection
from conformance.harness.names import unique
from conformance.harness.service import Service
from conformance.harness.websocket import DEADLINE

Leave = Callable[[Connection], None]

LEAVES = {"closed": Connection.close, "abruptly": Connection.reset}


@dataclass(frozen=True, slots=True)
class Grace:
    """An application by the name of the catalogue, and the grace it has."""

    app: str
    seconds: float

    def must_last(self, since: float) -> None:
        """Fail unless what was seen until now was certainly seen within the grace."""
        took = time.monotonic() - since
        assert took < self.seconds, f"this machine needed {took:.1f} s for a few requests"

    def pass_by(self, since: float) -> None:
        """Wait until a departure at *since* would have been told."""
        time.sleep(max(since + self.seconds + 0.2 - time.monotonic(), 0))


@pytest.fixture(params=["configured", "short"])
def grace(request: pytest.FixtureRequest, leave_grace: float) -> Grace:
    if request.param == "configured":
        return Grace("main", leave_grace)
    return Grace("short_grace", SHORT_GRACE)


@pytest.fixture
def watched(grace: Grace) -> Grace:
    """The same for applications with watchlists."""
    return Grace("watchlist", grace.seconds) if grace.app == "main" else grace


def expect_departure(watcher: Connection, room: str, user: str, grace: Grace, since: float) -> None:
    """Expect exactly one removal, and not before the grace has passed."""
    timeout = grace.seconds + DEADLINE
    event = watcher.expect_event(MEMBER_REMOVED, room, timeout=timeout)
    assert event.decoded() == {"user_id": user}
    assert time.monotonic() - since >= grace.seconds
    watcher.expect_nothing()


def leave_twice(service: Service, grace: Grace, leave: Leave) -> None:
    room, api = unique("presence-room"), service.api(grace.app)
    watcher, first, second = (service.connect(grace.app) for _ in range(3))
    watcher.join(room, "w")
    first.join(room, "ada")
    second.join(room, "ada")
    watcher.expect_event(MEMBER_ADDED, room)
    leave(first)
    watcher.expect_nothing()
    since = time.monotonic()
    leave(second)
    if grace.seconds:
        users = api.user_ids(room)
        watcher.expect_nothing()
        late = service.connect(grace.app)
        roster = late.join(room, "late")
        grace.must_last(since)
        assert users == ["ada", "w"]
        assert sorted(roster.ids) == ["ada", "late", "w"]
        watcher.expect_object(MEMBER_ADDED, room, {"user_id": "late", "user_info": {}})
        expect_departure(late, room, "ada", grace, since)
    expect_departure(watcher, room, "ada", grace, since)
    assert "ada" not in api.user_ids(room)


def return_in_time(service: Service, grace: Grace, leave: Leave) -> None:
    room = unique("presence-room")
    watcher, lost, back = (service.connect(grace.app) for _ in range(3))
    watcher.join(room, "w")
    lost.join(room, "ada")
    watcher.expect_event(MEMBER_ADDED, room)
    since = time.monotonic()
    leave(lost)
    back.join(room, "ada")
    grace.must_last(since)
    grace.pass_by(since)
    watcher.expect_nothing()
    back.expect_nothing()
    assert service.api(grace.app).user_ids(room) == ["ada", "w"]


@pytest.mark.parametrize("app", ["main", "long_grace"])
def test_059_unsubscribe_tells_at_once(service: Service, app: str) -> None:
    """To unsubscribe is to leave on purpose, which no grace delays."""
    room = unique("presence-room")
    watcher, first, second = (service.connect(app) for _ in range(3))
    watcher.join(room, "w")
    first.join(room, "ada")
    second.join(room, "ada")
    watcher.expect_event(MEMBER_ADDED, room)
    first.unsubscribe(room)
    first.expect_nothing()
    watcher.expect_nothing()
    second.unsubscribe(room)
    second.expect_nothing()
    watcher.expect_object(MEMBER_REMOVED, room, {"user_id": "ada"})
    watcher.expect_nothing()
    assert service.api(app).user_ids(room) == ["w"]


def test_059_close_tells_once(service: Service, grace: Grace) -> None:
    leave_twice(service, grace, Connection.close)
    if grace.seconds:
        return_in_time(service, grace, Connection.close)


def test_060_abrupt_disconnect_tells_once(service: Service, grace: Grace) -> None:
    leave_twice(service, grace, Connection.reset)
    if grace.seconds:
        return_in_time(service, grace, Connection.reset)


def test_066_full_room(service: Service, grace: Grace) -> None:
    """A newcomer to a full room completes the earliest departure at once."""
    grace = replace(grace, app="small_rooms") if grace.app == "main" else grace
    room, users = unique("presence-room"), [f"u-{number}" for number in range(100)]
    members = {user: service.connect(grace.app) for user in users}
    for user, connection in members.items():
        connection.join(room, user)
    watcher = members["u-99"]
    newcomer, second = service.connect(grace.app), service.connect(grace.app)
    newcomer.request_subscribe(room, '{"user_id":"new"}')
    newcomer.expect_refusal(room)
    watcher.expect_nothing()
    second.join(room, "u-0")
    watcher.expect_nothing()

    members["u-1"].unsubscribe(room)
    watcher.expect_object(MEMBER_REMOVED, room, {"user_id": "u-1"})
    assert len(newcomer.join(room, "new").ids) == 100
    watcher.expect_object(MEMBER_ADDED, room, {"user_id": "new", "user_info": {}})

    late = service.connect(grace.app)
    late.request_subscribe(room, '{"user_id":"late"}')
    late.expect_refusal(room)
    members["u-2"].close()
    if grace.seconds:
        watcher.expect_nothing()
        roster = late.join(room, "late")
        watcher.expect_object(MEMBER_REMOVED, room, {"user_id": "u-2"})
    else:
        watcher.expect_object(MEMBER_REMOVED, room, {"user_id": "u-2"})
        roster = late.join(room, "late")
    assert len(roster.ids) == 100
    assert "u-2" not in roster.ids
    watcher.expect_object(MEMBER_ADDED, room, {"user_id": "late", "user_info": {}})
    watcher.expect_nothing()


def expect_status(connection: Connection, name: str, user: str, timeout: float = DEADLINE) -> None:
    events = [{"name": name, "user_ids": [user]}]
    connection.expect_object(WATCHLIST, None, {"events": events}, timeout=timeout)


def test_097_online_and_offline(service: Service, watched: Grace) -> None:
    bob = unique("bob")
    watcher, first, second = (service.connect(watched.app) for _ in range(3))
    watcher.sign_in(unique("ada"), watchlist=[bob])
    expect_status(watcher, "offline", bob)
    first.sign_in(bob)
    expect_status(watcher, "online", bob)
    second.sign_in(bob)
    watcher.expect_nothing()
    first.close()
    watcher.expect_nothing()
    since = time.monotonic()
    second.close()
    if watched.seconds:
        back = service.connect(watched.app)
        back.sign_in(bob)
        watched.must_last(since)
        watched.pass_by(since)
        watcher.expect_nothing()
        since = time.monotonic()
        back.reset()
        watcher.expect_nothing()
    expect_status(watcher, "offline", bob, watched.seconds + DEADLINE)
    assert time.monotonic() - since >= watched.seconds
    watcher.expect_nothing()
