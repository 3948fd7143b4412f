"""Every engine, made ready for a test: with a clock to turn, and questions that return answers.

A further engine is one more entry in ``LEDGERS`` and ``BUSES``. One that answers later overrides
``settle`` so that it returns when everything asked for has happened.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Final, TypeVar

from herenow.cluster.base import (
    Bus,
    CachedEvent,
    Channels,
    ChannelState,
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
)
from herenow.cluster.memory import MemoryBus, MemoryLedger

T = TypeVar("T")

START: Final = 1_700_000_000.0


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
    """A ledger under test: what it told is in ``outbox`` and ``heard``, ``log`` has all of it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.outbox: list[Transition | Occupancy] = []
        self.heard: list[Transition] = []
        self.log: list[tuple[str, Transition | Occupancy | Joined | Refusal]] = []
        self.when_heard: Callable[[Transition], None] = lambda transition: None
        self.when_told: Callable[[Transition | Occupancy], None] = lambda told: None
        self.ledger = self.start()
        self.ledger.attach(self._follower)
        self._subscriptions = count(1)

    def start(self) -> Ledger:
        raise NotImplementedError

    def settle(self) -> None:
        """Return when everything asked for so far has been done, told and answered."""

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()

    def take_in(self, told: Transition | Occupancy) -> None:
        self.outbox.append(told)
        self.log.append(("outbox", told))
        self.when_told(told)

    def _follower(self, transition: Transition) -> None:
        self.heard.append(transition)
        self.log.append(("follower", transition))
        self.when_heard(transition)

    def ask(self, question: Callable[[Done[T]], None]) -> T:
        answers: list[T] = []
        question(answers.append)
        self.settle()
        (answer,) = answers
        return answer

    def follow(self, subject: Subject) -> None:
        self.ledger.follow(subject)
        self.settle()

    def unfollow(self, subject: Subject) -> None:
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

            self.ledger.join(subject, user, subscription, info, limit, answered)

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
        answer: Roster = self.ask(partial(self.ledger.roster, subject))
        return answer

    def users(self, subject: Subject) -> list[str]:
        return [member.user for member in self.roster(subject).members]

    def online(self, app: str, *users: str) -> frozenset[str]:
        answer: Online = self.ask(partial(self.ledger.online, app, users))
        return answer.users

    def channel(self, app: str, channel: str) -> ChannelState:
        answer: ChannelState = self.ask(partial(self.ledger.channel, app, channel))
        return answer

    def channels(self, app: str, prefix: str = "") -> dict[str, ChannelState]:
        answer: Channels = self.ask(partial(self.ledger.channels, app, prefix))
        return answer.states

    def totals(self, app: str) -> Totals:
        answer: Totals = self.ask(partial(self.ledger.totals, app))
        return answer


class BusEngine:
    """A bus under test with one node, to which ``delivered`` and ``terminated`` happened."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.delivered: list[Publication] = []
        self.terminated: list[tuple[str, str]] = []
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
        self.delivered.append(publication)

    def terminate(self, app: str, user: str) -> None:
        self.terminated.append((app, user))

    def cached(self, app: str, channel: str) -> CachedEvent | None:
        answers: list[CachedEvent | None] = []
        self.bus.cached(app, channel, answers.append)
        self.settle()
        (answer,) = answers
        return answer


class MemoryLedgerEngine(LedgerEngine):
    def start(self) -> Ledger:
        return MemoryLedger(self.clock, self.take_in)


class MemoryBusEngine(BusEngine):
    def start(self) -> Bus:
        return MemoryBus(self.clock)


LEDGERS: Final[dict[str, Callable[[], LedgerEngine]]] = {"memory": MemoryLedgerEngine}
BUSES: Final[dict[str, Callable[[], BusEngine]]] = {"memory": MemoryBusEngine}


def room(name: str = "presence-room", app: str = "1") -> Subject:
    return Subject(app, SubjectKind.PRESENCE, name)


def signed_in(user: str, app: str = "1") -> Subject:
    return Subject(app, SubjectKind.USER, user)
