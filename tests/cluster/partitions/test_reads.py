"""What HTTP asks: answered through the session, asked again for a moment, then refused."""

from __future__ import annotations

from functools import partial

from cluster.engines import ManualClock
from cluster.partitions.scripted import EPOCH, ROOM, Scene, ScriptedEngine, listed, record
from herenow.cluster.base import (
    Channels,
    ChannelState,
    Member,
    Refusal,
    Roster,
    Totals,
    UserPresence,
    UserState,
)
from herenow.cluster.partitions.engine import Answered, Reply, Session
from herenow.cluster.partitions.ledger import PartitionedLedger


def test_a_roster(scene: Scene) -> None:
    """In the order of joining; times are seconds."""
    scene.begin()
    answers: list[Roster | Refusal] = []
    scene.ledger.roster(ROOM, answers.append)
    bert, anna = record(b"{}", 5, 9, 0, 9_500_000), record(b'"a b"', 7, 3, 2, 3_000_000)
    reply: list[Reply] = [b"bert", bert, b"anna", anna]
    scene.engine.answer("roster", b"roster", 0, *reply, seq=120)
    assert answers == [
        Roster((Member("anna", b'"a b"', 2, 3.0), Member("bert", b"{}", 0, 9.5)), 120)
    ]


def test_a_roster_of_a_young_epoch_is_not_complete(scene: Scene) -> None:
    scene.begin()
    answers: list[Roster | Refusal] = []
    scene.ledger.roster(ROOM, answers.append)
    scene.engine.answer("roster", b"roster", 1, seq=120)
    assert answers == [Roster((), 120, complete=False)]


def test_a_user_is_looked_for_in_some_channels_at_a_time(scene: Scene) -> None:
    """A channel that comes twice is one; of the state the last answer holds."""
    scene.begin()
    answers: list[UserPresence | Refusal] = []
    scene.ledger.user("1", "anna", answers.append)
    first = scene.engine.answer("user", b"user", 1, 9, b"", b"", b"77", b"presence-b")
    assert answers == []
    anna = record(b"{}", 5, 9, 1, 3_000_000)
    pages: list[Reply] = [b"presence-a", b"presence-b"]
    last = scene.engine.answer("user", b"user", 0, 9_000_000, anna, b"", b"0", *pages)
    assert [call.own[:3] for call in (first, last)] == [
        ["1", b"anna", b"0"],
        ["1", b"anna", b"77"],
    ]
    state = UserState(3.0, 1, 9.0)
    assert answers == [UserPresence(state, ("presence-a", "presence-b"), complete=False)]


def test_channels(scene: Scene) -> None:
    """A presence channel is occupied by its members, another one by its subscriptions."""
    scene.begin()
    answers: list[ChannelState | Refusal] = []
    scene.ledger.channel("1", "room", answers.append)
    scene.ledger.channel("1", "presence-room", answers.append)
    assert scene.engine.answer("channel", b"channel", 0, 3, 0).own == ["1", b"room"]
    scene.engine.answer("channel", b"channel", 0, 0, 2)
    assert answers == [ChannelState(True, 3, 0), ChannelState(True, 0, 2)]
    listings: list[Channels | Refusal] = []
    scene.ledger.channels("1", "p", listings.append)
    call = scene.engine.answer("channels", b"channels", 1, b"presence-a", 1, 1, b"public", 2, 0)
    assert call.own == ["1", b"p"]
    assert listings == [
        Channels(
            {
                "presence-a": ChannelState(True, 1, 1, False),
                "public": ChannelState(True, 2, 0, False),
            },
            complete=False,
        )
    ]


def test_a_question_waits_for_the_session(scene: Scene) -> None:
    """A reconnect is not noticed by who asks."""
    answers: list[Totals | Refusal] = []
    scene.ledger.totals("1", answers.append)
    scene.advance(1)
    scene.begin()
    scene.engine.answer("totals", b"totals", 0, 5, 4, 3, 2)
    assert answers == [Totals(5, 4, 3, 2)]


def test_a_question_without_an_answer_is_asked_again(scene: Scene) -> None:
    """After a break and after a fence."""
    scene.begin()
    answers: list[Totals | Refusal] = []
    scene.ledger.totals("1", answers.append)
    scene.engine.disconnect()
    scene.engine.connect()
    scene.engine.answer("hello", b"ok")
    scene.engine.answer("totals", b"fenced")
    scene.engine.answer("hello", b"lapsed")
    scene.engine.answer("hello", b"new")
    scene.engine.answer("ready", b"ready")
    scene.engine.answer("totals", b"totals", 0, 1, 1, 1, 1)
    assert answers == [Totals(1, 1, 1, 1)]


def test_a_question_is_refused_after_a_moment(scene: Scene) -> None:
    """And not asked any more."""
    answers: list[object] = []
    scene.ledger.roster(ROOM, answers.append)
    scene.ledger.channel("1", "room", answers.append)
    scene.ledger.totals("1", answers.append)
    scene.ledger.channels("1", "", answers.append)
    scene.advance(1.5)
    assert answers == []
    scene.advance(1)
    assert answers == [Refusal.UNAVAILABLE] * 4
    scene.begin()
    assert scene.engine.asked == []


def test_a_late_answer_is_dropped(scene: Scene) -> None:
    scene.begin()
    answers: list[Roster | Refusal] = []
    scene.ledger.roster(ROOM, answers.append)
    scene.advance(2.5)
    scene.engine.answer("roster", b"roster", 0, *listed("anna"))
    assert answers == [Refusal.UNAVAILABLE]


class ThreePartitions(ScriptedEngine):
    """Of three partitions, one is not connected."""

    partitions = 3

    def __init__(self) -> None:
        super().__init__()
        self.sessions: list[Session] = []
        self.answers: dict[int, list[int]] = {}

    def attach(self, partition: int, session: Session) -> None:
        self.sessions.append(session)

    def call(self, script: str, partition: int, args: object, done: Answered) -> None:
        if script == "hello":
            done([b"new", EPOCH, 100])
        elif script == "totals" and partition in self.answers:
            done([b"totals", EPOCH, 100, *self.answers[partition]])


def test_totals_are_summed_over_partitions() -> None:
    """What does not answer is missing, and that is said."""
    clock, engine = ManualClock(), ThreePartitions()
    make = partial(PartitionedLedger, engine, clock, node="n", flags_of=lambda app: 0)
    ledger = make(lease_seconds=5, hold_seconds=20)
    for session in engine.sessions:
        session.connected()
    answers: list[Totals | Refusal] = []
    engine.answers = {0: [0, 1, 2, 3, 4], 1: [0, 10, 20, 30, 40], 2: [0, 1, 1, 1, 1]}
    ledger.totals("1", answers.append)
    engine.answers[2][0] = 1
    ledger.totals("1", answers.append)
    del engine.answers[2]
    ledger.totals("1", answers.append)
    clock.advance(2.5)
    ledger.tick()
    assert answers == [
        Totals(12, 23, 34, 45),
        Totals(12, 23, 34, 45, complete=False),
        Totals(11, 22, 33, 44, complete=False),
    ]
