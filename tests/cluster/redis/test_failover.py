"""Primaries that move: found by sentinels, and in a cluster by slot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cluster.redis.recording import (
    RecordedSession,
    answer,
    listen,
    new_engine,
    publish,
    running,
    until,
)
from cluster.servers import Cluster, Replica, Sentinel, Valkey, eventually, free_port
from herenow.cluster.redis.audit import audit
from herenow.cluster.redis.deployment import EngineUnreachable

pytestmark = pytest.mark.anyio


class Guarded(NamedTuple):
    """A primary, its replica and two sentinels, which ask for a password."""

    primary: Valkey
    replica: Replica
    sentinels: list[Sentinel]

    @property
    def url(self) -> str:
        hosts = ",".join(sentinel.address for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/main/0?sentinel_password=word"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with ExitStack() as running_servers:

        def start(server: Valkey) -> None:
            running_servers.callback(server.kill)
            server.start()

        primary = Valkey(tmp_path / "primary")
        start(primary)
        replica = Replica(tmp_path / "replica", primary)
        start(replica)
        eventually(replica.synchronised)
        sentinels = [
            Sentinel(tmp_path / f"sentinel-{i}", primary, "requirepass word", quorum=2)
            for i in range(2)
        ]
        for sentinel in sentinels:
            sentinel.password = "word"
            start(sentinel)
        eventually(lambda: all(sentinel.knows_replicas(1) for sentinel in sentinels))
        eventually(lambda: all(sentinel.knows_sentinels(1) for sentinel in sentinels))
        yield Guarded(primary, replica, sentinels)


async def test_a_promoted_replica_is_found_by_the_sentinels(guarded: Guarded) -> None:
    async with running(guarded.url) as engine:
        session = RecordedSession()
        engine.attach(1, session)
        subscriber = await listen(engine, 1, "b:x")
        guarded.primary.kill()
        await until(lambda: session.told == ["connected", "disconnected", "connected"])
        await until(lambda: subscriber.told == ["subscribed", "lost", "subscribed"])
        assert guarded.replica.info("replication")["role"] == "master"
        assert await publish(engine, 1, "x", "hello")
        await until(lambda: subscriber.messages == [b"hello"])
    assert (await audit(guarded.url, "herenow", 8)).is_clean


async def test_a_primary_that_is_replaced_while_it_lives_is_left(guarded: Guarded) -> None:
    async with running(guarded.url) as engine:
        session = RecordedSession()
        engine.attach(1, session)
        subscriber = await listen(engine, 1, "b:x")
        guarded.sentinels[0].command("SENTINEL", "FAILOVER", "main")
        await until(lambda: session.told == ["connected", "disconnected", "connected"])
        await until(lambda: subscriber.told == ["subscribed", "lost", "subscribed"])
        assert guarded.replica.info("replication")["role"] == "master"
        clients = bytes(guarded.replica.command("CLIENT", "LIST"))
        assert clients.count(b"name=herenow") == 2


async def test_a_sentinel_that_is_gone_does_not_matter(guarded: Guarded) -> None:
    guarded.sentinels[0].kill()
    async with running(guarded.url) as engine:
        assert engine.is_connected


@pytest.mark.parametrize(
    ("name", "password", "reason"),
    [
        ("other", "word", "no sentinel names a primary of other that can be used"),
        ("main", "wrong", "can be used; 127.0.0.1:[0-9]+: invalid username-password pair"),
    ],
)
async def test_sentinels_that_do_not_help_are_quoted(
    valkey: Valkey, tmp_path: Path, name: str, password: str, reason: str
) -> None:
    sentinel = Sentinel(tmp_path / "sentinel", valkey, "requirepass word")
    hosts = sentinel.address
    engine = new_engine(f"redis+sentinel://{hosts}/{name}?sentinel_password={password}")
    try:
        sentinel.start()
        with pytest.raises(EngineUnreachable, match=reason) as refused:
            await engine.start(0.5)
    finally:
        sentinel.kill()
    assert "wrong" not in str(refused.value)
    assert refused.value.address == hosts


async def test_no_sentinel_at_all_is_unreachable() -> None:
    engine = new_engine(f"redis+sentinel://127.0.0.1:{free_port()}/main")
    with pytest.raises(EngineUnreachable, match="it refused the connection"):
        await engine.start(0.5)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster(tmp_path_factory.mktemp("cluster"), replicas=1).start()
    try:
        yield started
    finally:
        started.stop()


def partition_on(cluster: Cluster, node: Valkey) -> int:
    """A partition that *node* decides on."""
    return next(p for p in range(8) if cluster.owner(cluster.slot(f"herenow:{{{p}}}")) is node)


async def test_partitions_are_spread_over_a_cluster(cluster: Cluster) -> None:
    async with running(cluster.url) as engine:
        subscribers = [await listen(engine, partition, "b:x") for partition in range(8)]
        for partition in range(8):
            assert await publish(engine, partition, "x", str(partition))
        await until(lambda: all(each.messages for each in subscribers))
        assert [each.messages for each in subscribers] == [[str(p).encode()] for p in range(8)]
        hello = [await answer(engine, "hello", p, "node", 1, 0, 1, "") for p in range(8)]
        assert all(each is not None and each[0] == b"new" for each in hello)
        for node in cluster.primaries:
            assert partition_on(cluster, node) in range(8)
            # Messages of a slot stay with its shard.
            assert node.command("PUBSUB", "SHARDNUMSUB", "herenow:{0}:b:x")[1] in (0, 1)
            assert node.command("PUBSUB", "CHANNELS") == []
    report = await audit(cluster.url, "herenow", 8)
    assert report.findings == ()
    assert report.nodes == 1


async def test_events_for_several_slots_are_published_at_once(cluster: Cluster) -> None:
    async with running(cluster.url) as engine:
        subscribers = [await listen(engine, partition, "b:x") for partition in range(8)]
        answers: list[Any] = []
        items = [(partition, ("x", f"{n}", 0, "")) for n in range(3) for partition in range(8)]
        engine.call_all("publish", items, answers.append)
        await until(lambda: bool(answers))
        assert answers[0] is not None
        await until(lambda: all(len(each.messages) == 3 for each in subscribers))
        assert all(each.messages == [b"0", b"1", b"2"] for each in subscribers)


async def test_a_primary_of_a_cluster_is_killed_and_its_replica_takes_over(
    tmp_path: Path,
) -> None:
    cluster = Cluster(tmp_path, replicas=1)
    try:
        cluster.start()
        victim = cluster.owner(cluster.slot("herenow:{0}"))
        lost = partition_on(cluster, victim)
        kept = next(partition_on(cluster, node) for node in cluster.primaries if node is not victim)
        async with running(cluster.url) as engine:
            sessions = {lost: RecordedSession(), kept: RecordedSession()}
            for partition, session in sessions.items():
                engine.attach(partition, session)
            subscribers = {p: await listen(engine, p, "b:x") for p in sessions}
            victim.kill()
            await until(lambda: sessions[lost].told == ["connected", "disconnected", "connected"])
            await until(lambda: subscribers[lost].told == ["subscribed", "lost", "subscribed"])
            for partition in sessions:
                assert await publish(engine, partition, "x", "hello")
            await until(lambda: all(each.messages for each in subscribers.values()))
            assert subscribers[kept].told == ["subscribed", b"hello"]
            assert sessions[kept].told == ["connected"]
    finally:
        cluster.stop()


async def test_a_slot_that_is_given_away_is_followed(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    try:
        cluster.start()
        slot = cluster.slot("herenow:{3}")
        source = cluster.owner(slot)
        target = next(node for node in cluster.primaries if node is not source)
        async with running(cluster.url) as engine:
            session = RecordedSession()
            engine.attach(3, session)
            subscriber = await listen(engine, 3, "b:x")
            for node in (target, source, *cluster.primaries):
                node.command(
                    "CLUSTER", "SETSLOT", slot, "NODE", bytes(target.command("CLUSTER", "MYID"))
                )
            await until(lambda: subscriber.told == ["subscribed", "lost", "subscribed"])
            await until(lambda: session.told[-1] == "connected")
            assert await publish(engine, 3, "x", "hello")
            await until(lambda: subscriber.messages == [b"hello"])
            assert bytes(target.command("CLIENT", "LIST")).count(b"name=herenow") == 2
    finally:
        cluster.stop()


async def test_nothing_is_published_while_a_part_of_the_cluster_is_away(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, "cluster-require-full-coverage no")
    try:
        cluster.start()
        victim = cluster.owner(cluster.slot("herenow:{0}"))
        kept = next(partition_on(cluster, node) for node in cluster.primaries if node is not victim)
        async with running(cluster.url) as engine:
            subscriber = await listen(engine, kept, "b:x")
            session = RecordedSession()
            engine.attach(0, session)
            victim.kill()
            await until(lambda: session.told == ["connected", "disconnected"])
            answers: list[Any] = []
            items = [(kept, ("x", "half", 0, "")), (0, ("y", "half", 0, ""))]
            engine.call_all("publish", items, answers.append)
            assert answers == [None]
            assert await publish(engine, kept, "x", "whole")
            await until(lambda: subscriber.messages == [b"whole"])
    finally:
        cluster.stop()
