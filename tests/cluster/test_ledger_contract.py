"""What every ledger promises, one connection and one user at a time."""

from __future__ import annotations

from functools import partial

from cluster.engines import START, LedgerEngine, room, signed_in
from herenow.cluster.base import (
    Announcement,
    ChannelState,
    Joined,
    Member,
    Occupancy,
    Refusal,
    Roster,
    Subject,
    SubjectKind,
    Totals,
    Transition,
    TransitionKind,
)

ROOM = room()


def told(engine: LedgerEngine) -> list[str]:
    """What the outbox was told, a word or two for each."""
    return [
        ("occupied" if entry.occupied else "vacated") + f" {entry.channel}"
        if isinstance(entry, Occupancy)
        else f"{entry.kind.value} {entry.user}"
        for entry in engine.outbox
    ]


def heard(engine: LedgerEngine) -> list[str]:
    return [f"{transition.kind.value} {transition.user}" for transition in engine.heard]


def test_the_first_connection_of_a_user_makes_a_member(engine: LedgerEngine) -> None:
    """The join is the first one, and the roster has the user from its revision on."""
    _, answer = engine.try_join(ROOM, "anna", b'{"name":"Anna"}')
    assert isinstance(answer, Joined)
    assert answer.first
    assert engine.roster(ROOM) == Roster(
        (Member("anna", b'{"name":"Anna"}', 1, START),), answer.revision
    )


def test_a_further_connection_is_not_told(engine: LedgerEngine) -> None:
    """A second tab adds a connection to the member and nothing else."""
    engine.follow(ROOM)
    engine.join(ROOM, "anna")
    revision = engine.roster(ROOM).revision
    _, answer = engine.try_join(ROOM, "anna")
    assert answer == Joined(False, revision)
    assert heard(engine) == ["add anna"]
    assert engine.roster(ROOM).members[0].connections == 2


def test_the_same_subscription_again_changes_nothing(engine: LedgerEngine) -> None:
    """A join that is repeated counts once, and its leave ends it."""
    subscription = engine.join(ROOM, "anna", b'"one"')
    again = engine.join_by(subscription, ROOM, "anna", b'"two"')
    assert again == Joined(False, engine.roster(ROOM).revision)
    assert engine.roster(ROOM).members == (Member("anna", b'"one"', 1, START),)
    engine.leave(ROOM, subscription)
    assert engine.users(ROOM) == []


def test_a_join_is_told_before_it_is_answered(engine: LedgerEngine) -> None:
    """Outbox and follower know of an addition when the joiner gets its answer."""
    engine.follow(ROOM)
    engine.join(ROOM, "anna")
    assert [hearer for hearer, _ in engine.log] == ["outbox", "outbox", "follower", "answer"]


def test_a_roster_has_the_order_of_joining(engine: LedgerEngine) -> None:
    """A member that returned within its grace keeps its place and its time."""
    first = engine.join(ROOM, "anna")
    engine.advance(1)
    engine.join(ROOM, "bert")
    engine.leave(ROOM, first, 3)
    engine.join(ROOM, "anna")
    assert [(m.user, m.since) for m in engine.roster(ROOM).members] == [
        ("anna", START),
        ("bert", START + 1),
    ]


def test_the_newest_info_holds(engine: LedgerEngine) -> None:
    """A join with other info changes the member, and a later leave does not change it back."""
    engine.follow(ROOM)
    engine.join(ROOM, "anna", b'"old"')
    subscription = engine.join(ROOM, "anna", b'"new"')
    engine.join(ROOM, "anna", b'"new"')
    engine.leave(ROOM, subscription)
    assert heard(engine) == ["add anna", "info anna"]
    assert engine.heard[1].info == b'"new"'
    assert engine.roster(ROOM).members[0].info == b'"new"'


