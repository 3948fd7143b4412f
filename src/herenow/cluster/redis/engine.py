"""The engine that nodes share, over however many primaries it is spread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from herenow.cluster.partitions.engine import Answer, Answered, Argument, Session, Subscriber
from herenow.cluster.redis.address import Address, Location, Topology
from herenow.cluster.redis.deployment import Deployment, EngineRefused, EngineUnreachable
from herenow.cluster.redis.discovery import discovery_of
from herenow.cluster.redis.line import LONGEST_PAUSE_SECONDS, Pauses, Site, end
from herenow.cluster.redis.names import Names
from herenow.cluster.redis.primary import Primary
from herenow.cluster.redis.scripts import Scripts
from herenow.cluster.redis.wire import reason_of
from herenow.log import RateLimitedLog

OUTBOX_ENTRIES: Final = 100_000
_MICROSECONDS: Final = 1_000_000
_LEASES_TO_WAIT: Final = 2
_ASKS_A_LEASE: Final = 4
_LOG_LINES: Final = 3
_LOG_WINDOW_SECONDS: Final = 10
_ELSEWHERE: Final = "another server decides on its partitions"
_DIFFERENT: Final = "nodes do not agree on how the engine is used"

_log = logging.getLogger("herenow.engine")


class RedisEngine:
    """Implements ``partitions.engine.Engine`` on Redis or Valkey.

    ``losses`` counts connections that were lost or could not be made.
    """

    def __init__(
        self,
        address: Address,
        *,
        prefix: str,
        partitions: int,
        lease_seconds: float,
        outbox_entries: int = OUTBOX_ENTRIES,
        scripts: Scripts | None = None,
    ) -> None:
        self.partitions = partitions
        self.losses = 0
        self._address = address
        self._names = Names(prefix, address.database, partitions)
        self._scripts = scripts or Scripts.own()
        lease = round(lease_seconds * _MICROSECONDS)
        self._deployment = Deployment(self._scripts.version, lease, partitions)
        self._site = Site(address, lease_seconds, outbox_entries, self._failed)
        self._discovery = discovery_of(
            address, self._names, lease_seconds, self._site.opening_seconds
        )
        self._limited_log = RateLimitedLog(_log, _LOG_LINES, window_seconds=_LOG_WINDOW_SECONDS)
        self._sessions: list[list[Session]] = [[] for _ in range(partitions)]
        self._subscribers: dict[bytes, Subscriber] = {}
        self._primaries: dict[Location, Primary] = {}
        self._of: list[Primary | None] = [None] * partitions
        self._agreed = False
        self._refused: EngineRefused | None = None
        self._problem = (str(address), "it did not answer in time")
        self._outdated = asyncio.Event()
        self._changed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._endings: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """Hosts and ports, without secrets."""
        return str(self._address)

    @property
    def is_connected(self) -> bool:
        """Whether every partition can be asked and heard."""
        return all(
            primary is not None and primary.is_ready and primary.channels.is_up
            for primary in self._of
        )

    @property
    def outstanding(self) -> int:
        """How many calls have no answer yet."""
        return sum(primary.commands.outstanding for primary in self._primaries.values())

    @property
    def problem(self) -> str:
        """Which server was lost last, and why."""
        return ": ".join(self._problem)

    async def start(self, timeout: float) -> None:
        """Connect; raises :class:`EngineUnreachable` after *timeout* seconds of trying.

        :class:`EngineRefused` if nodes use the engine differently. Those that were killed count
        until their leases have ended, so it is tried for two of those leases.
        """
        loop = asyncio.get_running_loop()
        self._following = loop.create_task(self._follow_primaries())
        deadline = loop.time() + timeout
        patience: float | None = None
        try:
            while not self.is_connected:
                if self._refused is not None and patience is None:
                    lease = self._refused.stored.lease_seconds
                    self._site.longest_pause = min(LONGEST_PAUSE_SECONDS, lease / _ASKS_A_LEASE)
                    patience = loop.time() + _LEASES_TO_WAIT * lease
                until = deadline if patience is None else min(deadline, patience)
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
                self._changed.clear()
            self._site.longest_pause = LONGEST_PAUSE_SECONDS
        except TimeoutError:
            await self.stop()
            raise (self._refused or EngineUnreachable(*self._problem)) from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close every connection; whatever has no answer is answered with None."""
        if self._following is not None:
            await end(self._following)
        await asyncio.gather(*(primary.stop() for primary in self._primaries.values()))
        await asyncio.gather(*self._endings)
        self._limited_log.flush()

    def attach(self, partition: int, session: Session) -> None:
        self._sessions[partition].append(session)
        if self._ready(partition):
            session.connected()

    def call(self, script: str, partition: int, args: Sequence[Argument], done: Answered) -> None:
        primary = self._ready(partition)
        if primary is None:
            done(None)
        else:
            primary.commands.call(script, partition, args, done)

    def call_all(
        self, script: str, items: Sequence[tuple[int, Sequence[Argument]]], done: Answered
    ) -> None:
        """Run *script* on all *items* in one step, on a cluster in one of each partition.

        The arguments of each item follow what the channels of its partition begin with. None if
        one of the partitions has no connection; then none has been asked.
        """
        primaries = [self._ready(partition) for partition, _ in items]
        if not items or None in primaries:
            done(None if items else [])
        elif self._address.topology is Topology.CLUSTER:
            self._call_each(script, items, done)
        elif primaries[0] is not None:
            primaries[0].commands.call_many(script, items, done)

    def subscribe(self, partition: int, channel: str, subscriber: Subscriber) -> None:
        name = self._names.channel(partition, channel)
        self._subscribers[name] = subscriber
        self._change(partition, name)

    def unsubscribe(self, partition: int, channel: str) -> None:
        name = self._names.channel(partition, channel)
        self._subscribers.pop(name, None)
        self._change(partition, name)

    def is_listening(self, partition: int) -> bool:
        primary = self._of[partition]
        return primary is not None and primary.channels.is_up

    def _ready(self, partition: int) -> Primary | None:
        primary = self._of[partition]
        return primary if primary is not None and primary.is_ready else None

    def _change(self, partition: int, channel: bytes) -> None:
        primary = self._of[partition]
        if primary is not None:
            primary.channels.change(channel)

    def _call_each(
        self, script: str, items: Sequence[tuple[int, Sequence[Argument]]], done: Answered
    ) -> None:
        shares: dict[int, list[tuple[int, Sequence[Argument]]]] = {}
        for item in items:
            shares.setdefault(item[0], []).append(item)
        answers: list[Answer] = []

        def answered(answer: Answer) -> None:
            answers.append(answer)
            if len(answers) == len(shares):
                done(None if None in answers else answer)

        for partition, share in shares.items():
            primary = self._of[partition]
            if primary is not None:
                primary.commands.call_many(script, share, answered)

    async def _follow_primaries(self) -> None:
        """Find out who decides on what, again whenever a connection was lost."""
        time = asyncio.get_running_loop().time
        pauses = Pauses(self._site)
        while True:
            self._outdated.clear()
            try:
                places = await self._discovery.places()
            except Exception as error:
                self._note(self.address, reason_of(error))
            else:
                self._place(places)
                placed_at = time()
                try:
                    async with asyncio.timeout(self._discovery.interval):
                        await self._outdated.wait()
                except TimeoutError:
                    continue
                if time() - placed_at > LONGEST_PAUSE_SECONDS:
                    pauses.reset()
            await asyncio.sleep(pauses.next())

    def _place(self, places: Sequence[Location | None]) -> None:
        """Give every partition to the server that decides on it now."""
        moved: dict[Location | None, set[int]] = {}
        for partition, location in enumerate(places):
            primary = self._of[partition]
            if location != (primary.location if primary is not None else None):
                moved.setdefault(location, set()).add(partition)
        leaving = [partition for partitions in moved.values() for partition in partitions]
        # What a server has not answered for a partition that leaves it is worth nothing.
        for primary in {self._of[partition] for partition in leaving}:
            if primary is not None:
                primary.drop(_ELSEWHERE)
        for partition in leaving:
            primary, self._of[partition] = self._of[partition], None
            if primary is not None:
                primary.partitions.discard(partition)
        for location, partitions in moved.items():
            if location is not None:
                self._give(self._primary(location), partitions)
        for primary in [each for each in self._primaries.values() if not each.partitions]:
            del self._primaries[primary.location]
            ending = asyncio.get_running_loop().create_task(primary.stop())
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    def _primary(self, location: Location) -> Primary:
        primary = self._primaries.get(location)
        if primary is None:
            primary = self._primaries[location] = Primary(
                self._site,
                location,
                self._names,
                self._scripts,
                self._deployment,
                self._sessions,
                self._subscribers,
                self._opened,
            )
        return primary

    def _give(self, primary: Primary, partitions: set[int]) -> None:
        for partition in partitions:
            self._of[partition] = primary
        partition_of = self._names.partition_of
        primary.receive(
            partitions,
            [channel for channel in self._subscribers if partition_of(channel) in partitions],
        )

    def _opened(self, primary: Primary) -> None:
        """Make primaries ready; all wait for the word of the one that has partition 0."""
        if 0 in primary.partitions and primary.commands.is_up:
            self._agreed = True
        if self._agreed:
            for each in list(self._primaries.values()):
                each.make_ready()
        if self.is_connected:
            self._limited_log.flush()
            _log.info("engine connected", extra={"address": self.address})
        self._changed.set()

    def _failed(self, location: Location, error: Exception) -> None:
        """A connection was lost or could not be made: perhaps another server decides now."""
        self.losses += 1
        self._note(str(location), reason_of(error))
        self._outdated.set()
        if isinstance(error, EngineRefused):
            self._refused = error
            self._agreed = False
            self._changed.set()
            for primary in self._primaries.values():
                primary.commands.drop(_DIFFERENT)

    def _note(self, address: str, reason: str) -> None:
        self._problem = (address, reason)
        self._limited_log.warning("engine lost", address=address, reason=reason)
