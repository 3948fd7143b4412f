"""Every engine, made ready for a test: with a clock to turn, and questions that return answers.

A further engine is one more entry in ``LEDGERS`` and ``BUSES``. One that answers later overrides
``settle`` so that it returns when everything asked for has happened.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Final, Generic, TypeVar

import msgspec

from herenow.cluster.base import (
    Announcement,
    Bus,
    CachedEvent,
    Channels,
    ChannelState,
    Difference,
    Done,
    Joined,
    Ledger,
    Occupancy,
    Online,
    Publication,
    Refusal,
    Roster,
    Subject,
    SubjectKind,
    Totals,
    Transition,
    UserPresence,
    Users,
    UserState,
)
from herenow.cluster.histories import MOST_HISTORIES
from herenow.cluster.memory import MemoryBus, MemoryLedger

T = TypeVar("T")

START: Final = 1_700_000_000.0


class Answer(Generic[T]):
    """A callback, and the one answer that it was given. Here no engine is away."""

    def __init__(self) -> None:
        self._answers: list[T | Refusal] = []

    def __call__(self, answer: T | Refusal) -> None:
        self._answers.append(answer)

    @property
    def given(self) -> T:
        (answer,) = self._answers
        assert not isinstance(answer, Refusal)
        return answer


class ManualClock:
    """A clock that stands still until it is advanced, and then calls back at the exact moments."""

    def __init__(self) -> None:
        self._now = START
        self._order = count()
        self._pending: list[tuple[float, int, Callable[[], None]]] = []

    @property
    def pending(self) -> int:
        return len(self._pending)

    def time(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._pending, (self._now + delay, next(self._order), callback))

    def advance(self, seconds: float) -> None:
        until = self._now + seconds
        while self._pending and self._pending[0][0] <= until:
            self._now, _, callback = heapq.heappop(self._pending)
            callback()
        self._now = until


class LedgerEngine:
    """A ledger under test, and the node that it tells.

    What it told is in ``outbox`` and ``heard``, ``log`` has all of it; ``announcements`` and
    ``terminated`` are what else it told the node.

    Engines may differ in since when a channel is vacant: since the last connection of anybody
    went, or that of the member who goes last. Revisions begin at ``first_revision``, a time in µs.
    They record how up to ``histories`` rosters changed.
    """

    vacancy_counts_from_anybody = True
    first_revision = START * 1_000_000
    histories = MOST_HISTORIES

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.outbox: list[Transition | Occupancy] = []
        self.heard: list[Transition] = []
        self.announcements: list[tuple[str, str, int]] = []
        self.terminated: list[tuple[str, str]] = []
        self.log: list[tuple[str, Transition | Occupancy | Joined | Refusal]] = []
        self.when_heard: Callable[[Transition], None] = lambda transition: None
        self.when_told: Callable[[Transition | Occupancy], None] = lambda told: None
        self._followed: set[Subject] = set()
        self.ledger = self.start()
        self.ledger.attach(self)
        self._subscriptions = count(1)

    def start(self) -> Ledger:
        raise NotImplementedError

    def settle(self) -> None:
        """Return when everything asked for so far has been done, told and answered."""

    def keep_for(self, seconds: float) -> None:
        """From now on, when users were last seen is kept for *seconds*."""
        raise NotImplementedError

    def count_all(self) -> None:
        """Return when every number has been told that an engine may be told a little later."""

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()

    def take_in(self, told: Transition | Occupancy) -> None:
        self.outbox.append(told)
        self.log.append(("outbox", told))
        self.when_told(told)

    def apply(self, transition: Transition) -> None:
        self.heard.append(transition)
        self.log.append(("follower", transition))
        self.when_heard(transition)

    def announced(self, app: str, channel: str, subscriptions: int) -> None:
        self.announcements.append((app, channel, subscriptions))

    def terminate(self, app: str, user: str) -> None:
        self.terminated.append((app, user))

    def ask(self, question: Callable[[Done[T]], None]) -> T:
        answers: list[T] = []
        question(answers.append)
        self.settle()
        (answer,) = answers
        return answer

    def follow(self, subject: Subject) -> None:
        self._followed.add(subject)
        self.ledger.follow(subject)
        self.settle()

    def unfollow(self, subject: Subject) -> None:
        self._followed.discard(subject)
        self.ledger.unfollow(subject)
        self.settle()

    def new_subscription(self) -> int:
        return next(self._subscriptions)

    def join_by(
        self, subscription: int, subject: Subject, user: str, info: bytes = b"{}", limit: int = 0
    ) -> Joined | Refusal:
        return self.ask(self._join(subject, user, subscription, info, limit))

    def try_join(
        self, subject: Subject, user: str, info: bytes = b"{}", limit: int = 0
    ) -> tuple[int, Joined | Refusal]:
        subscription = self.new_subscription()
        return subscription, self.join_by(subscription, subject, user, info, limit)

    def join(self, subject: Subject, user: str, info: bytes = b"{}", limit: int = 0) -> int:
        """Enter and return the subscription, which must not be refused."""
        subscription, answer = self.try_join(subject, user, info, limit)
        assert isinstance(answer, Joined)
        return subscription

    def _join(
        self, subject: Subject, user: str, subscription: int, info: bytes, limit: int
    ) -> Callable[[Done[Joined | Refusal]], None]:
        def question(done: Done[Joined | Refusal]) -> None:
            def answered(answer: Joined | Refusal) -> None:
                self.log.append(("answer", answer))
                done(answer)

            self.ledger.join(subject, user, subscription, info, limit, 0, answered)

        return question

    def leave(self, subject: Subject, subscription: int, grace: float = 0) -> None:
        self.ledger.leave(subject, subscription, grace)
        self.settle()

    def count(self, app: str, channel: str, subscriptions: int) -> None:
        self.ledger.count(app, channel, subscriptions)
        self.settle()

    def count_connections(self, app: str, connections: int) -> None:
        self.ledger.count_connections(app, connections)
        self.settle()

    def roster(self, subject: Subject) -> Roster:
        answer = Answer[Roster]()
        self.ledger.roster(subject, answer)
        self.settle()
        return answer.given

    def users(self, subject: Subject) -> list[str]:
        return [member.user for member in self.roster(subject).members]

    def online(self, app: str, *users: str) -> frozenset[str]:
        """Which of *users* are signed in; they are followed for as long as the question takes."""
        subjects = [signed_in(user, app) for user in users]
        unknown = [subject for subject in subjects if subject not in self._followed]
        for subject in unknown:
            self.ledger.follow(subject)
        answer = Answer[Online]()
        self.ledger.online(app, users, answer)
        self.settle()
        for subject in unknown:
            self.ledger.unfollow(subject)
        return answer.given.users

    def difference(self, subject: Subject, since: int) -> Difference:
        answer = Answer[Difference]()
        self.ledger.difference(subject, since, answer)
        self.settle()
        return answer.given

    def user(self, user: str, app: str = "1") -> UserPresence:
        answer = Answer[UserPresence]()
        self.ledger.user(app, user, answer)
        self.settle()
        return answer.given

    def states(self, *users: str, app: str = "1") -> dict[str, UserState]:
        answer = Answer[Users]()
        self.ledger.users(app, users, answer)
        self.settle()
        assert answer.given.complete
        return answer.given.states

    def forget(self, user: str, app: str = "1") -> None:
        answer = Answer[bool]()
        self.ledger.forget(app, user, answer)
        self.settle()
        assert answer.given

    def announce(self, app: str, channel: str) -> Announcement:
        answer = Answer[Announcement]()
        self.ledger.announce(app, channel, answer)
        self.settle()
        return answer.given

    def admit(self, app: str, connections: int, limit: int) -> bool:
        answer = Answer[bool]()
        self.ledger.admit(app, connections, limit, answer)
        self.settle()
        return answer.given

    def spend(self, app: str, events: int, rate: int) -> float:
        answer = Answer[float]()
        self.ledger.spend(app, events, rate, answer)
        self.settle()
        return answer.given

    def channel(self, app: str, channel: str) -> ChannelState:
        answer = Answer[ChannelState]()
        self.ledger.channel(app, channel, answer)
        self.settle()
        return answer.given

    def channels(self, app: str, prefix: str = "") -> dict[str, ChannelState]:
        answer = Answer[Channels]()
        self.ledger.channels(app, prefix, answer)
        self.settle()
        return answer.given.states

    def totals(self, app: str) -> Totals:
        answer = Answer[Totals]()
        self.ledger.totals(app, answer)
        self.settle()
        return answer.given


class BusEngine:
    """A bus under test with one node, to which ``delivered`` and ``changed`` happened."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.delivered: list[Publication] = []
        self.missing: list[tuple[str, str]] = []
        self.changed: list[str] = []
        self.bus = self.start()
        self.bus.attach(self)

    def start(self) -> Bus:
        raise NotImplementedError

    def settle(self) -> None:
        """Return when everything asked for so far has been delivered and answered."""

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()

    def deliver(self, publication: Publication) -> None:
        # What is kept in the cache is for the bus alone.
        self.delivered.append(msgspec.structs.replace(publication, data=b"", ttl=0))

    def missed(self, app: str, channel: str) -> None:
        self.missing.append((app, channel))

    def app_changed(self, app: str) -> None:
        self.changed.append(app)

    def ask(self, question: Callable[[Done[T]], None]) -> T:
        answers: list[T] = []
        question(answers.append)
        self.settle()
        (answer,) = answers
        return answer

    def follow(self, app: str, channel: str) -> None:
        """Return when it is in force."""
        followed: list[bool] = []
        self.bus.follow(app, channel, lambda: followed.append(True))
        self.settle()
        assert followed == [True]

    def publish(self, *publications: Publication) -> None:
        answer = Answer[bool]()
        self.bus.publish(publications, answer)
        self.settle()
        assert answer.given

    def keep(self, channel: str, payload: bytes, data: bytes, ttl: float, app: str = "1") -> None:
        """Publish an event that is the channel's last one from now on."""
        self.publish(Publication(app, channel, payload, cached=True, data=data, ttl=ttl))

    def first_miss(self, channel: str, seconds: float = 0.5) -> bool:
        answer = Answer[bool]()
        self.bus.first_miss("1", channel, seconds, answer)
        self.settle()
        return answer.given

    def cached(self, app: str, channel: str) -> CachedEvent | None:
        answer = Answer[CachedEvent | None]()
        self.bus.cached(app, channel, answer)
        self.settle()
        return answer.given


class MemoryLedgerEngine(LedgerEngine):
    def start(self) -> Ledger:
        self.memory = MemoryLedger(self.clock, self.take_in)
        return self.memory

    def keep_for(self, seconds: float) -> None:
        self.memory.seen.keep = seconds


class MemoryBusEngine(BusEngine):
    def start(self) -> Bus:
        return MemoryBus(self.clock)


def _partitioned_ledger() -> LedgerEngine:
    from cluster.partitions.direct import PartitionedLedgerEngine

    return PartitionedLedgerEngine()


def _redis_bus() -> BusEngine:
    from cluster.scripted_bus import RedisBusEngine

    return RedisBusEngine()


LEDGERS: Final[dict[str, Callable[[], LedgerEngine]]] = {
    "memory": MemoryLedgerEngine,
    "partitions": _partitioned_ledger,
}
BUSES: Final[dict[str, Callable[[], BusEngine]]] = {
    "memory": MemoryBusEngine,
    "redis": _redis_bus,
}


def room(name: str = "presence-room", app: str = "1") -> Subject:
    return Subject(app, SubjectKind.PRESENCE, name)


def signed_in(user: str, app: str = "1") -> Subject:
    return Subject(app, SubjectKind.USER, user)