def test_the_last_leave_without_grace_removes_at_once(engine: LedgerEngine) -> None:
    """The removal carries the member's info and this moment."""
    engine.follow(ROOM)
    one, two = engine.join(ROOM, "anna", b'"a"'), engine.join(ROOM, "anna", b'"a"')
    engine.advance(5)
    engine.leave(ROOM, one)
    assert heard(engine) == ["add anna"]
    engine.leave(ROOM, two)
    assert heard(engine) == ["add anna", "remove anna"]
    assert engine.heard[1].info == b'"a"'
    assert engine.heard[1].since == START + 5


def test_an_unknown_subscription_leaves_nothing(engine: LedgerEngine) -> None:
    """A leave that comes twice, or for another subject, is nobody's."""
    one = engine.join(ROOM, "anna")
    two = engine.join(ROOM, "anna")
    engine.leave(ROOM, one)
    engine.leave(ROOM, one)
    engine.leave(room("presence-other"), two)
    engine.leave(ROOM, 999)
    assert engine.roster(ROOM).members == (Member("anna", b"{}", 1, START),)


def test_a_departing_member_is_a_member_everywhere(engine: LedgerEngine) -> None:
    """Until the grace has passed only the number of connections shows that it left."""
    subscription = engine.join(ROOM, "anna")
    engine.leave(ROOM, subscription, 3)
    engine.advance(2.75)
    assert engine.roster(ROOM).members == (Member("anna", b"{}", 0, START),)
    assert engine.channel("1", "presence-room") == ChannelState(True, 0, 1)
    assert list(engine.channels("1")) == ["presence-room"]
    assert engine.totals("1") == Totals(0, 1, 0, 1)
    assert told(engine) == ["occupied presence-room", "add anna"]


def test_a_departing_user_is_online(engine: LedgerEngine) -> None:
    """Who watches a user sees nothing of a reload."""
    subscription = engine.join(signed_in("anna"), "anna")
    engine.leave(signed_in("anna"), subscription, 3)
    assert engine.online("1", "anna") == {"anna"}
    assert engine.totals("1").users == 1
    engine.advance(3)
    assert engine.online("1", "anna") == frozenset()


def test_a_departure_is_completed_when_the_grace_has_passed(engine: LedgerEngine) -> None:
    """The removal and the vacancy count from the moment when the last connection went."""
    engine.follow(ROOM)
    subscription = engine.join(ROOM, "anna")
    engine.advance(10)
    engine.leave(ROOM, subscription, 3)
    engine.advance(2.75)
    assert heard(engine) == ["add anna"]
    engine.advance(0.25)
    assert heard(engine) == ["add anna", "remove anna"]
    assert engine.heard[1].since == START + 10
    assert engine.outbox[-1] == Occupancy("1", "presence-room", False, START + 10)


def test_a_return_cancels_the_departure_and_nobody_is_told(engine: LedgerEngine) -> None:
    """A reload within the grace is silent, and the member stays for good."""
    engine.follow(ROOM)
    subscription = engine.join(ROOM, "anna")
    engine.leave(ROOM, subscription, 3)
    engine.advance(2)
    _, answer = engine.try_join(ROOM, "anna")
    engine.advance(60)
    assert isinstance(answer, Joined)
    assert not answer.first
    assert heard(engine) == ["add anna"]
    assert engine.users(ROOM) == ["anna"]


def test_a_return_with_other_info_tells_only_that(engine: LedgerEngine) -> None:
    """Who returns with a new name is not added again."""
    engine.follow(ROOM)
    subscription = engine.join(ROOM, "anna", b'"old"')
    engine.leave(ROOM, subscription, 3)
    engine.join(ROOM, "anna", b'"new"')
    assert heard(engine) == ["add anna", "info anna"]


def test_the_grace_of_an_earlier_leave_holds(engine: LedgerEngine) -> None:
    """A tab that was lost protects the member although another one left without grace."""
    lost, closed = engine.join(ROOM, "anna"), engine.join(ROOM, "anna")
    engine.leave(ROOM, lost, 3)
    engine.advance(1)
    engine.leave(ROOM, closed)
    engine.advance(1.75)
    assert engine.users(ROOM) == ["anna"]
    engine.advance(0.25)
    assert engine.users(ROOM) == []


