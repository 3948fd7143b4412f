"""The judge of streams notices what must never be told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faults.stream import Frame, Stream

ROOM = "presence-room"
ESTABLISHED = {
    "event": "pusher:connection_established",
    "data": json.dumps({"socket_id": "1.2", "activity_timeout": 120}),
}


def internal(event: str, data: Any, channel: str | None = ROOM) -> Frame:
    frame = {"event": f"pusher_internal:{event}", "data": json.dumps(data)}
    return frame if channel is None else {**frame, "channel": channel}


def roster(*users: str) -> Frame:
    presence = {"ids": list(users), "hash": {user: {} for user in users}, "count": len(users)}
    return internal("subscription_succeeded", {"presence": presence})


def added(user: str) -> Frame:
    return internal("member_added", {"user_id": user, "user_info": {}})


def removed(user: str) -> Frame:
    return internal("member_removed", {"user_id": user})


def subscribe(stream: Stream) -> None:
    member = json.dumps({"user_id": "ada"})
    stream.sent({"event": "pusher:subscribe", "data": {"channel": ROOM, "channel_data": member}})


def unsubscribe(stream: Stream) -> None:
    stream.sent({"event": "pusher:unsubscribe", "data": {"channel": ROOM}})


def ping(stream: Stream) -> None:
    stream.sent({"event": "pusher:ping", "data": {}})


PONG: Frame = {"event": "pusher:pong", "data": "{}"}


@pytest.fixture
def stream() -> Stream:
    stream = Stream()
    stream.received(ESTABLISHED)
    subscribe(stream)
    return stream


def test_a_valid_stream(stream: Stream) -> None:
    for frame in (roster("ada", "bob"), added("cy"), removed("bob"), added("bob"), removed("cy")):
        stream.received(frame)
    assert stream.violations == []
    assert stream.members(ROOM) == {"ada", "bob"}


@pytest.mark.parametrize(
    "frames",
    [
        [added("bob")],
        [roster("bob")],
        [roster("ada"), roster("ada")],
        [roster("ada", "bob"), added("bob")],
        [roster("ada"), added("bob"), added("bob")],
        [roster("ada"), removed("bob")],
        [roster("ada"), added("bob"), removed("bob"), removed("bob")],
        [roster("ada", "bob"), removed("ada")],
        [internal("member_added", {"user_id": "bob"}, "presence-other")],
        [ESTABLISHED],
    ],
)
def test_an_invalid_stream_is_noticed(stream: Stream, frames: list[Frame]) -> None:
    for frame in frames:
        stream.received(frame)
    assert len(stream.violations) == 1


def test_a_roster_that_contradicts_itself(stream: Stream) -> None:
    presence = {"ids": ["ada"], "hash": {"ada": {}, "bob": {}}, "count": 2}
    stream.received(internal("subscription_succeeded", {"presence": presence}))
    assert len(stream.violations) == 1


def test_events_on_their_way_at_an_unsubscribe_are_no_fault(stream: Stream) -> None:
    stream.received(roster("ada"))
    unsubscribe(stream)
    stream.received(added("bob"))
    ping(stream)
    stream.received(added("cy"))
    stream.received(PONG)
    assert stream.violations == []
    stream.received(added("dan"))
    assert len(stream.violations) == 1


def test_a_channel_that_is_subscribed_again_has_a_new_roster(stream: Stream) -> None:
    stream.received(roster("ada", "bob"))
    unsubscribe(stream)
    ping(stream)
    subscribe(stream)
    assert stream.members(ROOM) is None
    stream.received(added("cy"))
    stream.received(PONG)
    stream.received(roster("ada"))
    assert stream.violations == []
    assert stream.members(ROOM) == {"ada"}


def test_events_of_the_subscription_before_are_a_fault_after_the_pong(stream: Stream) -> None:
    stream.received(roster("ada", "bob"))
    unsubscribe(stream)
    ping(stream)
    subscribe(stream)
    stream.received(PONG)
    stream.received(added("cy"))
    assert len(stream.violations) == 1


def watching(*users: str) -> Stream:
    stream = Stream()
    stream.received(ESTABLISHED)
    user_data = json.dumps({"id": "ada", "watchlist": list(users)})
    stream.sent({"event": "pusher:signin", "data": {"user_data": user_data}})
    stream.received({"event": "pusher:signin_success", "data": "{}"})
    return stream


def told(name: str, *users: str) -> Frame:
    event = {"name": name, "user_ids": list(users)}
    return internal("watchlist_events", {"events": [event]}, None)


def test_a_watchlist_that_changes() -> None:
    stream = watching("bob", "cy")
    for frame in (told("offline", "bob"), told("online", "bob"), told("offline", "bob")):
        stream.received(frame)
    assert stream.violations == []
    assert stream.watched == {"bob": False}


@pytest.mark.parametrize(
    "frames",
    [
        [told("online", "dan")],
        [told("online", "bob"), told("online", "bob")],
        [told("offline", "bob"), told("offline", "bob")],
    ],
)
def test_a_watchlist_that_repeats_itself_is_noticed(frames: list[Frame]) -> None:
    stream = watching("bob")
    for frame in frames:
        stream.received(frame)
    assert len(stream.violations) == 1
