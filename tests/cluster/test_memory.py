"""What is special about the engine in memory: it forgets, it counts, it survives its callers."""

from __future__ import annotations

import gc

import pytest

from cluster.engines import ManualClock, MemoryLedgerEngine, room, signed_in
from herenow.cluster.base import Joined, Publication, Refusal, Transition
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

    def fail(transition: Transition) -> None:
        raise RuntimeError("no")

    ledger.attach(fail)
    ledger.follow(ROOM)
    with pytest.raises(RuntimeError):
        ledger.join(ROOM, "anna", 1, b"{}", 0, answers.append)
    clock.advance(0)
    assert len(answers) == 1
    ledger.attach(lambda transition: None)
    ledger.leave(ROOM, 1, 0)
    assert len(outbox) == 4


def test_expired_events_go_without_being_asked_for() -> None:
    """The bus keeps no event and no timer of a cache channel that was used once."""
    clock = ManualClock()
    bus = MemoryBus(clock)
    payload = b"-" * 1000

    def kept() -> int:
        return len(gc.get_referrers(payload))

    before = kept()
    for n in range(10):
        for _ in range(3):
            bus.publish_cached(Publication("1", f"cache-{n}", payload), b'"x"', 60 + n)
            clock.advance(1)
    gc.collect()
    assert kept() > before
    assert clock.pending == 1
    clock.advance(120)
    gc.collect()
    assert kept() == before
    assert clock.pending == 0