def test_the_longest_grace_counts(engine: LedgerEngine) -> None:
    """A short grace does not shorten a longer one."""
    one, two = engine.join(ROOM, "anna"), engine.join(ROOM, "anna")
    engine.leave(ROOM, one, 30)
    engine.leave(ROOM, two, 3)
    engine.advance(29.75)
    assert engine.users(ROOM) == ["anna"]
    engine.advance(0.25)
    assert engine.users(ROOM) == []


def test_a_return_does_not_shorten_a_grace(engine: LedgerEngine) -> None:
    """Who comes back and leaves without grace is a member for as long as was given before."""
    engine.leave(ROOM, engine.join(ROOM, "anna"), 3)
    engine.advance(1)
    engine.leave(ROOM, engine.join(ROOM, "anna"))
    engine.advance(1.75)
    assert engine.users(ROOM) == ["anna"]
    engine.advance(0.25)
    assert engine.users(ROOM) == []


def test_a_second_departure_ends_at_its_own_time(engine: LedgerEngine) -> None:
    """Not when the first one would have ended, and not never."""
    engine.leave(ROOM, engine.join(ROOM, "anna"), 3)
    engine.leave(ROOM, engine.join(ROOM, "anna"), 30)
    engine.advance(29.75)
    assert engine.users(ROOM) == ["anna"]
    engine.advance(0.25)
    assert engine.users(ROOM) == []


def test_a_grace_that_has_passed_holds_nobody(engine: LedgerEngine) -> None:
    """A leave after the grace of an earlier one removes at once."""
    one, two = engine.join(ROOM, "anna"), engine.join(ROOM, "anna")
    engine.leave(ROOM, one, 3)
    engine.advance(3)
    engine.leave(ROOM, two)
    assert engine.users(ROOM) == []


def test_a_later_departure_may_end_earlier(engine: LedgerEngine) -> None:
    """Departures are completed by their own deadlines, not in the order in which they began."""
    slow, quick = engine.join(ROOM, "slow"), engine.join(ROOM, "quick")
    engine.leave(ROOM, slow, 30)
    engine.leave(ROOM, quick, 3)
    engine.advance(3)
    assert engine.users(ROOM) == ["slow"]
    engine.advance(27)
    assert engine.users(ROOM) == []


def test_a_full_subject_refuses_a_new_user(engine: LedgerEngine) -> None:
    """The refused user is nowhere, and a refusal is told to nobody."""
    engine.join(ROOM, "anna", limit=1)
    subscription, answer = engine.try_join(ROOM, "bert", limit=1)
    engine.leave(ROOM, subscription, 3)
    assert answer is Refusal.FULL
    assert engine.users(ROOM) == ["anna"]
    assert told(engine) == ["occupied presence-room", "add anna"]


def test_a_member_of_a_full_subject_may_come_again(engine: LedgerEngine) -> None:
    """The limit counts users, not connections."""
    engine.join(ROOM, "anna", limit=1)
    engine.join(ROOM, "anna", limit=1)
    assert engine.roster(ROOM).members[0].connections == 2


def test_a_newcomer_completes_the_earliest_departure(engine: LedgerEngine) -> None:
    """Who would go next goes now, before the newcomer is added; others keep their grace."""
    engine.follow(ROOM)
    late, early = engine.join(ROOM, "late"), engine.join(ROOM, "early")
    engine.leave(ROOM, late, 30)
    engine.advance(1)
    engine.leave(ROOM, early, 3)
    engine.advance(1)
    engine.join(ROOM, "newcomer", limit=2)
    assert heard(engine)[2:] == ["remove early", "add newcomer"]
    assert engine.heard[2].since == START + 1
    assert engine.users(ROOM) == ["late", "newcomer"]


def test_a_newcomer_who_takes_the_only_place_leaves_no_vacancy(engine: LedgerEngine) -> None:
    """The channel is occupied all the time."""
    subscription = engine.join(ROOM, "anna", limit=1)
    engine.leave(ROOM, subscription, 3)
    engine.join(ROOM, "bert", limit=1)
    engine.advance(60)
    assert told(engine) == ["occupied presence-room", "add anna", "remove anna", "add bert"]


