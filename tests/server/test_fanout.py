"""What a channel's subscribers are sent: together, in order, and nobody waits for a crowd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from herenow.protocol.errors import OVER_CAPACITY
from herenow.protocol.messages import error
from herenow.protocol.websocket import text_frame
from herenow.server import delivery
from herenow.server.channels import Channel
from server.client import MEMBER_ADDED, MEMBER_REMOVED, Client, Message, roster_ids
from server.serving import APP, Serving, app_with, serving

pytestmark = pytest.mark.anyio

SLICE = 4
CROWD = 3 * SLICE - 1


@pytest.fixture
async def started(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serving]:
    """A node that cuts a fan-out after four subscribers."""
    monkeypatch.setattr(delivery, "SLICE", SLICE)
    async with serving(app_with(messages_per_second=0)) as started:
        yield started


def events(messages: list[Message]) -> list[str]:
    return [message.event for message in messages]


async def crowd(started: Serving, channel: str = "news", size: int = CROWD) -> list[Client]:
    return [await started.join(channel) for _ in range(size)]


class Writes:
    """What one connection is given to write, each time it is."""

    def __init__(self, started: Serving, client: Client) -> None:
        self.frames: list[bytes] = []
        connection = started.connection(client)
        self._write = connection.write
        connection.write_by(self._keep)

    def _keep(self, frame: bytes) -> None:
        self.frames.append(frame)
        self._write(frame)


async def test_frames_of_one_turn_leave_in_one_write() -> None:
    async with serving() as started:
        client = await started.join("news")
        writes = Writes(started, client)
        for number in range(5):
            started.publish("news", f"e{number}")
        assert writes.frames == []
        for number in range(5):
            await client.expect(f"e{number}", "news")
        assert len(writes.frames) == 1


async def test_frames_of_different_channels_leave_all() -> None:
    async with serving() as started:
        client = await started.join("a", "b")
        for number in range(4):
            started.publish("ab"[number % 2], f"e{number}")
        found = await started.everything(client)
        assert [message.event for message in found if message.channel == "a"] == ["e0", "e2"]
        assert [message.event for message in found if message.channel == "b"] == ["e1", "e3"]


@pytest.mark.parametrize("size", [2, CROWD])
async def test_who_is_excluded_gets_the_rest_of_the_turn(started: Serving, size: int) -> None:
    clients = await crowd(started, size=size)
    started.publish("news", "all")
    started.publish("news", "not-first", skip=clients[0].socket_id)
    started.publish("news", "not-last", skip=clients[-1].socket_id)
    started.publish("news", "unknown-skip", skip="1.1")
    for client in clients:
        expected = ["all", "not-first", "not-last", "unknown-skip"]
        if client is clients[0]:
            expected.remove("not-first")
        if client is clients[-1]:
            expected.remove("not-last")
        assert events(await started.everything(client)) == expected


@pytest.mark.parametrize("size", [2, CROWD])
async def test_a_single_event_skips_who_is_excluded(started: Serving, size: int) -> None:
    clients = await crowd(started, size=size)
    started.publish("news", "not-first", skip=clients[0].socket_id)
    for client in clients:
        assert events(await started.everything(client)) == ["not-first"] * (
            client is not clients[0]
        )


async def test_who_is_excluded_stays_so_if_it_is_written_to_in_another_way(
    started: Serving,
) -> None:
    clients = await crowd(started)
    await during_a_slice(started, skip=clients[-1].socket_id)
    writes = Writes(started, clients[-1])
    for client in clients[:-1]:
        assert events(await started.everything(client)) == ["sliced"]
    assert writes.frames == []


async def test_who_is_excluded_stays_so_if_others_leave_during_the_slices(
    started: Serving,
) -> None:
    clients = await crowd(started)
    await during_a_slice(started, skip=clients[-1].socket_id)
    leave = Client.message("pusher:unsubscribe", {"channel": "news"})
    execute(started, clients[0], leave)
    for client in clients[1:-1]:
        assert events(await started.everything(client)) == ["sliced"]
    assert events(await started.everything(clients[-1])) == []


async def test_who_is_excluded_may_leave_and_return_during_the_slices(started: Serving) -> None:
    clients = await crowd(started)
    returning = clients[-1]
    before = started.counters.messages_out
    await during_a_slice(started, skip=returning.socket_id)
    execute(started, returning, Client.message("pusher:unsubscribe", {"channel": "news"}))
    execute(started, returning, returning.subscription("news"))
    await returning.expect_subscribed("news")
    for client in clients[:-1]:
        await client.expect("sliced", "news")
    assert started.counters.messages_out - before == CROWD
    assert events(await started.everything(returning)) == []


async def test_who_is_excluded_may_close_during_the_slices(started: Serving) -> None:
    clients = await crowd(started)
    await during_a_slice(started, skip=clients[-1].socket_id)
    started.connection(clients[-1]).close(OVER_CAPACITY)
    for client in clients[:-1]:
        assert events(await started.everything(client)) == ["sliced"]
    await clients[-1].expect_closed(4100)


async def test_who_is_excluded_need_not_be_on_the_channel(started: Serving) -> None:
    other = await started.join("other")
    clients = await crowd(started)
    started.publish("news", "e", skip=other.socket_id)
    for client in clients:
        assert events(await started.everything(client)) == ["e"]


async def test_a_long_queue_is_not_taken_at_the_pace_of_a_short_one(started: Serving) -> None:
    client = await started.join("a", "b")
    writes = Writes(started, client)
    batches = 50 * SLICE
    for number in range(batches):
        started.publish("ab"[number % 2], f"e{number}", sealed=True)
    turns = 0
    while len(writes.frames) < batches:
        await asyncio.sleep(0)
        turns += 1
    assert turns < batches // SLICE


async def test_who_is_excluded_is_not_counted(started: Serving) -> None:
    clients = await crowd(started)
    before = started.counters.messages_out
    started.publish("news", "e", skip=clients[1].socket_id)
    for client in clients[2:]:
        await client.expect("e", "news")
    assert started.counters.messages_out - before == CROWD - 1


async def test_what_is_published_a_turn_later_leaves_in_the_same_writes_to_very_many(
    started: Serving,
) -> None:
    clients = await crowd(started)
    writes = Writes(started, clients[-1])
    started.publish("news", "first")
    await asyncio.sleep(0)
    started.publish("news", "second")
    for client in clients:
        assert events(await started.everything(client)) == ["first", "second"]
    assert b"first" in writes.frames[0]
    assert b"second" in writes.frames[0]


async def test_constant_publishing_does_not_hold_up_very_many(started: Serving) -> None:
    await crowd(started)
    for number in range(10):
        started.publish(f"other-{number}", "small")
        started.publish("news", str(number))
        if is_sliced(started.hub.channels["news"]):
            break
        await asyncio.sleep(0)
    assert number < 4


async def test_later_events_wait_until_the_slices_are_done(started: Serving) -> None:
    clients = await crowd(started)
    last = Writes(started, clients[-1])
    await during_a_slice(started)
    for number in range(3):
        started.publish("news", f"e{number}")
    assert last.frames == []
    for client in clients:
        assert events(await started.everything(client)) == ["sliced", "e0", "e1", "e2"]


async def test_others_are_served_between_the_slices(started: Serving) -> None:
    await crowd(started)
    other = await started.join("other")
    turn = Writes(started, other)
    await during_a_slice(started)
    started.publish("other", "small")
    while not turn.frames:
        assert is_sliced(started.hub.channels["news"])
        await asyncio.sleep(0)


def is_sliced(channel: Channel) -> bool:
    """Whether some of the subscribers have an event that others are yet to get."""
    return any(batch.begun for batch in channel.batches)


async def during_a_slice(started: Serving, skip: str | None = None) -> None:
    """Come back when the first slice has an event and the others do not."""
    started.publish("news", "sliced", skip=skip)
    channel = started.hub.channels["news"]
    for _ in range(10):
        await asyncio.sleep(0)
        if is_sliced(channel):
            return
    raise AssertionError("nothing was sliced")


def execute(started: Serving, client: Client, text: str) -> None:
    """Have the server take *text* of *client* in this very turn."""
    started.connection(client)._text(text.encode())


async def test_who_joins_during_the_slices_gets_what_comes_after(started: Serving) -> None:
    clients = await crowd(started)
    joiner = await started.established()
    await during_a_slice(started)
    execute(started, joiner, joiner.subscription("news"))
    started.publish("news", "next")
    await joiner.expect_subscribed("news")
    assert events(await started.everything(joiner)) == ["next"]
    for client in clients:
        assert events(await started.everything(client)) == ["sliced", "next"]


async def test_who_leaves_during_the_slices_gets_no_more(started: Serving) -> None:
    clients = await crowd(started)
    await during_a_slice(started)
    leave = Client.message("pusher:unsubscribe", {"channel": "news"})
    execute(started, clients[-1], leave)
    started.publish("news", "next")
    assert events(await started.everything(clients[-1])) == []
    for client in clients[:-1]:
        assert events(await started.everything(client)) == ["sliced", "next"]


async def test_who_leaves_and_returns_gets_what_comes_after(started: Serving) -> None:
    clients = await crowd(started)
    await during_a_slice(started)
    returning = clients[-1]
    execute(started, returning, Client.message("pusher:unsubscribe", {"channel": "news"}))
    execute(started, returning, returning.subscription("news"))
    started.publish("news", "next")
    await returning.expect_subscribed("news")
    assert events(await started.everything(returning)) == ["next"]


async def test_who_joined_and_left_within_a_turn_gets_nothing(started: Serving) -> None:
    client = await started.join("news")
    started.publish("news", "before")
    execute(started, client, Client.message("pusher:unsubscribe", {"channel": "news"}))
    execute(started, client, client.subscription("news"))
    started.publish("news", "after")
    await client.expect_subscribed("news")
    assert events(await started.everything(client)) == ["after"]


@pytest.mark.parametrize("size", [1, CROWD])
async def test_a_direct_reply_comes_after_the_events_before_it(started: Serving, size: int) -> None:
    clients = await crowd(started, size=size)
    last = clients[-1]
    started.publish("news", "before")
    execute(started, last, last.subscription("news"))
    started.publish("news", "after")
    assert events(await started.everything(last)) == ["before", "pusher:error", "after"]
    for client in clients[:-1]:
        assert events(await started.everything(client)) == ["before", "after"]


async def test_a_direct_reply_during_the_slices_comes_after_them(started: Serving) -> None:
    clients = await crowd(started)
    await during_a_slice(started)
    channel = started.hub.channels["news"]
    channel.reply(started.connection(clients[-1]), text_frame(error("reply")))
    channel.reply(started.connection(clients[0]), text_frame(error("reply")))
    for client in (clients[0], clients[-1]):
        assert events(await started.everything(client)) == ["sliced", "pusher:error"]


async def test_who_closes_during_the_slices_disturbs_nobody(started: Serving) -> None:
    clients = await crowd(started)
    await during_a_slice(started)
    for client in clients[::3]:
        client.reset()
    started.publish("news", "next")
    for client in set(clients) - set(clients[::3]):
        assert events(await started.everything(client)) == ["sliced", "next"]


async def test_who_is_closed_during_the_slices_changes_no_order(started: Serving) -> None:
    *leaving, first, second, third = await crowd(started)
    await during_a_slice(started)
    for client in leaving:
        execute(started, client, Client.message("pusher:unsubscribe", {"channel": "news"}))
    started.publish("news", "next")
    started.connection(first).close(OVER_CAPACITY)
    for client in (second, third):
        assert events(await started.everything(client)) == ["sliced", "next"]


async def test_who_joins_behind_an_event_of_the_turn_does_not_get_it(started: Serving) -> None:
    await crowd(started, size=1)
    joiner = await started.established()
    started.publish("news", "before")
    execute(started, joiner, joiner.subscription("news"))
    await joiner.expect_subscribed("news")
    assert events(await started.everything(joiner)) == []


async def test_everybody_leaving_during_the_slices_ends_the_channel(started: Serving) -> None:
    clients = await crowd(started)
    await during_a_slice(started)
    leave = Client.message("pusher:unsubscribe", {"channel": "news"})
    for client in clients:
        execute(started, client, leave)
    assert started.hub.channels == {}
    execute(started, clients[0], clients[0].subscription("news"))
    started.publish("news", "new")
    found = await started.everything(clients[0])
    assert [message.event for message in found if message.event != "sliced"] == [
        "pusher_internal:subscription_succeeded",
        "new",
    ]
    assert events(await started.everything(clients[-1])) == []


async def test_nobody_is_added_whom_a_roster_has_already_named(started: Serving) -> None:
    """Members join while slices of earlier arrivals are still being sent."""
    clients = [await started.established() for _ in range(CROWD)]
    seen: dict[Client, set[str]] = {}
    for number, client in enumerate(clients):
        text = client.subscription("presence-a", f"u{number}")
        execute(started, client, text)
        if number % 3 == 0:
            await asyncio.sleep(0)
    leaving = clients[::4]
    for client in leaving:
        execute(started, client, Client.message("pusher:unsubscribe", {"channel": "presence-a"}))
    for number, client in enumerate(clients):
        if client in leaving:
            continue
        members = set(roster_ids(await client.expect_subscribed("presence-a")))
        assert f"u{number}" in members
        for message in await started.everything(client):
            user = message.decoded["user_id"]
            assert message.event in (MEMBER_ADDED, MEMBER_REMOVED)
            assert (user in members) is (message.event == MEMBER_REMOVED), message
            members ^= {user}
        seen[client] = members
    left = {f"u{number}" for number in range(0, CROWD, 4)}
    expected = {f"u{number}" for number in range(CROWD)} - left
    assert all(members == expected for members in seen.values())


async def test_a_real_crowd_of_more_than_a_slice_gets_everything() -> None:
    async with serving() as started:
        size = 4 * delivery.SLICE + 30
        clients = await crowd(started, size=size)
        for number in range(3):
            await started.trigger("news", f"e{number}")
        for client in clients:
            assert events(await started.everything(client)) == ["e0", "e1", "e2"]


async def test_client_events_and_published_ones_keep_their_order(started: Serving) -> None:
    sender = await started.join("private-a")
    receivers = await crowd(started, "private-a")
    for number in range(6):
        if number % 2:
            started.publish("private-a", f"e{number}")
        else:
            execute(started, sender, Client.message(f"client-e{number}", {}, "private-a"))
    for receiver in receivers:
        found = [
            event.removeprefix("client-") for event in events(await started.everything(receiver))
        ]
        assert found == [f"e{number}" for number in range(6)]
    assert events(await started.everything(sender)) == ["e1", "e3", "e5"]


async def test_counts_come_in_the_order_of_the_changes() -> None:
    async with serving(app_with(APP, subscription_count=True)) as started:
        clients = [await started.established() for _ in range(4)]
        for client in clients:
            execute(started, client, client.subscription("news"))
        for number, client in enumerate(clients, 1):
            await client.expect_subscribed("news")
            counts = [
                message.decoded["subscription_count"]
                for message in await started.everything(client)
            ]
            assert counts == list(range(number, 5))


async def test_a_batch_keeps_its_order_across_channels(started: Serving) -> None:
    client = await started.join("x", "y")
    batch = [{"name": f"e{n}", "channel": "xy"[n % 2], "data": "x"} for n in range(6)]
    path = f"/apps/{started.app.id}/batch_events"
    answer = await started.call("POST", path, {"batch": batch})
    assert answer.status == 200
    assert events(await started.everything(client)) == [f"e{n}" for n in range(6)]


async def test_who_is_closed_gets_what_it_is_owed_in_the_order_it_would_have_come(
    started: Serving,
) -> None:
    client = await started.join("x", "y")
    for number, channel in enumerate("yxyx"):
        started.publish(channel, f"e{number}", sealed=True)
    started.connection(client).close(OVER_CAPACITY)
    told = await client.read_until_closed()
    names = [message.event for message in told if isinstance(message, Message)]
    assert names == ["e0", "e1", "e2", "e3", "pusher:error"]


async def test_what_came_before_the_end_of_the_stream_is_taken(started: Serving) -> None:
    """Over TLS the end arrives although the server has paused reading."""
    sender, receiver = await started.join("private-a"), await started.join("private-a")
    text = Client.message("client-long", {"text": "x" * 9_000}, "private-a")
    connection = started.connection(sender)
    connection.data_received(masked(text.encode()))
    connection.eof_received()
    await receiver.expect("client-long", "private-a")


def masked(payload: bytes) -> bytes:
    """*payload* as a client's text frame, masked with zeros."""
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload
