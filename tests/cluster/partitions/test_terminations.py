"""Terminations reach every connection that signed in before, however they arrive."""

from __future__ import annotations

from cluster.partitions.scripted import Scene, user


def test_a_termination_closes_who_signed_in_before(scene: Scene) -> None:
    """Nobody else's connections, and nobody who is not here."""
    scene.begin()
    scene.sign_in("anna", 1)
    scene.joined(seq=101)
    scene.hear(seq=101)
    scene.take_told()
    scene.engine.delta("x", "", 102, subject=user("bert"))
    scene.engine.delta("x", "", 103, subject=user("anna"))
    assert scene.told == ["terminate anna"]


def test_a_termination_from_before_the_sign_in_concerns_nobody(scene: Scene) -> None:
    """The feed brings it late."""
    scene.begin()
    scene.sign_in("bert", 9)
    scene.joined(seq=100)
    scene.hear(seq=100)
    scene.sign_in("anna", 1)
    scene.joined(seq=103)
    scene.take_told()
    scene.engine.delta("a", "carl", 101, subject=user("carl"))
    scene.engine.delta("x", "", 102, subject=user("anna"))
    assert scene.told == []


def test_a_termination_that_overtakes_the_answer_of_a_sign_in(scene: Scene) -> None:
    """The sign-in was executed before: it is answered, then closed."""
    scene.begin()
    scene.sign_in("bert", 9)
    scene.joined(seq=100)
    scene.hear(seq=100)
    scene.take_told()
    scene.sign_in("anna", 1)
    scene.engine.delta("a", "anna", 101, subject=user("anna"))
    scene.engine.delta("x", "", 102, subject=user("anna"))
    assert scene.told == []
    scene.joined(seq=101)
    assert scene.told == ["joined anna first", "terminate anna"]


def test_a_termination_that_was_missed_is_caught_up(scene: Scene) -> None:
    """After a gap the next beat asks for those since the last number heard."""
    scene.begin()
    scene.sign_in("anna", 1)
    scene.joined(seq=101)
    scene.hear(seq=101)
    scene.advance_beating(2, seq=101)
    scene.take_told()
    scene.engine.tick(105)
    scene.ledger.tick()
    call = scene.engine.answer("beat", b"beat", 0, b"1/u/anna", 104, b"1/u/bert", 105, seq=105)
    assert call.own[0] == 101
    assert scene.told == ["terminate anna"]
    scene.engine.tick(105)
    while "beat" not in scene.engine.asked:
        scene.advance(0.3)
    assert scene.engine.calls[0].own[0] == ""


def test_a_termination_is_caught_up_after_a_reconnect(scene: Scene) -> None:
    """The beat that tells the position asks for what was missed."""
    scene.begin()
    scene.sign_in("anna", 1)
    scene.joined(seq=101)
    scene.hear(seq=101)
    scene.take_told()
    assert scene.engine.subscriber is not None
    scene.engine.subscriber.lost()
    scene.engine.subscriber.subscribed()
    call = scene.engine.answer("beat", b"beat", 0, b"1/u/anna", 103, seq=110)
    assert call.own[0] == 101
    assert scene.told == ["terminate anna"]


def test_what_is_lost_again_before_the_answer_is_asked_for_again(scene: Scene) -> None:
    """A beat that was sent before the second gap does not cover it."""
    scene.begin()
    scene.sign_in("anna", 1)
    scene.joined(seq=101)
    scene.hear(seq=101)
    scene.engine.tick(105)
    scene.ledger.tick()
    scene.engine.tick(109)
    assert scene.engine.answer("beat", b"beat", 0, seq=106).own[0] == 101
    scene.ledger.tick()
    assert scene.engine.answer("beat", b"beat", 0, seq=109).own[0] == 106


def test_a_termination_between_a_sign_in_and_its_feed(scene: Scene) -> None:
    """The feed was not read before: it is asked for since before the sign-in."""
    scene.begin(seq=100)
    scene.sign_in("anna", 1)
    scene.joined(seq=101)
    scene.take_told()
    assert scene.engine.subscriber is not None
    scene.engine.subscriber.subscribed()
    call = scene.engine.answer("beat", b"beat", 0, b"1/u/anna", 102, seq=102)
    assert call.own[0] == 100
    assert scene.told == ["terminate anna"]


def test_registering_again_does_not_hide_a_termination(scene: Scene) -> None:
    """The sign-in is as old as it was, though it was registered anew."""
    scene.begin()
    scene.sign_in("anna", 1)
    scene.joined(seq=101)
    scene.hear(seq=101)
    scene.take_told()
    scene.lapse(seq=110)
    scene.engine.answer("restore", b"restored", seq=110)
    scene.engine.answer("ready", b"ready", seq=110)
    scene.engine.tick(110)
    scene.ledger.tick()
    scene.engine.answer("beat", b"beat", 0, b"1/u/anna", 105, seq=110)
    assert scene.told == ["terminate anna"]


def test_terminating_tells_the_engine(scene: Scene) -> None:
    """True when everybody will hear of it."""
    answers: list[bool] = []
    scene.begin()
    scene.ledger.terminate("1", "anna", answers.append)
    assert scene.engine.answer("terminate", b"terminated").own == [b"1/u/anna"]
    assert answers == [True]


def test_terminating_without_an_engine_says_so(scene: Scene) -> None:
    """Nobody was told."""
    answers: list[bool] = []
    scene.ledger.terminate("1", "anna", answers.append)
    assert answers == []
    scene.advance(2.5)
    assert answers == [False]
    scene.begin()
    assert scene.engine.asked == []
