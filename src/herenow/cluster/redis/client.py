"""A client of redis-py for what is rare: administration and questions of a person."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster

from herenow.cluster.redis.address import Address, Topology
from herenow.cluster.redis.deployment import EngineUnreachable
from herenow.cluster.redis.discovery import (
    REDIS_FAILURES,
    DiscoveryFailed,
    discovery_of,
    impatient,
    reason_of_error,
)
from herenow.cluster.redis.names import Names

Client: TypeAlias = "Redis | RedisCluster"

PATIENCE_SECONDS: Final = 5.0


@asynccontextmanager
async def connect(address: Address, names: Names) -> AsyncIterator[Client]:
    """A client of the primaries behind *address*; raises :class:`EngineUnreachable`."""
    client: Client | None = None
    try:
        client = await _client(address, names)
        yield client
    except (*REDIS_FAILURES, DiscoveryFailed) as error:
        raise EngineUnreachable(str(address), reason_of_error(error)) from None
    finally:
        if client is not None:
            await client.aclose()


async def _client(address: Address, names: Names) -> Client:
    options: dict[str, Any] = {**address.options(), **impatient(PATIENCE_SECONDS)}
    if address.topology is Topology.CLUSTER:
        nodes = [ClusterNode(location.host, location.port) for location in address.locations]
        return RedisCluster(startup_nodes=nodes, **options)
    location = address.locations[0]
    if address.topology is Topology.SENTINEL:
        discovery = discovery_of(address, names, PATIENCE_SECONDS, PATIENCE_SECONDS)
        found = (await discovery.places())[0]
        if found is not None:
            location = found
    if location.path:
        return Redis(unix_socket_path=location.path, **options)
    return Redis(host=location.host, port=location.port, **options)
