"""One partition's stream, read while it is this node's turn: holds, settling, comparing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from herenow.cluster.base import Clock
from herenow.cluster.partitions.engine import Engine
from herenow.cluster.partitions.placement import decode
from herenow.webhooks.clustered_comparing import additions, removals
from herenow.webhooks.clustered_shard import Arrival, NotReader, Shard
from herenow.webhooks.clustered_turns import Turn
from herenow.webhooks.facts import (
    Happening,
    changes_for,
    channel_lane,
    channel_of,
    user_lane,
)
from herenow.webhooks.holds import Holds
from herenow.webhooks.journal import Change, Fact, JournalUnavailable
from herenow.webhooks.trimming import trim_pause

if TYPE_CHECKING:
    from herenow.webhooks.deliveries import Deliveries
    from herenow.webhooks.endpoints import Endpoint, Endpoints

CHANNEL: Final = "out"
ARRIVALS_A_CALL: Final = 500
CHANGES_A_CALL: Final = 100
TRIMMED_A_CALL: Final = 200
POLL_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 0.5
_FIRST: Final = b"0-1"
_BEGIN: Final = b"0"

_log = logging.getLogger("herenow.webhooks")


@dataclass(frozen=True, slots=True)
class Reading:
    """What all readers of a node have in common. Times in seconds.

    ``started`` is when this node began; ``removals_from`` when, after that, clients had time to
    come back, on the node's clock.
    ``limit`` is how many events may wait in one partition, 0 any number.
    """

    engine: Engine
    endpoints: Endpoints
    deliveries: Deliveries
    clock: Clock
    node: str
    lease_seconds: float
    hold_seconds: float
    keep_seconds: float
    started: float
    removals_from: float
    limit: int
    dropped: Callable[[int], None]


class Reader:
    """Takes its turns at one partition until it is stopped. Implements ``engine.Subscriber``."""

    def __init__(self, shard: Shard, reading: Reading) -> None:
        self.is_reading = False
        self.shard = shard
        self._requests: deque[str] = deque()
        self._reading = reading
        self._turn = Turn(reading.node, shard.index, reading.lease_seconds)
        self._wake = asyncio.Event()
        self._stopping = False
        self._attached = False
        self._pause = reading.lease_seconds / 3
        self._claimed_at = 0.0
        self._certain_from = 0.0
        self._engine_ahead = 0.0
        self._next = _FIRST
        self._counted: int | None = None
        self._position = 0
        self._holds = Holds(reading.hold_seconds)
        self._due: dict[str, None] = {}
        self._compare_from = 0.0
        self._suspects: dict[str, None] = {}
        self._known_at: float | None = None
        self._trimmed_at = 0.0
        self._trim_pause = trim_pause(reading.keep_seconds)
        self._settled = 0

    def subscribed(self) -> None:
        """What was published meanwhile is lost: look at everything again."""
        if self._attached:
            for endpoint in self._reading.endpoints.all():
                self._reading.deliveries.reload(self.shard.name, endpoint.id)
                self._suspects[endpoint.id] = None
        self._wake.set()

    def lost(self) -> None: ...

    def message(self, payload: bytes) -> None:
        kind, _, endpoint = payload.partition(b" ")
        if kind == b"d":
            self._requests.append(decode(endpoint))
        elif endpoint and self._attached:
            name = decode(endpoint)
            self._reading.deliveries.reload(self.shard.name, name)
            (self._due if kind == b"c" else self._suspects)[name] = None
        self._wake.set()

    def endpoints_changed(self) -> None:
        """Endpoints came or went, or want something else."""
        self._known_at, self._compare_from = None, 0.0
        self._compare_with_all()
        self._wake.set()

    def recovered(self, endpoint: str) -> None:
        """It answers again: if events for it were dropped it is told what holds."""
        self._suspects[endpoint] = None
        self._wake.set()

    async def drop(self, endpoint: str, ids: Sequence[str], most: int) -> int:
        """Never deliver these entries, unless they are under way; answers how many are gone."""
        deliveries = self._reading.deliveries
        under_way = deliveries.withhold(self.shard.name, endpoint)
        try:
            dropped = await self.shard.drop(endpoint, ids, most, under_way)
        finally:
            deliveries.resume(self.shard.name, endpoint)
        self._reading.dropped(dropped)
        return dropped

    @property
    def is_stopped(self) -> bool:
        return self._stopping

    def stop(self) -> None:
        """Have :meth:`run` leave the partition to others and return."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        try:
            while not self._stopping:
                try:
                    if await self._take_turn():
                        await self._read()
                    else:
                        await self._rest(self._pause)
                except NotReader:
                    await self._leave()
                except JournalUnavailable:
                    await self._rest(min(PAUSE_SECONDS, self._pause))
                    self._begin()
        finally:
            await self._leave()
            with contextlib.suppress(JournalUnavailable):
                await self._give()

    async def _take_turn(self) -> bool:
        """Whether this node reads the partition now."""
        now = self._reading.clock.time()
        claim = await self.shard.claim("look")
        if claim.mine and self.is_reading:
            self._claimed_at = now
            if self._turn.is_preferred(claim.nodes):
                return True
            await self._leave()
            await self._give()
            return False
        await self._leave()
        if not claim.mine and not self._turn.is_to_take(claim, now):
            return False
        taken = await self.shard.claim("take")
        if not taken.mine:
            return False
        # By one who left while this node was there; else all may have ended, and start again.
        handed_over = (
            not claim.before
            and claim.given is not None
            and (claim.given < now - self._reading.started)
        )
        waits_for_returns = taken.something_told and not handed_over
        self._certain_from = self._reading.removals_from if waits_for_returns else 0.0
        self._claimed_at = now
        self._begin()
        self._counted = None
        self._compare_with_all()
        self._known_at, self._compare_from = None, 0.0
        self._reading.deliveries.attach(self.shard.name, self.shard)
        self._reading.engine.subscribe(self.shard.index, CHANNEL, self)
        self.is_reading = self._attached = True
        _log.debug("partition %d is read here", self.shard.index)
        return True

    async def _leave(self) -> None:
        """Deliver nothing of this partition any more."""
        self.is_reading = False
        if self._attached:
            self._attached = False
            self._reading.engine.unsubscribe(self.shard.index, CHANNEL)
            await self._reading.deliveries.detach(self.shard.name)

    async def _give(self) -> None:
        """Whoever takes the partition then waits for returns if they are waited for here."""
        is_certain = self._reading.clock.time() >= self._certain_from
        await self.shard.claim("give" if is_certain else "leave")

    def _begin(self) -> None:
        """Read the stream from its begin: what was held is still in it."""
        self._next = _FIRST
        self._holds = Holds(self._reading.hold_seconds)

    async def _read(self) -> None:
        """Read on until it is time to look whose turn it is."""
        clock = self._reading.clock
        until = self._claimed_at + self._pause
        while not self._stopping and clock.time() < until:
            self._wake.clear()
            await self._introduce()
            await self._drop_as_asked()
            more = await self._take_in()
            await self._settle_due()
            if more:
                continue
            await self._look_at_suspects()
            await self._compare()
            await self._trim()
            if not self._stopping:
                await self._wait(until)

    async def _wait(self, until: float) -> None:
        now = self._reading.clock.time()
        seconds = min(POLL_SECONDS, until - now)
        due = self._holds.next_due()
        if due is not None:
            due = max(due - self._engine_ahead, self._certain_from)
            seconds = min(seconds, due - now)
        await self._sleep(seconds)

    async def _rest(self, seconds: float) -> None:
        """Sleep, whatever there was to wake up for before."""
        self._wake.clear()
        await self._sleep(seconds)

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0 and not self._stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    async def _introduce(self) -> None:
        """Say which endpoints there are, so that they are not forgotten."""
        now = self._reading.clock.time()
        if self._known_at is not None and now - self._known_at < self._trim_pause:
            return
        endpoints = self._reading.endpoints.all()
        apps = frozenset(endpoint.app for endpoint in endpoints)
        await self.shard.apps(apps)
        for start in range(0, len(endpoints), CHANGES_A_CALL):
            part = [each.id for each in endpoints[start : start + CHANGES_A_CALL]]
            self._due.update(dict.fromkeys(await self.shard.known(part)))
        self._known_at = now

    async def _drop_as_asked(self) -> None:
        """Drop what other nodes want dropped."""
        while self._requests:
            request = self._requests.popleft()
            wanted = await self.shard.asked_to_drop(request)
            if wanted is not None:
                await self.shard.answer_dropped(request, await self.drop(*wanted))

    async def _take_in(self) -> bool:
        """Take in what came into the stream; true if there may be more."""
        arrivals = await self.shard.arrivals(self._next, ARRIVALS_A_CALL)
        self._engine_ahead = arrivals.now - self._reading.clock.time()
        self._notice(arrivals.position)
        for arrival in arrivals.entries:
            self._count(arrival.number - 1)
            self._holds.add(_happening(arrival))
            self._next = _after(arrival.id)
            self._counted = max(self._counted or 0, arrival.number)
        more = len(arrivals.entries) == ARRIVALS_A_CALL
        if not more:
            self._count(arrivals.written)
        return more

    def _count(self, number: int) -> None:
        """All entries up to *number* were read here, or else the stream was cut."""
        if self._counted is not None and number > self._counted:
            self._compare_with_all()
        self._counted = max(self._counted or 0, number)

    def _compare_with_all(self) -> None:
        self._due.update(dict.fromkeys(each.id for each in self._reading.endpoints.all()))

    async def _settle_due(self) -> None:
        now = self._reading.clock.time()
        is_certain = now >= self._certain_from
        happenings, tickets = self._holds.take(now + self._engine_ahead if is_certain else 0.0)
        told_of = {happening.ticket for happening in happenings}
        settled = deque(ticket for ticket in tickets if ticket not in told_of)
        # A removal that a return has made unheard goes before the return: were it alone left, it
        # would be told.
        while settled:
            await self._settle(_taken(settled, CHANGES_A_CALL), [])
        waiting = deque((each.ticket, self._changes(each)) for each in happenings)
        while waiting:
            items: list[tuple[str, Sequence[Change]]] = []
            changes = 0
            while waiting and changes < CHANGES_A_CALL and len(items) < CHANGES_A_CALL:
                items.append(waiting.popleft())
                changes += len(items[-1][1])
            await self._settle([], items)

    async def _settle(
        self, tickets: Sequence[str], items: Sequence[tuple[str, Sequence[Change]]]
    ) -> None:
        settled = await self.shard.settle(tickets, items)
        self._settled += len(items)
        if settled.missing:
            # The stream was cut, or an answer was lost: nobody knows what that told.
            self._compare_with_all()
        self._notice(settled.before)
        self._position = settled.after
        if settled.endpoints:
            self._reading.deliveries.arrived(self.shard.name, settled.endpoints)

    def _notice(self, position: int) -> None:
        """Events that were added without an answer that told of them are to be read, too."""
        if position != self._position:
            self._position = position
            endpoints = [endpoint.id for endpoint in self._reading.endpoints.all()]
            self._reading.deliveries.arrived(self.shard.name, endpoints)

    def _changes(self, happening: Happening) -> list[Change]:
        channel = channel_of(happening.fact)
        if channel is not None and channel.startswith("#"):
            return []
        return changes_for(self._reading.endpoints.of(happening.app), happening)

    async def _look_at_suspects(self) -> None:
        while self._suspects:
            name = next(iter(self._suspects))
            condition = await self.shard.condition(name)
            del self._suspects[name]
            # Deliveries know of a failure that arose from another partition's events.
            fails = condition.failing_since or self._reading.deliveries.failing_since(name)
            if condition.adrift and fails is None:
                self._due[name] = None

    async def _compare(self) -> None:
        """Tell endpoints whose turn it is what holds, and what no longer does."""
        if self._reading.clock.time() < self._compare_from:
            return
        for name in list(self._due):
            # It may be due once more before this comparison has ended.
            self._due.pop(name, None)
            endpoint, is_done = self._reading.endpoints.get(name), False
            try:
                is_done = endpoint is None or await self._compare_with(endpoint)
            finally:
                if not is_done:
                    self._due[name] = None
            if not is_done:
                again_at = self._reading.clock.time() + self._pause
                self._compare_from = max(self._certain_from, again_at)
            if self._stopping or self._is_turn_over():
                return

    async def _compare_with(self, endpoint: Endpoint) -> bool:
        """False if removals have to wait."""
        is_certain = self._reading.clock.time() >= self._certain_from
        if is_certain:
            await self.shard.compared(endpoint.id)
        async for changes in additions(self.shard, endpoint):
            await self._settle_found(changes)
        if not is_certain:
            return False
        async for found in removals(self.shard, endpoint, self._is_held, self._catch_up):
            if found is None:
                return False
            await self._settle_found(found)
        return True

    async def _catch_up(self) -> None:
        while await self._take_in():
            pass

    def _is_held(self, app: str, fact: Fact) -> bool:
        return self._holds.is_held(app, fact)

    async def _settle_found(self, changes: Sequence[Change]) -> None:
        for start in range(0, len(changes), CHANGES_A_CALL):
            await self._settle([], [("", changes[start : start + CHANGES_A_CALL])])

    def _is_turn_over(self) -> bool:
        return self._reading.clock.time() >= self._claimed_at + self._pause

    async def _trim(self) -> None:
        """Drop what is too old or too much, now and then; forget endpoints that are gone."""
        now = self._reading.clock.time()
        limit = self._reading.limit
        is_full = 0 < limit < self._settled
        if now - self._trimmed_at < self._trim_pause and not is_full:
            return
        self._trimmed_at, self._settled = now, 0
        oldest = now + self._engine_ahead - self._reading.keep_seconds
        depths = {each.id: 0 for each in self._reading.endpoints.all()}
        if limit:
            for name in depths:
                depth = await self.shard.depth(name)
                depths[name] = depth.waiting + depth.buried
        for name, most in _shares(depths, limit).items():
            await self._trim_endpoint(name, oldest, most)
        if not self._reading.endpoints.complete:
            return
        for name in await self.shard.unknown(oldest):
            if self._reading.endpoints.get(name) is None:
                await self.shard.forget(name)

    async def _trim_endpoint(self, name: str, oldest: float, most: int) -> None:
        cursor, more, dropped = _BEGIN, True, 0
        deliveries = self._reading.deliveries
        under_way = deliveries.withhold(self.shard.name, name)
        try:
            while more or cursor != _BEGIN:
                number, more, cursor = await self.shard.trim(
                    name, oldest, most, cursor, TRIMMED_A_CALL, under_way
                )
                dropped += number
        finally:
            deliveries.resume(self.shard.name, name)
        if dropped:
            self._reading.dropped(dropped)
            self._suspects[name] = None


