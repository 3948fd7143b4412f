"""A followed presence channel: what the follower is told, whatever comes in whatever order."""

from __future__ import annotations

from cluster.engines import room
from cluster.partitions.scripted import ROOM, Scene
from herenow.cluster.base import Transition, TransitionKind


def test_a_roster_is_told_as_additions_in_the_order_of_joining(scene: Scene) -> None:
    """Who is there is added first, the earliest first."""
    scene.begin()
    scene.follow("bert", "anna")
    assert scene.told == ["add bert", "add anna"]
    assert scene.transitions[0] == Transition(ROOM, TransitionKind.ADD, "bert", b"{}", 100, 1.0)


def test_changes_are_told_as_they_come(scene: Scene) -> None:
    """Additions, changed infos and removals of the feed, with their numbers and times."""
    scene.begin()
    scene.follow()
    scene.engine.delta("a", "anna", 101)
    scene.engine.delta("i", "anna", 102, info=b'"new"')
    scene.engine.delta("r", "anna", 103)
    assert scene.told == ["add anna", "info anna", "remove anna"]
    assert scene.transitions[1].info == b'"new"'
    assert scene.transitions[2] == Transition(
        ROOM, TransitionKind.REMOVE, "anna", b'"new"', 103, 103.0
    )


def test_other_subjects_of_the_partition_are_passed_over(scene: Scene) -> None:
    """A change of a subject that nobody follows only moves the position."""
    scene.begin()
    scene.follow()
    scene.engine.delta("a", "anna", 101, subject=room("presence-other"))
    scene.engine.delta("a", "bert", 102)
    assert scene.told == ["add bert"]
    assert scene.engine.asked == []


def test_changes_that_come_before_the_roster_are_kept(scene: Scene) -> None:
    """What the roster has already is dropped, what it has not is told after it."""
    scene.begin()
    scene.ledger.follow(ROOM)
    scene.hear()
    scene.engine.delta("a", "anna", 101)
    scene.engine.delta("a", "bert", 102)
    assert scene.told == []
    scene.roster("anna", seq=101)
    assert scene.told == ["add anna", "add bert"]


def test_changes_that_the_roster_had_are_dropped(scene: Scene) -> None:
    """A roster may be ahead of the feed."""
    scene.begin()
    scene.follow("anna", seq=100)
    scene.ledger.follow(room("presence-other"))
    scene.roster("bert", seq=103)
    scene.take_told()
    scene.engine.delta("a", "carl", 101, subject=room("presence-other"))
    scene.engine.delta("r", "carl", 102, subject=room("presence-other"))
    scene.engine.delta("r", "anna", 103)
    scene.engine.delta("r", "bert", 104, subject=room("presence-other"))
    assert scene.told == ["remove anna", "remove bert"]


def test_changes_before_the_position_is_known_are_kept(scene: Scene) -> None:
    """The beat that tells the position is answered after messages that came later."""
    scene.begin()
    scene.ledger.follow(ROOM)
    assert scene.engine.subscriber is not None
    scene.engine.subscriber.subscribed()
    scene.engine.delta("a", "anna", 101)
    scene.engine.answer("beat", b"beat", 0, seq=100)
    scene.roster(seq=100)
    assert scene.told == ["add anna"]
    scene.engine.tick(101)
    assert scene.engine.asked == []


def test_a_number_left_out_brings_a_new_roster(scene: Scene) -> None:
    """A lost message is noticed by the next one, and told as a difference, removals first."""
    scene.begin()
    scene.follow("anna", "bert")
    scene.take_told()
    scene.engine.delta("a", "dora", 103)
    assert scene.told == []
    scene.roster("carl", "bert", "dora", seq=103)
    assert scene.told == ["remove anna", "add carl", "add dora"]
    assert (scene.ledger.counters.resyncs, scene.ledger.counters.differences) == (1, 3)


def test_the_last_message_before_a_silence_is_missed_by_the_next_tick(scene: Scene) -> None:
    """A tick carries the number up to which something was published."""
    scene.begin()
    scene.follow("anna")
    scene.take_told()
    scene.engine.tick(100)
    assert scene.engine.asked == []
    scene.engine.tick(101)
    scene.roster(seq=101)
    assert scene.told == ["remove anna"]


def test_a_roster_that_is_too_old_is_not_taken(scene: Scene) -> None:
    """After a second gap the answer to the first is of no use; another one is asked for."""
    scene.begin()
    scene.follow("anna")
    scene.take_told()
    scene.engine.tick(101)
    scene.engine.tick(105)
    scene.roster("anna", "bert", seq=102)
    assert scene.told == []
    scene.roster("carl", seq=105)
    assert scene.told == ["remove anna", "add carl"]