def test_departures_are_kept_when_they_make_no_room(engine: LedgerEngine) -> None:
    """A newcomer who is refused all the same costs nobody the grace."""
    first = engine.join(ROOM, "a")
    for user in ("b", "c"):
        engine.join(ROOM, user)
    engine.leave(ROOM, first, 3)
    _, answer = engine.try_join(ROOM, "newcomer", limit=2)
    assert answer is Refusal.FULL
    assert engine.users(ROOM) == ["a", "b", "c"]


def test_a_channel_is_occupied_before_its_first_member_and_vacant_after_its_last(
    engine: LedgerEngine,
) -> None:
    """The outbox has the order in which webhooks must leave."""
    one, two = engine.join(ROOM, "anna"), engine.join(ROOM, "bert")
    engine.leave(ROOM, one)
    engine.leave(ROOM, two)
    assert told(engine) == [
        "occupied presence-room",
        "add anna",
        "add bert",
        "remove anna",
        "remove bert",
        "vacated presence-room",
    ]


def test_a_vacancy_counts_from_the_last_connection_of_anybody(engine: LedgerEngine) -> None:
    """Not from the last member to go, whose connection may have been lost long before."""
    lost, left = engine.join(ROOM, "anna"), engine.join(ROOM, "bert")
    engine.leave(ROOM, lost, 30)
    engine.advance(10)
    engine.leave(ROOM, left)
    engine.advance(20)
    since = START + 10 if engine.vacancy_counts_from_anybody else START
    assert engine.outbox[-1] == Occupancy("1", "presence-room", False, since)


def test_revisions_rise_although_the_subject_was_empty(engine: LedgerEngine) -> None:
    """A count that began again would make later changes look old."""
    for user in ("anna", "bert", "cleo"):
        engine.leave(ROOM, engine.join(ROOM, user))
    revisions = [entry.revision for entry in engine.outbox if isinstance(entry, Transition)]
    assert len(revisions) == 6
    assert revisions == sorted(set(revisions))


def test_a_revision_is_a_time_that_fits_a_double(engine: LedgerEngine) -> None:
    """So it never falls behind what another engine gave out, and JavaScript can read it."""
    _, answer = engine.try_join(ROOM, "anna")
    assert isinstance(answer, Joined)
    assert engine.first_revision <= answer.revision < 2**53


def test_who_is_there_is_told_as_additions(engine: LedgerEngine) -> None:
    """A follower begins with nobody: first it hears of those who are there, in their order."""
    engine.join(ROOM, "anna", b'"old"')
    engine.advance(1)
    engine.leave(ROOM, engine.join(ROOM, "bert"), 30)
    engine.join(ROOM, "anna", b'"new"')
    assert heard(engine) == []
    engine.follow(ROOM)
    revision = engine.roster(ROOM).revision
    assert engine.heard == [
        Transition(ROOM, TransitionKind.ADD, "anna", b'"new"', revision, START),
        Transition(ROOM, TransitionKind.ADD, "bert", b"{}", revision, START + 1),
    ]


def test_who_follows_again_hears_of_everybody_again(engine: LedgerEngine) -> None:
    """What was told before it stopped following is forgotten."""
    engine.follow(ROOM)
    engine.join(ROOM, "anna")
    engine.unfollow(ROOM)
    engine.leave(ROOM, engine.join(ROOM, "bert"))
    engine.follow(ROOM)
    assert heard(engine) == ["add anna", "add anna"]


def test_a_follower_hears_an_unbroken_chain(engine: LedgerEngine) -> None:
    """Revisions rise, also across the subject being empty, up to that of the roster."""
    engine.join(ROOM, "zoe")
    engine.follow(ROOM)
    last = engine.roster(ROOM).revision
    engine.heard.clear()
    for user in ("anna", "bert"):
        engine.join(room("presence-other"), user)
        engine.leave(ROOM, engine.join(ROOM, user))
    engine.leave(ROOM, 1)
    engine.join(ROOM, "cleo")
    assert len(engine.heard) == 6
    for transition in engine.heard:
        assert transition.revision > last
        last = transition.revision
    assert engine.roster(ROOM).revision == last


