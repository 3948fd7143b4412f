"""Webhooks of nodes that share an engine: comparing what was told with what holds."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cluster.servers import Valkey
from herenow.apps.base import WebhookEndpoint
from herenow.cluster.base import ChannelState, Refusal
from webhooks.clustered_nodes import (
    APP,
    HOLD,
    HOOK,
    SETTINGS,
    Node,
    deployment,
    until,
    until_said,
)

pytestmark = pytest.mark.anyio

LONG = 30.0
TOO_SOON = 0.6


def wanting(*events: str) -> WebhookEndpoint:
    return replace(HOOK, events=events)


async def state(node: Node, channel: str) -> ChannelState:
    answered: asyncio.Future[ChannelState | Refusal] = asyncio.get_running_loop().create_future()
    node.ledger.channel(APP, channel, answered.set_result)
    answer = await answered
    assert isinstance(answer, ChannelState)
    return answer


async def gone(node: Node, channel: str) -> None:
    """Return when nobody is in *channel* any more."""

    async def is_gone() -> bool:
        return not (await state(node, channel)).users

    await until_said(is_gone)


async def certain(node: Node, channel: str) -> None:
    """Return when nobody may be missing in *channel* who has yet to register."""

    async def is_certain() -> bool:
        return (await state(node, channel)).complete

    await until_said(is_certain)


async def test_what_an_endpoint_wants_while_it_is_compared_is_compared_next(
    valkey: Valkey,
) -> None:
    """Events that are added during a comparison are told of those who are here."""
    async with deployment(valkey, 1, wanting("user_online")) as running:
        (node,), names = running.nodes, running.receiver.names
        await node.join("presence-a", "alice", 1)
        await node.sign_in("zoe", 2)
        await until(lambda: names == ["user_online"])
        await certain(node, "presence-a")
        node.line.held_back = "told"
        node.configure(wanting("user_online", "channel_occupied"))
        await until(lambda: "channel_occupied" in names)
        node.configure(wanting("user_online", "channel_occupied", "member_added"))
        node.line.release()
        await until(lambda: "member_added" in names)
        running.receiver.check()


async def test_who_is_away_for_less_than_the_hold_is_not_missed_by_a_comparison(
    valkey: Valkey,
) -> None:
    """Although it is in the midst of a comparison that he is away."""
    settings = replace(SETTINGS, hold_seconds=LONG)
    async with deployment(valkey, 1, settings=settings) as running:
        (node,), receiver = running.nodes, running.receiver
        await node.join("presence-a", "alice", 1)
        await until(lambda: len(receiver.heard) == 2)
        await certain(node, "presence-a")
        node.line.held_back = "told"
        await node.outbox.reconcile(node.endpoint)
        await until(lambda: node.line.kept_back > 0)
        node.leave("presence-a", 1)
        await gone(node, "presence-a")
        node.line.release()
        await asyncio.sleep(TOO_SOON)
        await node.join("presence-a", "alice", 2)
        await node.join("presence-a", "bob", 3)
        await until(lambda: any(heard.fact[1] == "bob" for heard in receiver.heard))
        assert [heard.fact[1] for heard in receiver.distinct()] == ["", "alice", "bob"]
        assert "member_removed" not in receiver.names


async def test_who_is_back_after_an_orderly_restart_of_all_nodes_was_never_away(
    valkey: Valkey,
) -> None:
    """They are stopped and started together: removals wait until there was time to come back."""
    settings = replace(SETTINGS, return_seconds=LONG)
    async with deployment(valkey, 3, settings=settings) as running:
        receiver = running.receiver
        rooms = [f"presence-{number}" for number in range(6)]
        for number, room in enumerate(rooms):
            await running.nodes[number % 3].join(room, "alice", number)
        await until(lambda: len(receiver.distinct()) == 12)
        await running.restart()
        await running.read()
        for room in rooms:
            await gone(running.nodes[0], room)
        await asyncio.sleep(HOLD + TOO_SOON)
        for number, room in enumerate(rooms):
            node = running.nodes[number % 3]
            await node.join(room, "alice", 100 + number)
            await node.join(room, "bob", 200 + number)
        await until(lambda: receiver.names.count("member_added") == 12)
        assert set(receiver.names) == {"channel_occupied", "member_added"}
        assert len(receiver.distinct()) == 18
        receiver.check()


async def test_those_of_a_node_that_ends_in_order_are_told_to_be_gone_at_once(
    valkey: Valkey,
) -> None:
    """Nobody waits for returns while another node is there to come back to."""
    settings = replace(SETTINGS, return_seconds=LONG)
    async with deployment(valkey, 2, settings=settings) as running:
        first, _ = running.nodes
        rooms = [f"presence-{number}" for number in range(6)]
        for number, room in enumerate(rooms):
            await first.join(room, "alice", number)
        await until(lambda: len(running.receiver.distinct()) == 12)
        await running.stop(first)
        await until(lambda: running.receiver.picture() == set(), LONG / 3)
        running.receiver.check()
