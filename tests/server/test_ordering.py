"""What a connection asks for takes effect in order, also when the engine answers late."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial

import pytest

from herenow.apps.base import App
from herenow.cluster.base import Subject, SubjectKind
from herenow.protocol.errors import OVER_CAPACITY
from herenow.server import connection as connection_module
from herenow.server import inbox
from server.client import MEMBER_ADDED, MEMBER_REMOVED, SUCCEEDED, WATCHLIST, Client, roster_ids
from server.late_engine import LateBus, LateLedger, Lateness
from server.serving import APP, Serving, app_with, eventually, serving

pytestmark = pytest.mark.anyio

ROOM = Subject(APP.id, SubjectKind.PRESENCE, "presence-a")


@pytest.fixture
def lateness() -> Lateness:
    return Lateness("join")


def late_serving(
    lateness: Lateness, app: App = APP
) -> contextlib.AbstractAsyncContextManager[Serving]:
    make_ledger, make_bus = partial(LateLedger, lateness), partial(LateBus, lateness)
    return serving(app, make_ledger=make_ledger, make_bus=make_bus)


@pytest.fixture
async def late(lateness: Lateness) -> AsyncIterator[Serving]:
    async with late_serving(lateness) as started:
        yield started
        lateness.release_all()


async def begin(client: Client, lateness: Lateness, *texts: str, waiting: int = 1) -> None:
    """Send *texts*, of which so many joins get under way."""
    before = lateness.waiting("join")
    await client.send_text(*texts)
    await eventually(lambda: lateness.waiting("join") == before + waiting)


async def test_requests_about_one_channel_wait_for_each_other(
    late: Serving, lateness: Lateness
) -> None:
    client = await late.established()
    subscribe = client.subscription("presence-a", "u")
    unsubscribe = client.message("pusher:unsubscribe", {"channel": "presence-a"})
    event = client.message("client-hi", {}, "presence-a")
    await begin(client, lateness, subscribe, event, unsubscribe, event, subscribe, subscribe)
    await client.expect_nothing()
    lateness.release("join")
    await client.expect_subscribed("presence-a")
    assert "not subscribed" in await client.expect_error()
    await client.expect_nothing()
    lateness.release("join")
    await client.expect_subscribed("presence-a")
    assert await client.expect_error() == "Existing subscription to channel presence-a"


async def test_different_channels_go_on_together(late: Serving, lateness: Lateness) -> None:
    client = await late.established()
    await begin(client, lateness, client.subscription("presence-a", "u"))
    await begin(client, lateness, client.subscription("presence-b", "u"))
    await client.subscribe("private-c")
    await client.expect_subscribed("private-c")
    lateness.release("join", 1)
    await client.expect_subscribed("presence-b")
    lateness.release("join")
    await client.expect_subscribed("presence-a")


async def test_nothing_overtakes_a_sign_in(late: Serving, lateness: Lateness) -> None:
    client = await late.established()
    await begin(
        client,
        lateness,
        client.signin("u"),
        client.subscription("#server-to-user-u"),
        client.subscription("a"),
        client.message("client-hi", {}, "private-b"),
    )
    await client.expect_nothing()
    lateness.release("join")
    await client.expect("pusher:signin_success")
    await client.expect_subscribed("#server-to-user-u")
    await client.expect_subscribed("a")
    assert "not subscribed" in await client.expect_error()


async def test_a_sign_in_does_not_overtake_what_waits(late: Serving, lateness: Lateness) -> None:
    client = await late.established()
    unsubscribe = client.message("pusher:unsubscribe", {"channel": "presence-a"})
    await begin(
        client,
        lateness,
        client.subscription("presence-a", "u"),
        unsubscribe,
        client.signin("u"),
        client.subscription("a"),
    )
    await client.expect_nothing()
    lateness.release("join")
    await client.expect_subscribed("presence-a")
    await client.expect_nothing()
    lateness.release("join")
    await client.expect("pusher:signin_success")
    await client.expect_subscribed("a")


async def test_pings_are_answered_while_everything_waits(late: Serving, lateness: Lateness) -> None:
    client = await late.established()
    await begin(client, lateness, client.signin("u"), client.subscription("a"))
    await client.send("pusher:ping", {})
    await client.expect("pusher:pong")
    await client.expect_nothing()


@pytest.mark.parametrize("size", [20, 2_000], ids=["many", "large"])
async def test_reading_stops_while_too_much_waits(
    late: Serving, lateness: Lateness, size: int
) -> None:
    client = await late.established()
    await begin(client, lateness, client.signin("u"))
    padding = "x" * size
    fitting = min(inbox.MAX_WAITING_MESSAGES, inbox.MAX_WAITING_BYTES // size) - 8
    for number in range(fitting):
        await client.send("pusher:subscribe", {"channel": f"c{number}", "x": padding})
    await client.expect_nothing()
    for number in range(fitting, fitting + 16):
        await client.send("pusher:subscribe", {"channel": f"c{number}", "x": padding})
    connection = late.connection(client)
    await eventually(lambda: bool(connection._pauses & inbox.PAUSE_FULL))
    await client.send("pusher:ping", {})
    lateness.release("join")
    await client.expect("pusher:signin_success")
    messages = await client.barrier()
    channels = [message.channel for message in messages if message.event == SUCCEEDED]
    assert channels == [f"c{number}" for number in range(fitting + 16)]
    assert [message.event for message in messages].count("pusher:pong") == 1
    assert not connection._pauses


async def test_who_is_closed_while_it_is_not_read_can_still_answer(
    late: Serving, lateness: Lateness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "CLOSING_SECONDS", 60)
    client = await late.established()
    texts = [client.subscription(f"c{number}") for number in range(70)]
    await begin(client, lateness, client.signin("u"), *texts)
    connection = late.connection(client)
    await eventually(lambda: bool(connection._pauses))
    connection.close(OVER_CAPACITY)
    await client.expect_closed(4100)
    await eventually(lambda: late.open_sockets == 0)


async def test_a_burst_that_waits_for_a_sign_in_costs_little(lateness: Lateness) -> None:
    """A client that reconnects sends everything at once; each message is looked at once."""
    app = app_with(messages_per_second=0, max_channels_per_connection=0)
    async with late_serving(lateness, app) as late:
        client = await late.established()
        texts = [client.subscription(f"c{number}") for number in range(5_000)]
        await begin(client, lateness, client.signin("u"), *texts)
        lateness.release("join")
        await client.expect("pusher:signin_success")
        for number in range(5_000):
            await client.expect_subscribed(f"c{number}")


async def test_a_join_under_way_counts_as_a_channel(lateness: Lateness) -> None:
    async with late_serving(lateness, app_with(max_channels_per_connection=2)) as late:
        client = await late.join("a")
        await begin(client, lateness, client.subscription("presence-a", "u"))
        await client.subscribe("presence-b", "u")
        assert "Limit of 2 channels" in await client.expect_error()
        assert (await client.next()).event == "pusher:subscription_error"
        lateness.release("join")
        await client.expect_subscribed("presence-a")


async def test_a_refusal_comes_before_the_answers_that_waited_for_it(lateness: Lateness) -> None:
    async with late_serving(lateness, app_with(max_presence_members=1)) as late:
        lateness.late.clear()
        other = await late.established()
        await other.enter("presence-a", "other")
        lateness.late.add("join")
        client = await late.established()
        unsubscribe = client.message("pusher:unsubscribe", {"channel": "presence-a"})
        await begin(client, lateness, client.subscription("presence-a", "u"), unsubscribe)
        lateness.release("join")
        assert "reached its limit" in await client.expect_error()
        assert (await client.next()).event == "pusher:subscription_error"
        assert "No current subscription" in await client.expect_error()


async def test_closing_completes_a_join_with_its_leave(late: Serving, lateness: Lateness) -> None:
    lateness.late.clear()
    watcher = await late.established()
    await watcher.enter("presence-a", "watcher")
    lateness.late.add("join")
    client = await late.established()
    await begin(client, lateness, client.subscription("presence-a", "ghost"))
    await watcher.expect(MEMBER_ADDED, "presence-a")
    client.reset()
    removed = await watcher.expect(MEMBER_REMOVED, "presence-a")
    assert removed.decoded == {"user_id": "ghost"}
    lateness.release_all()
    await watcher.expect_nothing()
    assert await late.user_ids("presence-a") == ["watcher"]


async def test_closing_completes_a_sign_in_with_its_leave(
    late: Serving, lateness: Lateness
) -> None:
    lateness.late.clear()
    watcher = await late.established()
    await watcher.sign_in("watcher", ("ghost",))
    await watcher.expect(WATCHLIST)
    lateness.late.add("join")
    client = await late.established()
    await begin(client, lateness, client.signin("ghost"), client.subscription("presence-a", "u"))
    online = await watcher.expect(WATCHLIST)
    assert online.decoded == {"events": [{"name": "online", "user_ids": ["ghost"]}]}
    client.reset()
    offline = await watcher.expect(WATCHLIST)
    assert offline.decoded == {"events": [{"name": "offline", "user_ids": ["ghost"]}]}
    lateness.release_all()
    await watcher.expect_nothing()
    assert await late.user_ids("presence-a") == []


async def test_a_client_that_leaves_while_it_waits_leaves_nothing(
    late: Serving, lateness: Lateness
) -> None:
    lateness.late.add("cached")
    client = await late.established()
    await begin(client, lateness, client.subscription("presence-a", "u"))
    await client.subscribe("cache-a")
    await eventually(lambda: lateness.waiting("cached") == 1)
    client.reset()
    await eventually(lambda: not late.hub.connections)
    lateness.release_all()
    assert late.hub.channels == {}
    assert await late.user_ids("presence-a") == []


async def test_a_joiner_misses_nobody_and_sees_nobody_twice(
    late: Serving, lateness: Lateness
) -> None:
    lateness.late.clear()
    present = await late.established()
    await present.enter("presence-a", "present")
    lateness.late |= {"join", "transition"}
    first, second = await late.established(), await late.established()
    await begin(first, lateness, first.subscription("presence-a", "first"))
    await begin(second, lateness, second.subscription("presence-a", "second"))
    kinds = ("transition", "join")
    for kind in kinds:
        lateness.release(kind)
    assert roster_ids(await first.expect_subscribed("presence-a")) == ["present", "first"]
    await second.expect_nothing()
    for kind in kinds:
        lateness.release(kind)
    assert roster_ids(await second.expect_subscribed("presence-a")) == [
        "present",
        "first",
        "second",
    ]
    assert (await first.expect(MEMBER_ADDED, "presence-a")).decoded["user_id"] == "second"
    for client in (first, second):
        await client.expect_nothing()
    added = [message.decoded["user_id"] for message in await present.barrier()]
    assert added == ["first", "second"]


@pytest.mark.parametrize("somebody_is_there", [False, True])
async def test_a_roster_that_comes_late_is_brought_up_to_date(
    late: Serving, lateness: Lateness, somebody_is_there: bool
) -> None:
    """The channel is new on this node: who is there, who comes and who goes is told in one go."""
    lateness.late.clear()
    there = {"elsewhere"} if somebody_is_there else set()
    for name in there:
        late.ledger.join(ROOM, name, 999, b"{}", 0, 0, lambda answer: None)
    lateness.late = {"chain"}
    clients = [await late.established() for _ in range(3)]
    for number, client in enumerate(clients):
        await client.subscribe("presence-a", f"u{number}")
        await client.expect_nothing()
    clients[1].reset()
    await eventually(lambda: len(late.hub.connections) == 2)
    await clients[2].send("pusher:ping", {})
    await clients[2].expect("pusher:pong")
    lateness.release_each("chain")
    for client in (clients[0], clients[2]):
        members = set(roster_ids(await client.expect_subscribed("presence-a")))
        for message in await client.barrier():
            user = {message.decoded["user_id"]}
            assert bool(members & user) is (message.event == MEMBER_REMOVED), message
            members ^= user
        assert members == {"u0", "u2"} | there


async def test_unavailable_closes_with_4100_and_leaves_no_trace(
    late: Serving, lateness: Lateness
) -> None:
    lateness.unavailable = True
    for text in ("subscription", "signin"):
        client = await late.established()
        if text == "signin":
            await begin(client, lateness, client.signin("u"))
        else:
            await begin(client, lateness, client.subscription("presence-a", "u"))
        lateness.release("join")
        await client.expect_closed(4100)
    await eventually(lambda: not late.hub.connections)
    assert late.hub.channels == {}
    assert late.hub.users.signed_in == {}
    lateness.unavailable = False
    lateness.late.clear()
    assert await late.user_ids("presence-a") == []


async def test_unavailable_at_once_closes_as_well(late: Serving, lateness: Lateness) -> None:
    lateness.unavailable = True
    lateness.late.clear()
    client = await late.established()
    await client.subscribe("presence-a", "u")
    await client.expect_closed(4100)
    client = await late.established()
    await client.send_text(client.signin("u"))
    await client.expect_closed(4100)
    assert late.hub.channels == {}


async def test_a_late_cached_event_does_not_hide_a_newer_one(
    late: Serving, lateness: Lateness
) -> None:
    lateness.late = {"cached"}
    await late.trigger("cache-a", "report", "old")
    client = await late.established()
    await client.subscribe("cache-a")
    await eventually(lambda: lateness.waiting("cached") == 1)
    await late.trigger("cache-a", "report", "new")
    lateness.release("cached")
    await client.expect_subscribed("cache-a")
    assert (await client.expect("report", "cache-a")).data == "new"
    await client.expect_nothing()


async def test_a_late_miss_does_not_hide_the_first_event(late: Serving, lateness: Lateness) -> None:
    lateness.late = {"cached"}
    client = await late.established()
    await client.subscribe("private-cache-a")
    await eventually(lambda: lateness.waiting("cached") == 1)
    await late.trigger("private-cache-a", "report", "first")
    lateness.release("cached")
    await client.expect_subscribed("private-cache-a")
    assert (await client.expect("report", "private-cache-a")).data == "first"


async def test_an_old_event_is_never_replayed_after_its_channel_was_left(
    late: Serving, lateness: Lateness
) -> None:
    """What was delivered during one subscription says nothing about the next."""
    lateness.late = {"cached"}
    client = await late.established()
    await client.subscribe("cache-a")
    await eventually(lambda: lateness.waiting("cached") == 1)
    await late.trigger("cache-a", "report", "first")
    lateness.release("cached")
    await client.expect_subscribed("cache-a")
    await client.expect("report", "cache-a")
    lateness.late.clear()
    await late.trigger("cache-a", "report", "second")
    await client.expect("report", "cache-a")
    other = await late.join("cache-a")
    assert (await other.expect("report", "cache-a")).data == "second"


async def test_who_is_online_is_right_however_late_it_is_told(
    late: Serving, lateness: Lateness
) -> None:
    lateness.late = {"online"}
    friend = await late.established()
    await friend.sign_in("stays")
    leaver = await late.established()
    await leaver.sign_in("leaves")
    watcher = await late.established()
    await watcher.sign_in("watcher", ("stays", "leaves", "comes", "away"))
    await leaver.leave()
    comer = await late.established()
    await comer.sign_in("comes")
    await watcher.expect_nothing()
    lateness.release("online")
    told = await watcher.expect(WATCHLIST)
    assert told.decoded == {
        "events": [
            {"name": "offline", "user_ids": ["leaves", "away"]},
            {"name": "online", "user_ids": ["stays", "comes"]},
        ]
    }
    await comer.leave()
    told = await watcher.expect(WATCHLIST)
    assert told.decoded == {"events": [{"name": "offline", "user_ids": ["comes"]}]}


async def test_the_newest_watchlist_is_told_once(late: Serving, lateness: Lateness) -> None:
    lateness.late = {"online"}
    watcher = await late.established()
    await watcher.sign_in("watcher", ("a",))
    await watcher.sign_in("watcher", ("b",))
    lateness.release("online", 1)
    told = await watcher.expect(WATCHLIST)
    assert told.decoded == {"events": [{"name": "offline", "user_ids": ["b"]}]}
    lateness.release("online")
    await watcher.expect_nothing()
