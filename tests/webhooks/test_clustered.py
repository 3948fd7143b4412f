"""Webhooks of nodes that share an engine: every transition is told, by one node at a time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.servers import Cluster, Valkey
from herenow.webhooks.events import ClientEvent
from webhooks.clustered_nodes import (
    APP,
    HOOK,
    LEASE,
    PARTITIONS,
    RETURN,
    Deployment,
    Receiver,
    deployment,
    until,
)

pytestmark = pytest.mark.anyio


def member(channel: str, user: str) -> tuple[str, str]:
    return f"channel {channel}", user


def room(channel: str) -> set[tuple[str, str]]:
    return {(f"channel {channel}", "")}


async def test_coming_and_going_is_told_in_order(valkey: Valkey) -> None:
    async with deployment(valkey, 1) as running:
        (node,), receiver = running.nodes, running.receiver
        await node.join("presence-a", "alice", 1)
        await node.sign_in("zoe", 2)
        await until(lambda: len(receiver.heard) == 3)
        node.leave("presence-a", 1)
        node.sign_out("zoe", 2)
        await until(lambda: len(receiver.heard) == 6)
        in_room = [name for name in receiver.names if not name.startswith("user_")]
        assert in_room == [
            *("channel_occupied", "member_added", "member_removed", "channel_vacated")
        ]
        receiver.check()
        assert receiver.picture() == set()


async def test_who_is_back_within_the_hold_was_never_away(valkey: Valkey) -> None:
    async with deployment(valkey, 1) as running:
        (node,), receiver = running.nodes, running.receiver
        await node.join("presence-a", "alice", 1)
        node.leave("presence-a", 1)
        await node.join("presence-a", "alice", 2)
        await node.join("presence-a", "bob", 3)
        node.leave("presence-a", 3)
        await until(lambda: "member_removed" in receiver.names)
        assert receiver.names.count("member_added") == 2
        assert receiver.names.count("member_removed") == 1
        assert receiver.picture() == room("presence-a") | {member("presence-a", "alice")}


async def test_what_was_cut_off_the_stream_before_it_was_read_is_found(valkey: Valkey) -> None:
    async with deployment(valkey, 1, outbox_entries=100) as running:
        (node,), receiver = running.nodes, running.receiver
        await node.join("presence-a", "alice", 0)
        await until(lambda: len(receiver.picture()) == 2)
        # What a reader compares when it begins would find them, too.
        await asyncio.sleep(RETURN + LEASE)
        node.line.held_back = "arrivals"
        for number in range(1, 500):
            await node.join("presence-a", f"user{number}", number)
        node.line.release()
        await until(lambda: len(receiver.picture()) == 501)
        receiver.check()


async def test_three_nodes_share_the_partitions(valkey: Valkey) -> None:
    """Each delivers for channels of every node; who comes gets a share, who goes leaves it."""
    async with deployment(valkey, 3) as running:
        assert sum(node.outbox.reading for node in running.nodes) == PARTITIONS
        for number in range(40):
            await running.nodes[number % 3].join(f"presence-{number}", "alice", number)
        await until(lambda: len(running.receiver.distinct()) == 80)
        assert {heard.node for heard in running.receiver.heard} == {"n1", "n2", "n3"}
        await running.stop(running.nodes[0])
        await running.read()
        running.receiver.check()


async def test_a_killed_reader_is_taken_over_from_in_the_midst_of_deliveries(
    valkey: Valkey,
) -> None:
    """Order per channel is kept, distinct events alternate, and the picture is the truth."""
    chance = random.Random(7)
    receiver = Receiver(lambda node: chance.random() < 0.9)
    receiver.delay = 0.01
    async with deployment(valkey, 3, receiver=receiver) as running:
        here: dict[int, str] = {}

        async def churn(numbers: range) -> None:
            for number in numbers:
                channel = f"presence-{number % 12}"
                node = chance.choice(running.nodes[1:])
                await node.join(channel, f"user{number}", number)
                if number % 3:
                    node.leave(channel, number)
                else:
                    here[number] = channel

        await churn(range(60))
        await running.kill(running.nodes[0])
        await churn(range(60, 120))
        expected = {
            fact
            for number, channel in here.items()
            for fact in (*room(channel), member(channel, f"user{number}"))
        }
        await until(lambda: receiver.picture() == expected)
        await running.read()
        receiver.check()


async def test_members_of_a_killed_node_are_told_to_be_gone(valkey: Valkey) -> None:
    async with deployment(valkey, 2) as running:
        first, second = running.nodes
        await first.join("presence-a", "alice", 1)
        await second.join("presence-a", "bob", 2)
        await until(lambda: len(running.receiver.distinct()) == 3)
        await running.kill(first)
        here = room("presence-a") | {member("presence-a", "bob")}
        await until(lambda: running.receiver.picture() == here)
        running.receiver.check()


async def test_after_all_nodes_were_killed_who_returns_is_not_announced_again(
    valkey: Valkey,
) -> None:
    """Removals of the others wait until there was time to come back."""
    async with deployment(valkey, 2) as running:
        receiver = running.receiver
        await running.nodes[0].join("presence-a", "alice", 1)
        await running.nodes[1].join("presence-a", "bob", 2)
        await until(lambda: len(receiver.distinct()) == 3)
        for node in list(running.nodes):
            await running.kill(node)
        started = asyncio.get_running_loop().time()
        node = await running.add(HOOK)
        await asyncio.sleep(RETURN / 2)
        await node.join("presence-a", "alice", 3)
        await until(lambda: "member_removed" in receiver.names)
        assert asyncio.get_running_loop().time() - started >= RETURN
        assert receiver.names.count("member_added") == 2
        assert receiver.picture() == room("presence-a") | {member("presence-a", "alice")}
        receiver.check()


async def test_a_new_endpoint_is_told_what_holds(valkey: Valkey) -> None:
    """Those who came before the application had webhooks are told, and told to be gone."""
    async with deployment(valkey, 2) as running:
        for node in running.nodes:
            node.configure()
        await running.nodes[0].join("presence-a", "alice", 1)
        await running.nodes[0].sign_in("zoe", 2)
        running.nodes[0].ledger.count(APP, "news", 1)
        for node in running.nodes:
            node.configure(HOOK)
        zoe = ("user zoe", "")
        here = room("presence-a") | room("news") | {member("presence-a", "alice"), zoe}
        await until(lambda: running.receiver.picture() == here)
        running.nodes[0].leave("presence-a", 1)
        await until(lambda: running.receiver.picture() == room("news") | {zoe})
        running.receiver.check()


async def test_facts_that_are_no_longer_wanted_are_forgotten_in_silence(valkey: Valkey) -> None:
    async with deployment(valkey, 1) as running:
        (node,), receiver = running.nodes, running.receiver
        await node.join("presence-a", "alice", 1)
        await until(lambda: len(receiver.heard) == 2)
        node.configure(replace(HOOK, channel_name_starts_with="other-"))
        node.leave("presence-a", 1)
        await node.join("presence-b", "bob", 2)
        node.configure(replace(HOOK, channel_name_starts_with="presence-b"))
        await until(lambda: member("presence-b", "bob") in receiver.picture())
        assert "member_removed" not in receiver.names


async def test_reconciling_tells_every_addition_once_more_with_its_id(valkey: Valkey) -> None:
    """From any node; who has them discards them, who lost them has the picture again."""
    async with deployment(valkey, 2) as running:
        for number in range(10):
            await running.nodes[0].join(f"presence-{number}", "alice", number)
        await until(lambda: len(running.receiver.heard) == 20)
        before = running.receiver.distinct()
        told = await running.nodes[1].outbox.reconcile(running.nodes[1].endpoint)
        assert told == 20
        await until(lambda: len(running.receiver.heard) == 40)
        assert set(running.receiver.heard[20:]) <= {
            each._replace(node=node) for each in before for node in ("n1", "n2")
        }


async def test_an_operator_sees_and_drops_what_waits_from_any_node(valkey: Valkey) -> None:
    receiver = Receiver(lambda node: False)
    async with deployment(valkey, 2, receiver=receiver) as running:
        first, second = running.nodes
        for number in range(10):
            await first.join(f"presence-{number}", "alice", number)
        journal, endpoint = second.outbox, second.endpoint
        await _depth_is(running, 20)
        await until(lambda: all(node.deliveries.failing_since(endpoint) for node in running.nodes))
        entries, cursor = await journal.page(endpoint, "", 15, buried_only=False)
        rest, end = await journal.page(endpoint, cursor, 15, buried_only=False)
        assert (len(entries), len(rest), end) == (15, 5, "")
        assert len({entry.id for entry in entries + rest}) == 20
        alices = [entry.id for entry in entries + rest if entry.fact.member]
        assert await journal.drop(endpoint, [*alices, "99-1-1", "nonsense"]) == 10
        condition = (await journal.depth(endpoint)).condition
        assert condition.failing_since is not None
        assert condition.adrift
        assert await journal.drop(endpoint, None) == 10
        assert (await journal.depth(endpoint)).waiting == 0
        # What was dropped counts as not told: when the endpoint answers it hears what holds.
        receiver.choose = lambda node: True
        await first.join("presence-0", "bob", 77)
        await first.join("presence-1", "bob", 78)
        await until(lambda: member("presence-0", "alice") in receiver.picture())


async def test_the_cursor_of_another_list_is_refused(valkey: Valkey) -> None:
    async with deployment(valkey, 1) as running:
        node = running.nodes[0]
        for cursor in ("x", "1", "99:1", "0:x"):
            with pytest.raises(ValueError, match="expected a cursor"):
                await node.outbox.page(node.endpoint, cursor, 10, buried_only=False)


async def test_volatile_events_go_out_from_the_node_where_they_arose(valkey: Valkey) -> None:
    async with deployment(valkey, 2) as running:
        event = ClientEvent(APP, "presence-a", "client-x", "{}", "1.1", "alice")
        running.nodes[1].outbox.emit(event)
        await until(lambda: running.receiver.names == ["client_event"])


async def test_while_the_engine_is_away_nothing_is_lost(valkey: Valkey) -> None:
    async with deployment(valkey, 2) as running:
        receiver = running.receiver
        for number in range(10):
            await running.nodes[0].join(f"presence-{number}", "alice", number)
        valkey.pause()
        await asyncio.sleep(1.5)
        valkey.resume()
        await running.nodes[1].join("presence-0", "bob", 99)
        await until(lambda: len(receiver.picture()) == 21)
        receiver.check()


async def test_what_an_unheard_answer_told_of_is_delivered(valkey: Valkey) -> None:
    """The engine settles, but the node does not learn of it and asks again."""
    async with deployment(valkey, 1) as running:
        (node,) = running.nodes
        node.line.unheard = "settle"
        await node.join("presence-a", "alice", 1)
        here = room("presence-a") | {member("presence-a", "alice")}
        await until(lambda: running.receiver.picture() == here)
        running.receiver.check()


async def test_readers_that_get_no_answer_leave_the_loop_to_others(valkey: Valkey) -> None:
    """Although each was told a moment before that something has come."""
    async with deployment(valkey, 1) as running:
        (node,) = running.nodes
        for reader in node.outbox._readers:
            reader.message(b"")
        node.line.is_cut = True
        before = node.line.asked
        await asyncio.sleep(0.5)
        assert node.line.asked - before < 10 * PARTITIONS


async def test_an_engine_that_restarts_with_its_data_makes_no_difference(valkey: Valkey) -> None:
    async with deployment(valkey, 2) as running:
        receiver = running.receiver
        for number in range(10):
            await running.nodes[0].join(f"presence-{number}", "alice", number)
        await until(lambda: len(receiver.heard) == 20)
        await asyncio.to_thread(valkey.restart, data=True)
        await until(lambda: all(node.ledger.ready for node in running.nodes))
        running.nodes[0].leave("presence-0", 0)
        await until(lambda: len(receiver.picture()) == 18)
        receiver.check()


async def test_an_engine_that_lost_its_data_is_told_of_again(valkey: Valkey) -> None:
    """Whoever is present is announced anew, under later numbers, and the picture is the truth."""
    async with deployment(valkey, 2) as running:
        receiver = running.receiver
        for number in range(10):
            await running.nodes[0].join(f"presence-{number}", "alice", number)
        await until(lambda: len(receiver.heard) == 20)
        await asyncio.to_thread(valkey.restart, data=False)
        await until(lambda: len(receiver.distinct()) == 40)
        running.nodes[0].leave("presence-0", 0)
        await until(lambda: len(receiver.picture()) == 18)
        first, second = receiver.heard[:20], receiver.heard[20:40]
        assert {each.fact for each in first} == {each.fact for each in second}
        assert max(each.sequence for each in first) < min(each.sequence for each in second)


async def test_a_cluster_of_engines_serves_as_one(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "cluster").start()
    try:
        async with deployment(cluster, 2) as running:
            for number in range(20):
                await running.nodes[0].join(f"presence-{number}", "alice", number)
            await until(lambda: len(running.receiver.picture()) == 40)
            await running.kill(running.nodes[0])
            await until(lambda: running.receiver.picture() == set())
            running.receiver.check()
    finally:
        cluster.stop()


async def _depth_is(running: Deployment, waiting: int) -> None:
    node = running.nodes[0]
    depth = await node.outbox.depth(node.endpoint)
    deadline = asyncio.get_running_loop().time() + 30
    while depth.waiting != waiting:
        assert asyncio.get_running_loop().time() < deadline, depth
        await asyncio.sleep(0.05)
        depth = await node.outbox.depth(node.endpoint)
    assert depth.oldest is not None
