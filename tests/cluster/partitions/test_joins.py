"""Joins and leaves: answered when the follower knows, undone when nobody wants them any more."""

from __future__ import annotations

from cluster.partitions.scripted import HOLD, ROOM, Scene, user


def test_a_join_is_answered_when_it_was_told(scene: Scene) -> None:
    """The engine has answered; the follower hears of it by the feed first."""
    scene.begin()
    scene.follow("bert")
    scene.take_told()
    scene.join("anna")
    scene.joined(seq=101)
    assert scene.told == []
    scene.engine.delta("a", "anna", 101)
    assert scene.told == ["add anna", "joined anna first"]


def test_a_join_is_answered_before_anything_later_is_told(scene: Scene) -> None:
    """In the very turn in which its own number is reached."""
    scene.begin()
    scene.follow()
    scene.join("anna")
    scene.joined(seq=101)
    scene.engine.delta("a", "anna", 101)
    scene.engine.delta("a", "bert", 102)
    assert scene.told == ["add anna", "joined anna first", "add bert"]


def test_a_feed_that_is_ahead_answers_at_once(scene: Scene) -> None:
    """The message of the join came before its answer."""
    scene.begin()
    scene.follow()
    scene.join("anna")
    scene.engine.delta("a", "anna", 101)
    assert scene.told == ["add anna"]
    scene.joined(seq=101)
    assert scene.told == ["add anna", "joined anna first"]


def test_a_join_waits_for_the_roster(scene: Scene) -> None:
    """A room that is being loaded answers nobody, then in the order of what happened."""
    scene.begin()
    scene.ledger.follow(ROOM)
    scene.join("anna")
    scene.joined(seq=102)
    scene.hear(seq=102)
    assert scene.told == []
    scene.roster("bert", "anna", seq=103)
    assert scene.told == ["add bert", "add anna", "joined anna first"]


def test_what_is_kept_while_a_roster_loads_is_told_around_the_answer(scene: Scene) -> None:
    """A join is answered between the change that it is and the change after it."""
    scene.begin()
    scene.ledger.follow(ROOM)
    scene.hear(seq=100)
    scene.join("anna")
    scene.engine.delta("a", "anna", 101)
    scene.engine.delta("a", "bert", 102)
    scene.roster("carl", seq=100)
    scene.joined(seq=101)
    assert scene.told == ["add carl", "add anna", "add bert", "joined anna first"]


def test_an_answer_that_is_there_comes_before_the_next_kept_change(scene: Scene) -> None:
    """The roster comes last of all: everything that waited for it is told in order."""
    scene.begin()
    scene.ledger.follow(ROOM)
    scene.join("anna")
    scene.joined(seq=101)
    scene.hear(seq=100)
    scene.engine.delta("a", "anna", 101)
    scene.engine.delta("a", "bert", 102)
    scene.roster(seq=100)
    assert scene.told == ["add anna", "joined anna first", "add bert"]


def test_a_further_connection_is_answered_without_a_change(scene: Scene) -> None:
    """Nothing is told of a second tab, so its number is reached already."""
    scene.begin()
    scene.follow("anna")
    scene.take_told()
    scene.join("anna")
    scene.joined(seq=100, first=0)
    assert scene.told == ["joined anna"]


def test_a_sign_in_that_nobody_follows_is_answered_with_the_engine(scene: Scene) -> None:
    """There is nothing to be told first."""
    scene.begin()
    scene.sign_in("anna")
    scene.joined(seq=101)
    assert scene.told == ["joined anna first"]


def test_a_watched_sign_in_is_answered_when_it_was_told(scene: Scene) -> None:
    """Its watchers hear of it first."""
    scene.begin()
    scene.ledger.follow(user("anna"))
    scene.hear()
    scene.end_turn()
    scene.engine.answer("online", b"online", 0, 0)
    scene.sign_in("anna")
    scene.joined(seq=101)
    assert scene.told == []
    scene.engine.delta("a", "anna", 101, subject=user("anna"))
    assert scene.told == ["add anna", "joined anna first"]


def test_a_full_room_refuses(scene: Scene) -> None:
    """Nothing is left of the join: its leave is not sent."""
    scene.begin()
    scene.follow()
    scene.join("anna", limit=5)
    call = scene.engine.answer("join", b"full")
    assert call.own[5] == 5
    assert scene.told == ["full anna"]
    scene.ledger.leave(ROOM, 1, 0)
    assert scene.engine.asked == []


def test_the_engine_learns_what_a_join_is(scene: Scene) -> None:
    """Subject, user, subscription, info, grace in µs, limit, flags of the app."""
    scene.begin()
    scene.join("anna", 12, info=b'{"a":1}')
    call = scene.joined(seq=101)
    assert call.session == (b"n-1", 1, 7)
    assert call.own == [b"1/p/presence-room", b"anna", 12, b'{"a":1}', 3_000_000, 0, 1]


