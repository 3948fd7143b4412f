"""The engine that a node goes by: its own memory, or one that it shares with other nodes."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import secrets
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Protocol

from herenow.cluster.base import Bus, Clock, Outbox
from herenow.cluster.memory import MemoryBus, MemoryLedger
from herenow.cluster.seen import Seen
from herenow.config import ClusterConfig, ConfigError

if TYPE_CHECKING:
    from herenow.admin.cluster import Connections
    from herenow.admin.metrics import CountingLedger

REDIS_EXTRA: Final = ("redis", "hiredis")
TICKS_PER_LEASE: Final = 20
LONGEST_TICK_SECONDS: Final = 0.25
SETTLE_SECONDS: Final = 2.0
GOODBYE_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.01
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9._-]+")


class EngineError(Exception):
    """The engine cannot be used, so the node cannot run."""


class Engine(Protocol):
    """``connections`` are those to an engine that nodes share."""

    @property
    def ledger(self) -> CountingLedger: ...
    @property
    def bus(self) -> Bus: ...
    @property
    def connections(self) -> Connections | None: ...

    async def start(self) -> None:
        """Return when everything can be asked; :class:`EngineError` if that does not come about."""

    async def stop(self) -> None:
        """Finish what was asked for, and let go."""


def check(config: ClusterConfig) -> None:
    """Refuse what no engine can be made of: with :class:`ConfigError` or :class:`EngineError`."""
    if _is_memory(config):
        return
    if any(find_spec(module) is None for module in REDIS_EXTRA):
        raise EngineError(
            'an engine that nodes share needs the redis extra: pip install "herenow[server,redis]"'
        )
    from herenow.cluster.redis.address import parse

    try:
        address = parse(config.url)
        if address.tls is not None:
            address.tls.context()
    except ValueError as error:
        raise ConfigError([f"cluster.url: {error}"]) from None


def make_engine(
    config: ClusterConfig,
    clock: Clock,
    outbox: Outbox,
    flags_of: Callable[[str], int],
    keep_seconds: float,
) -> Engine:
    """The engine that *config*, which was checked, asks for.

    *outbox* takes what a node decides alone; *flags_of* an application says what a shared engine
    keeps for it: 1, if it has webhooks. When users were last seen is kept for *keep_seconds*.
    """
    if _is_memory(config):
        return MemoryEngine(clock, outbox, Seen(keep_seconds))
    return SharedEngine(config, clock, flags_of, keep_seconds)


def _is_memory(config: ClusterConfig) -> bool:
    return config.url == "memory://"


def _node_name(machine: str | None = None) -> str:
    """Names this process and no other, ever: ``<machine>:<process id>:<chance>``."""
    machine = _UNUSUAL.sub("-", platform.node() if machine is None else machine)[:64]
    return f"{machine}:{os.getpid()}:{secrets.token_hex(4)}"


class MemoryEngine:
    """Decides for one node, whose process it is."""

    connections = None

    def __init__(self, clock: Clock, outbox: Outbox, seen: Seen) -> None:
        self.ledger = MemoryLedger(clock, outbox, seen)
        self.bus = MemoryBus(clock)

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self.ledger.see_everybody()


class SharedEngine:
    """Redis or Valkey, and one node's part of the ledger and the bus that they carry."""

    def __init__(
        self,
        config: ClusterConfig,
        clock: Clock,
        flags_of: Callable[[str], int],
        keep_seconds: float,
    ) -> None:
        # Imported late: a node with an engine of its own listens without having read any of it.
        from herenow.cluster.partitions.ledger import PartitionedLedger
        from herenow.cluster.redis.address import parse
        from herenow.cluster.redis.bus import RedisBus
        from herenow.cluster.redis.engine import RedisEngine

        self._connect_seconds = config.connect_seconds
        self._tick_seconds = min(config.lease_seconds / TICKS_PER_LEASE, LONGEST_TICK_SECONDS)
        self._next_tick: asyncio.TimerHandle | None = None
        self.connections = RedisEngine(
            parse(config.url),
            prefix=config.prefix,
            partitions=config.partitions,
            lease_seconds=config.lease_seconds,
        )
        self.ledger = PartitionedLedger(
            self.connections,
            clock,
            node=_node_name(),
            lease_seconds=config.lease_seconds,
            hold_seconds=config.hold_seconds,
            flags_of=flags_of,
            keep_seconds=keep_seconds,
        )
        self.bus = RedisBus(self.connections, clock, self.ledger.announced)

    async def start(self) -> None:
        try:
            await self._connect()
        except BaseException:
            await self._end()
            raise

    async def _connect(self) -> None:
        from herenow.cluster.redis.deployment import EngineRefused, EngineUnreachable

        deadline = asyncio.get_running_loop().time() + self._connect_seconds
        self._tick()
        try:
            await self.connections.start(self._connect_seconds)
            await self._reach(lambda: self.ledger.ready, deadline)
        except (EngineUnreachable, EngineRefused) as error:
            raise EngineError(str(error)) from None
        except TimeoutError:
            address, problem = self.connections.address, self.connections.problem
            raise EngineError(f"the engine at {address} could not be used: {problem}") from None

    def _tick(self) -> None:
        self._next_tick = asyncio.get_running_loop().call_later(self._tick_seconds, self._tick)
        self.ledger.tick()

    async def _reach(self, condition: Callable[[], bool], deadline: float) -> None:
        async with asyncio.timeout_at(deadline):
            while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(_POLL_SECONDS)

    async def stop(self) -> None:
        loop = asyncio.get_running_loop()
        said = asyncio.Event()
        try:
            await self._reach(lambda: self.ledger.settled, loop.time() + SETTLE_SECONDS)
            self.ledger.leave_cluster(said.set)
            await self._reach(said.is_set, loop.time() + GOODBYE_SECONDS)
        except TimeoutError:
            pass  # An engine that is away finds out by the lease.
        await self._end()

    async def _end(self) -> None:
        if self._next_tick is not None:
            self._next_tick.cancel()
        await self.connections.stop()
