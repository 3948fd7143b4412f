"""What is special about the engine in memory: it forgets, it counts, it survives its callers."""

from __future__ import annotations

import gc

import pytest

from cluster.engines import ManualClock, MemoryLedgerEngine, room, signed_in
from herenow.cluster.base import Joined, Online, Publication, Refusal, Transition
from herenow.cluster.memory import MemoryBus, MemoryLedger
from herenow.cluster.memory_usage import Presence, Present, Usage

ROOM = room()


@pytest.fixture
def engine() -> MemoryLedgerEngine:
    return MemoryLedgerEngine()


@pytest.fixture
def ledger(engine: MemoryLedgerEngine) -> MemoryLedger:
    assert isinstance(engine.ledger, MemoryLedger)
    return engine.ledger


class Node:
    """A follower that may fail."""

    def __init__(self, *, fails: bool = False) -> None:
        self._fails = fails

    def apply(self, transition: Transition) -> None:
        if self._fails:
            raise RuntimeError("no")

    def announced(self, app: str, channel: str, subscriptions: int) -> None: ...

    def terminate(self, app: str, user: str) -> None: ...


def remembered() -> int:
    gc.collect()
    return sum(isinstance(thing, Present | Presence | Usage) for thing in gc.get_objects())


def test_names_seen_once_leave_nothing_behind(engine: MemoryLedgerEngine) -> None:
    """A client that invents names all day does not fill the memory."""
    before = remembered()
    for n in range(100):
        subject = room(f"presence-{n}", app=str(n))
        engine.leave(subject, engine.join(subject, f"user-{n}"), n % 2)
        engine.leave(signed_in(f"user-{n}"), engine.join(signed_in(f"user-{n}"), f"user-{n}"), 1)
        engine.count(str(n), f"news-{n}", 1)
        engine.announce(str(n), f"news-{n}")
        engine.count(str(n), f"news-{n}", 0)
        engine.count(str(n), "never-counted", 0)
        engine.count_connections(str(n), 1)
        engine.count_connections(str(n), 0)
        engine.follow(subject)
        engine.unfollow(subject)
        engine.channel(f"unknown-{n}", "news")
        engine.totals(f"unknown-{n}")
    assert remembered() > before
    engine.advance(1)
    assert remembered() == before
    assert engine.clock.pending == 0


def test_coming_and_going_within_the_grace_asks_for_few_timers(
    engine: MemoryLedgerEngine,
) -> None:
    """A user whose line fails every second costs no more than one who reloads once."""
    subscription = engine.join(ROOM, "anna")
    for n in range(200):
        engine.leave(ROOM, subscription, 30 if n % 2 else 3)
        engine.advance(0.25)
        subscription = engine.join(ROOM, "anna")
    assert engine.clock.pending <= 3
    assert engine.users(ROOM) == ["anna"]


def test_transitions_and_cancelled_departures_are_counted(
    engine: MemoryLedgerEngine, ledger: MemoryLedger
) -> None:
    """The numbers behind the metrics."""
    subscription = engine.join(ROOM, "anna", b"1")
    engine.leave(ROOM, subscription, 3)
    subscription = engine.join(ROOM, "anna", b"2")
    engine.leave(ROOM, subscription)
    engine.advance(3)
    assert ledger.transitions == {"add": 1, "remove": 1, "info": 1}
    assert ledger.suppressed == 1


def test_a_clock_that_steps_back_does_not_bring_revisions_down() -> None:
    """The administrator sets the time; what follows is still newer than what was before."""
    engine = MemoryLedgerEngine()
    engine.leave(ROOM, engine.join(ROOM, "anna"))
    engine.clock.advance(-3600)
    engine.leave(ROOM, engine.join(ROOM, "anna"))
    revisions = [entry.revision for entry in engine.outbox if isinstance(entry, Transition)]
    assert revisions == sorted(set(revisions))


def test_a_follower_that_fails_costs_nobody_an_answer() -> None:
    """The error surfaces, and what it interrupted is told and answered a moment later."""
    clock = ManualClock()
    outbox: list[object] = []
    ledger = MemoryLedger(clock, outbox.append)
    answers: list[Joined | Refusal] = []

    ledger.attach(Node(fails=True))
    ledger.follow(ROOM)
    with pytest.raises(RuntimeError):
        ledger.join(ROOM, "anna", 1, b"{}", 0, 0, answers.append)
    clock.advance(0)
    assert len(answers) == 1
    ledger.attach(Node())
    ledger.leave(ROOM, 1, 0)
    assert len(outbox) == 4


def test_who_is_followed_is_told_at_once(engine: MemoryLedgerEngine, ledger: MemoryLedger) -> None:
    """Also while something else is being told, and no one of them twice."""
    other = room("presence-other")
    ledger.follow(ROOM)
    heard: list[list[str]] = []

    def follow_another(transition: Transition) -> None:
        if transition.user == "anna":
            ledger.join(other, "bert", 98, b"{}", 0, 0, lambda answer: None)
            ledger.follow(other)
            heard.append([told.user for told in engine.heard])

    engine.when_heard = follow_another
    engine.join(ROOM, "anna")
    assert heard == [["anna", "bert"]]
    assert [told.user for told in engine.heard] == ["anna", "bert"]


def test_a_leave_while_the_members_are_told_is_told_after_them(
    engine: MemoryLedgerEngine, ledger: MemoryLedger
) -> None:
    """Whoever follows hears of nobody's removal before his addition."""
    subscriptions = [engine.join(ROOM, user) for user in ("anna", "bert", "cleo")]

    def close_the_last(transition: Transition) -> None:
        if transition.user == "anna":
            ledger.leave(ROOM, subscriptions[2], 0)

    engine.when_heard = close_the_last
    ledger.follow(ROOM)
    assert [(told.kind.value, told.user) for told in engine.heard] == [
        ("add", "anna"),
        ("add", "bert"),
        ("add", "cleo"),
        ("remove", "cleo"),
    ]


def test_who_is_online_is_answered_as_the_node_knows_it(
    engine: MemoryLedgerEngine, ledger: MemoryLedger
) -> None:
    """A sign-out that is decided and not told yet is told before the answer."""
    subscription = engine.join(signed_in("bert"), "bert")
    ledger.follow(signed_in("bert"))
    ledger.follow(ROOM)
    answers: list[tuple[Online | Refusal, list[str]]] = []

    def sign_out_and_ask(transition: Transition) -> None:
        if transition.user == "anna":
            ledger.leave(signed_in("bert"), subscription, 0)
            ledger.online(
                "1",
                ["bert"],
                lambda online: answers.append((online, [told.kind.value for told in engine.heard])),
            )

    engine.when_heard = sign_out_and_ask
    engine.join(ROOM, "anna")
    assert answers == [(Online(frozenset()), ["add", "add", "remove"])]


def test_expired_events_go_without_being_asked_for() -> None:
    """The bus keeps no event and no timer of a cache channel that was used once."""
    clock = ManualClock()
    bus = MemoryBus(clock)
    payload = b"-" * 1000

    def references() -> int:
        return len(gc.get_referrers(payload))

    before = references()
    for n in range(10):
        for _ in range(3):
            kept = Publication("1", f"cache-{n}", payload, cached=True, data=b'"x"', ttl=60 + n)
            bus.publish((kept,), lambda published: None)
            clock.advance(1)
    del kept
    gc.collect()
    assert references() > before
    assert clock.pending == 1
    clock.advance(120)
    gc.collect()
    assert references() == before
    assert clock.pending == 0
