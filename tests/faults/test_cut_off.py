"""A node that is frozen or has lost the engine for longer than its lease, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.servers import HOST, Valkey
from conformance.harness.proof import PROOF
from conformance.harness.websocket import Endpoint
from faults.apps import APPS, MAIN
from faults.audit import assert_consistent
from faults.client import Client
from faults.clients import Clients, answers_equal_the_truth, member_events, settled, until
from faults.deployment import Deployment, Node, Setup
from faults.source import with_scripts, without_fence
from faults.stream import MemberEvent
from faults.times import AWAY, BACK, CLUSTER, LEASE, NOTICED_LOST

USERS = 30 if PROOF else 6


def cut(node: Node) -> None:
    assert node.link is not None
    node.link.cut()


def heal(node: Node) -> None:
    assert node.link is not None
    node.link.heal()


Fault = tuple[Callable[[Node], None], Callable[[Node], None]]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fault", [(Node.freeze, Node.thaw), (cut, heal)], ids=["frozen", "cut off"]
)
async def test_its_users_are_removed_once_and_added_once(
    deployment: Deployment, valkey: Valkey, clients: Clients, fault: Fault
) -> None:
    begin, end = fault
    room = f"presence-island-{begin.__name__}"
    island, *others = deployment.serving
    witnesses = await clients.witnesses(others, MAIN, room)
    users = [await clients.join(island, MAIN, f"islander-{i}", room) for i in range(USERS)]
    leaver = await clients.join(others[0], MAIN, "leaver", room)
    both = [await clients.join(node, MAIN, "both", room) for node in (island, others[0])]
    left_unseen = await clients.join(island, MAIN, "left-unseen", room)
    await settled(clients, [room])
    before = member_events(witnesses, room)

    begin(island)
    await leaver.close()
    newcomer = await clients.join(others[1], MAIN, "newcomer", room)
    await left_unseen.reset()
    await asyncio.sleep(AWAY)
    end(island)
    await settled(clients, [room], BACK)
    await answers_equal_the_truth(deployment, clients, MAIN, [room], BACK)
    await asyncio.sleep(NOTICED_LOST)
    await settled(clients, [room], BACK)

    seen = member_events(witnesses, room) - before
    for client in users:
        for witness in witnesses:
            changes = [event.change for event in witness.member_events(room, client.user)]
            assert changes in (["added"], ["added", "removed", "added"])
    assert seen[MemberEvent(room, "removed", "leaver")] == len(witnesses)
    assert seen[MemberEvent(room, "removed", "left-unseen")] == len(witnesses)
    assert seen[MemberEvent(room, "added", newcomer.user)] == len(witnesses)
    assert not {event for event in seen if event.user == "both"}, "who is elsewhere too stays"
    for client in (*users, both[0]):
        assert client.closes == []
        moved = [
            event.user
            for event in client.member_events(room)
            if event.user.startswith("islander") and event.change == "removed"
        ]
        assert moved == [], "the island's own clients saw each other go"
    await answers_equal_the_truth(deployment, clients, MAIN, [room])
    clients.assert_valid()
    assert_consistent(valkey.url)


async def awake_too_late(
    deployment: Deployment, clients: Clients, room: str
) -> tuple[list[Client], list[Client]]:
    """A node is frozen with client frames and engine commands in its buffers, and thawed.

    The commands arrive at the engine after the node has been declared dead, while it is still
    frozen. The answer is who watches on the other nodes, and who must never be seen by them.
    """
    island, *others = deployment.serving
    assert island.link is not None
    witnesses = await clients.witnesses(others, MAIN, room)
    islander = await clients.join(island, MAIN, "islander", room)
    early = [clients.new(island, MAIN, f"ghost-early-{i}") for i in range(USERS)]
    late = [clients.new(island, MAIN, f"ghost-late-{i}") for i in range(USERS)]
    for ghost in (*early, *late):
        await ghost.connect()
    await settled(clients, [room])

    island.link.cut()
    for ghost in early:
        await ghost.ask(room)
    await asyncio.gather(*(ghost.ping() for ghost in early))
    island.freeze()
    for ghost in late:
        await ghost.ask(room)
    for ghost in (*early, *late):
        await ghost.reset()
    await until(
        lambda: member_events(witnesses, room)[MemberEvent(room, "removed", islander.user)] == 2,
        "the frozen node is declared dead",
        NOTICED_LOST + 10,
    )
    island.link.heal()
    await asyncio.sleep(LEASE)
    return witnesses, [*early, *late]


def ghosts_seen(witnesses: list[Client], room: str) -> set[str]:
    return {
        event.user
        for event in member_events(witnesses, room)
        if event.user.startswith("ghost") and event.change == "added"
    }


@pytest.mark.anyio
async def test_a_frozen_node_changes_nothing_before_it_has_registered_again(
    deployment: Deployment, valkey: Valkey, clients: Clients
) -> None:
    room = "presence-haunted"
    witnesses, ghosts = await awake_too_late(deployment, clients, room)
    assert ghosts_seen(witnesses, room) == set(), "an engine command of the dead node took effect"
    for node in deployment.serving:
        with node.api(MAIN) as api:
            assert not {user for user in api.user_ids(room) if user.startswith("ghost")}

    island = next(node for node in deployment.nodes if node.frozen)
    island.thaw()
    await settled(clients, [room], BACK)
    await asyncio.sleep(NOTICED_LOST)
    await settled(clients, [room], BACK)
    assert ghosts_seen(witnesses, room) == set(), "frames of connections that were gone took effect"
    await answers_equal_the_truth(deployment, clients, MAIN, [room])
    clients.assert_valid()
    assert_consistent(valkey.url)
    assert len(ghosts) == 2 * USERS


@pytest.mark.anyio
async def test_without_the_fence_a_frozen_node_writes_ghosts(
    clients: Clients, tmp_path: Path
) -> None:
    """The scenario can fail: with the incarnation check taken out of the scripts it does."""
    room = "presence-haunted"
    valkey = Valkey(tmp_path / "valkey")
    valkey.start()
    setup = with_scripts(Setup(APPS, CLUSTER), tmp_path / "src", without_fence)
    try:
        with Deployment(tmp_path / "nodes", setup, Endpoint(HOST, valkey.port)) as deployment:
            witnesses, _ = await awake_too_late(deployment, clients, room)
            assert ghosts_seen(witnesses, room)
            await clients.close()
            clients.all.clear()
    finally:
        valkey.kill()