def test_a_leave_follows_a_join_without_an_answer(scene: Scene) -> None:
    """It is not answered, and undone."""
    scene.begin()
    scene.follow()
    scene.join("anna", 5)
    scene.ledger.leave(ROOM, 5, 3)
    scene.joined(seq=101)
    call = scene.engine.answer("leave", b"left", seq=101)
    assert call.own == [5, 3_000_000]
    assert scene.told == []


def test_a_join_that_was_never_sent_is_dropped(scene: Scene) -> None:
    """Without a connection there is nothing to undo."""
    scene.join("anna")
    scene.ledger.leave(ROOM, 1, 3)
    scene.begin()
    assert scene.engine.asked == []
    assert scene.told == []


def test_a_leave_in_the_turn_of_the_answer_is_not_answered(scene: Scene) -> None:
    """Who hears of the first addition and closes a connection hears no more of it."""
    scene.begin()
    scene.follow()
    scene.join("anna")
    scene.joined(seq=101)
    scene.when_told = lambda: scene.ledger.leave(ROOM, 1, 0)
    scene.engine.delta("a", "anna", 101)
    assert scene.told == ["add anna"]
    assert scene.engine.asked == ["leave"]


def test_an_unknown_subscription_leaves_nothing(scene: Scene) -> None:
    scene.begin()
    scene.ledger.leave(ROOM, 99, 0)
    assert scene.engine.asked == []


def test_a_join_is_held_while_the_engine_is_away(scene: Scene) -> None:
    """It is sent when there is a session, and answered as if nothing had been."""
    scene.join("anna")
    scene.advance(HOLD - 1)
    assert scene.told == []
    scene.begin()
    scene.joined(seq=101)
    assert scene.told == ["joined anna first"]


def test_a_join_is_not_held_longer_than_the_hold(scene: Scene) -> None:
    """It is refused, and never sent later."""
    scene.join("anna")
    assert scene.ledger.held == 1
    scene.advance(HOLD + 0.5)
    assert scene.told == ["unavailable anna"]
    assert scene.ledger.held == 0
    scene.begin()
    assert scene.engine.asked == []


def test_what_may_have_been_executed_is_undone_when_the_hold_ends(scene: Scene) -> None:
    """The join was sent; nobody knows what came of it."""
    scene.begin()
    scene.join("anna", 5)
    scene.engine.disconnect()
    scene.advance(HOLD + 0.5)
    assert scene.told == ["unavailable anna"]
    scene.engine.connect()
    scene.engine.answer("hello", b"ok")
    call = scene.engine.answer("leave", b"left")
    assert call.own == [5, 0]
    assert "join" not in scene.engine.asked


def test_a_refused_join_of_a_followed_room_is_undone(scene: Scene) -> None:
    """The engine had it, but the follower could not be told in time."""
    scene.begin()
    scene.ledger.follow(ROOM)
    scene.join("anna", 5)
    scene.joined(seq=101)
    while scene.told == []:
        scene.advance(0.3)
        scene.answer_beats(101)
    assert scene.told == ["unavailable anna"]
    assert scene.engine.answer("leave", b"left").own == [5, 0]


def test_unfollowing_answers_who_waits(scene: Scene) -> None:
    """Nobody is to be told anything any more."""
    scene.begin()
    scene.ledger.follow(ROOM)
    scene.join("anna")
    scene.joined(seq=101)
    scene.ledger.unfollow(ROOM)
    assert scene.told == ["joined anna first"]


def test_the_same_subscription_again_counts_once(scene: Scene) -> None:
    """Both calls are answered, one leave ends it."""
    scene.begin()
    scene.join("anna", 5)
    scene.join("anna", 5)
    scene.joined(seq=101)
    scene.join("anna", 5)
    assert scene.told == ["joined anna first", "joined anna", "joined anna"]
    scene.ledger.leave(ROOM, 5, 0)
    assert scene.engine.asked == ["leave"]


def test_a_departure_is_swept_when_it_ends(scene: Scene) -> None:
    """A beat follows the grace, not the next third of a lease."""
    scene.begin()
    scene.join("anna", 5)
    scene.joined(seq=101)
    scene.advance_beating(1.9, seq=101)
    scene.ledger.leave(ROOM, 5, 0.5)
    scene.advance(0.1)
    scene.engine.answer("leave", b"left", seq=101)
    scene.advance_beating(0.2, seq=101)
    assert scene.engine.asked == []
    scene.advance(0.4)
    assert scene.engine.asked == ["beat"]


def test_a_beat_that_leaves_work_is_followed_by_another(scene: Scene) -> None:
    """The engine reaps in batches."""
    scene.begin()
    while "beat" not in scene.engine.asked:
        scene.advance(0.3)
    scene.engine.answer("beat", b"beat", 1)
    assert scene.engine.asked == ["beat"]


def test_suppressed_departures_are_counted(scene: Scene) -> None:
    """A return within the grace is seen only by the metrics."""
    scene.begin()
    scene.join("anna")
    scene.joined(seq=101, first=0, suppressed=1)
    assert scene.ledger.suppressed == 1
