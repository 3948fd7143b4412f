"""What endpoints had in the engine that nodes share is forgotten when nobody has them any more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

import pytest

from cluster.servers import Valkey
from herenow.apps.base import WebhookEndpoint
from webhooks.clustered_nodes import (
    HOOK,
    LEASE,
    PARTITIONS,
    SETTINGS,
    Deployment,
    Node,
    Receiver,
    deployment,
    until,
)

pytestmark = pytest.mark.anyio

SOON: Final = replace(SETTINGS, keep_seconds=3.0)
LATER: Final = replace(SETTINGS, keep_seconds=15.0)
# A node without endpoints tidies up as often as that.
PAUSE: Final = 2 * LEASE
FORGOTTEN_SECONDS: Final = SOON.keep_seconds + PAUSE + 1
# It hears nothing of the channels here.
OTHER: Final = WebhookEndpoint(
    "http://other.test/hooks", ("member_added",), channel_name_starts_with="other-"
)


def remains(valkey: Valkey) -> list[str]:
    """Keys of webhooks, and outboxes with entries."""
    with valkey.client() as client:
        keys = [key.decode() for key in client.scan_iter(count=1000)]
        return [key for key in keys if ":w:" in key or (key.endswith(":out") and client.xlen(key))]


async def nothing_remains(valkey: Valkey) -> None:
    await until(lambda: not remains(valkey))


async def alice_is_announced_anew(running: Deployment) -> None:
    """An endpoint that comes back is told what it was told before it was forgotten."""
    for node in running.nodes:
        node.configure(HOOK)
    await until(lambda: running.receiver.names.count("member_added") == 2)
    assert len({each.id for each in running.receiver.heard}) == 4


async def alice_is_still_known(running: Deployment, node: Node) -> None:
    """*node* is the one where alice is."""
    node.leave("presence-a", 1)
    await until(lambda: "channel_vacated" in running.receiver.names)
    # A node that was killed may have delivered something without writing that down.
    assert len(running.receiver.distinct()) == 4
    running.receiver.check()


async def test_running_nodes_forget_the_last_endpoint(valkey: Valkey) -> None:
    async with deployment(valkey, 2, settings=SOON) as running:
        await running.nodes[0].join("presence-a", "alice", 1)
        await until(lambda: len(running.receiver.heard) == 2)
        for node in running.nodes:
            node.configure()
        await nothing_remains(valkey)
        await alice_is_announced_anew(running)


async def test_nodes_that_are_restarted_before_they_forgot_the_last_endpoint_forget_it(
    valkey: Valkey,
) -> None:
    async with deployment(valkey, 2, settings=SOON) as running:
        await running.nodes[0].join("presence-a", "alice", 1)
        await until(lambda: len(running.receiver.heard) == 2)
        for node in running.nodes:
            node.configure()
        await running.restart()
        await running.nodes[0].join("presence-a", "alice", 2)
        assert remains(valkey)
        await nothing_remains(valkey)
        await alice_is_announced_anew(running)


async def test_an_endpoint_that_was_removed_while_all_nodes_were_down_is_forgotten(
    valkey: Valkey,
) -> None:
    """With all that waited for it, and what came about when the old nodes were missed."""
    receiver = Receiver(lambda node: False)
    async with deployment(valkey, 2, settings=SOON, receiver=receiver) as running:
        for number in range(20):
            await running.nodes[0].join(f"presence-{number}", "bob", number)
        await until(lambda: "herenow:{0}:w:ends" in remains(valkey))
        for node in list(running.nodes):
            await running.kill(node)
        await running.add()
        await until(lambda: any(key.endswith(":out") for key in remains(valkey)))
        await nothing_remains(valkey)
        receiver.choose = lambda node: True
        await running.nodes[0].join("presence-a", "alice", 1)
        running.nodes[0].configure(HOOK)
        await until(lambda: len(receiver.heard) == 2)
        assert receiver.names == ["channel_occupied", "member_added"]


async def test_a_node_without_the_endpoint_forgets_nothing_while_another_has_it(
    valkey: Valkey,
) -> None:
    async with deployment(valkey, 1, settings=SOON) as running:
        (node,) = running.nodes
        await node.join("presence-a", "alice", 1)
        await until(lambda: len(running.receiver.heard) == 2)
        other = await running.add()
        await until(lambda: other.line.asked >= 2 * PARTITIONS)
        await asyncio.sleep(FORGOTTEN_SECONDS)
        assert node.outbox.reading == PARTITIONS
        await alice_is_still_known(running, node)


async def test_a_node_without_the_endpoint_forgets_nothing_while_the_others_restart(
    valkey: Valkey,
) -> None:
    async with deployment(valkey, 1, settings=LATER) as running:
        node, other = running.nodes[0], await running.add()
        await other.join("presence-a", "alice", 1)
        await until(lambda: len(running.receiver.heard) == 2)
        await running.stop(node)
        looked = other.line.asked
        await until(lambda: other.line.asked >= looked + PARTITIONS)
        node = await running.add(HOOK)
        await until(lambda: node.outbox.reading == PARTITIONS)
        await alice_is_still_known(running, other)


@pytest.mark.parametrize("hooks", [(), (OTHER,)], ids=["none", "another"])
async def test_while_a_node_may_have_the_endpoint_without_knowing_it_forgets_nothing(
    valkey: Valkey, hooks: tuple[WebhookEndpoint, ...]
) -> None:
    """As when the store of its applications does not answer yet."""
    async with deployment(valkey, 1, settings=SOON) as running:
        node, other = running.nodes[0], running.make(*hooks)
        other.apps.complete = False
        await other.start()
        await other.join("presence-a", "alice", 1)
        await until(lambda: len(running.receiver.heard) == 2)
        await running.kill(node)
        await asyncio.sleep(FORGOTTEN_SECONDS + LEASE)
        other.apps.complete = True
        other.configure(*hooks, HOOK)
        await until(lambda: other.outbox.reading == PARTITIONS)
        await alice_is_still_known(running, other)


async def test_where_there_never_were_webhooks_each_partition_is_looked_at_once(
    valkey: Valkey,
) -> None:
    running = Deployment(valkey, Receiver(), settings=SOON)
    node = await running.add()
    try:
        await node.join("presence-a", "alice", 1)
        await asyncio.sleep(PAUSE + 1)
        assert node.line.asked == PARTITIONS
        assert not remains(valkey)
    finally:
        await running.kill(node)


async def test_nothing_is_read_before_the_start_nor_after_the_end(valkey: Valkey) -> None:
    """Although it becomes known then that there is an endpoint."""
    running = Deployment(valkey, Receiver())
    node = running.make()
    try:
        node.configure(HOOK)
        await asyncio.sleep(0.05)
        assert node.line.asked == 0
        await node.start()
        await until(lambda: node.outbox.reading == PARTITIONS)
        await running.stop(node)
        asked = node.line.asked
        node.configure()
        node.configure(HOOK)
        await asyncio.sleep(LEASE)
        assert node.line.asked == asked
    finally:
        node.line.is_cut = True
