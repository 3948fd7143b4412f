"""Webhooks of nodes that share an engine: what is dropped while requests are under way."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cluster.servers import Valkey
from herenow.webhooks.clustered import ClusteredSettings
from webhooks.clustered_nodes import (
    PARTITIONS,
    PATIENCE,
    SETTINGS,
    Deployment,
    Node,
    Receiver,
    deployment,
    until,
    until_said,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def receiver() -> Receiver:
    """A backend that takes requests, and answers none yet."""
    receiver = Receiver()
    receiver.answers.clear()
    return receiver


async def arrival_is_under_way(running: Deployment) -> tuple[Node, Node]:
    """Zoe comes, and a request tells of it; the node that sent it, and the other one."""
    await running.nodes[0].sign_in("zoe", 1)
    await until(lambda: bool(running.receiver.begun))
    first, second = running.nodes
    return (first, second) if running.receiver.begun == [first.name] else (second, first)


async def departure_waits(running: Deployment, asked: Node) -> None:
    """Zoe goes, and that waits behind the request."""
    running.nodes[0].sign_out("zoe", 1)

    async def is_waiting() -> bool:
        return (await asked.outbox.depth(asked.endpoint)).waiting == 2

    await until_said(is_waiting)


@pytest.mark.parametrize("is_elsewhere", [False, True], ids=["the one that sends", "another"])
async def test_an_operator_does_not_drop_what_is_under_way(
    valkey: Valkey, receiver: Receiver, is_elsewhere: bool
) -> None:
    """Whichever node is asked: the receiver that took the arrival hears of the departure."""
    async with deployment(valkey, 2, receiver=receiver) as running:
        asked = (await arrival_is_under_way(running))[is_elsewhere]
        await departure_waits(running, asked)
        # What is told anew because of it is not dropped in its turn.
        async with asyncio.timeout(PATIENCE):
            assert await asked.outbox.drop(asked.endpoint, None) == 1
        receiver.answers.set()
        await until(lambda: receiver.names == ["user_online", "user_offline"])
        receiver.check()


@pytest.mark.parametrize("is_elsewhere", [False, True], ids=["the one that sends", "another"])
async def test_what_is_under_way_is_not_dropped_by_its_id(
    valkey: Valkey, receiver: Receiver, is_elsewhere: bool
) -> None:
    """Nor what waits behind it, which would undo it."""
    async with deployment(valkey, 2, receiver=receiver) as running:
        asked = (await arrival_is_under_way(running))[is_elsewhere]
        await departure_waits(running, asked)
        (arrival, _), _ = await asked.outbox.page(asked.endpoint, "", 9, buried_only=False)
        assert await asked.outbox.drop(asked.endpoint, [arrival.id]) == 0
        receiver.answers.set()
        await until(lambda: receiver.names == ["user_online", "user_offline"])
        receiver.check()


@pytest.mark.parametrize(
    "settings",
    [replace(SETTINGS, keep_seconds=0.5), replace(SETTINGS, max_backlog=PARTITIONS)],
    ids=["too old", "too many"],
)
async def test_what_is_under_way_is_not_dropped_to_make_room(
    valkey: Valkey, receiver: Receiver, settings: ClusteredSettings
) -> None:
    """What undoes it is, and is told all the same once the arrival has been taken."""
    async with deployment(valkey, 2, receiver=receiver, settings=settings) as running:
        sending, _ = await arrival_is_under_way(running)
        running.nodes[0].sign_out("zoe", 1)
        await until(lambda: sending.outbox.dropped > 0)
        assert sending.outbox.dropped == 1
        receiver.answers.set()
        await until(lambda: receiver.names == ["user_online", "user_offline"])
        receiver.check()
