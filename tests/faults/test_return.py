"""Who is away for a moment, and who is away for good without a word."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import cycle

import pytest

from conformance.harness.apps import Settings
from conformance.harness.proof import PROOF
from faults.apps import GRACE, MAIN, PATIENT
from faults.clients import Clients, answers_equal_the_truth, member_events, settled, until
from faults.deployment import Deployment
from faults.stream import MemberEvent

RECONNECTS = 50 if PROOF else 10
SERVER: Settings = {} if PROOF else {"ping_interval_seconds": 1.5, "pong_timeout_seconds": 1.5}
REMOVED_WITHIN = 40.0 if PROOF else 1.5 + 1.5 + GRACE + 2.0


@pytest.mark.anyio
@pytest.mark.parametrize("elsewhere", [False, True], ids=["same node", "another node"])
async def test_who_comes_back_within_the_grace_was_never_gone(
    deployment: Deployment, clients: Clients, elsewhere: bool
) -> None:
    """Nobody sees anything of many reconnects, neither in the room nor in a watchlist."""
    room, watched = f"presence-return-{elsewhere}", f"returning-{elsewhere}"
    nodes = deployment.serving
    witnesses = await clients.witnesses(nodes, PATIENT, room)
    watchers = [
        clients.new(node, PATIENT, f"watcher-{node.name}", watchlist=[watched]) for node in nodes
    ]
    places = cycle(node.endpoint for node in (nodes if elsewhere else nodes[:1]))
    returning = clients.new(partial(next, places), PATIENT, watched, back_off=0.05)
    await returning.connect()
    await returning.sign_in()
    await returning.subscribe(room)
    for watcher in watchers:
        await watcher.connect()
        await watcher.sign_in()
        await watcher.watches({watched: True})
    await settled(clients, [room])
    before = member_events(witnesses, room)

    for number in range(RECONNECTS):
        returning.drop()
        await returning.back(room, closes=number + 1)
        await returning.until(lambda: returning.stream.signed_in, "to be signed in again")

    await answers_equal_the_truth(deployment, clients, PATIENT, [room])
    after = await clients.join(nodes[1], PATIENT, "after", room)
    await settled(clients, [room])
    seen = member_events(witnesses, room) - before
    assert dict(seen) == {MemberEvent(room, "added", after.user): len(witnesses)}
    for watcher in watchers:
        assert watcher.stream.watchlist_events == 1, "a watchlist saw it go"
    assert len(returning.streams) == RECONNECTS + 1


@pytest.mark.anyio
@pytest.mark.parametrize("flowing", [False, True], ids=["in silence", "while events flow"])
async def test_a_silent_peer_is_removed(
    deployment: Deployment, clients: Clients, flowing: bool
) -> None:
    """Its socket stays open and takes what is sent, but nobody answers any more."""
    room = f"presence-silent-{flowing}"
    nodes = deployment.serving
    witnesses = await clients.witnesses(nodes, MAIN, room)
    silent = await clients.join(nodes[0], MAIN, "silent", room)
    await settled(clients, [room])
    gone = MemberEvent(room, "removed", silent.user)

    silent.fall_silent()

    async def publish() -> None:
        with nodes[1].api(MAIN) as api:
            while True:
                await asyncio.to_thread(api.publish, "tick", room, "x")
                await asyncio.sleep(0.2)

    load = asyncio.create_task(publish()) if flowing else None
    try:
        took = await until(
            lambda: member_events(witnesses, room)[gone] == len(witnesses),
            "the silent member is removed",
            REMOVED_WITHIN + 20,
        )
    finally:
        if load is not None:
            load.cancel()
    assert took <= REMOVED_WITHIN, f"only after {took:.1f} s"
    assert all(len(witness.events(room, "tick")) > 0 for witness in witnesses) is flowing
