"""The audit finds every record that does not agree with the others, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cluster.redis.recording import PARTITIONS, PREFIX, answer, running
from cluster.servers import Valkey, free_port
from herenow.cluster.partitions.engine import Argument
from herenow.cluster.partitions.placement import home_of, partition_of
from herenow.cluster.redis.audit import audit
from herenow.cluster.redis.deployment import EngineUnreachable
from herenow.cluster.redis.engine import RedisEngine
from herenow.cluster.redis.findings import Problem
from herenow.cluster.redis.whereabouts import why

pytestmark = pytest.mark.anyio

ROOM = "presence-room"
ROOM_PARTITION = partition_of("1", ROOM, PARTITIONS)
HOUSE = f"{PREFIX}:{{{ROOM_PARTITION}}}"
HOME_PARTITION = home_of("1", PARTITIONS)
HOME = f"{PREFIX}:{{{HOME_PARTITION}}}"
SUBJECT = f"1/p/{ROOM}"
HOOKED = f"{PREFIX}:{{{partition_of('1', 'presence-hooked', PARTITIONS)}}}"
ENDPOINT = "00ff00ff00ff00ff"
SECOND = 1_000_000


class Node:
    """A node's session with every partition."""

    def __init__(self, engine: RedisEngine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._epochs: dict[int, Argument] = {}

    async def call(self, script: str, partition: int, *arguments: Argument) -> list[Any]:
        if partition not in self._epochs:
            hello = await answer(self._engine, "hello", partition, self._name, 1, 0, 1, "")
            assert hello is not None
            epoch = hello[1]
            assert isinstance(epoch, int)
            self._epochs[partition] = epoch
        session = (self._name, 1, self._epochs[partition])
        answered: Any = await answer(self._engine, script, partition, *session, *arguments)
        assert answered is not None
        assert answered[0] != b"fenced"
        return list(answered)

    async def join(self, user: str, subscription: int, channel: str = ROOM) -> None:
        partition = partition_of("1", channel, PARTITIONS)
        subject = f"1/p/{channel}"
        joined = (subject, user, subscription, "{}", 3 * SECOND, 0, 0)
        await self.call("join", partition, *joined)

    async def sign_in(self, user: str, subscription: int) -> None:
        partition = partition_of("1", user, PARTITIONS)
        joined = (f"1/u/{user}", user, subscription, "", 3 * SECOND, 0, 0)
        await self.call("join", partition, *joined)

    async def leave(self, subscription: int, grace: float = 0) -> None:
        await self.call("leave", ROOM_PARTITION, subscription, round(grace * SECOND))

    async def count(self, channel: str, number: int) -> None:
        partition = partition_of("1", channel, PARTITIONS)
        await self.call("count", partition, f"1/{channel}", number, 2)

    async def hook(self, channel: str, *users: str) -> None:
        """Have an endpoint told of members, the first of whom goes."""
        partition = partition_of("1", channel, PARTITIONS)
        await self.call("claim", partition, "take")
        await self.call("known", partition, 1, "1", ENDPOINT)
        facts = [(f"m{user}", 1) for user in users] + [(f"m{users[0]}", 0)]
        for member, holds in facts:
            change = ("", 1, ENDPOINT, f"c{channel}", member, holds, 0, "{}")
            await self.call("settle", partition, 0, *change)
        await self.call("note", partition, ENDPOINT, "answer", "503")

    async def connections(self, number: int) -> None:
        await self.call("admit", HOME_PARTITION, "1", number, 0)


@asynccontextmanager
async def deployment(valkey: Valkey) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes with members, somebody who departs, users, numbers and connections."""
    async with running(valkey.url) as engine:
        one, other = Node(engine, "one"), Node(engine, "other")
        for number, name in enumerate("abcdef"):
            await one.join(name, number)
            await other.join(name, number)
            await one.join(name, 100 + number, "presence-lobby")
            await one.sign_in(name, 200 + number)
        await one.join("zoë {x}", 90)
        for subscription, grace in ((0, 60), (1, 0)):
            await one.leave(subscription, grace)
            await other.leave(subscription, 0)
        await one.hook("presence-hooked", "alice", "bob")
        for node in (one, other):
            await node.count("room", 3)
            await node.count("room", 2)
            await node.count("left", 1)
            await node.count("left", 0)
            await node.connections(5)
        yield one, other


async def audited(valkey: Valkey, partitions: int = PARTITIONS) -> set[tuple[Problem, str]]:
    report = await audit(valkey.url, PREFIX, partitions)
    for finding in report.findings:
        assert finding.sentence
        assert "{found}" not in finding.sentence
        assert "None" not in finding.sentence
    json.dumps(report.as_json())
    return {(each.problem, each.subject or each.node) for each in report.findings}


async def test_a_deployment_that_works_is_clean(valkey: Valkey) -> None:
    async with deployment(valkey):
        report = await audit(valkey.url, PREFIX, PARTITIONS)
        assert report.findings == ()
        assert (report.nodes, report.partitions) == (2, PARTITIONS)
        # While the epoch is young, b is held.
        assert report.members in (18, 19)
        assert report.entries == 2 * 4 + 1 + 6 + 6


async def test_an_engine_that_nobody_has_used_is_clean(valkey: Valkey) -> None:
    report = await audit(valkey.url, PREFIX, PARTITIONS)
    assert report.is_clean
    assert report.as_json() == {
        "partitions": PARTITIONS,
        "nodes": 0,
        "members": 0,
        "entries": 0,
        "findings": [],
    }


Damage = Callable[[Valkey], Any]

DAMAGE: dict[str, tuple[Damage, set[tuple[Problem, str]]]] = {
    "a member without his entries": (
        lambda v: v.command("HDEL", f"{HOUSE}:e:one", "2"),
        {(Problem.COUNT_DIFFERS, SUBJECT)},
    ),
    "an entry without its member": (
        lambda v: (
            v.command("HDEL", f"{HOUSE}:m:{SUBJECT}", "c"),
            v.command("HINCRBY", f"{HOUSE}:p:1", ROOM, -1),
            v.command("HINCRBY", f"{HOUSE}:t:1", "members", -1),
        ),
        {(Problem.MEMBER_MISSING, SUBJECT)},
    ),
    "a node without a lease": (
        lambda v: v.command("ZREM", f"{HOUSE}:lease", "one"),
        {(Problem.NODE_WITHOUT_LEASE, "one")},
    ),
    "a departure without a deadline": (
        lambda v: v.command("DEL", f"{HOUSE}:g:{SUBJECT}"),
        {(Problem.NOT_DEPARTING, SUBJECT), (Problem.SCHEDULES_DIFFER, SUBJECT)},
    ),
    "a departure at two times": (
        lambda v: v.command("ZINCRBY", f"{HOUSE}:g:{SUBJECT}", 1, "a"),
        {(Problem.SCHEDULES_DIFFER, SUBJECT)},
    ),
    "somebody who departs and is connected": (
        lambda v: (
            v.command("ZADD", f"{HOUSE}:g:{SUBJECT}", 2**52, "c"),
            v.command("ZADD", f"{HOUSE}:due", 2**52, f"m {len(SUBJECT)} {SUBJECT}c"),
        ),
        {(Problem.DEPARTING_WITH_CONNECTIONS, SUBJECT)},
    ),
    "the departure of nobody": (
        lambda v: (
            v.command("ZADD", f"{HOUSE}:g:{SUBJECT}", 2**52, "nobody"),
            v.command("ZADD", f"{HOUSE}:due", 2**52, f"m {len(SUBJECT)} {SUBJECT}nobody"),
        ),
        {(Problem.DEPARTURE_OF_NOBODY, SUBJECT)},
    ),
    "a room with another number of members": (
        lambda v: v.command("HINCRBY", f"{HOUSE}:p:1", ROOM, 1),
        {(Problem.ROOM_DIFFERS, f"1/{ROOM}")},
    ),
    "another number of members in all": (
        lambda v: v.command("HINCRBY", f"{HOUSE}:t:1", "members", 1),
        {(Problem.TOTAL_DIFFERS, "1")},
    ),
    "another number of connections": (
        lambda v: v.command("HINCRBY", f"{HOME}:t:1", "connections", 1),
        {(Problem.TOTAL_DIFFERS, "1")},
    ),
    "a sum that nobody said": (
        lambda v: v.command("HINCRBY", f"{HOUSE}:c:1", ROOM, 4),
        {(Problem.SUM_DIFFERS, f"1/{ROOM}")},
    ),
    "a count that was announced of nothing": (
        lambda v: v.command("HSET", f"{HOUSE}:told:1", ROOM, 4),
        {(Problem.TOLD_OF_NOTHING, f"1/{ROOM}")},
    ),
    "a room in the wrong partition": (
        lambda v: (
            v.command("RENAME", f"{HOUSE}:m:{SUBJECT}", f"{HOUSE}:m:1/p/elsewhere"),
            v.command("HSET", f"{HOUSE}:m:{SUBJECT}", "c", "what is this"),
        ),
        {
            (Problem.PARTITION_WRONG, "1/p/elsewhere"),
            (Problem.UNREADABLE, f"{HOUSE}:m:{SUBJECT}"),
        },
    ),
    "a user who is listed and not signed in": (
        lambda v: v.command("HSET", f"{HOUSE}:u:1", "nobody", 1),
        {(Problem.ONLINE_DIFFERS, "1")},
    ),
    "a webhook event that waits in no queue": (
        lambda v: v.command("DEL", f"{HOOKED}:w:q:{ENDPOINT}"),
        {(Problem.EVENTS_ASTRAY, ENDPOINT)},
    ),
    "a fact that is told and not counted": (
        lambda v: v.command("DEL", f"{HOOKED}:w:lane:{ENDPOINT}"),
        {(Problem.FACTS_DIFFER, "cpresence-hooked")},
    ),
    "a key of webhooks that no node writes": (
        lambda v: v.command("HSET", f"{HOOKED}:w:z:{ENDPOINT}", "a", 1),
        {(Problem.UNREADABLE, f"{HOOKED}:w:z:{ENDPOINT}")},
    ),
    "a partition that there is not": (
        lambda v: v.command("HSET", f"{PREFIX}:{{99}}:state", "epoch", 1),
        {(Problem.PARTITION_BEYOND, "")},
    ),
}


@pytest.mark.parametrize("damage", sorted(DAMAGE))
async def test_what_is_damaged_is_found(valkey: Valkey, damage: str) -> None:
    break_it, expected = DAMAGE[damage]
    async with deployment(valkey):
        break_it(valkey)
        assert expected <= await audited(valkey)


async def test_a_vacancy_of_a_channel_that_is_occupied_is_found(valkey: Valkey) -> None:
    async with deployment(valkey):
        house = f"{PREFIX}:{{{partition_of('1', 'room', PARTITIONS)}}}"
        valkey.command("ZADD", f"{house}:due", 2**52, "v 1/room")
        assert await audited(valkey) == {(Problem.VACANCY_OF_OCCUPIED, "1/room")}


async def test_what_is_overdue_is_found(valkey: Valkey) -> None:
    async with deployment(valkey):
        clock = int(valkey.command("HGET", f"{HOUSE}:state", "clock"))
        long_ago = clock - 60 * SECOND
        valkey.command("HSET", f"{HOUSE}:state", "recover", 0)
        valkey.command("ZADD", f"{HOUSE}:lease", long_ago, "other")
        item = f"m {len(SUBJECT)} {SUBJECT}a"
        valkey.command("ZADD", f"{HOUSE}:due", long_ago, item)
        valkey.command("ZADD", f"{HOUSE}:g:{SUBJECT}", long_ago, "a")
        assert await audited(valkey) == {
            (Problem.LEASE_OVERDUE, "other"),
            (Problem.DEPARTURE_OVERDUE, SUBJECT),
        }


async def test_another_number_of_partitions_is_told(valkey: Valkey) -> None:
    async with deployment(valkey):
        found = {problem for problem, _ in await audited(valkey, 16)}
        assert Problem.DEPLOYMENT_DIFFERS in found
        assert Problem.PARTITION_WRONG in found


async def test_nothing_is_found_while_members_come_and_go(valkey: Valkey) -> None:
    async with deployment(valkey) as (one, _):
        ended = False

        async def churn() -> None:
            number = 1_000
            while not ended:
                number += 1
                await one.join(f"user-{number % 17}", number)
                await one.join("x", number + 1_000_000, f"presence-{number % 50}")
                await one.leave(number - 10)

        churning = asyncio.create_task(churn())
        try:
            assert await audited(valkey) == set()
        finally:
            ended = True
            await churning


async def test_why_names_the_connections_that_make_somebody_a_member(valkey: Valkey) -> None:
    async with deployment(valkey):
        found = await why(valkey.url, PREFIX, PARTITIONS, "1", ROOM, "c")
        assert found.online
        assert found.partition == ROOM_PARTITION
        assert found.since is not None
        assert found.held_seconds is None
        assert {(each.node, each.subscription) for each in found.reasons} == {
            ("one", "2"),
            ("other", "2"),
        }
        assert all(0 < (each.lease_seconds_left or 0) <= 2 for each in found.reasons)


async def test_why_says_until_when_somebody_is_held(valkey: Valkey) -> None:
    async with deployment(valkey):
        found = await why(valkey.url, PREFIX, PARTITIONS, "1", ROOM, "a")
        assert found.online
        assert found.reasons == ()
        assert found.held_seconds is not None
        assert 30 < found.held_seconds <= 60
        assert found.left is not None
        assert found.since is not None
        assert found.left >= found.since


async def test_why_says_that_somebody_is_not_there(valkey: Valkey) -> None:
    async with deployment(valkey):
        found = await why(valkey.url, PREFIX, PARTITIONS, "1", ROOM, "nobody")
        assert not found.online
        assert found.as_json()["reasons"] == ()


async def test_an_engine_that_is_not_there_is_unreachable() -> None:
    port = free_port()
    for url in (
        f"redis://127.0.0.1:{port}",
        f"redis+cluster://127.0.0.1:{port}",
        f"redis+sentinel://127.0.0.1:{port}/main",
        "unix:///nowhere/socket",
    ):
        with pytest.raises(EngineUnreachable, match=r"refused|no such"):
            await audit(url, PREFIX, 8)
        with pytest.raises(EngineUnreachable, match=r"refused|no such"):
            await why(url, PREFIX, 8, "1", "x", "y")