def test_the_roster_of_an_empty_followed_subject_is_not_older_than_its_transitions(
    engine: LedgerEngine,
) -> None:
    """Its revision is that of the last removal."""
    engine.follow(ROOM)
    engine.leave(ROOM, engine.join(ROOM, "anna"))
    assert engine.roster(ROOM) == Roster((), engine.heard[-1].revision)


def test_only_followed_subjects_are_heard(engine: LedgerEngine) -> None:
    """The outbox gets everything, the follower what it follows."""
    engine.join(ROOM, "anna")
    engine.follow(ROOM)
    engine.follow(ROOM)
    engine.join(ROOM, "bert")
    engine.join(room("presence-other"), "bert")
    engine.join(room(app="2"), "bert")
    engine.unfollow(ROOM)
    engine.join(ROOM, "cleo")
    assert heard(engine) == ["add anna", "add bert"]
    assert len([entry for entry in engine.outbox if isinstance(entry, Transition)]) == 5


def test_a_subject_followed_while_something_is_told_is_heard_from_then_on(
    engine: LedgerEngine,
) -> None:
    """What was decided before is told as an addition, and not a second time."""
    other = room("presence-other")
    engine.follow(ROOM)

    def come_late(transition: Transition) -> None:
        if transition.user == "anna":
            engine.ledger.join(other, "bert", 98, b"{}", 0, 0, lambda answer: None)
            engine.ledger.follow(other)
            engine.ledger.join(other, "cleo", 99, b"{}", 0, 0, lambda answer: None)

    engine.when_heard = come_late
    engine.join(ROOM, "anna")
    engine.settle()
    assert heard(engine) == ["add anna", "add bert", "add cleo"]
    assert engine.users(other) == ["bert", "cleo"]


def test_what_a_hearer_does_is_told_after_what_it_hears(engine: LedgerEngine) -> None:
    """A connection that is closed while a change is told leaves after that change."""
    slow = engine.join(ROOM, "slow")
    engine.follow(ROOM)

    def close_the_slow_one(transition: Transition) -> None:
        if transition.user == "anna":
            engine.ledger.leave(ROOM, slow, 0)
            engine.log.append(("closed", transition))

    engine.when_heard = close_the_slow_one
    engine.log.clear()
    engine.join(ROOM, "anna")
    assert heard(engine) == ["add slow", "add anna", "remove slow"]
    assert [hearer for hearer, _ in engine.log] == [
        "outbox",
        "follower",
        "closed",
        "answer",
        "outbox",
        "follower",
    ]


def test_a_join_while_something_is_told_is_answered_after_its_own_change(
    engine: LedgerEngine,
) -> None:
    """Everybody hears in the order of revisions, and each join once it is known."""
    engine.follow(ROOM)

    def bring_a_friend(transition: Transition) -> None:
        if transition.user == "anna":
            engine.ledger.join(ROOM, "friend", 99, b"{}", 0, 0, answers.append)
            assert answers == []

    answers: list[Joined | Refusal] = []
    engine.when_heard = bring_a_friend
    engine.join(ROOM, "anna")
    engine.settle()
    assert heard(engine) == ["add anna", "add friend"]
    assert answers == [Joined(True, engine.heard[1].revision)]


def test_a_join_under_way_is_undone_by_its_leave(engine: LedgerEngine) -> None:
    """Nobody stays, and the answer never comes."""
    engine.follow(ROOM)

    def come_and_go(transition: Transition) -> None:
        if transition.user == "anna":
            engine.ledger.join(ROOM, "friend", 99, b"{}", 0, 0, answers.append)
            engine.ledger.leave(ROOM, 99, 0)

    answers: list[Joined | Refusal] = []
    engine.when_heard = come_and_go
    engine.join(ROOM, "anna")
    engine.settle()
    assert answers == []
    assert engine.users(ROOM) == ["anna"]