def _happening(arrival: Arrival) -> Happening:
    """What an entry of the stream says of a fact."""
    holds = arrival.kind in (b"a", b"o")
    app, _, name = decode(arrival.subject).partition("/")
    fact = Fact(channel_lane(name))
    if arrival.kind in (b"a", b"r"):
        kind, _, name = name.partition("/")
        fact = (
            Fact(user_lane(name)) if kind == "u" else Fact(channel_lane(name), decode(arrival.user))
        )
    return Happening(app, fact, holds, arrival.info, arrival.since, arrival.id.decode())


def _after(id_: bytes) -> bytes:
    """The next id that an entry of the stream may have."""
    time, _, number = id_.partition(b"-")
    return b"%b-%d" % (time, int(number) + 1)


def _taken(tickets: deque[str], most: int) -> list[str]:
    taken = list(islice(tickets, most))
    for _ in taken:
        tickets.popleft()
    return taken


def _shares(depths: dict[str, int], limit: int) -> dict[str, int]:
    """How many events of each endpoint may stay; 0 any number. The largest gives way."""
    shares = dict.fromkeys(depths, 0)
    beyond = sum(depths.values()) - limit if limit else 0
    for name in sorted(depths, key=lambda name: -depths[name]):
        if beyond <= 0:
            break
        cut = min(beyond, depths[name] - 1)
        shares[name] = depths[name] - cut
        beyond -= cut
    return shares
