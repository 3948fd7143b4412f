"""Counts of subscriptions and connections, and what is decided by them."""

from __future__ import annotations

from cluster.partitions.scripted import Scene
from herenow.cluster.base import Announcement, Refusal
from herenow.cluster.partitions.numbers import AGAIN


def test_the_first_and_the_last_are_told_at_once(scene: Scene) -> None:
    """Together, at the end of the turn; a channel that they decide about is marked."""
    scene.begin()
    scene.ledger.count("1", "room", 1)
    scene.ledger.count("1", "presence-x", 1)
    scene.ledger.count("1", "#server-to-user-anna", 1)
    scene.ledger.count_connections("1", 1)
    assert scene.engine.asked == []
    scene.end_turn()
    call = scene.engine.answer("count", b"counted")
    assert [call.own[i : i + 3] for i in range(0, 12, 3)] == [
        [b"1/room", 1, 3],
        [b"1/presence-x", 1, 1],
        [b"1/#server-to-user-anna", 1, 1],
        [b"1", 1, 0],
    ]
    scene.ledger.count("1", "room", 0)
    scene.end_turn()
    assert scene.engine.answer("count", b"counted").own == [b"1/room", 0, 3]


def test_other_changes_are_told_once_a_second(scene: Scene) -> None:
    """The newest number counts."""
    scene.begin()
    scene.ledger.count("1", "room", 1)
    scene.end_turn()
    scene.engine.answer("count", b"counted")
    scene.ledger.count("1", "room", 2)
    scene.ledger.count("1", "room", 3)
    scene.advance(0.6)
    assert "count" not in scene.engine.asked
    scene.answer_beats(100)
    scene.advance(0.6)
    assert scene.engine.answer("count", b"counted").own == [b"1/room", 3, 3]
    scene.advance_beating(3, seq=100)
    assert scene.engine.asked == []


def test_numbers_wait_for_the_engine(scene: Scene) -> None:
    """What is zero again is told too: an operation may have carried it when it was not."""
    scene.ledger.count("1", "room", 2)
    scene.ledger.count("1", "other", 1)
    scene.ledger.count("1", "other", 0)
    scene.advance(1)
    scene.begin()
    told = [b"1/room", 2, AGAIN | 3, b"1/other", 0, AGAIN | 3]
    assert scene.engine.answer("count", b"counted").own == told


def test_numbers_are_registered_again_before_the_old_id_is_given_up(scene: Scene) -> None:
    """So that no sum falls in between."""
    scene.begin()
    scene.ledger.count("1", "room", 2)
    scene.end_turn()
    scene.engine.answer("count", b"counted")
    scene.lapse()
    assert scene.engine.asked == ["count", "ready"]
    assert scene.engine.answer("count", b"counted").own == [b"1/room", 2, AGAIN | 3]


def test_a_number_without_an_answer_is_told_again_as_it_is(scene: Scene) -> None:
    scene.begin()
    scene.ledger.count("1", "room", 1)
    scene.end_turn()
    scene.ledger.count("1", "room", 5)
    scene.engine.disconnect()
    scene.engine.connect()
    scene.engine.answer("hello", b"ok")
    assert scene.engine.answer("count", b"counted").own == [b"1/room", 5, 3]


def test_an_announcement_carries_the_number(scene: Scene) -> None:
    """It need not be told besides."""
    scene.begin()
    answers: list[Announcement | Refusal] = []
    scene.ledger.count("1", "room", 1)
    scene.ledger.announce("1", "room", answers.append)
    assert scene.engine.answer("announce", b"announced", 8).own == [b"1/room", 1, 3, 5_000_000, 100]
    scene.advance_beating(1, seq=100)
    assert scene.engine.asked == []
    scene.ledger.announce("1", "room", answers.append)
    scene.engine.answer("announce", b"wait", 2_500_000)
    assert answers == [Announcement(8, 0), Announcement(None, 2.5)]


def test_the_bus_brings_announcements(scene: Scene) -> None:
    scene.ledger.announced("1", "room", 8)
    assert scene.told == ["room has 8"]


def test_a_connection_is_admitted_by_the_engine(scene: Scene) -> None:
    scene.begin()
    answers: list[bool | Refusal] = []
    scene.ledger.admit("1", 1, 10, answers.append)
    assert scene.engine.answer("admit", b"admitted", 1, 4).own == ["1", 1, 10]
    scene.ledger.admit("1", 2, 4, answers.append)
    scene.engine.answer("admit", b"admitted", 0, 4)
    assert answers == [True, False]


