"""Whatever the order of joins, leaves and moments: the ledger says what is so.

A model says for every user what a person would: he is there while he has a connection or a grace
that has not passed. What the ledger answers must equal it, and what it tells must add up to it.
``HERENOW_PROOF=1`` searches much longer.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cluster.engines import START, LedgerEngine, MemoryLedgerEngine, room, signed_in
from herenow.cluster.base import (
    ChannelState,
    Joined,
    Occupancy,
    Refusal,
    Subject,
    SubjectKind,
    Totals,
    Transition,
    TransitionKind,
)

PROOF: Final = os.environ.get("HERENOW_PROOF", "") not in ("", "0")

APP: Final = "1"
USERS: Final = ("anna", "bert", "cleo")
ROOMS: Final = (room("presence-a"), room("presence-b"))
SUBJECTS: Final = (*ROOMS, *(signed_in(user) for user in USERS))
COUNTED: Final = ("news", "private-chat")
COUNTS: Final = (*COUNTED, "presence-a", "#server-to-user-anna")

users = st.sampled_from(USERS)
infos = st.sampled_from([b'{"n":1}', b'{"n":2}'])
graces = st.sampled_from([0.0, 3.0, 30.0])
# Quarters are exact in floating point, so the model's moments are the ledger's.
moments = st.sampled_from([0.25, 1.0, 2.75, 3.0, 10.0, 27.0, 30.0])


class Told(NamedTuple):
    """One thing the outbox must be told at one moment: the model says what, the ledger told it."""

    moment: float
    subject: Subject | str
    what: str
    user: str
    info: bytes
    since: float


class Somebody:
    """A user who is there."""

    def __init__(self, info: bytes, since: float) -> None:
        self.info = info
        self.since = since
        self.connections: set[int] = set()
        self.leaves: list[tuple[float, float]] = []
        self.departed = 0

    def until(self) -> float:
        return max(moment + grace for moment, grace in self.leaves)


class Model:
    """Who is there, worked out from scratch at each step."""

    def __init__(self) -> None:
        self.present: dict[Subject, dict[str, Somebody]] = {subject: {} for subject in SUBJECTS}
        self.last_leave: dict[Subject, float] = {}
        self.counts = dict.fromkeys(COUNTS, 0)
        self.told: list[Told] = []
        self.now = START
        self.steps = 0

    def departing(self, subject: Subject) -> list[str]:
        """Those without a connection, the next to go first; of two, who left first."""
        gone = [(u, s) for u, s in self.present[subject].items() if not s.connections]
        return [u for u, _ in sorted(gone, key=lambda one: (one[1].until(), one[1].departed))]

    def advance(self, now: float) -> None:
        """Complete what is due. The order among users who go at one moment is not promised."""
        self.now = now
        for subject, present in self.present.items():
            for user in self.departing(subject):
                until = present[user].until()
                if until <= now:
                    self.remove(subject, user, until)
                    if not present:
                        self.tell_occupancy(subject, False, until, self.last_leave[subject])

    def remove(self, subject: Subject, user: str, moment: float) -> None:
        gone = self.present[subject].pop(user)
        since = gone.leaves[-1][0]
        self.told.append(Told(moment, subject, "remove", user, gone.info, since))

    def tell_occupancy(self, subject: Subject, occupied: bool, moment: float, since: float) -> None:
        if subject.kind is SubjectKind.PRESENCE:
            what = "occupied" if occupied else "vacated"
            self.told.append(Told(moment, subject.name, what, "", b"", since))

    def join(self, subject: Subject, user: str, connection: int, info: bytes, limit: int) -> str:
        present = self.present[subject]
        if user in present:
            somebody, answer = present[user], "again"
            if somebody.info != info:
                somebody.info = info
                self.told.append(Told(self.now, subject, "info", user, info, self.now))
        else:
            making_room = max(0, len(present) + 1 - limit) if limit else 0
            departing = self.departing(subject)
            if len(departing) < making_room:
                return "full"
            if not present:
                self.tell_occupancy(subject, True, self.now, self.now)
            for gone in departing[:making_room]:
                self.remove(subject, gone, self.now)
            somebody, answer = Somebody(info, self.now), "first"
            present[user] = somebody
            self.told.append(Told(self.now, subject, "add", user, info, self.now))
        somebody.connections.add(connection)
        return answer

    def leave(self, subject: Subject, connection: int, grace: float) -> None:
        present = self.present[subject]
        for somebody in present.values():
            if connection in somebody.connections:
                somebody.connections.remove(connection)
                somebody.leaves.append((self.now, grace))
                self.steps += 1
                somebody.departed = self.steps
                self.last_leave[subject] = self.now
        self.advance(self.now)

    def count(self, channel: str, subscriptions: int) -> None:
        before, self.counts[channel] = self.counts[channel], subscriptions
        if channel in COUNTED and (before > 0) != (subscriptions > 0):
            what = "occupied" if subscriptions else "vacated"
            self.told.append(Told(self.now, channel, what, "", b"", self.now))


class Replica:
    """What a follower knows of a subject; refuses whatever cannot be true.

    Those who are there when it begins have one revision, that of the roster.
    """

    def __init__(self) -> None:
        self.present: dict[str, bytes] = {}
        self.revision = 0
        self.begun = False

    def apply(self, transition: Transition) -> None:
        assert transition.revision > self.revision or (
            not self.begun and transition.revision == self.revision
        )
        self.revision = transition.revision
        if transition.kind is TransitionKind.ADD:
            assert transition.user not in self.present
        else:
            assert transition.user in self.present
        if transition.kind is TransitionKind.REMOVE:
            assert self.present.pop(transition.user) == transition.info
        else:
            self.present[transition.user] = transition.info


class LedgerMachine(RuleBasedStateMachine):
    """Users come and go by connections of their own; a follower and an outbox listen."""

    engine: LedgerEngine

    @initialize()
    def start(self) -> None:
        self.engine = MemoryLedgerEngine()
        self.engine.when_heard = self.hear
        self.engine.when_told = self.take_in
        self.model = Model()
        self.connections: list[tuple[Subject, str, int]] = []
        self.replicas: dict[Subject, Replica] = {}
        self.closing: tuple[Subject, int, float] | None = None
        self.told: list[Told] = []
        self.revision = 0
        self.members: dict[Subject, set[str]] = {subject: set() for subject in SUBJECTS}
        self.occupied: set[str] = set()

    def take_in(self, told: Transition | Occupancy) -> None:
        """Check that what is told can be told now, and keep it."""
        moment = self.engine.clock.time()
        if isinstance(told, Occupancy):
            assert told.occupied is (told.channel not in self.occupied)
            self.occupied ^= {told.channel}
            assert not self.members.get(room(told.channel))
            what = "occupied" if told.occupied else "vacated"
            self.told.append(Told(moment, told.channel, what, "", b"", told.since))
            return
        assert told.revision > self.revision
        self.revision = told.revision
        members = self.members[told.subject]
        assert (told.user in members) is (told.kind is not TransitionKind.ADD)
        if told.subject.kind is SubjectKind.PRESENCE:
            assert told.subject.name in self.occupied
        if told.kind is TransitionKind.REMOVE:
            members.remove(told.user)
        else:
            members.add(told.user)
        what = told.kind.value
        self.told.append(Told(moment, told.subject, what, told.user, told.info, told.since))

    def hear(self, transition: Transition) -> None:
        replica = self.replicas.get(transition.subject)
        if replica is None:
            return
        if self.closing is not None:
            closing, self.closing = self.closing, None
            self.leave(*closing, settle=False)
        replica.apply(transition)

    def leave(
        self, subject: Subject, connection: int, grace: float, *, settle: bool = True
    ) -> None:
        self.model.advance(self.engine.clock.time())
        self.model.leave(subject, connection, grace)
        self.engine.ledger.leave(subject, connection, grace)
        if settle:
            self.engine.settle()

    def join(self, subject: Subject, user: str, info: bytes, limit: int) -> None:
        connection = self.engine.new_subscription()
        # First the model: what the follower closes while it hears of this join comes after it.
        expected = self.model.join(subject, user, connection, info, limit)
        answer = self.engine.join_by(connection, subject, user, info, limit)
        if expected == "full":
            assert answer is Refusal.FULL
            return
        assert isinstance(answer, Joined)
        assert answer.first is (expected == "first")
        self.connections.append((subject, user, connection))

    @rule(subject=st.sampled_from(ROOMS), user=users, info=infos, limit=st.sampled_from([0, 1, 2]))
    def join_a_room(self, subject: Subject, user: str, info: bytes, limit: int) -> None:
        self.join(subject, user, info, limit)

    @rule(user=users, info=infos)
    def sign_in(self, user: str, info: bytes) -> None:
        self.join(signed_in(user), user, info, 0)

    def draw_connection(self, data: st.DataObject) -> tuple[Subject, str, int]:
        return self.connections.pop(data.draw(st.integers(0, len(self.connections) - 1)))

    @precondition(lambda self: self.connections)
    @rule(data=st.data(), grace=graces)
    def close(self, data: st.DataObject, grace: float) -> None:
        subject, _, connection = self.draw_connection(data)
        self.leave(subject, connection, grace)
        self.engine.leave(subject, connection, grace)  # a second time it is nobody's

    @precondition(lambda self: self.connections)
    @rule(data=st.data(), first=graces, second=graces, info=infos)
    def reload_and_close(
        self, data: st.DataObject, first: float, second: float, info: bytes
    ) -> None:
        subject, user, connection = self.draw_connection(data)
        self.leave(subject, connection, first)
        self.join(subject, user, info, 0)
        subject, _, connection = self.connections.pop()
        self.leave(subject, connection, second)

    @precondition(lambda self: self.connections)
    @rule(data=st.data(), grace=graces)
    def close_while_a_change_is_heard(self, data: st.DataObject, grace: float) -> None:
        """The next time the follower is told something, it closes this connection."""
        if self.closing is None:
            subject, _, connection = self.draw_connection(data)
            self.closing = (subject, connection, grace)

    @rule(seconds=moments)
    def wait(self, seconds: float) -> None:
        self.engine.advance(seconds)
        self.model.advance(self.engine.clock.time())

    @rule(channel=st.sampled_from(COUNTS), subscriptions=st.integers(0, 2))
    def count(self, channel: str, subscriptions: int) -> None:
        self.engine.count(APP, channel, subscriptions)
        self.model.count(channel, subscriptions)

    @rule(subject=st.sampled_from(SUBJECTS))
    def follow_or_not(self, subject: Subject) -> None:
        if subject in self.replicas:
            self.engine.unfollow(subject)
            del self.replicas[subject]
            return
        replica = self.replicas[subject] = Replica()
        self.engine.follow(subject)
        replica.begun = True

    @invariant()
    def rosters_have_who_is_there(self) -> None:
        for subject, present in self.model.present.items():
            roster = self.engine.roster(subject)
            assert [
                (member.user, member.info, member.connections, member.since)
                for member in roster.members
            ] == [(user, s.info, len(s.connections), s.since) for user, s in present.items()]
            if subject in self.replicas:
                replica = self.replicas[subject]
                assert replica.present == {m.user: m.info for m in roster.members}
                assert replica.revision == roster.revision or not (replica.revision or present)

    @invariant()
    def everybody_signed_in_is_online(self) -> None:
        assert self.engine.online(APP, *USERS, "nobody") == {
            user for user in USERS if self.model.present[signed_in(user)]
        }

    @invariant()
    def channels_are_occupied_as_they_should_be(self) -> None:
        expected: dict[str, ChannelState] = {}
        for channel in COUNTED:
            if self.model.counts[channel]:
                expected[channel] = ChannelState(True, self.model.counts[channel], 0)
        for subject in ROOMS:
            if present := self.model.present[subject]:
                subscriptions = self.model.counts.get(subject.name, 0)
                expected[subject.name] = ChannelState(True, subscriptions, len(present))
        assert self.engine.channels(APP) == expected
        assert self.occupied == set(expected)
        online = sum(bool(self.model.present[signed_in(user)]) for user in USERS)
        members = sum(len(self.model.present[subject]) for subject in ROOMS)
        assert self.engine.totals(APP) == Totals(0, len(expected), online, members)

    @invariant()
    def the_outbox_was_told_each_change_at_its_moment(self) -> None:
        assert sorted(self.told, key=repr) == sorted(self.model.told, key=repr)
        self.told.clear()
        self.model.told.clear()


def test_any_order_of_comings_and_goings() -> None:
    """Rosters, presence, occupancy and every stream agree with the model at each step."""
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=3000 if PROOF else 150,
            stateful_step_count=80 if PROOF else 40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
