"""A node that dies, and one that is asked to end."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import count, cycle

import pytest

from cluster.servers import Valkey
from conformance.harness.proof import PROOF
from faults.apps import MAIN, PATIENT
from faults.audit import assert_consistent
from faults.clients import (
    Clients,
    answers_equal_the_truth,
    member_events,
    settled,
    until,
)
from faults.deployment import Deployment
from faults.stream import MemberEvent
from faults.times import NOTICED_LOST

LOST = 50 if PROOF else 10
GOING_ON_SECONDS = 5.0 if PROOF else 1.5


@pytest.mark.anyio
async def test_users_of_a_killed_node_are_removed_once(
    deployment: Deployment, valkey: Valkey, clients: Clients
) -> None:
    room = "presence-kill"
    victim, *others = deployment.serving
    witnesses = await clients.witnesses(others, MAIN, room)
    lost = [clients.new(victim, MAIN, f"lost-{i}") for i in range(LOST)]
    both = [clients.new(node, MAIN, "here-and-there") for node in (victim, others[0])]
    elsewhere = clients.new(others[1], MAIN, "elsewhere")
    for client in (*lost, *both, elsewhere):
        await client.connect()
        await client.subscribe(room)
    await settled(clients, [room])
    before = member_events(witnesses, room)

    for client in (*lost, both[0]):
        client.wanted = False
    victim.kill()
    gone = {MemberEvent(room, "removed", client.user): len(witnesses) for client in lost}
    took = await until(
        lambda: (
            (member_events(witnesses, room) - before).keys() >= gone.keys()
            and (member_events(witnesses, room) - before).total() >= sum(gone.values())
        ),
        "all users of the killed node are removed",
        NOTICED_LOST + 20,
    )
    assert took <= NOTICED_LOST, f"only after {took:.1f} s"

    await settled(clients, [room])
    await answers_equal_the_truth(deployment, clients, MAIN, [room])
    assert dict(member_events(witnesses, room) - before) == gone
    assert clients.truth(room) >= {"here-and-there", "elsewhere"}
    assert_consistent(valkey.url)


@pytest.mark.anyio
async def test_a_node_that_is_asked_to_end_is_left_unseen(
    deployment: Deployment, clients: Clients
) -> None:
    """Under load: no event is lost elsewhere, and the node's users come back unseen by others."""
    room = "presence-drain"
    leaving, *others = deployment.serving
    witnesses = await clients.witnesses(others, PATIENT, room)
    movers = [clients.new(leaving, PATIENT, f"mover-{i}") for i in range(LOST)]
    for mover in movers:
        await mover.connect()
        await mover.subscribe(room)
    await settled(clients, [room])
    before = member_events(clients.all, room)

    publishing = True

    async def publish() -> list[int]:
        published = []
        with others[0].api(PATIENT) as api:
            for number in count():
                if not publishing:
                    break
                await asyncio.to_thread(api.publish, "tick", room, str(number))
                published.append(number)
                await asyncio.sleep(0.005)
        return published

    load = asyncio.create_task(publish())
    await asyncio.sleep(GOING_ON_SECONDS / 2)
    places = cycle(node.endpoint for node in others)
    for mover in movers:
        mover.route = partial(next, places)
    leaving.terminate()
    assert await asyncio.to_thread(leaving.wait) == 0
    await asyncio.gather(*(mover.back(room) for mover in movers))
    await asyncio.sleep(GOING_ON_SECONDS / 2)
    publishing = False
    published = await load

    assert [[close.code for close in mover.closes] for mover in movers] == [[4200]] * len(movers)
    for witness in witnesses:
        heard = await witness.heard(room, "tick", len(published))
        assert [int(data) for data in heard] == published
    await settled(clients, [room])
    await answers_equal_the_truth(deployment, clients, PATIENT, [room])
    assert dict(member_events(clients.all, room) - before) == {}, "somebody saw them move"
