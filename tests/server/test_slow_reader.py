"""A client that does not read costs its own connection and nobody else's."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from herenow.cluster.base import Joined, Refusal, Subject, SubjectKind
from herenow.protocol.messages import encode_json
from herenow.server import backlog
from herenow.server import connection as connection_module
from server.client import MEMBER_ADDED, MEMBER_REMOVED, Client, Closed, Message, roster_ids
from server.serving import Serving, eventually, serving

pytestmark = pytest.mark.anyio

SMALL_BUFFER = 16_384
EVENT = "x" * 10_000


async def publish_until_closed(started: Serving, reader: Client) -> int:
    """Publish until one connection is closed; *reader* gets every event in its own turn."""
    connections = len(started.hub.connections)
    published = 0
    while len(started.hub.connections) == connections:
        assert published < 3_000, "the client that does not read is still connected"
        started.publish("news", f"e{published}", EVENT)
        assert (await reader.next()).event == f"e{published}"
        published += 1
    return published


async def test_a_client_that_does_not_read_is_closed_at_eight_times_the_limit() -> None:
    async with serving(write_buffer_bytes=50_000) as started:
        reader = await started.join("news")
        slow = await started.connect(receive_buffer=SMALL_BUFFER)
        await slow.expect_established()
        await slow.subscribe("news")
        await slow.expect_subscribed("news")
        published = await publish_until_closed(started, reader)
        assert started.counters.connections_closed["over_capacity"] == 1
        received = await slow.read_until_closed()
        events = [item.event for item in received if isinstance(item, Message)]
        if received[-1] == Closed(4100):
            assert events.pop() == "pusher:error"
        assert events == [f"e{number}" for number in range(len(events))]
        assert len(events) <= published


async def test_one_that_never_reads_is_dropped() -> None:
    async with serving(write_buffer_bytes=50_000) as started:
        reader = await started.join("news")
        slow = await started.connect(receive_buffer=SMALL_BUFFER)
        await slow.expect_established()
        await slow.subscribe("news")
        await slow.expect_subscribed("news")
        await publish_until_closed(started, reader)
        await eventually(lambda: started.open_sockets == 1)


async def test_a_client_over_the_limit_for_some_seconds_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing more needs to be sent to it for that."""
    monkeypatch.setattr(backlog, "CLOSE_AFTER_SECONDS", 0.3)
    async with serving(write_buffer_bytes=200_000) as started:
        slow = await started.connect(receive_buffer=SMALL_BUFFER)
        await slow.expect_established()
        await slow.subscribe("news")
        await slow.expect_subscribed("news")
        connection = started.connection(slow)
        for _ in range(3_000):
            started.publish("news", "e", EVENT)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if connection._transport.get_write_buffer_size() > 300_000:
                break
        assert not connection.closing
        await eventually(lambda: connection.closing)
        assert started.counters.connections_closed["over_capacity"] == 1


async def test_a_client_behind_but_within_the_limit_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "CLOSE_AFTER_SECONDS", 0.1)
    async with serving(write_buffer_bytes=2_000_000) as started:
        slow = await started.connect(receive_buffer=SMALL_BUFFER)
        await slow.expect_established()
        await slow.subscribe("news")
        await slow.expect_subscribed("news")
        connection = started.connection(slow)
        published = 0
        while connection._transport.get_write_buffer_size() < 300_000:
            started.publish("news", f"e{published}", EVENT)
            published += 1
            await asyncio.sleep(0)
        await asyncio.sleep(0.7)
        for number in range(published):
            assert (await slow.next()).event == f"e{number}"
        assert not connection.closing


def fill(started: Serving, channel: str, members: int) -> None:
    """Put *members* with a kilobyte of info each on a presence channel."""
    subject = Subject(started.app.id, SubjectKind.PRESENCE, channel)
    quotes = '"' * 500

    def joined(answer: Joined | Refusal) -> None:
        assert isinstance(answer, Joined)

    for number in range(members):
        info = encode_json({"name": quotes, "n": number})
        subscription = next(started.hub.ledger_ids)
        started.ledger.join(subject, f"member-{number}", subscription, info, 0, 0, joined)


async def test_a_roster_larger_than_the_limit_reaches_who_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The frame being sent is not counted, however long it takes; pings wait behind it."""
    monkeypatch.setattr(backlog, "CLOSE_AFTER_SECONDS", 0.2)
    monkeypatch.setattr(connection_module, "BACKLOG_CHECK_SECONDS", 0.1)
    async with serving(ping_interval_seconds=0.3, pong_timeout_seconds=0.3) as started:
        fill(started, "presence-full", 999)
        slow = await started.connect(receive_buffer=SMALL_BUFFER)
        await slow.expect_established()
        connection = started.connection(slow)
        descriptor = connection._transport.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(descriptor)) as kernel:
            kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        await slow.subscribe("presence-full", "last")
        await eventually(lambda: len(started.hub.channels) == 1)
        limit = started.node.settings.write_buffer_bytes
        assert connection._transport.get_write_buffer_size() > limit
        before = slow.received_bytes
        while not slow.pending:
            await slow.read_some(65_536)
            await asyncio.sleep(0.01)
        assert slow.received_bytes - before > limit
        ids = roster_ids(await slow.expect_subscribed("presence-full"))
        assert len(ids) == 1_000
        assert ids[-1] == "last"
        await slow.expect_nothing()
        assert not connection.closing


async def test_a_ping_has_its_whole_time_once_it_is_out() -> None:
    async with serving(ping_interval_seconds=0.2, pong_timeout_seconds=30) as started:
        slow = await started.connect(receive_buffer=SMALL_BUFFER)
        await slow.expect_established()
        await slow.subscribe("news")
        await slow.expect_subscribed("news")
        connection = started.connection(slow)
        while connection._transport.get_write_buffer_size() < 300_000:
            started.publish("news", "e", EVENT)
            await asyncio.sleep(0)
        liveness = connection._liveness
        await eventually(lambda: liveness._pinged is not None)
        pinged = liveness._pinged
        assert pinged is not None
        before = pinged.until
        while connection._backlog is not None:
            await slow.read_some(65_536)
        assert liveness._pinged is pinged
        assert pinged.until > before


async def test_members_that_come_behind_a_large_roster_are_told_after_it() -> None:
    async with serving() as started:
        fill(started, "presence-full", 998)
        slow = await started.connect(receive_buffer=SMALL_BUFFER)
        await slow.expect_established()
        await slow.subscribe("presence-full", "slow")
        await eventually(lambda: len(started.hub.channels) == 1)
        other = await started.established()
        await other.enter("presence-full", "other")
        await other.leave()
        await slow.expect_subscribed("presence-full")
        await slow.expect(MEMBER_ADDED, "presence-full")
        await slow.expect(MEMBER_REMOVED, "presence-full")


async def test_a_client_that_ended_its_side_and_does_not_read_is_let_go() -> None:
    async with serving(write_buffer_bytes=0, ping_interval_seconds=0.1) as started:
        slow = await started.connect(receive_buffer=SMALL_BUFFER)
        await slow.expect_established()
        await slow.subscribe("news")
        await slow.expect_subscribed("news")
        connection = started.connection(slow)
        while connection._transport.get_write_buffer_size() < 1_000_000:
            started.publish("news", "e", EVENT)
            await asyncio.sleep(0)
        slow.end()
        await eventually(lambda: connection.closing)
        await eventually(lambda: started.open_sockets == 0)
