"""Statements 114 to 118: the last event, kept for whoever comes later."""

from __future__ import annotations

import time

import pytest

from conformance.harness.apps import SHORT_CACHE_TTL
from conformance.harness.connection import CACHE_MISS
from conformance.harness.names import unique
from conformance.harness.service import Service, eventually
from conformance.harness.signing import compact


def member_of(channel: str) -> str | None:
    return '{"user_id":"ada"}' if channel.startswith("presence-") else None


def test_114_hit(service: Service) -> None:
    channel, connection, bystander = unique("cache-x"), service.connect(), service.connect()
    data = '{ "temp_c": 21, "é": "<\\/x>" }'
    bystander.subscribe(channel)
    bystander.expect_event(CACHE_MISS, channel)
    service.api().publish("report", channel, data)
    bystander.expect_event("report", channel, data)
    connection.subscribe(channel)
    connection.expect_event("report", channel, data)
    connection.expect_nothing()
    bystander.expect_nothing()


def test_115_miss(service: Service) -> None:
    channel, first, second = unique("cache-x"), service.connect(), service.connect()
    first.subscribe(channel)
    first.expect_event(CACHE_MISS, channel, "{}")
    second.subscribe(channel)
    second.expect_event(CACHE_MISS, channel, "{}")
    first.expect_nothing()


def test_116_last_event_wins(service: Service) -> None:
    channel, api = unique("cache-x"), service.api()

    def replayed(name: str, data: str) -> None:
        """A new subscriber gets just that; and the channel is vacant again."""
        connection = service.connect()
        connection.subscribe(channel)
        connection.expect_event(name, channel, data)
        connection.expect_nothing()
        connection.unsubscribe(channel)
        connection.expect_nothing()
        service.see(lambda: not api.occupied(channel), bool)

    api.publish("first", channel, "1")
    replayed("first", "1")
    api.publish("second", channel, "2")
    replayed("second", "2")
    batch = [{"name": "third", "channel": channel, "data": str(n)} for n in (3, 4)]
    assert api.post("batch_events", {"batch": batch}).accepted() == {}
    replayed("third", "4")
    publisher = service.connect()
    publisher.subscribe(channel)
    publisher.expect_event("third", channel, "4")
    api.publish("fifth", channel, "5", socket_id=publisher.socket_id)
    publisher.expect_nothing()
    publisher.unsubscribe(channel)
    replayed("fifth", "5")


def test_117_expires(service: Service) -> None:
    channel, api = unique("cache-x"), service.api()
    api.publish("report", channel, "1")
    cache = api.get(f"channels/{channel}", info="cache").accepted()["cache"]
    assert 0 < cache["ttl"] <= 1800

    channel, api = unique("cache-x"), service.api("short_cache")
    published = time.monotonic()
    api.publish("report", channel, "1")
    early = service.connect("short_cache")
    early.subscribe(channel)
    cached = early.receive()
    if time.monotonic() - published < SHORT_CACHE_TTL:
        assert getattr(cached, "name", None) == "report"

    def expired() -> bool:
        answer = api.get(f"channels/{channel}", info="cache").accepted()
        return answer["cache"] is None

    eventually(expired, bool)
    assert time.monotonic() - published >= SHORT_CACHE_TTL
    late = service.connect("short_cache")
    late.subscribe(channel)
    late.expect_event(CACHE_MISS, channel, "{}")
    late.expect_nothing()
    early.expect_nothing()


@pytest.mark.parametrize(
    "prefix",
    ["private-cache-", "presence-cache-", "private-encrypted-cache-", "cache-private-", "cache-"],
)
def test_118_cached_kinds(service: Service, prefix: str) -> None:
    channel, api, connection = unique(prefix), service.api(), service.connect()
    data = compact({"nonce": "ZGVm", "ciphertext": "4152"})
    connection.subscribe(channel, member_of(channel))
    connection.expect_event(CACHE_MISS, channel, "{}")
    api.publish("report", channel, data)
    connection.expect_event("report", channel, data)
    late = service.connect()
    late.subscribe(channel, member_of(channel))
    late.expect_event("report", channel, data)
    late.expect_nothing()
    for kind in ("private-x", "my-cache-x", "private-my-cache-x", "presence-x", "cach-x"):
        plain = unique(kind)
        api.publish("report", plain, data)
        late.subscribe(plain, member_of(plain))
        late.expect_nothing()
