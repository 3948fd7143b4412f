"""Where the primaries are: given, asked of sentinels, or asked of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

import redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisClusterException

from herenow.cluster.redis.address import Address, Location, Topology
from herenow.cluster.redis.names import Names
from herenow.cluster.redis.wire import reason_of

# A cluster is asked through its nodes one after the other, some of which may be gone.
_PATIENCE: Final = 5
# What redis-py raises when a server does not help; TimeoutError is an OSError.
REDIS_FAILURES: Final = (redis.RedisError, RedisClusterException, OSError)


class DiscoveryFailed(Exception):
    """Nobody could say where the primaries are; the text says why."""


class Discovery(Protocol):
    @property
    def interval(self) -> float | None:
        """After how many seconds to ask again although nothing failed; None: never."""

    async def places(self) -> Sequence[Location | None]:
        """For each partition the server that decides on it, None while there is none."""


def discovery_of(address: Address, names: Names, lease_seconds: float, limit: float) -> Discovery:
    """How the primaries behind *address* are found; a server is given *limit* seconds to answer."""
    match address.topology:
        case Topology.STANDALONE:
            return _Given(address, names.partitions)
        case Topology.SENTINEL:
            return _Sentinels(address, names.partitions, lease_seconds, limit)
        case Topology.CLUSTER:
            return _Slots(address, names, limit)


class _Given:
    interval = None

    def __init__(self, address: Address, partitions: int) -> None:
        self._places = [address.locations[0]] * partitions

    async def places(self) -> Sequence[Location | None]:
        return self._places


class _Sentinels:
    def __init__(
        self, address: Address, partitions: int, lease_seconds: float, limit: float
    ) -> None:
        self.interval = lease_seconds
        self._address = address
        self._partitions = partitions
        self._options = {**address.sentinel_options(), **impatient(limit)}

    async def places(self) -> Sequence[Location | None]:
        name = self._address.name
        sentinels = Sentinel(  # type: ignore[no-untyped-call]
            [(location.host, location.port) for location in self._address.locations],
            sentinel_kwargs=self._options,
        )
        try:
            host, port = await sentinels.discover_master(name)
        except MasterNotFoundError:
            raise DiscoveryFailed(await self._why(sentinels)) from None
        except REDIS_FAILURES as error:
            raise DiscoveryFailed(reason_of_error(error)) from None
        finally:
            for sentinel in sentinels.sentinels:
                await sentinel.aclose()
        return [Location(host, int(port))] * self._partitions

    async def _why(self, sentinels: Sentinel) -> str:
        """Why none of *sentinels* was of help: it is not told when one cannot be asked."""
        reasons = [f"no sentinel names a primary of {self._address.name} that can be used"]
        for location, sentinel in zip(self._address.locations, sentinels.sentinels, strict=True):
            try:
                await sentinel.ping()
            except REDIS_FAILURES as error:
                reasons.append(f"{location}: {reason_of_error(error)}")
        return "; ".join(reasons)


class _Slots:
    interval = None

    def __init__(self, address: Address, names: Names, limit: float) -> None:
        self._address = address
        self._slots = [key_slot(names.base(partition)) for partition in range(names.partitions)]
        self._options: dict[str, Any] = {**address.options(), **impatient(limit)}
        self._limit = limit
        self._known: set[Location] = set()

    async def places(self) -> Sequence[Location | None]:
        # Those that the URL names may all be gone when others of the cluster still are there.
        asked = {*self._address.locations, *self._known}
        cluster = RedisCluster(
            startup_nodes=[ClusterNode(location.host, location.port) for location in asked],
            require_full_coverage=False,
            dynamic_startup_nodes=False,
            **self._options,
        )
        nodes = cluster.nodes_manager
        try:
            async with asyncio.timeout(self._limit * (len(asked) + _PATIENCE)):
                await nodes.initialize()
            found = [self._primary(nodes.slots_cache.get(slot)) for slot in self._slots]
            self._known = {Location(node.host, int(node.port)) for node in cluster.get_nodes()}
        except REDIS_FAILURES as error:
            raise DiscoveryFailed(reason_of_error(error)) from None
        finally:
            await nodes.aclose("startup_nodes")
            await nodes.aclose()
        return found

    @staticmethod
    def _primary(nodes: Sequence[Any] | None) -> Location | None:
        return Location(nodes[0].host, int(nodes[0].port)) if nodes else None


def impatient(limit: float) -> dict[str, Any]:
    """Options of redis-py: *limit* seconds for each step, each of which is tried once."""
    return {
        "socket_timeout": limit,
        "socket_connect_timeout": limit,
        "retry": Retry(NoBackoff(), 0),
    }


def reason_of_error(error: BaseException) -> str:
    """What redis-py raised, or what made it raise that."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and not isinstance(cause, redis.RedisError):
            return reason_of(cause)
        cause = cause.__cause__ or cause.__context__
    return "it did not answer in time" if isinstance(error, redis.TimeoutError) else str(error)
