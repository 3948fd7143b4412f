"""A node that is frozen while it delivers wakes when others have taken its share over."""

from __future__ import annotations

import asyncio

import pytest

from faults.clients import Clients
from outbox.conftest import Deploy
from outbox.crowd import Crowd
from outbox.endpoints import app, endpoint
from outbox.receiver import Failing, Outcome, Receiver
from outbox.rest import Judged, at_rest
from outbox.times import DRAINED, GONE, LEASE, PAGES

FROZEN = 3 * LEASE
CHANNELS = [f"presence-room-{i}" for i in range(4)] + [f"news-{i}" for i in range(4)]


@pytest.mark.anyio
async def test_a_reader_that_was_frozen_settles_nothing_when_it_wakes(
    shared: Deploy, clients: Clients
) -> None:
    """Each in turn: events alternate and keep their order, and the picture is the truth."""
    with Receiver() as receiver:
        receiver.choose = Failing(0.05, 3, (Outcome.REFUSED, Outcome.UNHEARD))
        receiver.delay = 0.02
        hooked = app(11, endpoint(receiver, "/all"))
        judged = Judged(hooked, receiver, {"/all": ""})
        with shared({"hooked": hooked}) as deployment:
            # Clients stay with the node that is never frozen.
            home, *others = deployment.nodes
            crowd = Crowd(clients, hooked, lambda: home.endpoint, PAGES, CHANNELS, 3)
            crowd.start()
            for node in others:
                await asyncio.sleep(LEASE)
                node.freeze()
                await asyncio.sleep(FROZEN)
                node.thaw()
            await asyncio.sleep(LEASE)
            await crowd.stop()
            await crowd.back(30)
            receiver.choose = Failing(0.0, 3)
            await asyncio.sleep(GONE)
            users = {hooked.id: crowd.users}
            answers = await at_rest(deployment, [judged], users, DRAINED)
            judged.assert_right()
            assert answers[hooked.id] == crowd.truth
