"""Statements 120 to 122: how many connections a channel has."""

from __future__ import annotations

import itertools
import time

import pytest

from conformance.harness.connection import MEMBER_ADDED, SUBSCRIPTION_COUNT, Connection
from conformance.harness.envelope import Event
from conformance.harness.names import unique
from conformance.harness.service import Service

SLOW_EVERY = 5.0
"""Seconds between two counts of a channel with more than a hundred subscribers."""


def count_of(event: Event) -> int:
    data = event.decoded()
    assert data.keys() == {"subscription_count"}
    count = data["subscription_count"]
    assert type(count) is int
    return count


def expect_count(connections: list[Connection], channel: str, count: int) -> None:
    for connection in connections:
        assert count_of(connection.expect_event(SUBSCRIPTION_COUNT, channel)) == count
        connection.expect_nothing()


def test_120_setting_off(service: Service) -> None:
    channel, api = unique("orders"), service.api()
    first, second = service.connect(), service.connect()
    for connection in (first, second):
        connection.subscribe(channel)
    for connection in (first, second):
        connection.expect_nothing()
    api.get(f"channels/{channel}", info="subscription_count").refused(400)
    answer = api.trigger("news", channel, "1", info="subscription_count").accepted()
    assert answer == {"channels": {channel: {}}}


@pytest.mark.parametrize("prefix", ["", "private-", "private-encrypted-"])
def test_121_every_change(service: Service, prefix: str) -> None:
    channel = unique(f"{prefix}orders")
    first, second, third = (service.connect("counted") for _ in range(3))
    first.subscribe(channel)
    expect_count([first], channel, 1)
    second.subscribe(channel)
    expect_count([first, second], channel, 2)
    third.subscribe(channel)
    expect_count([first, second, third], channel, 3)
    third.unsubscribe(channel)
    third.expect_nothing()
    expect_count([first, second], channel, 2)
    second.close()
    expect_count([first], channel, 1)
    third.subscribe(channel)
    expect_count([first, third], channel, 2)
    third.reset()
    expect_count([first], channel, 1)

    room, user = unique("presence-room"), unique("ada")
    first.sign_in(user)
    first.join(room, user)
    second = service.connect("counted")
    second.join(room, "bob")
    first.expect_event(MEMBER_ADDED, room)
    first.subscribe(f"#server-to-user-{user}")
    for connection in (first, second):
        connection.expect_nothing()


def test_122_many_subscribers(service: Service) -> None:
    channel, number = unique("orders"), 120
    connections = [service.connect("counted") for _ in range(number)]
    watcher, *others = connections
    watcher.subscribe(channel)
    for connection in others:
        connection.request_subscribe(channel)
    seen: dict[int, float] = {}
    deadline = time.monotonic() + 3 * SLOW_EVERY
    while number not in seen:
        event = watcher.receive(deadline - time.monotonic())
        assert isinstance(event, Event)
        assert (event.name, event.channel) == (SUBSCRIPTION_COUNT, channel)
        seen[count_of(event)] = time.monotonic()
    assert set(range(1, 101)) <= set(seen)
    slow = [moment for count, moment in seen.items() if count > 100]
    gaps = [later - earlier for earlier, later in itertools.pairwise(slow)]
    assert all(gap > SLOW_EVERY - 1 for gap in gaps), gaps
    watcher.expect_nothing()
