"""Everything else that clients and backends rely on, over the nodes of a deployment."""

from __future__ import annotations

import asyncio
import json
from itertools import product
from typing import Any

import pytest

from conformance.harness.proof import PROOF
from faults.apps import (
    COUNTED,
    FEW_CONNECTIONS,
    MAIN,
    QUOTA,
    RATE,
    RATED,
    ROOM_LIMIT,
    SMALL_ROOMS,
)
from faults.clients import Clients, settled, until
from faults.deployment import Deployment, Node

ROUNDS = 20 if PROOF else 3
BATCHES = 200 if PROOF else 40


@pytest.mark.anyio
async def test_watchlists_follow_users_of_all_nodes(
    deployment: Deployment, clients: Clients
) -> None:
    nodes = deployment.serving
    users = [f"watched-{i}" for i in range(4)]
    first = clients.new(nodes[0], MAIN, users[0])
    await first.connect()
    await first.sign_in()
    watchers = [clients.new(node, MAIN, f"watcher-{node.name}", watchlist=users) for node in nodes]
    for watcher in watchers:
        await watcher.connect()
        await watcher.sign_in()
    online = dict.fromkeys(users, False) | {users[0]: True}
    await asyncio.gather(*(watcher.watches(online) for watcher in watchers))

    for _ in range(ROUNDS):
        pages = [clients.new(node, MAIN, user) for node, user in product(nodes, users[1:])]
        await asyncio.gather(*(page.connect() for page in pages))
        await asyncio.gather(*(page.sign_in() for page in pages))
        everybody = dict.fromkeys(users, True)
        await asyncio.gather(*(watcher.watches(everybody) for watcher in watchers))
        await asyncio.gather(*(page.close() for page in pages))
        await asyncio.gather(*(watcher.watches(online) for watcher in watchers))

    for watcher in watchers:
        told = watcher.stream.watchlist_events
        assert told <= 1 + ROUNDS * 2 * len(users[1:]), "more changes were told than there were"


@pytest.mark.anyio
async def test_every_node_knows_every_user(deployment: Deployment, clients: Clients) -> None:
    """Who is online, in which rooms, how a roster changed, and when somebody was last seen."""
    nodes = deployment.serving
    rooms = [f"presence-of-{node.name}" for node in nodes]
    pages = [
        await clients.join(node, MAIN, "everywhere", room)
        for node, room in zip(nodes, rooms, strict=True)
    ]
    for page in pages:
        await page.sign_in()

    def user_of(node: Node) -> dict[str, Any]:
        with node.api(MAIN) as api:
            user: dict[str, Any] = api.get("users/everywhere").accepted()
            return user

    # For one lease a new engine does not know whether everybody has registered.
    await until(lambda: all(user_of(node)["complete"] for node in nodes), "answers are complete")
    revisions = {}
    for node in nodes:
        with node.api(MAIN) as api:
            user = user_of(node)
            assert (user["online"], user["connections"]) == (True, len(nodes))
            assert (user["channels"], user["complete"]) == (sorted(rooms), True)
            statuses = api.post("users/status", {"ids": ["everywhere", "nowhere"]}).accepted()
            assert [statuses["users"][name]["online"] for name in ("everywhere", "nowhere")] == [
                True,
                False,
            ]
            path = f"channels/{rooms[0]}/users"
            revisions[node] = api.get(path, since="0").accepted()["revision"]
    await clients.join(nodes[-1], MAIN, "newcomer", rooms[0])
    for node, revision in revisions.items():
        with node.api(MAIN) as api:
            changes = api.get(f"channels/{rooms[0]}/users", since=str(revision)).accepted()
            assert (changes["full"], changes["added"]) == (False, [{"id": "newcomer"}])
    for page in pages:
        await page.close()

    def is_gone(node: Node) -> bool:
        # Leaving a room is being seen, too.
        user = user_of(node)
        return not user["online"] and not user["channels"]

    await until(lambda: all(map(is_gone, nodes)), "the user is offline and in no room")
    with nodes[0].api(MAIN) as api:
        assert api.get("users/everywhere").accepted()["last_seen"] is not None
        assert api.post("users/everywhere/forget", {}).accepted() == {"complete": True}
    with nodes[-1].api(MAIN) as api:
        assert api.get("users/everywhere").accepted()["last_seen"] is None


