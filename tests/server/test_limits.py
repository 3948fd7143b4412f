"""Beyond each limit: who is refused, how, and that a freed place can be taken again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from herenow.cluster.bucket import TokenBucket
from herenow.protocol.messages import ClientMessage
from herenow.server.connection import Connection
from herenow.server.inbox import (
    BURST_SECONDS,
    MAX_WAITING_MESSAGES,
    PAUSE_FULL,
    THROTTLED_TOO_LONG_SECONDS,
    Inbox,
)
from herenow.server.limits import DROP_BEYOND, Addresses
from server.client import Closed, Message
from server.serving import APP, LOOPBACK, app_with, eventually, serving

pytestmark = pytest.mark.anyio

UPGRADE = (
    b"GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def test_connections_beyond_the_quota_get_4004_and_a_freed_place_is_usable() -> None:
    async with serving(app_with(max_connections=2)) as started:
        first = await started.established()
        await started.established()
        refused = await started.connect()
        await refused.expect_closed(4004)
        await first.leave()
        await started.established()
        refused = await started.connect()
        await refused.expect_closed(4004)


async def test_an_origin_that_is_not_allowed_gets_4009() -> None:
    app = replace(APP, allowed_origins=("https://example.com", "example.org"))
    async with serving(app) as started:
        for origin, allowed in (
            ("https://example.com", True),
            ("http://example.org:8080", True),
            ("https://EXAMPLE.com", True),
            ("http://example.com", False),
            ("https://example.com.evil.test", False),
            ("null", False),
            ("http://[", False),
        ):
            client = await started.connect(headers=(("Origin", origin),))
            if allowed:
                await client.expect_established()
            else:
                await client.expect_closed(4009)
        client = await started.connect()
        await client.expect_established()


async def test_an_address_over_its_connections_gets_4100_then_nothing() -> None:
    async with serving(max_connections_per_address=2) as started:
        allowed = [await started.established() for _ in range(2)]
        refused = await started.connect()
        await refused.expect_closed(4100)
        # These answer nothing, so they stay until the server gives them up.
        silent = [await started.dial() for _ in range(2 * DROP_BEYOND)]
        for sock in silent:
            await asyncio.get_running_loop().sock_sendall(sock, UPGRADE)
        counts = started.counters.connections_refused
        await eventually(lambda: counts["address_dropped"] == 2)
        dropped = await started.connect()
        assert await dropped.receive() == Closed(None)
        assert counts["over_capacity"] == 1 + 2 * DROP_BEYOND - 2
        for sock in silent:
            sock.close()
        await eventually(lambda: started.open_sockets == 2)
        await allowed[0].leave()
        await eventually(lambda: started.open_sockets == 1)
        await started.established()


async def test_an_address_that_connects_too_fast_gets_4100_then_nothing() -> None:
    async with serving(connects_per_second_per_address=3) as started:
        outcomes = []
        for _ in range(3 * DROP_BEYOND + 20):
            client = await started.connect()
            first = await client.receive()
            outcomes.append(first.event if isinstance(first, Message) else first)
            client.close()
        assert outcomes[:3] == ["pusher:connection_established"] * 3
        assert "pusher:error" in outcomes
        assert outcomes[-1] == Closed(None)
        assert [outcomes.count(item) for item in ("pusher:error", Closed(None))] > [10, 0]


async def test_an_address_is_that_behind_a_trusted_proxy() -> None:
    async with serving(
        front={"trusted_proxies": LOOPBACK}, max_connections_per_address=1
    ) as started:
        for address in ("192.0.2.1", "192.0.2.2"):
            client = await started.connect(headers=(("X-Forwarded-For", address),))
            await client.expect_established()
        client = await started.connect(headers=(("X-Forwarded-For", "192.0.2.1"),))
        await client.expect_closed(4100)


async def test_channels_beyond_the_limit_of_a_connection_are_refused() -> None:
    async with serving(app_with(max_channels_per_connection=2)) as started:
        client = await started.join("a", "private-b")
        for channel in ("c", "private-c"):
            await client.subscribe(channel)
            assert await client.expect_error() == "Limit of 2 channels per connection reached"
            error = await client.expect("pusher:subscription_error", channel)
            assert (error.decoded["type"], error.decoded["status"]) == ("LimitReached", 4004)
        await client.subscribe("private-encrypted-c")
        await client.expect_error()
        await client.expect_nothing()
        await client.unsubscribe("a")
        await client.subscribe("private-c")
        await client.expect_subscribed("private-c")


async def test_a_full_room_refuses_new_members_only() -> None:
    async with serving(app_with(max_presence_members=2)) as started:
        clients = [await started.established() for _ in range(4)]
        await clients[0].enter("presence-a", "x")
        await clients[1].enter("presence-a", "y")
        assert await clients[2].enter("presence-a", "y") == ["x", "y"]
        await clients[3].subscribe("presence-a", "z")
        assert "limit of 2 members" in await clients[3].expect_error()
        error = await clients[3].expect("pusher:subscription_error", "presence-a")
        assert error.decoded["type"] == "LimitReached"
        assert await started.user_ids("presence-a") == ["x", "y"]


async def test_messages_over_the_rate_are_late_and_neither_lost_nor_out_of_order() -> None:
    async with serving(app_with(messages_per_second=20)) as started:
        client = await started.established()
        count = 20 * BURST_SECONDS + 15
        await client.send_text(*(client.subscription(f"c{number}") for number in range(count)))
        await client.send("pusher:subscribe", {"channel": "!"})
        for number in range(count):
            await client.expect_subscribed(f"c{number}")
        await client.expect_error()
        assert not started.connection(client).closing


async def test_pings_are_not_counted() -> None:
    async with serving(app_with(messages_per_second=1)) as started:
        client = await started.established()
        await client.send_text(*['{"event":"pusher:ping"}'] * (3 * BURST_SECONDS))
        await client.send_text(*['{"event":"pusher:pong"}'] * (3 * BURST_SECONDS))
        for _ in range(3 * BURST_SECONDS):
            await client.expect("pusher:pong")
        assert not started.connection(client)._pauses


class StoppedTimers:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.time = 100.0
        self._calls: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.time

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self._calls.append((self.time + delay, callback))

    def advance(self, seconds: float) -> None:
        self.time += seconds
        due = [callback for deadline, callback in self._calls if deadline <= self.time]
        self._calls = [item for item in self._calls if item[0] > self.time]
        for callback in due:
            callback()


class Overrun:
    """Stands for a connection: keeps what is executed, and whether it is read."""

    def __init__(self, rate: int) -> None:
        self.timers = StoppedTimers()
        self.app = app_with(messages_per_second=rate)
        self.hub = self
        self.executed: list[str] = []
        self._reading = True
        self.closing = False
        self.inbox = Inbox(cast(Connection, self))

    def is_read(self) -> bool:
        return self._reading

    def execute(self, message: ClientMessage) -> None:
        self.executed.append(message.event)

    def pause_reading(self, reason: int) -> None:
        assert reason == PAUSE_FULL
        self._reading = False

    def resume_reading(self, reason: int) -> None:
        self._reading = True

    def close(self, closing: object) -> None:
        self.closing = True

    def send(self, *events: str) -> None:
        for event in events:
            self.inbox.receive(ClientMessage(event, None, None), 10)


def test_a_burst_is_twenty_four_times_the_rate() -> None:
    connection = Overrun(rate=5)
    connection.send(*["a"] * (5 * BURST_SECONDS))
    assert connection.is_read()
    connection.send("b")
    assert connection.executed == ["a"] * (5 * BURST_SECONDS)
    connection.timers.advance(1)
    assert connection.executed[-1] == "b"


def test_who_is_over_the_rate_is_not_read_once_too_much_waits() -> None:
    connection = Overrun(rate=5)
    connection.send(*["a"] * (5 * BURST_SECONDS), *["b"] * (MAX_WAITING_MESSAGES - 1))
    assert connection.is_read()
    connection.send("b")
    assert not connection.is_read()
    connection.timers.advance(1)
    assert connection.is_read()
    assert connection.executed.count("b") == 5


def test_being_over_the_rate_now_and_then_is_not_on_end() -> None:
    """A burst, then a little at a time, then another burst: twice a second of waiting."""
    connection = Overrun(rate=50)
    connection.send(*["a"] * (50 * BURST_SECONDS + 10))
    for _ in range(12 * 46):
        connection.timers.advance(1 / 46)
        connection.send("b")
    connection.send(*["c"] * 60)
    connection.timers.advance(3)
    assert not connection.closing
    assert connection.executed.count("c") == 60


def test_who_is_over_the_rate_for_ten_seconds_on_end_is_closed() -> None:
    connection = Overrun(rate=5)
    connection.send(*["a"] * (5 * BURST_SECONDS))
    seconds = 0
    while not connection.closing:
        assert seconds <= THROTTLED_TOO_LONG_SECONDS + 1
        if connection.is_read():
            connection.send(*["b"] * 10)
        connection.timers.advance(1)
        seconds += 1
    assert seconds >= THROTTLED_TOO_LONG_SECONDS


def test_who_falls_silent_has_ten_seconds_again() -> None:
    connection = Overrun(rate=5)
    for _ in range(3):
        connection.send(*["a"] * (5 * BURST_SECONDS + 1))
        for _ in range(8):
            connection.timers.advance(1)
        assert connection.is_read()
        connection.timers.advance(30)
    assert not connection.closing


def test_no_rate_is_never_exceeded() -> None:
    connection = Overrun(rate=0)
    connection.send(*["a"] * 10_000)
    assert connection.is_read()
    assert len(connection.executed) == 10_000


async def test_client_events_over_the_rate_are_refused_with_4301() -> None:
    async with serving(app_with(client_events_per_second=3)) as started:
        sender, receiver = await started.join("private-a"), await started.join("private-a")
        for number in range(5):
            await sender.send(f"client-{number}", {}, "private-a")
        for _ in range(2):
            assert "rate limit of 3" in await sender.expect_error(4301)
        for number in range(3):
            await receiver.expect(f"client-{number}", "private-a")
        await receiver.expect_nothing()


async def test_api_calls_over_the_rate_get_429() -> None:
    async with serving(app_with(events_per_second=3)) as started:
        batch = {"batch": [{"name": "n", "channel": "a", "data": ""}] * 2}
        client = await started.join("a")
        path = f"/apps/{APP.id}/batch_events"
        assert (await started.call("POST", path, batch)).status == 200
        refused = await started.call("POST", path, batch)
        assert refused.status == 429
        assert refused.headers["content-type"] == "text/plain"
        assert refused.headers["retry-after"] == "1"
        assert len(refused.text.splitlines()) == 1
        assert [message.event for message in await client.barrier()] == ["n", "n"]


async def test_a_batch_larger_than_the_rate_is_possible() -> None:
    async with serving(app_with(events_per_second=3)) as started:
        batch = {"batch": [{"name": "n", "channel": "a", "data": ""}] * 10}
        answer = await started.call("POST", f"/apps/{APP.id}/batch_events", batch)
        assert (answer.status, json.loads(answer.body)) == (200, {})


def test_a_bucket_fills_to_its_burst_and_no_further() -> None:
    bucket = TokenBucket(2, 6, now=0)
    assert bucket.take(0, 6)
    assert not bucket.take(0)
    assert bucket.seconds_until(3) == 1.5
    assert not bucket.take(1.4, 3)
    assert bucket.take(1.5, 3)
    assert bucket.refill(1_000) == 6
    assert bucket.seconds_until(100) == 0


def test_a_clock_that_stands_still_gives_nothing() -> None:
    bucket = TokenBucket(2, 2, now=10)
    assert bucket.take(10, 2)
    assert bucket.refill(9) == 0


def test_an_address_that_is_gone_leaves_nothing_behind() -> None:
    addresses = Addresses(max_connections=5, connects_per_second=5)
    for number in range(1_000):
        addresses.enter(f"192.0.2.{number}", now=0)
        addresses.leave(f"192.0.2.{number}")
    addresses.enter("198.51.100.1", now=10)
    addresses.leave("198.51.100.1")
    assert addresses._connections == {}
    assert list(addresses._connects) == ["198.51.100.1"]


def test_without_limits_nothing_is_remembered() -> None:
    addresses = Addresses(0, 0)
    addresses.enter("192.0.2.1", now=0)
    assert not addresses.is_over("192.0.2.1")
    assert (addresses._connections, addresses._connects) == ({}, {})
