"""Nodes under Sentinel and on a cluster of three primaries, one of which dies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.servers import TLS, Cluster, Replica, Sentinel, Valkey, eventually, redis_binary
from conformance.harness.proof import PROOF
from faults.apps import APPS, MAIN
from faults.clients import Clients, answers_equal_the_truth, member_events, settled
from faults.deployment import Deployment, Node, Setup
from faults.times import BACK, CERTAIN, CLUSTER
from server.certificates import make_certificate

USERS = 10 if PROOF else 3
FAILOVER_SECONDS = 20.0


async def primary_dies(
    deployment: Deployment, clients: Clients, rooms: list[str], primary: Valkey
) -> None:
    """Nobody whose socket stayed up is seen to move, and the truth is shown afterwards."""
    nodes = deployment.serving
    await clients.witnesses(nodes, MAIN, *rooms)
    for node in nodes:
        for number in range(USERS):
            await clients.join(node, MAIN, f"{node.name}-{number}", *rooms)
    await settled(clients, rooms)
    with nodes[0].api(MAIN) as api:
        api.publish("hello", rooms, "everybody")
    for client in clients.all:
        for room in rooms:
            assert await client.heard(room, "hello", 1) == ["everybody"]
    before = {room: member_events(clients.all, room) for room in rooms}

    primary.kill()
    probes = await asyncio.gather(
        *(clients.join(node, MAIN, f"probe-{node.name}") for node in nodes)
    )
    for probe in probes:
        await probe.ask(*rooms)
    for probe in probes:
        await probe.subscribed(*rooms, seconds=FAILOVER_SECONDS + BACK)
    await settled(clients, rooms, BACK)
    await answers_equal_the_truth(deployment, clients, MAIN, rooms, BACK)
    await asyncio.sleep(CERTAIN)
    await settled(clients, rooms, BACK)

    for room in rooms:
        seen = member_events(clients.all, room) - before[room]
        moved = {event for event in seen if not event.user.startswith("probe")}
        assert moved == set()
    assert not [client for client in clients.all if client.closes and client not in probes]
    await answers_equal_the_truth(deployment, clients, MAIN, rooms)
    with nodes[-1].api(MAIN) as api:
        api.publish("hello", rooms, "again")
    for client in clients.all:
        for room in rooms:
            assert (await client.heard(room, "hello", 1 if client in probes else 2))[-1] == "again"


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[tuple[Valkey, list[Sentinel]]]:
    """A primary with a replica, and three sentinels of which two decide."""
    primary = Valkey(tmp_path / "primary")
    replica = Replica(tmp_path / "replica", primary)
    watching = [Sentinel(tmp_path / f"sentinel-{i}", primary, quorum=2) for i in range(3)]
    servers = [primary, replica, *watching]
    try:
        for server in servers:
            server.start()
        eventually(replica.synchronised)
        eventually(lambda: all(sentinel.knows_replicas(1) for sentinel in watching))
        yield primary, watching
    finally:
        for server in servers:
            server.kill()


@pytest.mark.anyio
async def test_sentinels_put_a_replica_in_the_primarys_place(
    sentinels: tuple[Valkey, list[Sentinel]], clients: Clients, tmp_path: Path
) -> None:
    primary, watching = sentinels
    addresses = ",".join(sentinel.address for sentinel in watching)
    url = f"redis+sentinel://{addresses}/{watching[0].name}/0"
    with Deployment(tmp_path / "nodes", Setup(APPS, CLUSTER), url) as deployment:
        await primary_dies(deployment, clients, ["presence-a", "presence-b"], primary)
        assert watching[0].primary_port() != primary.port
        await clients.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "cluster", replicas=1)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.mark.anyio
async def test_a_cluster_loses_one_of_its_primaries(
    cluster: Cluster, clients: Clients, tmp_path: Path
) -> None:
    """Rooms of all three primaries, of which one dies and is replaced by its replica."""
    rooms = [f"presence-{i}" for i in range(6)]
    with Deployment(tmp_path / "nodes", Setup(APPS, CLUSTER), cluster.url) as deployment:
        await primary_dies(deployment, clients, rooms, cluster.primaries[0])
        await clients.close()


ACL = "on >pass~word ~herenow* &herenow* +@all -@dangerous +info +role +cluster"


@pytest.mark.anyio
async def test_nodes_need_no_more_than_the_documented_rights(
    clients: Clients, tmp_path: Path
) -> None:
    valkey = Valkey(tmp_path / "valkey")
    try:
        valkey.start()
        valkey.command("ACL", "SETUSER", "herenow", *ACL.split())
        valkey.command("ACL", "SETUSER", "default", "off")
        url = f"redis://herenow:pass~word@{valkey.address}/0"
        with Deployment(tmp_path / "nodes", Setup(APPS, CLUSTER), url) as deployment:
            await everything_works(deployment, clients)
            await clients.close()
    finally:
        valkey.kill()


@pytest.mark.anyio
async def test_nodes_speak_tls_with_an_engine_whose_certificate_they_check(
    clients: Clients, tmp_path: Path
) -> None:
    redis = redis_binary()
    if redis is None:
        pytest.skip("needs a Redis with TLS")
    certificate, key = make_certificate(tmp_path)
    other, _ = make_certificate(tmp_path, "other")
    server = Valkey(tmp_path / "redis", binary=redis, tls=TLS(certificate, certificate, key))
    try:
        server.start()
        url = f"rediss://{server.address}/0?ssl_ca_certs="
        with Deployment(tmp_path / "nodes", Setup(APPS, CLUSTER), f"{url}{certificate}") as nodes:
            await everything_works(nodes, clients)
            await clients.close()
        setup = Setup(APPS, {**CLUSTER, "connect_seconds": 0.5})
        stranger = Node("stranger", tmp_path, setup, f"{url}{other}", None)
        stranger.launch()
        assert stranger.wait() == 1
        assert server.address in stranger.log_tail()
        assert "certificate" in stranger.log_tail().lower()
    finally:
        server.kill()


async def everything_works(deployment: Deployment, clients: Clients) -> None:
    """Members of all nodes see each other come and go, and events reach everybody."""
    room = "presence-lobby"
    witnesses = await clients.witnesses(deployment.serving, MAIN, room)
    guest = await clients.join(deployment.next, MAIN, "guest", room)
    await settled(clients, [room])
    for node in deployment.serving:
        with node.api(MAIN) as api:
            api.publish("hello", room, node.name)
    for client in (*witnesses, guest):
        assert len(await client.heard(room, "hello", 3)) == 3
    await guest.close()
    await settled(clients, [room])
    await answers_equal_the_truth(deployment, clients, MAIN, [room])
