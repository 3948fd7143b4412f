"""The engine goes away and comes back, as it was, empty, or as it was a second ago."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from cluster.servers import HOST, Replica, Valkey, eventually
from conformance.harness.proof import PROOF
from conformance.harness.websocket import Endpoint
from faults.apps import EXACT
from faults.audit import assert_consistent
from faults.clients import Clients, answers_equal_the_truth, member_events, settled
from faults.deployment import Deployment
from faults.times import AWAY, BACK, CERTAIN, LEASE

USERS = 20 if PROOF else 4
ROOMS = ("presence-lounge", "presence-office")


class Engine:
    """The engine of a deployment, and where its data go."""

    def __init__(self, valkey: Valkey, deployment: Deployment, directory: Path) -> None:
        self.valkey = valkey
        self._deployment = deployment
        self._directory = directory
        self._opened = ExitStack()

    def close(self) -> None:
        self._deployment.engine = Endpoint(HOST, self.valkey.port)
        self._opened.close()

    def restart_with_data(self) -> None:
        self.valkey.restart(data=True)

    def restart_empty(self) -> None:
        self.valkey.restart(data=False)

    def stay_away(self) -> None:
        self.valkey.save()
        self.valkey.kill()
        time.sleep(AWAY)
        self.valkey.start()

    def freeze(self) -> None:
        self.valkey.pause()
        time.sleep(AWAY)
        self.valkey.resume()

    def prepare_replica(self) -> None:
        """Have a replica that hears nothing from now on."""
        self._replica = Replica(self._directory, self.valkey)
        self._replica.start()
        self._opened.callback(self._replica.kill)
        eventually(self._replica.synchronised)
        self._replica.promote()

    def fail_over(self) -> None:
        self.valkey.kill()
        self._deployment.engine = Endpoint(HOST, self._replica.port)


Fault = Callable[[Engine], None]
FAULTS: Final[list[Fault]] = [
    Engine.restart_with_data,
    Engine.restart_empty,
    Engine.stay_away,
    Engine.freeze,
    Engine.fail_over,
]


def later(fault: Fault) -> float:
    """Seconds by which a node may find the engine late without harm to its users.

    An engine that has begun anew waits two leases for everybody, any other one lease.
    """
    return LEASE * (0.3 if fault is Engine.freeze else 1.2)


@pytest.mark.anyio
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.__name__ for fault in FAULTS])
async def test_nobody_whose_socket_stayed_up_is_seen_to_move(
    deployment: Deployment, valkey: Valkey, clients: Clients, tmp_path: Path, fault: Fault
) -> None:
    """Rosters equal the truth afterwards, and who left meanwhile is removed once.

    One node finds the engine later than the others; without a grace nothing hides what was wrong.
    """
    nodes = deployment.serving
    late = nodes[-1].link
    assert late is not None
    witnesses = await clients.witnesses(nodes, EXACT, *ROOMS)
    for node in nodes:
        for number in range(USERS):
            await clients.join(node, EXACT, f"{node.name}-{number}", ROOMS[number % len(ROOMS)])
    engine = Engine(valkey, deployment, tmp_path / "replica")
    try:
        if fault is Engine.fail_over:
            await asyncio.to_thread(engine.prepare_replica)
        for node in nodes:
            await clients.join(node, EXACT, f"{node.name}-late", *ROOMS)
        leaver = await clients.join(nodes[0], EXACT, "leaver", *ROOMS)
        for room in ROOMS:
            await settled(clients, [room])
        before = {room: member_events(clients.all, room) for room in ROOMS}

        late.cut()
        outage = asyncio.create_task(asyncio.to_thread(fault, engine))
        await leaver.close()
        await outage
        returned = time.monotonic()
        await asyncio.sleep(later(fault))
        late.heal()
        await everything_is_as_it_should_be(deployment, clients, BACK)
        took = time.monotonic() - returned
        assert took <= BACK, f"the rosters are right after {took:.1f} s only"
        # Nobody may be declared gone later either, when the engine is certain again.
        await asyncio.sleep(max(0.0, returned + 1.5 * CERTAIN - time.monotonic()))

        for room in ROOMS:
            seen = {
                event: number
                for event, number in (member_events(clients.all, room) - before[room]).items()
                if not event.user.startswith("probe")
            }
            others = len(clients.on(room)) - len(nodes)
            assert {(event.change, event.user): n for event, n in seen.items()} == {
                ("removed", "leaver"): others
            }
        assert all(not client.closes for client in (*witnesses, *clients.all) if client != leaver)
        if fault is not Engine.fail_over:
            assert_consistent(valkey.url)
    finally:
        await clients.close()
        engine.close()


async def everything_is_as_it_should_be(
    deployment: Deployment, clients: Clients, seconds: float
) -> None:
    """The rosters that are shown, those of newcomers on every node and the answers by HTTP."""
    await settled(clients, ROOMS, seconds)
    await asyncio.gather(
        *(clients.join(node, EXACT, f"probe-{node.name}", *ROOMS) for node in deployment.serving)
    )
    await settled(clients, ROOMS, seconds)
    await answers_equal_the_truth(deployment, clients, EXACT, ROOMS, seconds)