def test_an_answer_for_an_earlier_following_is_not_taken(scene: Scene) -> None:
    """Unfollowed and followed again: only what is asked for now counts."""
    scene.begin()
    scene.follow()
    scene.engine.tick(101)
    scene.ledger.unfollow(ROOM)
    scene.engine.delta("r", "anna", 102)
    scene.ledger.follow(ROOM)
    scene.roster("anna", seq=101)
    assert scene.told == []
    scene.roster(seq=102)
    assert scene.told == []
    scene.engine.delta("a", "bert", 103)
    assert scene.told == ["add bert"]


def test_a_changed_info_is_told_by_a_roster_too(scene: Scene) -> None:
    """What changed while the feed was broken includes infos."""
    scene.begin()
    scene.follow("anna")
    scene.take_told()
    scene.engine.tick(101)
    scene.roster("anna", seq=101, info=b'"new"')
    assert scene.told == ["info anna"]


def test_a_new_subscription_of_the_feed_brings_new_rosters(scene: Scene) -> None:
    """Nothing is known of the time in which the feed was broken."""
    scene.begin()
    scene.follow("anna")
    scene.take_told()
    assert scene.engine.subscriber is not None
    scene.engine.subscriber.lost()
    scene.hear(seq=110)
    scene.roster("bert", seq=110)
    assert scene.told == ["remove anna", "add bert"]


def test_a_position_for_an_earlier_subscription_does_not_count(scene: Scene) -> None:
    """The feed breaks while the beat is under way: its answer says nothing of the time since."""
    scene.begin()
    scene.ledger.follow(ROOM)
    assert scene.engine.subscriber is not None
    scene.engine.subscriber.subscribed()
    scene.engine.subscriber.lost()
    scene.engine.subscriber.subscribed()
    scene.engine.answer("beat", b"beat", 0, seq=100)
    assert scene.engine.asked == ["beat"]
    scene.engine.answer("beat", b"beat", 0, seq=105)
    scene.roster("anna", seq=105)
    assert scene.told == ["add anna"]


def test_a_silent_feed_is_subscribed_again(scene: Scene) -> None:
    """Beats cause ticks; where none come, nothing else does."""
    scene.begin()
    scene.follow("anna")
    for _ in range(11):
        scene.advance(0.5)
        while scene.engine.asked[:1] == ["beat"]:
            scene.engine.answer("beat", b"beat", 0, seq=100)
    assert scene.engine.subscriptions == 2


def test_ticks_keep_the_feed(scene: Scene) -> None:
    """While ticks come, silence means that nothing happens."""
    scene.begin()
    scene.follow("anna")
    scene.advance_beating(30, seq=100)
    assert scene.engine.subscriptions == 1
    assert scene.engine.asked == []


def test_the_feed_is_given_up_when_it_is_not_needed_for_long(scene: Scene) -> None:
    """A room that is left and entered again keeps it; later it goes."""
    scene.begin()
    scene.follow("anna")
    scene.ledger.unfollow(ROOM)
    scene.advance_beating(3, seq=100)
    assert scene.engine.subscriber is not None
    scene.advance_beating(5, seq=100)
    assert scene.engine.subscriber is None


def test_who_is_missing_from_a_young_epoch_is_not_removed(scene: Scene) -> None:
    """Other nodes are about to register again; when that is over, who is missing is gone."""
    scene.begin()
    scene.follow("anna", "bert")
    scene.take_told()
    scene.engine.tick(101)
    scene.roster("carl", seq=101, uncertain=1)
    assert scene.told == ["add carl"]
    scene.engine.delta("a", "anna", 102)
    assert scene.told == ["add carl"]
    while "roster" not in scene.engine.asked:
        scene.advance(0.3)
        scene.answer_beats(102)
    scene.roster("carl", "anna", seq=102)
    assert scene.told == ["add carl", "remove bert"]


def test_a_message_that_is_none_is_passed_over(scene: Scene) -> None:
    """Whoever publishes nonsense on our channel does no harm."""
    scene.begin()
    scene.follow()
    scene.engine.publish(b"hello")
    scene.engine.publish(b"d 1 2\n")
    scene.engine.publish(b"d 7 101 a x 1 1 1\nab")
    scene.engine.publish(b"d 7 101 z 1 1 1 1\nab")
    scene.engine.publish(b"t x\n")
    scene.engine.delta("a", "anna", 101)
    assert scene.told == ["add anna"]


def test_names_may_hold_anything(scene: Scene) -> None:
    """Spaces, line ends, other scripts and lone surrogates arrive as they were."""
    scene.begin()
    scene.follow()
    strange = "a b\nc/\ud800é"
    scene.engine.delta("a", strange, 101)
    assert scene.transitions[0].user == strange
