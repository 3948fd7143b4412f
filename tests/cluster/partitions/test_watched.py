"""Users whom somebody watches: asked about together, kept up to date by the feed."""

from __future__ import annotations

import tracemalloc

from cluster.partitions.scripted import Scene, user
from herenow.cluster.base import Online, Refusal


def watch(scene: Scene, *names: str) -> None:
    """Follow users and let the turn end in which they are asked about."""
    for name in names:
        scene.ledger.follow(user(name))
    scene.end_turn()


def online(scene: Scene, *answers: int, seq: int = 100, uncertain: int = 0) -> None:
    scene.engine.answer("online", b"online", uncertain, *answers, seq=seq)


def ask(scene: Scene, *names: str) -> list[Online | Refusal]:
    answers: list[Online | Refusal] = []

    def done(answer: Online | Refusal) -> None:
        answers.append(answer)
        scene.told.append("answered")

    scene.ledger.online("1", names, done)
    return answers


def test_users_are_asked_about_together(scene: Scene) -> None:
    """Who is online is told as an addition; the others are not told."""
    scene.begin()
    watch(scene, "anna", "bert", "carl")
    scene.hear()
    assert scene.engine.calls[0].own == [b"1/u/anna", b"1/u/bert", b"1/u/carl"]
    online(scene, 1, 0, 1)
    assert scene.told == ["add anna", "add carl"]


def test_the_answer_to_who_is_online_comes_after_what_it_says(scene: Scene) -> None:
    """It waits until everybody asked about is known."""
    scene.begin()
    watch(scene, "anna")
    scene.hear()
    online(scene, 1)
    watch(scene, "bert", "carl")
    answers = ask(scene, "anna", "bert", "carl")
    assert answers == []
    online(scene, 1, 0)
    assert scene.told == ["add anna", "add bert", "answered"]
    assert answers == [Online(frozenset({"anna", "bert"}))]


def test_who_is_known_is_answered_at_once(scene: Scene) -> None:
    scene.begin()
    watch(scene, "anna")
    scene.hear()
    online(scene, 1)
    assert ask(scene, "anna") == [Online(frozenset({"anna"}))]


def test_an_answer_is_not_waited_for_long(scene: Scene) -> None:
    """An engine that is away is not waited for; what it says later is told all the same."""
    watch(scene, "anna")
    answers = ask(scene, "anna")
    scene.advance(2.5)
    assert answers == [Refusal.UNAVAILABLE]
    scene.begin()
    scene.hear()
    online(scene, 1)
    assert scene.told == ["answered", "add anna"]


def test_an_answer_in_a_young_epoch_is_not_complete(scene: Scene) -> None:
    scene.begin()
    watch(scene, "anna")
    scene.hear()
    online(scene, 0, uncertain=1)
    assert ask(scene, "anna") == [Online(frozenset(), complete=False)]


def test_changes_are_told(scene: Scene) -> None:
    """Sign-ins and departures of watched users only."""
    scene.begin()
    watch(scene, "anna")
    scene.hear()
    online(scene, 0)
    scene.engine.delta("a", "anna", 101, subject=user("anna"))
    scene.engine.delta("a", "bert", 102, subject=user("bert"))
    scene.engine.delta("i", "anna", 103, subject=user("anna"))
    scene.engine.delta("r", "anna", 104, subject=user("anna"))
    assert scene.told == ["add anna", "remove anna"]


def test_changes_while_a_batch_is_under_way(scene: Scene) -> None:
    """What the answer has already is dropped, what it has not is told after it."""
    scene.begin()
    watch(scene, "anna", "bert")
    scene.hear()
    scene.engine.delta("a", "anna", 101, subject=user("anna"))
    scene.engine.delta("a", "bert", 102, subject=user("bert"))
    scene.engine.delta("r", "bert", 103, subject=user("bert"))
    assert scene.told == []
    online(scene, 1, 1, seq=102)
    assert scene.told == ["add anna", "add bert", "remove bert"]


def test_an_answer_ahead_of_the_feed(scene: Scene) -> None:
    """Messages that the answer had already are dropped when they come."""
    scene.begin()
    watch(scene, "anna")
    scene.hear()
    online(scene, 1, seq=103)
    for kind, seq in (("a", 101), ("r", 102), ("a", 103)):
        scene.engine.delta(kind, "anna", seq, subject=user("anna"))
    assert scene.told == ["add anna"]
    scene.engine.delta("r", "anna", 104, subject=user("anna"))
    assert scene.told == ["add anna", "remove anna"]


