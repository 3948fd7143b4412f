"""What clients and backends get while the engine is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster.servers import Valkey
from conformance.harness.api import Response
from conformance.harness.proof import PROOF
from faults.apps import MAIN
from faults.clients import Clients, answers_equal_the_truth, member_events, settled, until
from faults.deployment import Deployment, Node
from faults.times import BACK, HOLD, LONGER_THAN_HOLD

JOINING = 20 if PROOF else 6
SHORT = HOLD / 2
ROOM = "presence-hold"


@contextmanager
def away(valkey: Valkey, deployment: Deployment) -> Iterator[None]:
    """The engine stops, and every node has noticed it."""
    valkey.save()
    valkey.kill()
    try:
        deadline = time.monotonic() + BACK
        while any(node.admin("/health/ready").status == 200 for node in deployment.serving):
            assert time.monotonic() < deadline, "a node is ready without an engine"
            time.sleep(0.02)
        yield
    finally:
        valkey.start()


def trigger(node: Node, channels: list[str], data: str) -> Response:
    with node.api(MAIN) as api:
        return api.trigger("tick", channels, data)


@pytest.mark.anyio
async def test_events_are_refused_and_none_is_half_delivered(
    deployment: Deployment, valkey: Valkey, clients: Clients
) -> None:
    channels = [f"news-{i}" for i in range(20)]
    readers = [await clients.join(node, MAIN, "reader", *channels) for node in deployment.serving]
    with away(valkey, deployment):
        for node in deployment.serving:
            began = time.monotonic()
            answer = trigger(node, channels, "refused")
            assert answer.refused(503), "it says why"
            assert answer.headers["retry-after"] == "1"
            assert time.monotonic() - began < HOLD
            assert node.metric("herenow_cluster_up") == 0

    async def is_delivered() -> bool:
        answer = await asyncio.to_thread(trigger, deployment.serving[0], channels, "taken")
        if answer.status != 200:
            return False
        await asyncio.sleep(0.1)
        return all(reader.events(channels[-1], "tick") for reader in readers)

    deadline = time.monotonic() + BACK
    while not await is_delivered():
        assert time.monotonic() < deadline, "events are not delivered again"
    for reader in readers:
        heard = [reader.events(channel, "tick") for channel in channels]
        assert {data for events in heard for data in events} == {"taken"}
        assert len({len(events) for events in heard}) == 1, "an event reached some channels only"
        assert reader.closes == []


@pytest.mark.anyio
async def test_joins_wait_for_an_engine_that_is_away_for_a_short_time(
    deployment: Deployment, valkey: Valkey, clients: Clients
) -> None:
    """Nothing else waits: public and private channels, pings; and rosters stay."""
    nodes = deployment.serving
    witnesses = await clients.witnesses(nodes, MAIN, ROOM)
    pages = [clients.new(nodes[i % len(nodes)], MAIN, f"held-{i}") for i in range(JOINING)]
    await asyncio.gather(*(page.connect() for page in pages))
    before = member_events(witnesses, ROOM)
    with away(valkey, deployment):
        began = time.monotonic()
        for page in pages:
            await page.ask(ROOM)
            await page.ask_to_sign_in()
            await page.ping()
        others = [clients.new(node, MAIN, "reader") for node in nodes]
        for other in others:
            await other.connect()
            await other.subscribe("news", "private-news")
        assert not any(page.has(ROOM) or page.stream.signed_in for page in pages)
        assert member_events(witnesses, ROOM) == before
        await asyncio.sleep(max(0.0, began + SHORT - time.monotonic()))
    for page in pages:
        await page.subscribed(ROOM)
        await page.signed_in()
        assert page.closes == []
    await settled(clients, [ROOM], BACK)
    await answers_equal_the_truth(deployment, clients, MAIN, [ROOM])
    seen = member_events(witnesses, ROOM) - before
    assert sorted(event.user for event in seen) == sorted(page.user for page in pages)
    assert set(seen.values()) == {len(witnesses)}


@pytest.mark.anyio
async def test_joins_that_waited_too_long_are_sent_away_to_come_back(
    deployment: Deployment, valkey: Valkey, clients: Clients
) -> None:
    nodes = deployment.serving
    room = f"{ROOM}-long"
    witnesses = await clients.witnesses(nodes, MAIN, room)
    joining = [clients.new(nodes[i % len(nodes)], MAIN, f"long-{i}") for i in range(JOINING)]
    signing_in = [clients.new(node, MAIN, f"user-{node.name}") for node in nodes]
    await asyncio.gather(*(page.connect() for page in (*joining, *signing_in)))
    with away(valkey, deployment):
        began = time.monotonic()
        await asyncio.gather(*(page.ask(room) for page in joining))
        await asyncio.gather(*(page.ask_to_sign_in() for page in signing_in))
        await until(
            lambda: all(page.closes for page in (*joining, *signing_in)),
            "all who waited are closed",
            LONGER_THAN_HOLD + BACK,
        )
        for page in (*joining, *signing_in):
            assert [close.code for close in page.closes] == [4100]
            waited = page.closes[0].at - began
            assert HOLD - 0.5 < waited < HOLD + 5, f"it waited {waited:.1f} s"
        await asyncio.sleep(LONGER_THAN_HOLD - HOLD)
    for page in joining:
        await page.subscribed(room, seconds=BACK)
    for page in signing_in:
        await page.signed_in()
    await settled(clients, [room], BACK)
    await answers_equal_the_truth(deployment, clients, MAIN, [room])
    for witness in witnesses:
        assert witness.closes == []
