"""What clients are told while the engine answers late, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest

from herenow.apps.base import App
from herenow.apps.static import StaticApps
from herenow.cluster.base import Subject, SubjectKind
from herenow.server import channels, subscriptions, users
from herenow.webhooks.events import CacheMiss, ClientEvent, SubscriptionCount
from server.client import MEMBER_ADDED, MEMBER_REMOVED, WATCHLIST, roster_ids
from server.late_engine import LateBus, LateLedger, Lateness
from server.serving import APP, Serving, app_with, eventually, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def lateness() -> Lateness:
    return Lateness()


@pytest.fixture
def app() -> App:
    return APP


@pytest.fixture
async def late(
    lateness: Lateness, app: App, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Serving]:
    for module in (subscriptions, users):
        monkeypatch.setattr(module, "ASK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(channels, "ANNOUNCE_AGAIN_SECONDS", 0.05)
    make_ledger, make_bus = partial(LateLedger, lateness), partial(LateBus, lateness)
    async with serving(app, make_ledger=make_ledger, make_bus=make_bus) as started:
        yield started
        lateness.unavailable = False
        lateness.release_all()


async def waiting(lateness: Lateness, kind: str, number: int = 1) -> None:
    await eventually(lambda: lateness.waiting(kind) == number)


@pytest.mark.parametrize("channel", ["news", "private-news", "private-encrypted-news"])
async def test_nobody_is_subscribed_before_events_arrive_here(
    late: Serving, lateness: Lateness, channel: str
) -> None:
    lateness.late = {"follow"}
    first, second = await late.established(), await late.established()
    await first.subscribe(channel)
    await second.subscribe(channel)
    await waiting(lateness, "follow")
    for client in (first, second):
        await client.expect_nothing()
    lateness.release("follow")
    for client in (first, second):
        await client.expect_subscribed(channel)
    third = await late.join(channel)
    late.publish(channel, "hello")
    for client in (first, second, third):
        await client.expect("hello", channel)


async def test_a_member_is_answered_when_events_arrive_here(
    late: Serving, lateness: Lateness
) -> None:
    """Who came meanwhile is in the roster, and is not told again."""
    lateness.late = {"follow"}
    first, second = await late.established(), await late.established()
    await first.subscribe("presence-a", "first")
    await second.subscribe("presence-a", "second")
    await waiting(lateness, "follow")
    await first.expect_nothing()
    lateness.release("follow")
    for client in (first, second):
        members = roster_ids(await client.expect_subscribed("presence-a"))
        assert members == ["first", "second"]
        await client.expect_nothing()


async def test_the_cache_is_asked_after_events_arrive_here(
    late: Serving, lateness: Lateness
) -> None:
    """Otherwise what is published between the two would be missed."""
    lateness.late = {"follow", "cached"}
    client = await late.established()
    await client.subscribe("cache-a")
    await waiting(lateness, "follow")
    assert not lateness.waiting("cached")
    lateness.release("follow")
    await waiting(lateness, "cached")
    await late.trigger("cache-a", "report", "new")
    lateness.release("cached")
    await client.expect_subscribed("cache-a")
    assert (await client.expect("report", "cache-a")).data == "new"


async def test_who_leaves_before_events_arrive_here_leaves_nothing(
    late: Serving, lateness: Lateness
) -> None:
    lateness.late = {"follow"}
    client = await late.established()
    for channel, user in (("news", None), ("cache-a", None), ("presence-a", "u")):
        await client.subscribe(channel, user)
    await waiting(lateness, "follow", 3)
    client.reset()
    await eventually(lambda: not late.hub.connections)
    assert late.hub.channels == {}
    lateness.release_all()
    assert late.hub.channels == {}
    assert await late.user_ids("presence-a") == []


async def test_a_cache_that_is_not_known_is_waited_for(late: Serving, lateness: Lateness) -> None:
    """It is not said to be empty, neither to the client nor to the application."""
    await late.trigger("cache-a", "report", "kept")
    lateness.unavailable = True
    client = await late.established()
    await client.subscribe("cache-a")
    await asyncio.sleep(0.15)
    await client.expect_nothing()
    lateness.unavailable = False
    await client.expect_subscribed("cache-a")
    assert (await client.expect("report", "cache-a")).data == "kept"
    assert not [event for event in late.sink.events if isinstance(event, CacheMiss)]


async def test_public_and_private_channels_need_no_engine(
    late: Serving, lateness: Lateness
) -> None:
    lateness.unavailable = True
    client = await late.join("news", "private-a", "private-encrypted-b")
    await client.expect_nothing()


async def test_a_client_event_that_cannot_be_relayed_is_refused_in_words(
    late: Serving, lateness: Lateness
) -> None:
    sender, other = await late.join("private-a"), await late.join("private-a")
    lateness.unavailable = True
    await sender.send("client-hi", {}, "private-a")
    error = await sender.expect_error()
    assert error == "Client event rejected: client-hi could not be relayed, try again later"
    await other.expect_nothing()
    assert late.counters.refusals["engine_unavailable"] == 1
    assert not [event for event in late.sink.events if isinstance(event, ClientEvent)]
    lateness.unavailable = False
    await sender.send("client-hi", {}, "private-a")
    await other.expect("client-hi", "private-a")


async def test_a_client_event_refused_after_its_sender_left_is_told_to_nobody(
    late: Serving, lateness: Lateness
) -> None:
    lateness.unavailable, lateness.late = True, {"delivery"}
    sender = await late.join("private-a")
    await sender.send("client-hi", {}, "private-a")
    await waiting(lateness, "delivery")
    sender.reset()
    await eventually(lambda: not late.hub.connections)
    lateness.release("delivery")
    assert late.counters.refusals["engine_unavailable"] == 0


async def test_a_watchlist_is_told_once(late: Serving, lateness: Lateness) -> None:
    """Who is online is heard before the question is answered, and is no news after that."""
    watched = await late.established()
    await watched.sign_in("watched")
    lateness.late = {"transition", "online"}
    watcher = await late.established()
    await watcher.send_text(watcher.signin("watcher", ("watched", "nobody")))
    await watcher.expect("pusher:signin_success")
    await waiting(lateness, "online")
    for kind in ("transition", "online"):
        lateness.release_each(kind)
    told = (await watcher.expect(WATCHLIST)).decoded["events"]
    assert told == [
        {"name": "offline", "user_ids": ["nobody"]},
        {"name": "online", "user_ids": ["watched"]},
    ]
    await watcher.expect_nothing()
    lateness.release_all()
    watched.reset()
    gone = (await watcher.expect(WATCHLIST)).decoded["events"]
    assert gone == [{"name": "offline", "user_ids": ["watched"]}]


async def test_a_second_watcher_is_told_what_the_first_knows(late: Serving) -> None:
    first, second, watched = [await late.established() for _ in range(3)]
    await first.sign_in("first", ("watched",))
    await first.expect(WATCHLIST)
    await watched.sign_in("watched")
    await first.expect(WATCHLIST)
    await second.sign_in("second", ("watched",))
    told = (await second.expect(WATCHLIST)).decoded["events"]
    assert told == [{"name": "online", "user_ids": ["watched"]}]
    for client in (first, second):
        await client.expect_nothing()


async def test_who_is_online_is_asked_until_it_is_answered(
    late: Serving, lateness: Lateness
) -> None:
    """What changes meanwhile is told with the answer, once."""
    lateness.refused = {"online"}
    watcher, watched = await late.established(), await late.established()
    await watcher.sign_in("watcher", ("watched",))
    await watched.sign_in("watched")
    await asyncio.sleep(0.12)
    await watcher.expect_nothing()
    lateness.refused.clear()
    told = (await watcher.expect(WATCHLIST)).decoded["events"]
    assert told == [{"name": "online", "user_ids": ["watched"]}]
    await watcher.expect_nothing()


async def test_a_count_is_announced_when_the_engine_is_back(
    lateness: Lateness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "ANNOUNCE_AGAIN_SECONDS", 0.05)
    make_ledger, make_bus = partial(LateLedger, lateness), partial(LateBus, lateness)
    app = app_with(subscription_count=True)
    async with serving(app, make_ledger=make_ledger, make_bus=make_bus) as late:
        client = await late.join("news")
        await client.expect("pusher_internal:subscription_count", "news")
        lateness.unavailable = True
        other = await late.join("news")
        await client.expect_nothing()
        lateness.unavailable = False
        for subscriber in (client, other):
            told = await subscriber.expect("pusher_internal:subscription_count", "news")
            assert told.decoded == {"subscription_count": 2}
        counts = [event for event in late.sink.events if isinstance(event, SubscriptionCount)]
        assert [event.subscription_count for event in counts] == [1, 2]


@pytest.mark.parametrize("app", [app_with(max_connections=2)])
async def test_who_may_come_in_is_greeted_when_the_ledger_says_so(
    late: Serving, lateness: Lateness
) -> None:
    """What the client sends meanwhile waits."""
    lateness.late = {"admit"}
    client = await late.connect()
    await waiting(lateness, "admit")
    await client.send_text(client.subscription("a"))
    await client.send("pusher:ping", {})
    assert not late.hub.connections
    lateness.release("admit")
    await client.expect_established()
    await client.expect_subscribed("a")
    await client.expect("pusher:pong")
    await client.subscribe("b")
    await client.expect_subscribed("b")


@pytest.mark.parametrize("app", [app_with(max_connections=2)])
async def test_connections_of_other_nodes_count_as_well(late: Serving, lateness: Lateness) -> None:
    """The ledger knows more connections than this node, and those that are waiting too."""
    lateness.late = {"admit"}
    clients = [await late.connect() for _ in range(3)]
    await waiting(lateness, "admit", 3)
    lateness.release_each("admit")
    for client in clients[:2]:
        await client.expect_established()
    await clients[2].expect_closed(4004)
    assert late.counters.connections_refused["over_quota"] == 1
    clients[0].reset()
    await eventually(lambda: len(late.hub.connections) == 1)
    lateness.late.clear()
    await late.established()


@pytest.mark.parametrize("app", [app_with(max_connections=2)])
async def test_who_may_or_may_not_come_in_is_told_to_come_again(
    late: Serving, lateness: Lateness
) -> None:
    """4004 would make its client give up for good."""
    lateness.unavailable = True
    client = await late.connect()
    await client.expect_closed(4100)
    assert late.hub.entering == 0
    lateness.unavailable = False
    await late.established()


@pytest.mark.parametrize("app", [app_with(max_connections=2)])
async def test_who_leaves_before_coming_in_is_not_counted(
    late: Serving, lateness: Lateness
) -> None:
    lateness.late = {"admit"}
    client = await late.connect()
    await waiting(lateness, "admit")
    client.reset()
    await eventually(lambda: late.open_sockets == 0)
    lateness.release("admit")
    assert not late.hub.connections
    assert late.hub.entering == 0
    lateness.late.clear()
    for _ in range(2):
        await late.established()
    refused = await late.connect()
    await refused.expect_closed(4004)


@pytest.mark.parametrize("app", [app_with(max_connections=2)])
async def test_who_comes_in_while_the_node_stops_is_sent_elsewhere(
    late: Serving, lateness: Lateness
) -> None:
    lateness.late = {"admit"}
    client = await late.connect()
    await waiting(lateness, "admit")
    late.node.draining = True
    lateness.release("admit")
    await client.expect_closed(4200)


def change_app(late: Serving, app: App | None) -> None:
    """As an operator does on another node."""
    late.node.apps = StaticApps(() if app is None else (app,))
    late.bus.change_app(APP.id, lambda told: None)


@pytest.mark.parametrize(
    ("app_now", "code"), [(replace(APP, enabled=False), 4003), (None, 4001)], ids=["off", "gone"]
)
async def test_an_application_that_is_no_more_closes_its_connections(
    late: Serving, app_now: App | None, code: int
) -> None:
    """Its members go at once, whatever grace it gave."""
    late.hub.change(replace(APP, leave_grace_seconds=60))
    client = await late.established()
    await client.enter("presence-a", "u")
    change_app(late, app_now)
    await client.expect_closed(code)
    subject = Subject(APP.id, SubjectKind.PRESENCE, "presence-a")
    rosters: list[object] = []
    late.ledger.roster(subject, lambda roster: rosters.append(roster))
    assert [getattr(roster, "members", None) for roster in rosters] == [()]
    again = await late.connect()
    await again.expect_closed(code)


async def test_changed_settings_hold_for_connections_that_are_there(late: Serving) -> None:
    client = await late.join("private-a")
    change_app(late, app_with(client_events=False, max_channels_per_connection=1))
    await client.send("client-hi", {}, "private-a")
    assert "enable this feature" in await client.expect_error()
    await client.subscribe("b")
    assert "Limit of 1 channels" in await client.expect_error()


@pytest.mark.parametrize("app", [app_with(max_connections=2)])
async def test_who_waits_to_come_in_is_refused_if_the_application_is_off(
    late: Serving, lateness: Lateness
) -> None:
    lateness.late = {"admit"}
    client = await late.connect()
    await waiting(lateness, "admit")
    change_app(late, app_with(max_connections=2, enabled=False))
    lateness.release("admit")
    await client.expect_closed(4003)
    assert late.hub.entering == 0


async def test_members_stay_as_they_are_while_the_engine_is_away(
    late: Serving, lateness: Lateness
) -> None:
    """Who is there is shown to nobody as gone."""
    client, other = await late.established(), await late.established()
    await client.enter("presence-a", "client")
    await other.enter("presence-a", "other")
    await client.expect(MEMBER_ADDED, "presence-a")
    lateness.unavailable = True
    newcomer = await late.established()
    await newcomer.subscribe("presence-a", "newcomer")
    await newcomer.expect_closed(4100)
    lateness.unavailable = False
    told = await client.barrier()
    assert MEMBER_REMOVED not in [message.event for message in told]