def test_a_user_is_a_subject_without_occupancy(engine: LedgerEngine) -> None:
    """Sign-ins are told as additions and removals of the user, and of no channel."""
    anna = signed_in("anna")
    engine.follow(anna)
    one, two = engine.join(anna, "anna"), engine.join(anna, "anna")
    assert engine.online("1", "anna", "bert") == {"anna"}
    assert engine.online("2", "anna") == frozenset()
    engine.leave(anna, one)
    engine.leave(anna, two)
    assert told(engine) == heard(engine) == ["add anna", "remove anna"]
    assert engine.totals("1") == Totals(0, 0, 0, 0)


def test_a_user_and_a_channel_of_the_same_name_are_two_subjects(engine: LedgerEngine) -> None:
    """Nothing of one shows in the other."""
    user = Subject("1", SubjectKind.USER, "presence-room")
    engine.join(user, "presence-room")
    assert engine.users(ROOM) == []
    assert engine.channels("1") == {}


def test_other_channels_are_occupied_while_they_have_subscriptions(engine: LedgerEngine) -> None:
    """Only the first and the last one are told."""
    for subscriptions in (1, 3, 3, 2, 0, 0):
        engine.advance(1)
        engine.count("1", "news", subscriptions)
    assert engine.outbox == [
        Occupancy("1", "news", True, START + 1),
        Occupancy("1", "news", False, START + 5),
    ]


def test_a_count_is_answered_for_its_channel(engine: LedgerEngine) -> None:
    """A channel that nobody uses is vacant."""
    engine.count("1", "news", 3)
    assert engine.channel("1", "news") == ChannelState(True, 3, 0)
    assert engine.channel("2", "news") == ChannelState(False, 0, 0)
    engine.count("1", "news", 0)
    assert engine.channel("1", "news") == ChannelState(False, 0, 0)


def test_members_decide_whether_a_presence_channel_is_occupied(engine: LedgerEngine) -> None:
    """Its subscriptions are counted and change nothing else."""
    engine.count("1", "presence-room", 1)
    assert engine.channel("1", "presence-room") == ChannelState(False, 1, 0)
    assert engine.channels("1") == {}
    assert engine.outbox == []
    engine.join(ROOM, "anna")
    engine.join(ROOM, "anna")
    engine.count("1", "presence-room", 2)
    engine.count_all()
    assert engine.channels("1") == {"presence-room": ChannelState(True, 2, 1)}


def test_a_users_own_channel_is_not_listed(engine: LedgerEngine) -> None:
    """``#server-to-user-`` channels are no channels of the application."""
    engine.count("1", "#server-to-user-anna", 2)
    engine.count("1", "#server-to-user-anna", 0)
    engine.count("1", "#server-to-user-bert", 1)
    assert engine.channels("1") == {}
    assert engine.outbox == []
    assert engine.totals("1").channels == 0


def test_occupied_channels_are_listed_by_prefix(engine: LedgerEngine) -> None:
    """Presence channels and others alike."""
    engine.count("1", "news", 1)
    engine.count("1", "private-a", 2)
    engine.count("2", "private-b", 1)
    engine.join(ROOM, "anna")
    engine.count("1", "presence-room", 1)
    assert engine.channels("1") == {
        "news": ChannelState(True, 1, 0),
        "private-a": ChannelState(True, 2, 0),
        "presence-room": ChannelState(True, 1, 1),
    }
    assert list(engine.channels("1", "private-")) == ["private-a"]
    assert list(engine.channels("1", "presence-")) == ["presence-room"]
    assert engine.channels("1", "x") == {}


def test_every_change_is_announced_up_to_a_hundred(engine: LedgerEngine) -> None:
    """Whoever changes the count has it told to everybody's subscribers."""
    for subscriptions in (1, 2, 100, 99, 0):
        engine.count("1", "news", subscriptions)
        assert engine.announce("1", "news") == Announcement(subscriptions, 0)
    assert engine.announcements == [("1", "news", number) for number in (1, 2, 100, 99, 0)]


