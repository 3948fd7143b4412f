"""A ledger on an engine that does what the test says, call by call and message by message."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cluster.engines import ManualClock, room, signed_in
from herenow.cluster.base import (
    Joined,
    Refusal,
    Subject,
    SubjectKind,
    Transition,
)
from herenow.cluster.partitions.engine import (
    Answered,
    Argument,
    Reply,
    Session,
    Subscriber,
)
from herenow.cluster.partitions.ledger import PartitionedLedger
from herenow.cluster.partitions.placement import encode, subject_key

ROOM: Final = room()
EPOCH: Final = 7
LEASE: Final = 6.0
HOLD: Final = 20.0


class Call(NamedTuple):
    script: str
    args: Sequence[Argument]
    done: Answered

    @property
    def session(self) -> tuple[Argument, ...]:
        """Node, token and epoch."""
        return tuple(self.args[:3])

    @property
    def own(self) -> list[Argument]:
        return list(self.args[3:])


class ScriptedEngine:
    """One partition. ``calls`` are those that wait for an answer, the next one first."""

    partitions = 1

    def __init__(self) -> None:
        self.calls: deque[Call] = deque()
        self.session: Session | None = None
        self.subscriber: Subscriber | None = None
        self.subscriptions = 0
        self.connected = False

    def attach(self, partition: int, session: Session) -> None:
        self.session = session

    def call(self, script: str, partition: int, args: Sequence[Argument], done: Answered) -> None:
        if self.connected:
            self.calls.append(Call(script, args, done))
        else:
            done(None)

    def call_all(
        self, script: str, items: Sequence[tuple[int, Sequence[Argument]]], done: Answered
    ) -> None:
        raise AssertionError("the ledger asks one partition at a time")

    def subscribe(self, partition: int, channel: str, subscriber: Subscriber) -> None:
        assert channel == "feed"
        self.subscriber = subscriber
        self.subscriptions += 1

    def unsubscribe(self, partition: int, channel: str) -> None:
        self.subscriber = None

    def is_listening(self, partition: int) -> bool:
        return True

    @property
    def asked(self) -> list[str]:
        """The scripts that wait for an answer."""
        return [call.script for call in self.calls]

    def connect(self) -> None:
        assert self.session is not None
        self.connected = True
        self.session.connected()

    def disconnect(self) -> None:
        """The connection is given up, with everything on it."""
        assert self.session is not None
        self.connected = False
        calls, self.calls = self.calls, deque()
        for call in calls:
            call.done(None)
        self.session.disconnected()

    def answer(self, script: str, *reply: Reply, epoch: int = EPOCH, seq: int = 100) -> Call:
        """Answer the next call, which is one of *script*, with a status and what follows seq."""
        call = self.calls.popleft()
        assert call.script == script, f"expected {script}, got {call.script} {call.args}"
        status, *rest = reply
        call.done([status, epoch, seq, *rest])
        return call

    def drop(self, script: str) -> Call:
        """Forget the next call, so that a test can go on with the one after it."""
        call = self.calls.popleft()
        assert call.script == script
        return call

    def publish(self, payload: bytes) -> None:
        assert self.subscriber is not None
        self.subscriber.message(payload)

    def delta(
        self,
        kind: str,
        user: str,
        seq: int,
        *,
        subject: Subject = ROOM,
        info: bytes = b"{}",
        epoch: int = EPOCH,
    ) -> None:
        key, name = subject_key(subject), encode(user)
        head = f"d {epoch} {seq} {kind} {seq} {seq * 1000000} {len(key)} {len(name)}\n"
        self.publish(head.encode() + key + name + info)

    def tick(self, seq: int, epoch: int = EPOCH) -> None:
        self.publish(f"t {epoch} {seq}".encode())


def record(info: bytes, stamp: int, born: int, connections: int, since: int) -> bytes:
    """A member as the engine keeps it."""
    return b"%d 0 %d %d %d %d 0 %s" % (connections, stamp, born, since, since, info)


def listed(*users: str, info: bytes = b"{}", born: int = 1) -> list[Reply]:
    """What a roster says of members that joined in this order."""
    reply: list[Reply] = []
    for number, user in enumerate(users):
        first = born + number
        reply += [encode(user), record(info, first, first, 1, first * 1000000)]
    return reply


class Scene:
    """A ledger with its clock and engine; ``told`` is what its follower and callers heard."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.engine = ScriptedEngine()
        self.told: list[str] = []
        self.transitions: list[Transition] = []
        self.when_told: Callable[[], None] = lambda: None
        self.ledger = PartitionedLedger(
            self.engine,
            self.clock,
            node="n",
            lease_seconds=LEASE,
            hold_seconds=HOLD,
            flags_of=lambda app: 1,
        )
        self.ledger.attach(self)

    def apply(self, transition: Transition) -> None:
        self.transitions.append(transition)
        self.told.append(f"{transition.kind.value} {transition.user}")
        self.when_told()

    def announced(self, app: str, channel: str, subscriptions: int) -> None:
        self.told.append(f"{channel} has {subscriptions}")

    def terminate(self, app: str, user: str) -> None:
        self.told.append(f"terminate {user}")

    def take_told(self) -> list[str]:
        told, self.told[:] = list(self.told), []
        return told

    def begin(self, *, seq: int = 100, epoch: int = EPOCH) -> None:
        """Connect and get a lease; nothing is asked besides."""
        self.engine.connect()
        self.engine.answer("hello", b"new", seq=seq, epoch=epoch)

    def lapse(self, *, seq: int = 100, epoch: int = EPOCH) -> None:
        """The connection breaks, and with it the lease is found to be gone."""
        self.engine.disconnect()
        self.engine.connect()
        self.engine.answer("hello", b"lapsed", epoch=epoch)
        self.engine.answer("hello", b"new", seq=seq, epoch=epoch)

    def hear(self, seq: int = 100, *ends: Reply) -> None:
        """The feed is subscribed, and its position known."""
        assert self.engine.subscriber is not None
        self.engine.subscriber.subscribed()
        self.engine.answer("beat", b"beat", 0, *ends, seq=seq)

    def follow(self, *users: str, subject: Subject = ROOM, seq: int = 100) -> None:
        """Follow a room that has *users*."""
        self.ledger.follow(subject)
        if self.engine.subscriber is not None and "roster" not in self.engine.asked:
            self.hear(seq)
        self.roster(*users, seq=seq)

    def roster(self, *users: str, seq: int, uncertain: int = 0, info: bytes = b"{}") -> None:
        self.engine.answer("roster", b"roster", uncertain, *listed(*users, info=info), seq=seq)

    def join(
        self,
        user: str,
        subscription: int = 1,
        *,
        subject: Subject = ROOM,
        limit: int = 0,
        info: bytes = b"{}",
    ) -> None:
        def done(answer: Joined | Refusal) -> None:
            if isinstance(answer, Refusal):
                self.told.append(f"{answer.value} {user}")
            else:
                self.told.append(f"joined {user}" + (" first" if answer.first else ""))

        self.ledger.join(subject, user, subscription, info, limit, 3.0, done)

    def sign_in(self, user: str, subscription: int = 1) -> None:
        self.join(user, subscription, subject=signed_in(user))

    def joined(self, *, seq: int, first: int = 1, suppressed: int = 0) -> Call:
        """The engine answers a join."""
        return self.engine.answer("join", b"joined", first, seq, suppressed, seq=seq)

    def end_turn(self) -> None:
        """Have done what was put off to the end of the turn."""
        self.clock.advance(0)

    def advance(self, seconds: float) -> None:
        """Let time pass, with the ticks that the owner of a ledger gives it."""
        while seconds > 0:
            step = min(seconds, LEASE / 20)
            self.clock.advance(step)
            self.ledger.tick()
            seconds -= step

    def advance_beating(self, seconds: float, *, seq: int) -> None:
        """Let time pass while beats are answered and cause ticks."""
        while seconds > 0:
            step = min(seconds, LEASE / 20)
            self.advance(step)
            self.answer_beats(seq)
            seconds -= step

    def answer_beats(self, seq: int) -> None:
        while self.engine.asked[:1] == ["beat"]:
            self.engine.answer("beat", b"beat", 0, seq=seq)
            if self.engine.subscriber is not None:
                self.engine.tick(seq)


def user(name: str) -> Subject:
    return Subject("1", SubjectKind.USER, name)
