"""Who is given time to return, for how long, and what he is meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from herenow.protocol.errors import RECONNECT, SLOW_READER
from server.client import MEMBER_ADDED, MEMBER_REMOVED, WATCHLIST, Client
from server.serving import APP, Serving, app_with, eventually, serving

pytestmark = pytest.mark.anyio

GRACE = 0.5
LONG_GRACE = 60.0
LONG = app_with(leave_grace_seconds=LONG_GRACE)

Going = Callable[[Serving, Client], Awaitable[None]]


async def closed(started: Serving, client: Client) -> None:
    await client.leave()


async def lost(started: Serving, client: Client) -> None:
    client.reset()


async def too_slow(started: Serving, client: Client) -> None:
    started.connection(client).close(SLOW_READER)


async def malformed(started: Serving, client: Client) -> None:
    await client.send_bytes(b"\xff\xff\xff\xff")


async def unsubscribed(started: Serving, client: Client) -> None:
    await client.unsubscribe("presence-a")


async def terminated(started: Serving, client: Client) -> None:
    path = f"/apps/{started.app.id}/users/goer/terminate_connections"
    assert (await started.call("POST", path, {})).status == 200


async def drained(started: Serving, client: Client) -> None:
    drain_grace = started.node.settings.drain_grace_seconds
    grace = max(started.app.leave_grace_seconds, drain_grace)
    started.connection(client).close(RECONNECT, grace)


@pytest.fixture
async def started() -> AsyncIterator[Serving]:
    async with serving(LONG) as started:
        yield started


async def room(started: Serving) -> tuple[Client, Client]:
    """One who stays, and one about to go who is signed in as well."""
    stays = await started.established()
    await stays.sign_in("stayer", ("goer",))
    await stays.expect(WATCHLIST)
    await stays.enter("presence-a", "stayer")
    goes = await started.established()
    await goes.sign_in("goer")
    await goes.enter("presence-a", "goer")
    await stays.expect(WATCHLIST)
    await stays.expect(MEMBER_ADDED, "presence-a")
    return stays, goes


async def without_connection(started: Serving, client: Client) -> None:
    await eventually(lambda: client.socket_id not in started.hub.connections)


@pytest.mark.parametrize("go", [closed, lost, too_slow, malformed, drained])
async def test_who_lost_the_connection_stays_a_member(started: Serving, go: Going) -> None:
    stays, goes = await room(started)
    await go(started, goes)
    await without_connection(started, goes)
    await stays.expect_nothing()
    assert await started.user_ids("presence-a") == ["stayer", "goer"]
    returned = await started.established()
    assert await returned.enter("presence-a", "goer") == ["stayer", "goer"]
    await returned.sign_in("goer")
    await stays.expect_nothing()


@pytest.mark.parametrize("go", [unsubscribed, terminated])
async def test_who_means_to_go_goes_at_once(started: Serving, go: Going) -> None:
    stays, goes = await room(started)
    await go(started, goes)
    expected = {MEMBER_REMOVED, WATCHLIST} if go is terminated else {MEMBER_REMOVED}
    assert {(await stays.next()).event for _ in expected} == expected
    assert await started.user_ids("presence-a") == ["stayer"]


async def test_who_never_showed_an_authorization_goes_at_once() -> None:
    """Such a connection is on no presence channel, so its end can only be seen by itself."""
    app = app_with(LONG, authorized_connections=True, authorization_timeout_seconds=0.1)
    async with serving(app) as started:
        client = await started.join("news")
        await client.expect_closed(4009)
        assert started.hub.channels == {}


async def test_who_does_not_return_is_removed_when_the_grace_ends() -> None:
    async with serving(app_with(leave_grace_seconds=GRACE)) as started:
        stays, goes = await room(started)
        began = asyncio.get_running_loop().time()
        goes.reset()
        removals = {(await stays.next()).event, (await stays.next()).event}
        assert removals == {MEMBER_REMOVED, WATCHLIST}
        assert asyncio.get_running_loop().time() - began >= GRACE * 0.95
        assert await started.user_ids("presence-a") == ["stayer"]
        await stays.expect_nothing()


async def test_without_grace_everything_is_as_on_pusher() -> None:
    async with serving(app_with(leave_grace_seconds=0)) as started:
        stays, goes = await room(started)
        goes.reset()
        assert {(await stays.next()).event for _ in range(2)} == {MEMBER_REMOVED, WATCHLIST}


@pytest.mark.parametrize(
    ("leave_grace", "drain_grace"), [(0.0, LONG_GRACE), (LONG_GRACE, 0.0), (0.0, 0.0)]
)
async def test_a_drain_gives_the_longer_of_both_graces(
    leave_grace: float, drain_grace: float
) -> None:
    app = app_with(leave_grace_seconds=leave_grace)
    async with serving(app, drain_grace_seconds=drain_grace) as started:
        goes = await started.established()
        await goes.enter("presence-a", "goer")
        await started.node.drain()
        await goes.expect_closed(4200)
        kept = ["goer"] if max(leave_grace, drain_grace) else []
        assert await started.user_ids("presence-a") == kept


async def test_a_departing_member_is_counted_as_one(started: Serving) -> None:
    _, goes = await room(started)
    goes.reset()
    await without_connection(started, goes)
    path = f"/apps/{APP.id}/channels"
    answer = await started.call("GET", f"{path}/presence-a", query="info=user_count")
    assert json.loads(answer.body) == {"occupied": True, "user_count": 2}
    answer = await started.call("GET", path, query="filter_by_prefix=presence-&info=user_count")
    assert json.loads(answer.body) == {"channels": {"presence-a": {"user_count": 2}}}


async def test_a_room_of_departing_members_is_occupied(started: Serving) -> None:
    client = await started.established()
    await client.enter("presence-a", "goer")
    client.reset()
    await eventually(lambda: not started.hub.connections)
    answer = await started.call("GET", f"/apps/{APP.id}/channels/presence-a")
    assert json.loads(answer.body) == {"occupied": True}
    newcomer = await started.established()
    assert await newcomer.enter("presence-a", "newcomer") == ["goer", "newcomer"]


async def test_a_departing_user_is_online_to_who_asks(started: Serving) -> None:
    _, goes = await room(started)
    goes.reset()
    await without_connection(started, goes)
    asks = await started.established()
    await asks.sign_in("asker", ("goer",))
    told = await asks.expect(WATCHLIST)
    assert told.decoded == {"events": [{"name": "online", "user_ids": ["goer"]}]}


async def test_a_newcomer_takes_the_place_of_who_departs() -> None:
    async with serving(app_with(LONG, max_presence_members=3)) as started:
        stays, first, second = [await started.established() for _ in range(3)]
        for client, user in ((stays, "stays"), (first, "first"), (second, "second")):
            await client.enter("presence-a", user)
        await stays.barrier()
        for client in (first, second):
            client.reset()
            await without_connection(started, client)
        newcomer = await started.established()
        roster = await newcomer.enter("presence-a", "new")
        assert sorted(roster) == ["new", "second", "stays"]
        assert (await stays.expect(MEMBER_REMOVED, "presence-a")).decoded["user_id"] == "first"
        assert (await stays.expect(MEMBER_ADDED, "presence-a")).decoded["user_id"] == "new"


async def test_a_member_with_another_connection_does_not_depart(started: Serving) -> None:
    stays, goes = await room(started)
    other = await started.established()
    await other.enter("presence-a", "goer")
    goes.reset()
    await without_connection(started, goes)
    await other.unsubscribe("presence-a")
    await stays.expect_nothing()
    assert await started.user_ids("presence-a") == ["stayer", "goer"]


async def test_what_counts_connections_changes_at_once() -> None:
    async with serving(app_with(LONG, subscription_count=True)) as started:
        stays, goes = await started.join("news"), await started.join("news")
        await stays.barrier()
        await goes.barrier()
        goes.reset()
        count = await stays.expect("pusher_internal:subscription_count", "news")
        assert count.decoded == {"subscription_count": 1}
        stays.reset()
        await eventually(lambda: not started.hub.connections)
        answer = await started.call("GET", f"/apps/{APP.id}/channels/news")
        assert json.loads(answer.body) == {"occupied": False, "subscription_count": 0}
