"""A partitioned ledger for the contract: the real scripts, in this process, without faults."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from cluster.engines import START, LedgerEngine, ManualClock
from cluster.lua.fake import FakeServer, Server
from cluster.lua.keyspace import Stream
from herenow.cluster.base import Ledger, Occupancy, Subject, Transition, TransitionKind
from herenow.cluster.partitions.engine import Answer, Answered, Argument, Session, Subscriber
from herenow.cluster.partitions.ledger import PartitionedLedger
from herenow.cluster.partitions.numbers import INTERVAL_SECONDS
from herenow.cluster.partitions.placement import decode, subject_of
from herenow.cluster.seen import KEEP_SECONDS

LEASE: Final = 5.0
PARTITIONS: Final = 4
_KINDS: Final = {
    b"a": TransitionKind.ADD,
    b"r": TransitionKind.REMOVE,
    b"i": TransitionKind.INFO,
}


class DirectEngine:
    """Does what it is asked for at the next ``work``, in order. ``time`` in seconds."""

    partitions = PARTITIONS

    def __init__(self, time: Callable[[], float], server: Server | None = None) -> None:
        self.server: Server = server if server is not None else FakeServer()
        self._time = time
        self.executed: Callable[[], None] = lambda: None
        self.announced: Callable[[str, str, int], None] = lambda app, channel, number: None
        self._work: deque[Callable[[], None]] = deque()
        self._subscribers: dict[bytes, Subscriber] = {}

    def attach(self, partition: int, session: Session) -> None:
        self._work.append(session.connected)

    def call(self, script: str, partition: int, args: Sequence[Argument], done: Answered) -> None:
        args = tuple(args)
        self._work.append(lambda: done(self._run(script, partition, args)))

    def call_all(
        self, script: str, items: Sequence[tuple[int, Sequence[Argument]]], done: Answered
    ) -> None:
        raise AssertionError("a ledger asks one partition at a time")

    def subscribe(self, partition: int, channel: str, subscriber: Subscriber) -> None:
        def subscribe() -> None:
            self._subscribers[f"bus:{{{partition}}}:{channel}".encode()] = subscriber
            subscriber.subscribed()

        self._work.append(subscribe)

    def unsubscribe(self, partition: int, channel: str) -> None:
        def unsubscribe() -> None:
            del self._subscribers[f"bus:{{{partition}}}:{channel}".encode()]

        self._work.append(unsubscribe)

    def is_listening(self, partition: int) -> bool:
        return True

    def work(self) -> bool:
        """Do everything; false if there was nothing to do."""
        if not self._work:
            return False
        while self._work:
            self._work.popleft()()
        return True

    def deliver(self) -> None:
        published = list(self.server.published)
        self.server.published.clear()
        for channel, payload in published:
            subscriber = self._subscribers.get(channel)
            if subscriber is not None:
                subscriber.message(payload)
            elif payload.startswith(b"n "):
                app, name = decode(channel).split(":b:", 1)[1].split("/", 1)
                self.announced(app, name, int(payload[2:]))

    def _turn_to(self, now: int) -> None:
        """What expires in a real server does so by its own clock."""
        if isinstance(self.server, FakeServer):
            self.server.time = now

    def _run(self, script: str, partition: int, args: Sequence[Argument]) -> Answer:
        now = round(self._time() * 1e6)
        self._turn_to(now)
        head = (now, "history", round(LEASE * 1e6), f"bus:{{{partition}}}", "PUBLISH", 100_000)
        answer = self.server.call(script, [f"herenow:{{{partition}}}"], [*head, *args])
        self.executed()
        self.deliver()
        assert isinstance(answer, list)
        return answer


class PartitionedLedgerEngine(LedgerEngine):
    """Two leases old at the start, so that nothing is uncertain."""

    vacancy_counts_from_anybody = False
    histories = 256 * PARTITIONS
    keep_seconds = KEEP_SECONDS
    first_revision = (START - 2 * LEASE) * 1_000_000

    def make_server(self) -> Server:
        return FakeServer()

    def keep_for(self, seconds: float) -> None:
        self.keep_seconds = seconds
        self.ledger = self.start()
        self.ledger.attach(self)

    def count_all(self) -> None:
        self.advance(INTERVAL_SECONDS)

    def start(self) -> Ledger:
        self.clock = ManualClock()
        self.clock.advance(-2 * LEASE)
        self.engine = DirectEngine(self.clock.time, self.make_server())
        self.partitioned = PartitionedLedger(
            self.engine,
            self.clock,
            node="node",
            lease_seconds=LEASE,
            hold_seconds=20,
            flags_of=lambda app: 1,
            keep_seconds=self.keep_seconds,
        )
        self.engine.executed = self._read_outbox
        self.engine.announced = self.partitioned.announced
        self._read: dict[bytes, int] = {}
        self.settle()
        while self.clock.time() < START:
            self.clock.advance(LEASE / 20)
            self.settle()
        return self.partitioned

    def settle(self) -> None:
        self.partitioned.tick()
        while self.engine.work() or self._end_turn():
            pass

    def advance(self, seconds: float) -> None:
        until = self.clock.time() + seconds
        while self.clock.time() < until:
            self.clock.advance(min(LEASE / 20, until - self.clock.time()))
            self.settle()

    def _end_turn(self) -> bool:
        pending = self.clock.pending
        self.clock.advance(0)
        return self.clock.pending < pending

    def _read_outbox(self) -> None:
        if not isinstance(self.engine.server, FakeServer):
            return
        for key, value in list(self.engine.server.keys.items()):
            if isinstance(value, Stream):
                entries = value[self._read.get(key, 0) :]
                self._read[key] = len(value)
                for entry in entries:
                    self.take_in(_told(dict(zip(entry[::2], entry[1::2], strict=True))))


def _told(entry: dict[bytes, bytes]) -> Transition | Occupancy:
    since = int(entry[b"t"]) / 1e6
    kind = _KINDS.get(entry[b"k"])
    if kind is None:
        app, channel = decode(entry[b"s"]).split("/", 1)
        return Occupancy(app, channel, entry[b"k"] == b"o", since)
    subject: Subject = subject_of(entry[b"s"])
    return Transition(subject, kind, decode(entry[b"u"]), entry[b"i"], int(entry[b"q"]), since)
