"""Nodes that share a real engine and deliver webhooks to a receiver in this process."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

from cluster.servers import Cluster, Valkey
from herenow.apps.base import App, Key, WebhookEndpoint
from herenow.apps.static import StaticApps
from herenow.cluster.base import Done, Joined, Refusal, Subject, SubjectKind
from herenow.cluster.partitions.engine import Argument
from herenow.cluster.partitions.ledger import PartitionedLedger
from herenow.cluster.redis.address import parse
from herenow.cluster.redis.engine import OUTBOX_ENTRIES, RedisEngine
from herenow.webhooks.clustered import ClusteredOutbox, ClusteredSettings
from herenow.webhooks.clustered_turns import Turn
from herenow.webhooks.counters import DeliveryCounters
from herenow.webhooks.deliveries import Deliveries
from herenow.webhooks.endpoints import Endpoints
from herenow.webhooks.sending import DELIVERED, REFUSED, Outcome

APP: Final = "1"
PARTITIONS: Final = 8
LEASE: Final = 2.0
HOLD: Final = 0.2
RETURN: Final = 3.0
KEEP: Final = 60.0
RETRY: Final = 30.0
PATIENCE: Final = 30.0
ALL_EVENTS: Final = (
    *("channel_occupied", "channel_vacated", "member_added", "member_removed"),
    *("user_online", "user_offline", "client_event"),
)
HOOK: Final = WebhookEndpoint("http://receiver.test/hooks", ALL_EVENTS)
SETTINGS: Final = ClusteredSettings(LEASE, HOLD, RETURN, KEEP, 0)


class Heard(NamedTuple):
    """One event of one request. ``fact`` is what it is about, ``holds`` whether it came."""

    fact: tuple[str, str]
    holds: bool
    lane: str
    id: str
    sequence: int
    node: str


class Receiver:
    """A backend. *choose* says by node whether a request is answered with 200."""

    def __init__(self, choose: Callable[[str], bool] = lambda node: True) -> None:
        self.choose = choose
        self.delay = 0.0
        # While it is clear requests have no answer; `begun` has the nodes that sent one.
        self.answers = asyncio.Event()
        self.answers.set()
        self.begun: list[str] = []
        self.heard: list[Heard] = []
        self.names: list[str] = []

    def take(self, node: str, headers: Sequence[tuple[str, str]], body: bytes) -> bool:
        if not self.choose(node):
            return False
        fields = dict(headers)
        ids = fields["X-Herenow-Event-Ids"].split(",")
        sequences = map(int, fields["X-Herenow-Sequences"].split(","))
        for event, id_, sequence in zip(json.loads(body)["events"], ids, sequences, strict=True):
            self.names.append(event["name"])
            if sequence:
                self.heard.append(_heard(event, id_, sequence, node))
        return True

    def distinct(self) -> list[Heard]:
        """What was heard, without repeats."""
        return list({each.id: each for each in reversed(self.heard)}.values())[::-1]

    def picture(self) -> set[tuple[str, str]]:
        """What a backend that hears the events believes in."""
        believed: set[tuple[str, str]] = set()
        for heard in sorted(self.distinct(), key=lambda each: each.sequence):
            (believed.add if heard.holds else believed.discard)(heard.fact)
        return believed

    def check(self) -> None:
        """Of each fact the distinct events alternate; of each lane they came in their order."""
        by_fact: dict[tuple[str, str], list[bool]] = defaultdict(list)
        by_lane: dict[str, list[int]] = defaultdict(list)
        for heard in self._first_heard():
            by_fact[heard.fact].append(heard.holds)
            by_lane[heard.lane].append(heard.sequence)
        for fact, holds in by_fact.items():
            assert holds == [i % 2 == 0 for i in range(len(holds))], (fact, holds)
        for lane, sequences in by_lane.items():
            assert sequences == sorted(set(sequences)), (lane, sequences)

    def _first_heard(self) -> list[Heard]:
        first: dict[str, Heard] = {}
        for heard in self.heard:
            first.setdefault(heard.id, heard)
        return list(first.values())


def _heard(event: dict[str, Any], id_: str, sequence: int, node: str) -> Heard:
    name = event["name"]
    holds = name in ("channel_occupied", "member_added", "user_online")
    if name.startswith("user_"):
        lane = fact = "user " + event["user_id"]
        return Heard((fact, ""), holds, lane, id_, sequence, node)
    lane = "channel " + event["channel"]
    return Heard((lane, event.get("user_id", "")), holds, lane, id_, sequence, node)


class _Sender:
    """Implements ``sending.Sender``."""

    def __init__(self, receiver: Receiver, node: str) -> None:
        self._receiver = receiver
        self._node = node

    async def send(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Outcome:
        self._receiver.begun.append(self._node)
        await self._receiver.answers.wait()
        await asyncio.sleep(self._receiver.delay)
        taken = self._receiver.take(self._node, headers, body)
        return Outcome(DELIVERED, "200") if taken else Outcome(REFUSED, "503")

    async def close(self) -> None: ...


class _Line:
    """Implements ``clustered_shard.Partitions`` by the ledger of a node, until it is cut."""

    def __init__(self, ledger: PartitionedLedger) -> None:
        self.node = ledger.node
        self.partitions = ledger.partitions
        self.is_cut = False
        self.asked = 0
        # Of the next call of this script the answer is lost.
        self.unheard = ""
        # Calls of this script are kept back until they are released.
        self.held_back = ""
        self._back: list[Callable[[], None]] = []
        self._ledger = ledger

    @property
    def kept_back(self) -> int:
        """How many calls wait to be released."""
        return len(self._back)

    def ask(
        self,
        partition: int,
        script: str,
        arguments: Sequence[Argument],
        done: Done[list[Any] | Refusal],
    ) -> None:
        self.asked += 1
        if self.is_cut:
            done(Refusal.UNAVAILABLE)
        elif script == self.held_back:
            self._back.append(lambda: self.ask(partition, script, arguments, done))
        elif script == self.unheard:
            self.unheard = ""
            self._ledger.ask(partition, script, arguments, lambda _: done(Refusal.UNAVAILABLE))
        else:
            self._ledger.ask(partition, script, arguments, done)

    def release(self) -> None:
        self.held_back = ""
        back, self._back = self._back, []
        for ask in back:
            ask()


class _Clock:
    def time(self) -> float:
        return time.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        return asyncio.get_running_loop().call_later(delay, callback)


class Node:
    """One node. Subscriptions are numbered by the test."""

    def __init__(
        self,
        name: str,
        url: str,
        receiver: Receiver,
        hooks: Sequence[WebhookEndpoint],
        outbox_entries: int = OUTBOX_ENTRIES,
        settings: ClusteredSettings = SETTINGS,
    ) -> None:
        self.name = name
        self.app = App(APP, (Key("key", "secret"),), webhooks=tuple(hooks))
        clock = _Clock()
        self.engine = RedisEngine(
            parse(url),
            prefix="herenow",
            partitions=PARTITIONS,
            lease_seconds=LEASE,
            outbox_entries=outbox_entries,
        )
        self.ledger = PartitionedLedger(
            self.engine,
            clock,
            node=name,
            lease_seconds=LEASE,
            hold_seconds=5,
            flags_of=lambda app: 1 if self.app.webhooks else 0,
        )
        self.line = _Line(self.ledger)
        self.apps = _Apps(self)
        self.endpoints = Endpoints(self.apps)
        self.sender = _Sender(receiver, name)
        self.deliveries = Deliveries(
            self.endpoints, self.apps.by_id, self.sender, RETRY, clock, DeliveryCounters()
        )
        self.outbox = ClusteredOutbox(
            self.line, self.engine, self.endpoints, self.deliveries, settings, clock
        )
        self._ticking: asyncio.Task[None] | None = None

    @property
    def endpoint(self) -> str:
        """The id of its first endpoint."""
        return next(iter(self.endpoints.all())).id

    async def start(self) -> None:
        self._ticking = asyncio.create_task(self._tick())
        await self.engine.start(PATIENCE)
        await until(lambda: self.ledger.ready)
        await self.outbox.start()

    async def _tick(self) -> None:
        while True:
            self.ledger.tick()
            await asyncio.sleep(LEASE / 20)

    async def stop(self) -> None:
        """End as on SIGTERM, when its connections are closed."""
        await self.outbox.stop(2)
        said = asyncio.Event()
        self.ledger.leave_cluster(said.set)
        await said.wait()
        await self._end()

    async def kill(self) -> None:
        """End without a word to anybody."""
        self.line.is_cut = True
        await self.deliveries.stop(0)
        await self.outbox.stop(0)
        await self._end()

    async def _end(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        await self.engine.stop()

    def configure(self, *hooks: WebhookEndpoint) -> None:
        """Change the application's webhooks while the node runs."""
        self.app = replace(self.app, webhooks=hooks)
        self.outbox.app_changed(APP)

    async def join(self, channel: str, user: str, subscription: int) -> None:
        self.ledger.count(APP, channel, 1)
        await self._join(Subject(APP, SubjectKind.PRESENCE, channel), user, subscription)

    async def sign_in(self, user: str, subscription: int) -> None:
        await self._join(Subject(APP, SubjectKind.USER, user), user, subscription)

    async def _join(self, subject: Subject, user: str, subscription: int) -> None:
        joined: asyncio.Future[Joined | Refusal] = asyncio.get_running_loop().create_future()
        self.ledger.join(subject, user, subscription, b"{}", 0, 0.1, joined.set_result)
        assert isinstance(await joined, Joined)

    def leave(self, channel: str, subscription: int) -> None:
        self.ledger.leave(Subject(APP, SubjectKind.PRESENCE, channel), subscription, 0)

    def sign_out(self, user: str, subscription: int) -> None:
        self.ledger.leave(Subject(APP, SubjectKind.USER, user), subscription, 0)