@pytest.mark.anyio
async def test_counts_are_those_of_all_nodes(deployment: Deployment, clients: Clients) -> None:
    nodes = deployment.serving
    channel = "news"
    readers = [
        await clients.join(node, COUNTED, f"reader-{i}", channel)
        for i, node in enumerate(nodes * 2)
    ]

    async def all_show(number: int) -> None:
        for reader in clients.on(channel):
            await reader.counts(channel, number)

    await all_show(len(readers))
    await readers[0].unsubscribe(channel)
    await all_show(len(readers) - 1)
    await readers[1].reset()
    await all_show(len(readers) - 2)
    for node in nodes:
        with node.api(COUNTED) as api:
            state = api.get(f"channels/{channel}", info="subscription_count").accepted()
            assert state == {"occupied": True, "subscription_count": len(readers) - 2}
    for reader in readers:
        await reader.close()

    def occupied(node: Node) -> bool:
        with node.api(COUNTED) as api:
            return api.occupied(channel)

    await until(lambda: not any(map(occupied, nodes)), "the channel is vacant on all nodes")


@pytest.mark.anyio
async def test_a_cached_event_is_found_on_every_node(
    deployment: Deployment, clients: Clients
) -> None:
    nodes = deployment.serving
    channel = "cache-weather"
    for number, publisher in enumerate(nodes):
        with publisher.api(MAIN) as api:
            api.publish("report", channel, str(number))
        for node in nodes:
            late = await clients.join(node, MAIN, "late", channel)
            assert await late.heard(channel, "report", 1) == [str(number)]
            with node.api(MAIN) as api:
                cache = api.get(f"channels/{channel}", info="cache").accepted()["cache"]
            assert cache["data"] == str(number)
            await late.close()


@pytest.mark.anyio
async def test_client_events_reach_everybody_else(deployment: Deployment, clients: Clients) -> None:
    nodes = deployment.serving
    room = "presence-typing"
    pages = [
        await clients.join(node, MAIN, f"writer-{i}", room) for i, node in enumerate(nodes * 2)
    ]
    for number, page in enumerate(pages):
        await page.trigger(room, "client-typing", number)
    for number, page in enumerate(pages):
        heard = await page.heard(room, "client-typing", len(pages) - 1)
        assert sorted(map(int, heard)) == [n for n in range(len(pages)) if n != number]


@pytest.mark.anyio
async def test_a_publisher_can_leave_out_a_connection_of_another_node(
    deployment: Deployment, clients: Clients
) -> None:
    nodes = deployment.serving
    channel = "news-without-one"
    pages = [await clients.join(node, MAIN, f"page-{i}", channel) for i, node in enumerate(nodes)]
    for page, publisher in product(pages, nodes):
        with publisher.api(MAIN) as api:
            api.publish("one", channel, page.user, socket_id=page.stream.socket_id)
            api.publish("all", channel, page.user)
    for page in pages:
        await page.heard(channel, "all", len(pages) * len(nodes))
        assert sorted(page.events(channel, "one")) == sorted(
            other.user for other in pages if other is not page for _ in nodes
        )


@pytest.mark.anyio
async def test_a_terminated_user_is_closed_on_every_node(
    deployment: Deployment, clients: Clients
) -> None:
    nodes = deployment.serving
    room = "presence-terminate"
    pages = [clients.new(node, MAIN, "banned") for node in nodes]
    bystander = await clients.join(nodes[0], MAIN, "bystander", room)
    for page in pages:
        await page.connect()
        await page.sign_in()
        await page.subscribe(room)
    await settled(clients, [room])
    with nodes[1].api(MAIN) as api:
        api.terminate("banned")
    for page in pages:
        await page.closed_with(4009)
    await settled(clients, [room])
    assert bystander.members(room) == {"bystander"}
    assert [event.change for event in bystander.member_events(room)] == ["added", "removed"]


@pytest.mark.anyio
async def test_what_is_sent_to_a_user_reaches_each_connection(
    deployment: Deployment, clients: Clients
) -> None:
    nodes = deployment.serving
    pages = [clients.new(node, MAIN, "ada") for node in nodes]
    channel = "#server-to-user-ada"
    for page in pages:
        await page.connect()
        await page.sign_in()
        await page.subscribed(channel)
    for number, node in enumerate(nodes):
        with node.api(MAIN) as api:
            api.publish("invoice", channel, str(number))
    for page in pages:
        assert await page.heard(channel, "invoice", len(nodes)) == ["0", "1", "2"]


