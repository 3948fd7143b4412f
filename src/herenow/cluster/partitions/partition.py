"""One partition as a node sees it: its session, what it wants there, and what it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from herenow.cluster.base import Clock, Done, Joined, Refusal, Subject, SubjectKind
from herenow.cluster.partitions.admissions import Admissions
from herenow.cluster.partitions.beats import Beats
from herenow.cluster.partitions.counters import Counters
from herenow.cluster.partitions.engine import Argument, Engine
from herenow.cluster.partitions.entries import Entry
from herenow.cluster.partitions.following import Following
from herenow.cluster.partitions.joins import Joins
from herenow.cluster.partitions.numbers import Numbers
from herenow.cluster.partitions.placement import subject_key
from herenow.cluster.partitions.questions import PATIENCE_SECONDS, Question, Questions
from herenow.cluster.partitions.registration import Registration
from herenow.cluster.partitions.session import NodeSession, Operation
from herenow.cluster.partitions.telling import Telling

T = TypeVar("T")

# In leases: beats, and so ticks, come every third of one; one of them may be missing.
SILENCE: Final = 0.8


class Setting(NamedTuple):
    """What all partitions of a node share. ``lease``, ``hold`` and ``keep`` in seconds.

    Users who were seen are kept for ``keep``.
    """

    engine: Engine
    clock: Clock
    lease: float
    hold: float
    keep: float
    new_id: Callable[[], str]
    flags_of: Callable[[str], int]
    telling: Telling
    counters: Counters


class Partition:
    """Owner of everything; whoever calls it runs ``telling`` afterwards."""

    def __init__(self, setting: Setting, index: int) -> None:
        engine, clock = setting.engine, setting.clock
        self.counters = setting.counters
        self.telling = setting.telling
        self.joins = Joins(self)
        self.session = NodeSession(
            engine, index, clock, setting.new_id, setting.telling, setting.counters, self
        )
        self.following = Following(engine, index, clock, self)
        self.numbers = Numbers(self.session.send, setting.flags_of)
        self._setting = setting
        self._admissions = Admissions(self.numbers, setting.telling)
        self._registration = Registration(self)
        self._questions = Questions()
        interval = setting.lease / 3
        # Not all partitions in the same moment.
        self._beats = Beats(clock.time() + interval * index / engine.partitions, interval)
        self._beat: Operation | None = None
        self._up_since = 0.0
        self._turn_is_due = False
        engine.attach(index, self.session)

    @property
    def is_registered(self) -> bool:
        return self.session.is_up and self._registration.is_sent

    @property
    def is_settled(self) -> bool:
        """Whether everything that was asked for is answered."""
        outstanding = self.session.outstanding - (self._beat is not None)
        return not outstanding and not self.joins.under_way and self.numbers.is_settled

    def flags_of(self, app: str) -> int:
        return self._setting.flags_of(app)

    def send(self, operation: Operation) -> None:
        self.session.send(operation)

    def follow(self, subject: Subject) -> None:
        self.following.follow(subject)
        if subject.kind is SubjectKind.USER:
            self._take_turn_soon()

    def unfollow(self, subject: Subject) -> None:
        self.following.unfollow(subject)

    def join(
        self,
        subject: Subject,
        user: str,
        subscription: int,
        info: bytes,
        limit: int,
        grace: float,
        done: Done[Joined | Refusal],
    ) -> None:
        if subject.kind is SubjectKind.USER:
            self.following.need_feed()  # terminations come by it
        deadline = self._setting.clock.time() + self._setting.hold
        grace_us = round(grace * 1e6)
        self.joins.join(Entry(subject, user, subscription, info, limit, grace_us, deadline, done))

    def leave(self, subject: Subject, subscription: int, grace: float) -> None:
        self.joins.leave(subject_key(subject), subscription, grace)

    def count(self, name: bytes, number: int) -> None:
        self.numbers.set(name, number)
        self._tell_urgent_soon()

    def count_connections(self, app: str, connections: int) -> None:
        self._admissions.count(app, connections)
        self._tell_urgent_soon()

    def admit(self, app: str, connections: int, limit: int, done: Done[bool | Refusal]) -> None:
        deadline = self._setting.clock.time() + PATIENCE_SECONDS
        question = self._admissions.question(app, connections, limit, deadline, done)
        if self.session.is_up and question.asked is not None:
            self._questions.add(question)
            self.send(question.asked)
        else:
            question.answer(Refusal.UNAVAILABLE)

    def ask(
        self,
        script: str,
        arguments: Callable[[], Sequence[Argument]],
        read: Callable[[list[Any]], T],
        done: Done[T | Refusal],
    ) -> None:
        """Ask the engine, again if need be, for a moment."""
        question: Question[T] = self.question(done)
        self.send(question.operation(script, arguments, read))

    def question(self, done: Done[T | Refusal]) -> Question[T]:
        """Something to be answered within a moment."""
        deadline = self._setting.clock.time() + PATIENCE_SECONDS
        question: Question[T] = Question(deadline, self.telling, done)
        self._questions.add(question)
        return question

    def tick(self) -> None:
        """What only time brings about."""
        now = self._setting.clock.time()
        self.session.tick()
        self.joins.expire(now)
        for question in self._questions.expire(now):
            if question.asked is not None:
                self.session.drop(question.asked)
        self.following.stop_feed_if_unneeded(self._setting.lease)
        if not self.session.is_up:
            return
        self.following.feed.check_silence(self._setting.lease * SILENCE, self._up_since)
        if self._beat is None and self._beats.is_due(now):
            self._send_beat(None)
            self.following.ask_held()
        self._take_turn()

    def end(self, done: Callable[[], None]) -> None:
        """Leave the partition; what is still registered there goes with the grace it was given."""
        self.following.feed.stop()
        self.session.end(done)

    # As the owner of the session.

    def began(self, seq: int, changed: bool, first: bool) -> None:
        now = self._setting.clock.time()
        self._up_since = now
        is_fresh = now - self.session.alive_at < self._setting.lease
        known = self.following.known() if changed and not first and is_fresh else {}
        self.following.lapsed(seq, changed)
        self.joins.lapsed()
        self._registration.begin(self.joins.entries, known)

    def resumed(self) -> None:
        self._up_since = self._setting.clock.time()
        if self._registration.is_sent:
            self._catch_up()

    # As the owner of the registration.

    def wants_roster(self, key: bytes, operation: Operation) -> bool:
        return self.following.wants_roster(key, operation)

    def restored(
        self, key: bytes, operation: Operation, entries: Sequence[Entry], reply: list[Any]
    ) -> None:
        self.joins.restored(entries, reply[2])
        if reply[0] == b"roster":
            self.following.take(key, operation, reply)
        self.following.ask_restored(key)
        self.joins.settle(key, self.following.reached(key))

    def all_sent(self) -> None:
        self.numbers.register()
        if self.session.old:
            old = self.session.old
            self.send(Operation("ready", lambda: [old], _ignore))
            self.session.registered()
        self._catch_up()

    def _catch_up(self) -> None:
        self.joins.ask_queued()
        self.following.ask_all()
        self._take_turn()

    # As the owner of joins and of what is followed.

    def reached(self, key: bytes) -> int | None:
        return self.following.reached(key)

    def is_restoring(self, key: bytes) -> bool:
        return self._registration.covers(key)

    def depart(self, grace: float) -> None:
        self._beats.add_departure(self._setting.clock.time() + grace)

    def beat_soon(self) -> None:
        self._beats.hasten()

    def find_position(self, subscription: int) -> None:
        if self._beat is not None:
            # It was sent for nothing later than this, and its answer would come first.
            self.session.drop(self._beat)
        self._send_beat(subscription)

    def _send_beat(self, subscription: int | None) -> None:
        following = self.following

        since: int | None = None

        def arguments() -> list[Argument]:
            nonlocal since
            self._beats.sent(self._setting.clock.time())
            terminations = following.terminations
            since = terminations.since if subscription is None else terminations.applied
            return ["" if since is None else since, round(self._setting.keep * 1e6)]

        def answered(reply: list[Any]) -> None:
            self._beat = None
            seq, more, ends = reply[2], reply[3], reply[4:]
            for key, ended_at in zip(ends[::2], ends[1::2], strict=True):
                following.terminate(key, ended_at)
            if since is not None:
                following.terminations.caught_up(seq)
            if subscription is not None:
                following.feed.based(subscription, seq)
            if more and self._beat is None:
                self._send_beat(None)

        operation = Operation("beat", arguments, answered, lasting=True)
        self._beat = operation
        self.send(operation)

    # What is told together.

    def _tell_urgent_soon(self) -> None:
        if self.numbers.is_urgent:
            self._take_turn_soon()

    def _take_turn_soon(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self._setting.clock.call_later(0, self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        self._take_turn()
        self.telling.run()

    def _take_turn(self) -> None:
        if self.is_registered:
            self.numbers.flush(self._setting.clock.time())
            self.following.watched.ask()


def _ignore(_: list[Any]) -> None:
    pass
