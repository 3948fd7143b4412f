"""The ledger of a single node without faults: kept in memory and by an engine, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, Final, cast

from cluster.lua.fake import FakeServer
from cluster.sim.clock import NodeClock
from cluster.sim.wires import Published, Request, Wires
from herenow.cluster.base import (
    Joined,
    Ledger,
    Occupancy,
    Subject,
    SubjectKind,
    Transition,
    TransitionKind,
)
from herenow.cluster.memory import MemoryLedger
from herenow.cluster.partitions.engine import Answer, Argument
from herenow.cluster.partitions.ledger import PartitionedLedger
from herenow.cluster.partitions.placement import decode, name_key, subject_key

START: Final = 1_700_000_000.0
QUANTUM: Final = 0.25
LEASE: Final = 3.0
INSTANT: Final = 0.000_02
APP: Final = "1"
BASE: Final = "herenow:{0}"
WEBHOOKS: Final = 1

Told = tuple[str, str, str, str, float]


class Side:
    """A ledger, and what it told: to its follower in ``heard``, to the outbox in ``outbox``."""

    ledger: Ledger

    def __init__(self) -> None:
        self.clock = NodeClock(START)
        self.heard: list[Told] = []
        self.terminated: list[str] = []
        self.answers: list[object] = []
        self.revisions: dict[str, int] = {}

    def apply(self, transition: Transition) -> None:
        kind, subject, user, info, since = _told(transition)
        assert transition.revision >= self.revisions.get(subject, 0)
        self.revisions[subject] = transition.revision
        if transition.subject.kind is SubjectKind.PRESENCE:
            self.heard.append((kind, subject, user, info, since))
        elif transition.kind is not TransitionKind.INFO:
            # Of a user it matters whether he is there.
            self.heard.append((kind, subject, user, "", 0))

    def announced(self, app: str, channel: str, subscriptions: int) -> None: ...

    def terminate(self, app: str, user: str) -> None:
        self.terminated.append(user)

    def answered(self, answer: Any) -> None:
        """Keep what was answered, but for revisions, which differ, and times, to the µs."""
        if isinstance(answer, Joined):
            self.answers.append(("joined", answer.first))
        elif isinstance(answer, float | int):
            self.answers.append(round(answer, 3))
        elif hasattr(answer, "members") and hasattr(answer, "revision"):
            members = [m._replace(since=round(m.since, 5)) for m in answer.members]
            self.answers.append((members, answer.complete))
        else:
            self.answers.append(answer)

    def take_outbox(self) -> list[Told]:
        raise NotImplementedError

    def settle(self) -> None:
        """Have everything happen that was asked for."""

    def advance(self, quanta: int) -> None:
        raise NotImplementedError

    def instant(self) -> None:
        self.clock.advance(self.clock.time() + INSTANT)


class InMemory(Side):
    def __init__(self) -> None:
        super().__init__()
        self._outbox: list[Told] = []
        self.ledger = MemoryLedger(self.clock, self._take)
        self.ledger.attach(self)

    def _take(self, told: Transition | Occupancy) -> None:
        if isinstance(told, Occupancy):
            kind = "occupied" if told.occupied else "vacated"
            name = decode(name_key(told.app, told.channel))
            since = round(told.since, 5) if told.occupied else 0
            self._outbox.append((kind, name, "", "", since))
        elif told.kind is not TransitionKind.INFO:
            self._outbox.append(_told(told))

    def take_outbox(self) -> list[Told]:
        told, self._outbox = self._outbox, []
        return told

    def settle(self) -> None:
        self.clock.advance(self.clock.time())

    def advance(self, quanta: int) -> None:
        self.clock.advance(self.clock.time() + quanta * QUANTUM)


class Shared(Side):
    """The only node of an engine, which answers at once."""

    reachable = True

    def __init__(self, fake: FakeServer) -> None:
        super().__init__()
        self._fake = fake
        fake.flush()
        fake.published.clear()
        self._wires = Wires("A", self, 1, LEASE, self.clock.time)
        self.ledger = self.shared = PartitionedLedger(
            self._wires,
            self.clock,
            node="A",
            lease_seconds=LEASE,
            hold_seconds=20,
            flags_of=lambda _: WEBHOOKS,
        )
        self.ledger.attach(self)
        self._read = 0

    def execute(self, request: Request) -> Answer:
        head: list[Argument] = [
            round(self.clock.time() * 1e6),
            "h",
            round(LEASE * 1e6),
            BASE,
            "PUBLISH",
            10**6,
        ]
        (arguments,) = [args for _, args in request.items]
        answer: Any = self._fake.call(request.script, [BASE], [*head, *arguments])
        heard = [
            Published(0, channel.decode().removeprefix(f"{BASE}:"), payload)
            for channel, payload in self._fake.published
        ]
        self._fake.published.clear()
        self.publish(heard)
        return cast("Answer", answer)

    def publish(self, messages: Sequence[Published]) -> None:
        for message in messages:
            self._wires.hear(message)

    def settle(self) -> None:
        wires, moved = self._wires, True
        while moved:
            self.clock.advance(self.clock.time())
            wires.settle()
            moved = any((wires.execute(), wires.execute_feed(), wires.reply(), wires.feed()))
            wires.settle()

    def advance(self, quanta: int) -> None:
        for _ in range(quanta):
            self.clock.advance(self.clock.time() + QUANTUM)
            self._wires.pass_time()
            self.settle()
            self.shared.tick()
            self.settle()

    def take_outbox(self) -> list[Told]:
        entries: Any = self._fake.keys.get(f"{BASE}:out".encode()) or ()
        new, self._read = list(entries)[self._read :], len(entries)
        return [_entry(dict(zip(fields[::2], fields[1::2], strict=True))) for fields in new]


KINDS: Final = {b"a": "add", b"r": "remove", b"o": "occupied", b"v": "vacated"}


def _entry(fields: dict[bytes, bytes]) -> Told:
    # Of a vacancy memory tells the last leave at all, the scripts that of the last to go.
    since = 0 if fields[b"k"] == b"v" else round(int(fields[b"t"]) / 1e6, 5)
    texts = (decode(fields[b"s"]), decode(fields[b"u"]), fields[b"i"].decode())
    return (KINDS[fields[b"k"]], *texts, since)


def _told(transition: Transition) -> Told:
    subject = decode(subject_key(transition.subject))
    info, since = transition.info.decode(), round(transition.since, 5)
    return (transition.kind.value, subject, transition.user, info, since)


def room(name: str) -> Subject:
    return Subject(APP, SubjectKind.PRESENCE, name)


def signed_in(user: str) -> Subject:
    return Subject(APP, SubjectKind.USER, user)


class Pair:
    """Both, asked the same; whatever one of them says or tells, the other must."""

    def __init__(self, fake: FakeServer) -> None:
        self.shared = Shared(fake)
        self.memory = InMemory()
        self.sides: tuple[Side, Side] = (self.memory, self.shared)
        self.subscriptions = count(1)
        self.live: list[tuple[Subject, int]] = []
        self.followed: set[Subject] = set()
        self.connections = 0
        # The first epoch is young, and says so.
        self.advance(8)

    def both(self, what: Any) -> None:
        for side in self.sides:
            what(side)
            side.settle()
        self.compare(in_order=True)

    def advance(self, quanta: int) -> None:
        for side in self.sides:
            side.advance(quanta)
        # Who goes in the same quantum goes in any order.
        self.compare(in_order=False)

    def compare(self, *, in_order: bool) -> None:
        memory, shared = self.sides
        arrange: Any = list if in_order else sorted
        assert arrange(memory.heard) == arrange(shared.heard)
        assert arrange(memory.take_outbox()) == arrange(shared.take_outbox())
        assert memory.answers == shared.answers
        assert memory.terminated == shared.terminated
        for side in self.sides:
            side.heard.clear()
            side.answers.clear()
            side.terminated.clear()
            side.instant()

    def join(self, subject: Subject, user: str, info: str, limit: int, grace: float) -> None:
        if subject.kind is SubjectKind.USER:
            user, limit = subject.name, 0
        subscription = next(self.subscriptions)

        def join(side: Side) -> None:
            side.ledger.join(
                subject, user, subscription, info.encode(), limit, grace, side.answered
            )

        self.both(join)
        self.live.append((subject, subscription))

    def leave(self, index: int, grace: float) -> None:
        if self.live:
            subject, subscription = self.live.pop(index % len(self.live))
            self.both(lambda side: side.ledger.leave(subject, subscription, grace))

    def follow(self, subject: Subject) -> None:
        """Follow, or stop."""
        if subject in self.followed:
            self.both(lambda side: side.ledger.unfollow(subject))
        else:
            self.both(lambda side: side.ledger.follow(subject))
        self.followed ^= {subject}

    def count(self, channel: str, subscriptions: int) -> None:
        self.both(lambda side: side.ledger.count(APP, channel, subscriptions))

    def announce(self, channel: str) -> None:
        self.both(lambda side: side.ledger.announce(APP, channel, side.answered))

    def admit(self, limit: int) -> None:
        """One more connection, if it fits."""
        number = self.connections + 1
        if not limit or number <= limit:
            self.connections = number
        self.both(lambda side: side.ledger.admit(APP, number, limit, side.answered))

    def disconnect(self) -> None:
        self.connections = max(0, self.connections - 1)
        self.both(lambda side: side.ledger.count_connections(APP, self.connections))

    def spend(self, events: int) -> None:
        self.both(lambda side: side.ledger.spend(APP, events, 4, side.answered))

    def terminate(self, user: str) -> None:
        if any(subject == signed_in(user) for subject, _ in self.live):
            self.both(lambda side: side.ledger.terminate(APP, user, side.answered))

    def roster(self, subject: Subject) -> None:
        self.both(lambda side: side.ledger.roster(subject, side.answered))

    def online(self, user: str) -> None:
        if signed_in(user) in self.followed:
            self.both(lambda side: side.ledger.online(APP, [user], side.answered))

    def usage(self, channel: str) -> None:
        """Numbers are told to the engine at most once a second."""
        self.advance(5)
        self.both(lambda side: side.ledger.channel(APP, channel, side.answered))
        self.both(lambda side: side.ledger.channels(APP, "", side.answered))
        self.both(lambda side: side.ledger.totals(APP, side.answered))

    def end(self) -> None:
        self.usage("presence-a")
        for subject in (room("presence-a"), room("presence-b"), signed_in("anna")):
            self.roster(subject)
