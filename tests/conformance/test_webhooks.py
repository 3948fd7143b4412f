"""Statements 119 and 145 to 149: what the application's backend is told."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any, Final

import pytest

from conformance.harness.apps import hooked
from conformance.harness.connection import Connection, member
from conformance.harness.names import unique
from conformance.harness.receiver import Endpoint, Receiver
from conformance.harness.server import Server, running
from conformance.harness.service import Service
from conformance.harness.signing import compact

HOLD_SECONDS: Final = 3.0
RETRY_SECONDS: Final = 3.0
MOST_IN_BATCH: Final = 10


def endpoint(service: Service, receiver: Receiver, name: str = "main") -> Endpoint:
    app = service.app(name)
    return Endpoint(receiver, f"/{name}", app.key, app.secret)


def occupied(channel: str) -> dict[str, Any]:
    return {"name": "channel_occupied", "channel": channel}


def vacated(channel: str) -> dict[str, Any]:
    return {"name": "channel_vacated", "channel": channel}


def added(channel: str, user_id: str) -> dict[str, Any]:
    return {"name": "member_added", "channel": channel, "user_id": user_id}


def removed(channel: str, user_id: str) -> dict[str, Any]:
    return {"name": "member_removed", "channel": channel, "user_id": user_id}


def joined(service: Service, channel: str, user_id: str, app: str = "main") -> Connection:
    connection = service.connect(app)
    connection.join(channel, user_id)
    return connection


def test_119_many_misses_at_once(webhooks: Service, receiver: Receiver) -> None:
    channel, connections = unique("cache-x"), [webhooks.connect() for _ in range(10)]
    backend = endpoint(webhooks, receiver)
    for connection in connections:
        connection.request_subscribe(channel)
    everybody = {
        "name": "subscription_count",
        "channel": channel,
        "subscription_count": len(connections),
    }
    backend.until(channel, lambda events: everybody in events)
    misses = [event for event in backend.events(channel) if event["name"] == "cache_miss"]
    assert misses == [{"name": "cache_miss", "channel": channel}]


def test_145_one_event_a_request(webhooks: Service, receiver: Receiver) -> None:
    """What is said of headers and envelope is checked of every request of every test."""
    channel, backend = unique("presence-room"), endpoint(webhooks, receiver)
    joined(webhooks, channel, "ada")
    backend.expect_events(channel, occupied(channel), added(channel, "ada"))
    for delivery in backend.expect(channel, 2):
        assert len(delivery.events) == 1
        assert delivery.body.startswith(b'{"time_ms":')


def test_145_batches(webhooks: Service, receiver: Receiver) -> None:
    rooms = [unique("presence-room") for _ in range(20)]
    backend, ada = endpoint(webhooks, receiver, "batched"), webhooks.connect("batched")
    for room in rooms:
        ada.request_subscribe(room, member("ada"))
    for room in rooms:
        backend.expect_events(room, occupied(room), added(room, "ada"))
    sizes = {len(delivery.events) for room in rooms for delivery in backend.deliveries(room)}
    assert 1 < max(sizes) <= MOST_IN_BATCH


def test_146_members_come_and_go(webhooks: Service, receiver: Receiver) -> None:
    """``user_id`` is a string even where the application signed a number."""
    channel, backend = unique("presence-room"), endpoint(webhooks, receiver)
    ada, ten = joined(webhooks, channel, "ada"), webhooks.connect()
    ten.subscribe(channel, member(10))
    came = [occupied(channel), added(channel, "ada"), added(channel, "10")]
    backend.expect_events(channel, *came)
    ada.close()
    backend.expect_events(channel, *came, removed(channel, "ada"))
    ten.close()
    went = [removed(channel, "ada"), removed(channel, "10"), vacated(channel)]
    backend.expect_events(channel, *came, *went)


def test_146_client_event_of_a_member(webhooks: Service, receiver: Receiver) -> None:
    channel, backend = unique("presence-room"), endpoint(webhooks, receiver)
    ada = joined(webhooks, channel, "ada")
    backend.expect_events(channel, occupied(channel), added(channel, "ada"))
    ada.send("client-typing", {"draft": True, "len": 3}, channel)
    said = {
        "name": "client_event",
        "channel": channel,
        "event": "client-typing",
        "data": '{"draft":true,"len":3}',
        "socket_id": ada.socket_id,
        "user_id": "ada",
    }
    backend.expect_events(channel, occupied(channel), added(channel, "ada"), said)


def test_146_other_channels(webhooks: Service, receiver: Receiver) -> None:
    channel, backend = unique("private-cache-x"), endpoint(webhooks, receiver)
    ada = webhooks.connect()
    ada.subscribe(channel)
    ada.send("client-typing", "text", channel)
    events = [
        occupied(channel),
        {"name": "cache_miss", "channel": channel},
        {
            "name": "client_event",
            "channel": channel,
            "event": "client-typing",
            "data": "text",
            "socket_id": ada.socket_id,
        },
        {"name": "subscription_count", "channel": channel, "subscription_count": 1},
    ]
    backend.until(channel, lambda found: len(found) >= len(events))
    assert sorted(backend.events(channel), key=compact) == sorted(events, key=compact)


def test_147_reload(webhooks: Service, receiver: Receiver, leave_grace: float) -> None:
    channel, later = unique("presence-room"), unique("presence-room")
    backend = endpoint(webhooks, receiver)
    ada, bea = joined(webhooks, channel, "ada"), joined(webhooks, later, "bea")
    came = occupied(channel), added(channel, "ada")
    backend.expect_events(channel, *came)
    ada.close()
    joined(webhooks, channel, "ada")
    bea.close()
    gone = occupied(later), added(later, "bea"), removed(later, "bea"), vacated(later)
    backend.expect_events(later, *gone, timeout=max(HOLD_SECONDS, leave_grace) + 10)
    backend.expect_events(channel, *came)


@pytest.mark.parametrize("way", ["close", "reset"])
def test_147_gone(webhooks: Service, receiver: Receiver, leave_grace: float, way: str) -> None:
    channel, backend = unique("presence-room"), endpoint(webhooks, receiver)
    ada = joined(webhooks, channel, "ada")
    left = time.monotonic()
    getattr(ada, way)()
    delay = max(HOLD_SECONDS, leave_grace)
    events = occupied(channel), added(channel, "ada"), removed(channel, "ada"), vacated(channel)
    backend.expect_events(channel, *events, timeout=delay + 10)
    for delivery in backend.expect(channel, 4)[2:]:
        assert delivery.at - left >= delay


def test_148_retried_until_it_is_taken(webhooks: Service, receiver: Receiver) -> None:
    channel, backend = unique("orders"), endpoint(webhooks, receiver, "occupancy")
    statuses = 500, 302, 404, 204
    receiver.will_answer(backend.path, statuses)
    webhooks.connect("occupancy").subscribe(channel)
    tries = backend.expect(channel, len(statuses), timeout=20)
    assert len({each.body for each in tries}) == 1
    assert len({each.header("X-Pusher-Signature") for each in tries}) == 1
    gaps = [after.at - before.at for before, after in itertools.pairwise(tries)]
    assert gaps == sorted(gaps)
    other = unique("orders")
    webhooks.connect("occupancy").subscribe(other)
    backend.expect(other, 1)
    backend.expect(channel, len(statuses))


def test_148_given_up(
    target: Server | None, server_command: list[str], cluster: str, tmp_path: Path
) -> None:
    """An event that is refused while others are taken is not sent for ever."""
    if target is not None or cluster:
        pytest.skip("needs one server that gives up soon")
    poisoned = unique("poisoned")
    command = ["env", f"HERENOW_WEBHOOKS__RETRY_SECONDS={RETRY_SECONDS}", *server_command]
    with Receiver() as receiver:
        apps = hooked(0, receiver.url)
        receiver.will_refuse(poisoned)
        with running(command, tmp_path, apps, {}) as server:
            service = Service(server)
            backend, ada = endpoint(service, receiver, "occupancy"), service.connect("occupancy")
            ada.subscribe(poisoned)
            tries = backend.expect(poisoned, 1)
            deadline = time.monotonic() + 60
            while time.monotonic() < tries[-1].at + 2 * RETRY_SECONDS:
                assert time.monotonic() < deadline, f"still tried: {len(tries)} times"
                channel = unique("orders")
                ada.subscribe(channel)
                backend.expect(channel, 1)
                tries = backend.deliveries(poisoned)
            service.close()
    assert len(tries) > 1
    assert tries[-1].at - tries[0].at < 3 * RETRY_SECONDS


def test_149_events_that_were_asked_for(webhooks: Service, receiver: Receiver) -> None:
    news, room = unique("news"), unique("presence-room")
    backend, ada = endpoint(webhooks, receiver, "members"), webhooks.connect("members")
    ada.subscribe(news)
    ada.join(room, "ada")
    backend.expect_events(room, added(room, "ada"))
    assert backend.events(news) == []


def test_149_nothing_of_a_users_own_channel(webhooks: Service, receiver: Receiver) -> None:
    user_id, news = unique("u"), unique("private-news")
    backend, ada = endpoint(webhooks, receiver), webhooks.connect()
    ada.sign_in(user_id)
    ada.subscribe(f"#server-to-user-{user_id}")
    webhooks.api().publish("note", f"#server-to-user-{user_id}", "1")
    ada.expect_event("note", f"#server-to-user-{user_id}", "1")
    ada.subscribe(news)
    backend.until(news, lambda events: occupied(news) in events)
    sent = [event for delivery in receiver.deliveries(backend.path) for event in delivery.events]
    assert not [event for event in sent if event["channel"].startswith("#")]