def test_a_refused_connection_is_not_counted(scene: Scene) -> None:
    """The engine is told the number that is true, should it have another."""
    scene.begin()
    scene.ledger.admit("1", 1, 10, lambda _: None)
    scene.engine.answer("admit", b"admitted", 1, 10)
    scene.ledger.admit("1", 2, 10, lambda _: None)
    scene.ledger.admit("1", 3, 10, lambda _: None)
    scene.engine.answer("admit", b"admitted", 0, 10)
    scene.engine.answer("admit", b"admitted", 0, 10)
    while "count" not in scene.engine.asked:
        scene.advance(0.1)
        scene.answer_beats(100)
    assert scene.engine.answer("count", b"counted").own == [b"1", 1, 0]


def test_a_frozen_engine_is_answered_for_after_a_moment(scene: Scene) -> None:
    scene.begin()
    answers: list[bool | Refusal] = []
    scene.ledger.admit("1", 1, 2, answers.append)
    scene.ledger.admit("1", 2, 1, answers.append)
    scene.advance(1)
    assert answers == []
    scene.advance(2)
    assert answers == [True, Refusal.UNAVAILABLE]


def test_who_leaves_a_limited_application_makes_room_at_once(scene: Scene) -> None:
    """Somebody may come back on another node, which has to know."""
    scene.begin()
    scene.ledger.count_connections("1", 1)
    scene.end_turn()
    scene.engine.answer("count", b"counted")
    for connections in (2, 3):
        scene.ledger.admit("1", connections, 3, lambda _: None)
        scene.engine.answer("admit", b"admitted", 1, connections)
    scene.ledger.count_connections("1", 2)
    scene.ledger.count_connections("1", 1)
    scene.end_turn()
    assert scene.engine.answer("count", b"counted").own == [b"1", 1, 0]


def test_what_an_unlimited_application_has_less_is_told_at_leisure(scene: Scene) -> None:
    scene.begin()
    scene.ledger.count_connections("1", 3)
    scene.end_turn()
    scene.engine.answer("count", b"counted")
    scene.ledger.count_connections("1", 2)
    scene.end_turn()
    assert scene.engine.asked == []


def test_without_a_limit_nobody_waits(scene: Scene) -> None:
    """The number is told at leisure."""
    answers: list[bool | Refusal] = []
    scene.ledger.admit("1", 1, 0, answers.append)
    assert answers == [True]
    scene.begin()
    assert scene.engine.answer("count", b"counted").own == [b"1", 1, AGAIN]


def test_an_engine_that_is_away_is_answered_for(scene: Scene) -> None:
    """From what the other nodes had when it was last heard of. By now they may have less."""
    scene.begin()
    answers: list[bool | Refusal] = []
    scene.ledger.admit("1", 1, 10, lambda _: None)
    scene.engine.answer("admit", b"admitted", 1, 8)
    scene.engine.disconnect()
    for connections in (2, 3, 4):
        scene.ledger.admit("1", connections, 10, answers.append)
    assert answers == [True, True, Refusal.UNAVAILABLE]


def test_an_engine_that_never_was_there_admits_up_to_the_limit(scene: Scene) -> None:
    answers: list[bool | Refusal] = []
    for connections in (1, 2, 3):
        scene.ledger.admit("1", connections, 2, answers.append)
    assert answers == [True, True, Refusal.UNAVAILABLE]
    scene.begin()
    assert scene.engine.answer("count", b"counted").own == [b"1", 2, AGAIN]


def test_events_are_spent_once(scene: Scene) -> None:
    """What may have been taken is not taken again."""
    answers: list[float | Refusal] = []
    scene.ledger.spend("1", 5, 100, answers.append)
    scene.begin()
    scene.ledger.spend("1", 5, 100, answers.append)
    call = scene.engine.calls.popleft()
    assert (call.script, list(call.args)) == ("spend", ["1", 5, 100])
    call.done([b"spent", 0, 0, 250_000])
    scene.ledger.spend("1", 5, 100, answers.append)
    scene.engine.disconnect()
    assert answers == [Refusal.UNAVAILABLE, 0.25, Refusal.UNAVAILABLE]
