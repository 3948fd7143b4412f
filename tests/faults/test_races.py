"""Connections that come and go at the same moment on different nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from conformance.harness.apps import App
from conformance.harness.proof import PROOF
from faults.apps import EXACT, MAIN
from faults.clients import Clients, answers_equal_the_truth, member_events, settled, until
from faults.deployment import Deployment, Node
from faults.stream import MemberEvent

RACES = 200 if PROOF else 10
AT_ONCE = 10
TABS = 6
GONE_SECONDS = 20.0


def batches(races: int) -> Iterator[range]:
    """Which races are run at the same time."""
    for first in range(0, races, AT_ONCE):
        yield range(first, min(first + AT_ONCE, races))


@pytest.mark.anyio
@pytest.mark.parametrize("app", [MAIN, EXACT], ids=["grace", "no-grace"])
async def test_six_connections_of_one_user_are_one_member(
    deployment: Deployment, clients: Clients, app: App
) -> None:
    """Six tabs open at once on different nodes, then close at once: one addition, one removal."""
    nodes = deployment.serving

    async def race(number: int) -> None:
        room, user = f"presence-tabs-{app.id}-{number}", f"user-{number}"
        witnesses = await clients.witnesses(nodes, app, room)
        before = member_events(witnesses, room)
        tabs = [clients.new(nodes[i % len(nodes)], app, user) for i in range(TABS)]
        await asyncio.gather(*(tab.connect() for tab in tabs))
        await asyncio.gather(*(tab.subscribe(room) for tab in tabs))
        await asyncio.gather(*(tab.close() for tab in tabs))
        everybody = len(witnesses)
        removed, added = (MemberEvent(room, change, user) for change in ("removed", "added"))
        await until(
            lambda: member_events(witnesses, room)[removed] >= everybody,
            f"{user} is removed everywhere",
            GONE_SECONDS,
            lambda: "\n\n".join(witness.story() for witness in witnesses),
        )
        seen = member_events(witnesses, room)
        assert dict(seen - before) == {added: everybody, removed: everybody}
        for witness in witnesses:
            assert witness.member_events(room, user) == [added, removed]
            await witness.close()

    for batch in batches(RACES):
        await asyncio.gather(*(race(number) for number in batch))
    clients.assert_valid()


@pytest.mark.anyio
async def test_two_users_who_join_at_once_see_each_other(
    deployment: Deployment, clients: Clients
) -> None:
    """Each has the other, in the roster or added after it."""
    nodes = deployment.serving

    async def race(number: int) -> None:
        room = f"presence-pair-{number}"
        places: list[Node] = [nodes[number % len(nodes)], nodes[(number + 1) % len(nodes)]]
        pair = [clients.new(place, EXACT, f"{who}-{number}") for who, place in enumerate(places)]
        await asyncio.gather(*(client.connect() for client in pair))
        await asyncio.gather(*(client.subscribe(room) for client in pair))
        await settled(clients, [room])
        assert clients.truth(room) == {client.user for client in pair}

    for batch in batches(RACES):
        await asyncio.gather(*(race(number) for number in batch))
    rooms = [f"presence-pair-{number}" for number in range(RACES)]
    await answers_equal_the_truth(deployment, clients, EXACT, rooms[:20])
    clients.assert_valid()