def test_above_a_hundred_one_announcement_waits_for_the_other(engine: LedgerEngine) -> None:
    """Five seconds lie between them; below a hundred none waits."""
    engine.count("1", "news", 100)
    engine.announce("1", "news")
    engine.advance(1)
    engine.count("1", "news", 101)
    assert engine.announce("1", "news") == Announcement(None, 4)
    engine.advance(4)
    assert engine.announce("1", "news") == Announcement(101, 0)
    engine.count("1", "news", 102)
    engine.count("1", "other", 102)
    assert engine.announce("1", "news") == Announcement(None, 5)
    assert engine.announce("1", "other") == Announcement(102, 0)
    engine.count("1", "news", 100)
    assert engine.announce("1", "news") == Announcement(100, 0)
    assert [number for *_, number in engine.announcements] == [100, 101, 102, 100]


def test_a_channel_that_was_empty_is_announced_at_once(engine: LedgerEngine) -> None:
    """What was told before its last subscription went counts no more."""
    engine.count("1", "news", 200)
    engine.announce("1", "news")
    engine.count("1", "news", 0)
    engine.count("1", "news", 200)
    assert engine.announce("1", "news") == Announcement(200, 0)


def test_terminating_a_user_reaches_the_node(engine: LedgerEngine) -> None:
    """Every node on which he is signed in is told whose connections to close."""
    engine.join(signed_in("anna"), "anna")
    assert engine.ask(partial(engine.ledger.terminate, "1", "anna"))
    assert engine.terminated == [("1", "anna")]


def test_no_more_connections_are_admitted_than_the_limit(engine: LedgerEngine) -> None:
    """Whoever is not admitted is not counted."""
    assert engine.admit("1", 1, 2)
    assert engine.admit("1", 2, 2)
    assert not engine.admit("1", 3, 2)
    assert engine.totals("1").connections == 2
    engine.count_connections("1", 1)
    assert engine.admit("1", 2, 2)
    assert engine.admit("1", 3, 0)
    assert engine.admit("2", 1, 1)
    engine.count_all()
    assert engine.totals("1").connections == 3


def test_events_are_spent_from_a_bucket(engine: LedgerEngine) -> None:
    """It holds a second's worth and fills as fast; what is not there is not taken."""
    assert engine.spend("1", 3, 4) == 0
    assert engine.spend("1", 1, 4) == 0
    assert engine.spend("1", 2, 4) == 0.5
    assert engine.spend("2", 4, 4) == 0
    engine.advance(0.25)
    assert engine.spend("1", 2, 4) == 0.25
    assert engine.spend("1", 1, 4) == 0
    engine.advance(60)
    assert engine.spend("1", 5, 4) == 0
    assert engine.spend("1", 4, 4) == 1


def test_totals_count_each_thing_once(engine: LedgerEngine) -> None:
    """Connections as said, occupied channels, users signed in, members of presence channels."""
    engine.count_connections("1", 4)
    engine.count("1", "news", 2)
    engine.join(ROOM, "anna")
    engine.join(ROOM, "bert")
    engine.join(room("presence-other"), "anna")
    engine.join(signed_in("anna"), "anna")
    assert engine.totals("1") == Totals(4, 3, 1, 3)
    engine.count_connections("1", 0)
    assert engine.totals("1") == Totals(0, 3, 1, 3)
    assert engine.totals("2") == Totals(0, 0, 0, 0)


def test_kinds_of_transitions_are_distinct(engine: LedgerEngine) -> None:
    """An addition, a change and a removal of one user, in this order."""
    engine.follow(ROOM)
    one, two = engine.join(ROOM, "anna", b"1"), engine.join(ROOM, "anna", b"2")
    engine.leave(ROOM, one)
    engine.leave(ROOM, two)
    assert [transition.kind for transition in engine.heard] == [
        TransitionKind.ADD,
        TransitionKind.INFO,
        TransitionKind.REMOVE,
    ]