def test_a_gap_has_everybody_asked_about_again(scene: Scene) -> None:
    """What differs is told; an answer from before the gap is of no use."""
    scene.begin()
    watch(scene, "anna", "bert")
    scene.hear()
    online(scene, 1, 0)
    scene.take_told()
    scene.engine.tick(105)
    scene.engine.tick(110)
    online(scene, 1, 1, seq=107)
    assert scene.told == []
    online(scene, 0, 1, seq=110)
    assert scene.told == ["remove anna", "add bert"]


def test_who_is_missing_from_a_young_epoch_stays_online(scene: Scene) -> None:
    """Until the epoch is certain, or he is back."""
    scene.begin()
    watch(scene, "anna", "bert")
    scene.hear()
    online(scene, 1, 1)
    scene.take_told()
    scene.engine.tick(101)
    online(scene, 0, 0, seq=101, uncertain=1)
    scene.engine.delta("a", "bert", 102, subject=user("bert"))
    assert scene.told == []
    while "online" not in scene.engine.asked:
        scene.advance(0.3)
        scene.answer_beats(102)
    assert scene.engine.calls[0].own == [b"1/u/anna"]
    online(scene, 0, seq=102)
    assert scene.told == ["remove anna"]


def test_a_removal_of_somebody_who_is_signed_in_here_is_not_told(scene: Scene) -> None:
    """The registration is gone: it is made anew, and he is asked about again."""
    scene.begin()
    watch(scene, "anna")
    scene.hear()
    online(scene, 0)
    scene.sign_in("anna")
    scene.joined(seq=101)
    scene.engine.delta("a", "anna", 101, subject=user("anna"))
    scene.take_told()
    scene.engine.delta("r", "anna", 102, subject=user("anna"))
    scene.engine.answer("hello", b"lapsed", seq=102)
    scene.engine.answer("hello", b"new", seq=102)
    scene.engine.answer("restore", b"restored", seq=103)
    scene.engine.answer("ready", b"ready", seq=103)
    online(scene, 1, seq=103)
    assert scene.told == []


def test_unfollowed_users_are_forgotten(scene: Scene) -> None:
    """Also while their batch is under way; followed again they are asked about again."""
    scene.begin()
    watch(scene, "anna", "bert")
    scene.hear()
    scene.ledger.unfollow(user("anna"))
    online(scene, 1, 1)
    scene.engine.delta("r", "anna", 101, subject=user("anna"))
    assert scene.told == ["add bert"]
    watch(scene, "anna")
    online(scene, 1, seq=101)
    assert scene.told == ["add bert", "add anna"]


def test_batches_are_bounded(scene: Scene) -> None:
    """At most 500 users a call, and a few calls at a time."""
    scene.begin()
    watch(scene, *(f"u{number}" for number in range(2600)))
    scene.hear()
    sizes = []
    while scene.engine.calls:
        assert len(scene.engine.calls) <= 4
        size = len(scene.engine.calls[0].own)
        sizes.append(size)
        online(scene, *[1] * size)
    assert sizes == [500] * 5 + [100]
    assert len(scene.told) == 2600


def test_a_broken_connection_has_the_batch_asked_again(scene: Scene) -> None:
    """What came before it is sent again is part of the answer."""
    scene.begin()
    watch(scene, "anna")
    scene.hear()
    scene.engine.delta("a", "anna", 101, subject=user("anna"))
    scene.engine.disconnect()
    scene.engine.delta("r", "anna", 102, subject=user("anna"))
    scene.engine.connect()
    scene.engine.answer("hello", b"ok")
    scene.engine.delta("a", "anna", 103, subject=user("anna"))
    online(scene, 0, seq=102)
    assert scene.told == ["add anna"]


def test_a_lapse_has_everybody_asked_again(scene: Scene) -> None:
    """Nothing of what was under way is answered any more."""
    scene.begin()
    watch(scene, "anna", "bert")
    scene.hear()
    scene.lapse(seq=200)
    scene.engine.answer("ready", b"ready", seq=200)
    online(scene, 1, 0, seq=200)
    assert scene.told == ["add anna"]


def test_a_user_at_rest_costs_little(scene: Scene) -> None:
    """Watched by hundreds of thousands: less than 250 bytes each, the name included."""
    number = 20_000
    scene.begin()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for user_number in range(number):
            scene.ledger.follow(user(f"user-{user_number}"))
        scene.hear()
        scene.end_turn()
        while scene.engine.calls:
            online(scene, *[0] * len(scene.engine.calls[0].own))
        scene.engine.tick(100)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / number < 250