@pytest.mark.anyio
async def test_the_limit_of_connections_is_that_of_all_nodes(
    deployment: Deployment, clients: Clients
) -> None:
    nodes = deployment.serving

    def connections(node: Node) -> int:
        stats = node.admin(f"/api/apps/{FEW_CONNECTIONS.id}/stats").accepted()
        return int(stats["connections"])

    async def round_of_connections() -> None:
        pages = [
            clients.new(nodes[i % len(nodes)], FEW_CONNECTIONS, f"page-{i}")
            for i in range(2 * QUOTA)
        ]
        for page in pages:
            page.begin()
        await until(
            lambda: (
                all(page.closes or page.is_connected for page in pages)
                and sum(bool(page.closes) for page in pages) == QUOTA
            ),
            "as many are refused as are too many",
            explain=lambda: [page.story() for page in pages],
        )
        assert {close.code for page in pages for close in page.closes} == {4004}
        assert [connections(node) for node in nodes] == [QUOTA] * len(nodes)
        for page in pages:
            await page.close()
        await until(lambda: not any(map(connections, nodes)), "nobody is connected")

    for _ in range(ROUNDS):
        await round_of_connections()


@pytest.mark.anyio
async def test_the_limit_of_members_is_that_of_all_nodes(
    deployment: Deployment, clients: Clients
) -> None:
    nodes = deployment.serving
    for number in range(ROUNDS):
        room = f"presence-small-{number}"
        pages = [
            clients.new(nodes[i % len(nodes)], SMALL_ROOMS, f"page-{i}")
            for i in range(2 * ROOM_LIMIT)
        ]
        for page in pages:
            page.may_be_refused = True
        await asyncio.gather(*(page.connect() for page in pages))
        await asyncio.gather(*(page.ask(room) for page in pages))
        await asyncio.gather(*(page.answered(room) for page in pages))
        assert len(clients.truth(room)) == ROOM_LIMIT
        await settled(clients, [room])
        inside = sorted(clients.truth(room))
        tab = await clients.join(nodes[number % len(nodes)], SMALL_ROOMS, inside[0], room)
        assert tab.members(room) == set(inside)


@pytest.mark.anyio
async def test_the_rate_of_events_is_that_of_all_nodes(deployment: Deployment) -> None:
    """A bucket of ``RATE`` events for the app, from which every node takes."""
    statuses = []
    for _ in range(2):
        for node in deployment.serving:
            with node.api(RATED) as api:
                answers = [api.trigger("tick", "news", "x") for _ in range(RATE)]
            statuses += [answer.status for answer in answers]
            for answer in answers:
                assert answer.status == 200 or int(answer.headers["retry-after"]) >= 1
    assert set(statuses) == {200, 429}
    assert statuses.count(200) < 4 * RATE, "each node counted for itself"
    assert statuses[:RATE] == [200] * RATE


@pytest.mark.anyio
async def test_every_node_delivers_a_channels_events_in_the_same_order(
    deployment: Deployment, clients: Clients
) -> None:
    """Batches published on all nodes at once: one order for all, a batch stays in its own."""
    nodes = deployment.serving
    channel = "news-in-order"
    readers = [
        await clients.join(node, MAIN, f"reader-{i}", channel) for i, node in enumerate(nodes)
    ]

    def publish(node: Node) -> None:
        with node.api(MAIN) as api:
            for number in range(BATCHES):
                batch = [
                    {"name": "line", "channel": channel, "data": json.dumps([node.name, number, i])}
                    for i in range(5)
                ]
                assert api.post("batch_events", {"batch": batch}).accepted() is not None

    await asyncio.gather(*(asyncio.to_thread(publish, node) for node in nodes))
    heard = [await reader.heard(channel, "line", 5 * BATCHES * len(nodes)) for reader in readers]
    assert heard[0] == heard[1] == heard[2]
    for node in nodes:
        lines = [line for name, *line in map(json.loads, heard[0]) if name == node.name]
        assert lines == [[number, i] for number in range(BATCHES) for i in range(5)]