class _Apps(StaticApps):
    """The one application of a node, as it is now."""

    def __init__(self, node: Node) -> None:
        super().__init__((node.app,))
        self._node = node

    def by_id(self, app_id: str) -> App | None:
        return self._node.app if app_id == APP else None


class Deployment:
    """Some nodes at one engine."""

    def __init__(
        self,
        engine: Valkey | Cluster,
        receiver: Receiver,
        outbox_entries: int = OUTBOX_ENTRIES,
        settings: ClusteredSettings = SETTINGS,
    ) -> None:
        self.receiver = receiver
        self._outbox_entries = outbox_entries
        self._settings = settings
        self.nodes: list[Node] = []
        self._engine = engine
        self._numbers = itertools.count(1)

    async def add(self, *hooks: WebhookEndpoint) -> Node:
        """One more node."""
        node = self.make(*hooks)
        await node.start()
        return node

    def make(self, *hooks: WebhookEndpoint) -> Node:
        """One more node that is not started."""
        name = f"n{next(self._numbers)}"
        node = Node(
            name, self._engine.url, self.receiver, hooks, self._outbox_entries, self._settings
        )
        self.nodes.append(node)
        return node

    async def restart(self) -> None:
        """End all nodes in order at the same time, then start as many anew."""
        before, self.nodes = self.nodes, []
        await asyncio.gather(*(node.stop() for node in before))
        await asyncio.gather(*(self.make(*node.app.webhooks).start() for node in before))

    async def kill(self, node: Node) -> None:
        self.nodes.remove(node)
        await node.kill()

    async def stop(self, node: Node) -> None:
        self.nodes.remove(node)
        await node.stop()

    async def read(self) -> None:
        """Wait until every partition is read by the node in whose share it is."""
        names = [f"{node.name}-1".encode() for node in self.nodes]
        for node in self.nodes:
            turns = [Turn(node.name, partition, 0) for partition in range(PARTITIONS)]
            share = sum(turn.is_preferred(names) for turn in turns)
            await until(partial(_reads, node, share))


def _reads(node: Node, partitions: int) -> bool:
    return node.outbox.reading == partitions


@asynccontextmanager
async def deployment(
    engine: Valkey | Cluster,
    nodes: int,
    *hooks: WebhookEndpoint,
    receiver: Receiver | None = None,
    outbox_entries: int = OUTBOX_ENTRIES,
    settings: ClusteredSettings = SETTINGS,
) -> AsyncIterator[Deployment]:
    """*nodes* nodes, each of which reads its share of the partitions."""
    running = Deployment(engine, receiver or Receiver(), outbox_entries, settings)
    try:
        for _ in range(nodes):
            await running.add(*(hooks or (HOOK,)))
        await running.read()
        yield running
    finally:
        for node in list(running.nodes):
            await running.kill(node)


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Return when *condition* holds; fail after *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {condition}")
        await asyncio.sleep(0.01)


async def until_said(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return when the answer is yes."""
    deadline = time.monotonic() + PATIENCE
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE} s: {condition}")
        await asyncio.sleep(0.02)
