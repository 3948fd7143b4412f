"""What every ledger says of how a roster changed since somebody last asked."""

from __future__ import annotations

from cluster.engines import START, LedgerEngine, room
from herenow.cluster.base import HISTORY_SECONDS, HISTORY_TRANSITIONS, Difference, Member

ROOM = room()


def first(engine: LedgerEngine) -> int:
    """The revision of the first answer, which is full."""
    difference = engine.difference(ROOM, 0)
    assert difference.full
    return difference.revision


def test_the_first_answer_is_the_whole_roster(engine: LedgerEngine) -> None:
    """Nothing was recorded before anybody asked, and nothing is missing after."""
    engine.join(ROOM, "anna", b'"a"')
    revision = engine.roster(ROOM).revision
    assert engine.difference(ROOM, revision - 1) == Difference(
        (Member("anna", b'"a"', 1, START),), (), (), revision, True
    )
    assert engine.difference(ROOM, revision) == Difference((), (), (), revision, False)


def test_a_difference_tells_who_came_changed_and_went(engine: LedgerEngine) -> None:
    """Each as he is now; who did not change is not told."""
    for user in ("anna", "bert", "cleo"):
        subscription = engine.join(ROOM, user)
    revision = first(engine)
    engine.advance(1)
    engine.join(ROOM, "dora", b'"d"')
    engine.join(ROOM, "bert", b'"b"')
    engine.leave(ROOM, subscription)
    difference = engine.difference(ROOM, revision)
    assert difference == Difference(
        (Member("dora", b'"d"', 1, START + 1),),
        (Member("bert", b'"b"', 2, START),),
        ("cleo",),
        engine.roster(ROOM).revision,
        False,
    )
    assert engine.difference(ROOM, difference.revision)[:3] == ((), (), ())


def test_only_what_is_left_of_it_is_told(engine: LedgerEngine) -> None:
    """Who came and went is not told; who went and came is, for he joined anew."""
    subscription = engine.join(ROOM, "anna")
    engine.join(ROOM, "bert")
    revision = first(engine)
    engine.leave(ROOM, engine.join(ROOM, "cleo"))
    engine.leave(ROOM, subscription)
    engine.advance(1)
    engine.join(ROOM, "anna")
    added, updated, removed, *_ = engine.difference(ROOM, revision)
    assert (added, removed) == ((), ())
    assert updated == (Member("anna", b"{}", 1, START + 1),)


def test_a_departing_member_is_still_there(engine: LedgerEngine) -> None:
    """He is told as gone when his grace has passed."""
    subscription = engine.join(ROOM, "anna")
    engine.join(ROOM, "bert")
    revision = first(engine)
    engine.leave(ROOM, subscription, 3)
    assert engine.difference(ROOM, revision)[:3] == ((), (), ())
    engine.advance(4)
    assert engine.difference(ROOM, revision).removed == ("anna",)


def test_one_revision_may_be_asked_about_again(engine: LedgerEngine) -> None:
    """Several may compare, and an answer may be lost."""
    engine.join(ROOM, "anna")
    revision = first(engine)
    for user in ("bert", "cleo"):
        engine.join(ROOM, user)
    for _ in range(2):
        added = engine.difference(ROOM, revision).added
        assert [member.user for member in added] == ["bert", "cleo"]


def test_an_older_or_unknown_revision_gets_the_whole_roster(engine: LedgerEngine) -> None:
    """Also one that is yet to come, or has more digits than any."""
    engine.join(ROOM, "anna")
    revision = first(engine)
    engine.join(ROOM, "bert")
    for since in (0, revision - 1, revision + 10**9, 10**19):
        difference = engine.difference(ROOM, since)
        assert difference.full
        assert [member.user for member in difference.added] == ["anna", "bert"]
    assert not engine.difference(ROOM, revision).full


def test_an_empty_channel_has_no_history(engine: LedgerEngine) -> None:
    """What was recorded goes with its last member."""
    subscription = engine.join(ROOM, "anna")
    revision = first(engine)
    engine.leave(ROOM, subscription)
    difference = engine.difference(ROOM, revision)
    assert (difference.full, difference.added) == (True, ())
    engine.join(ROOM, "bert")
    assert engine.difference(ROOM, revision).full


def test_so_many_transitions_are_recorded_and_no_more(engine: LedgerEngine) -> None:
    """The last of them can be told, and one more cannot."""
    engine.join(ROOM, "anna")
    revision = first(engine)
    for number in range(HISTORY_TRANSITIONS):
        engine.join(ROOM, "anna", b"%d" % number)
    difference = engine.difference(ROOM, revision)
    assert (difference.full, len(difference.updated)) == (False, 1)
    engine.join(ROOM, "anna", b'"once more"')
    assert engine.difference(ROOM, revision).full


def test_a_history_is_no_longer_than_an_hour(engine: LedgerEngine) -> None:
    """Somebody who asks all the time gets differences; who stayed away gets the whole roster."""
    engine.join(ROOM, "anna")
    early = first(engine)
    engine.join(ROOM, "bert")
    late = engine.difference(ROOM, early).revision
    engine.advance(HISTORY_SECONDS * 2 / 3)
    assert not engine.difference(ROOM, early).full
    engine.advance(HISTORY_SECONDS * 2 / 3)
    assert engine.difference(ROOM, late)[:5] == ((), (), (), late, False)
    assert engine.difference(ROOM, early).full


def test_nothing_is_recorded_when_nobody_asked_for_an_hour(engine: LedgerEngine) -> None:
    """The next who asks gets the whole roster."""
    engine.join(ROOM, "anna")
    revision = first(engine)
    engine.advance(HISTORY_SECONDS + 5)
    engine.join(ROOM, "bert")
    assert engine.difference(ROOM, revision).full


def test_channels_beyond_a_bound_are_forgotten_first_asked_first(engine: LedgerEngine) -> None:
    """Memory is bounded: that of the channel nobody asked about for longest goes."""
    rooms = [room(f"presence-{number}") for number in range(engine.histories + 1)]
    for subject in rooms:
        engine.join(subject, "anna")
    revisions = [engine.difference(subject, 0).revision for subject in rooms]
    for subject in rooms:
        engine.join(subject, "bert")
    pairs = list(zip(rooms, revisions, strict=True))
    assert not engine.difference(*pairs[-1]).full
    assert any(engine.difference(*pair).full for pair in pairs)
