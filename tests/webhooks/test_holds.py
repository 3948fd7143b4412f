"""Removals that wait for a return."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from herenow.webhooks.facts import Happening
from herenow.webhooks.holds import Holds
from herenow.webhooks.journal import Fact

ROOM = Fact("cpresence-room")
ANNA = Fact("cpresence-room", "anna")
BEN = Fact("cpresence-room", "ben")
HOLD = 3.0


def came(fact: Fact, ticket: str = "") -> Happening:
    return Happening("1", fact, True, b"", 0, ticket)


def went(fact: Fact, since: float, ticket: str = "") -> Happening:
    return Happening("1", fact, False, b"", since, ticket)


def holding(*happenings: Happening) -> Holds:
    holds = Holds(HOLD)
    for happening in happenings:
        holds.add(happening)
    return holds


def facts(happenings: Sequence[Happening]) -> list[tuple[Fact, bool]]:
    return [(happening.fact, happening.holds) for happening in happenings]


def test_additions_pass_at_once_and_in_their_order() -> None:
    """What comes to hold is told without delay, the channel before its member."""
    holds = holding(came(ROOM), came(ANNA))
    assert facts(holds.take(0).happenings) == [(ROOM, True), (ANNA, True)]


def test_a_removal_waits_until_the_hold_after_the_last_connection() -> None:
    """It leaves ``hold_seconds`` after ``since``, and not before."""
    holds = holding(went(ANNA, 100))
    assert holds.take(102.9).happenings == []
    assert holds.next_due() == 103
    assert facts(holds.take(103).happenings) == [(ANNA, False)]
    assert holds.take(200).happenings == []


def test_a_grace_is_contained_in_the_hold() -> None:
    """A removal that was decided later than the hold after ``since`` leaves at once."""
    holds = holding(went(ANNA, 100))
    assert facts(holds.take(130).happenings) == [(ANNA, False)]


def test_a_return_makes_the_removal_unheard() -> None:
    """Who comes back within the hold is never told to be gone; the addition is no news either."""
    holds = holding(went(ANNA, 100), came(ANNA))
    assert facts(holds.take(200).happenings) == [(ANNA, True)]
    assert not holds.is_held("1", ANNA)


def test_a_vacancy_leaves_after_the_members_of_its_channel() -> None:
    """The channel is vacated when its last member was told to be gone, whatever came first."""
    holds = holding(went(ROOM, 100), went(ANNA, 100.5), went(BEN, 99))
    assert facts(holds.take(103.2).happenings) == [(BEN, False)]
    assert facts(holds.take(103.5).happenings) == [(ANNA, False), (ROOM, False)]


def test_another_user_in_the_channel_keeps_it_occupied() -> None:
    """The vacancy is cancelled, the first user's removal and the second one's addition are not."""
    holds = holding(went(ANNA, 100), went(ROOM, 100), came(ROOM), came(BEN))
    assert facts(holds.take(101).happenings) == [(ROOM, True), (BEN, True)]
    assert facts(holds.take(103).happenings) == [(ANNA, False)]


def test_tickets_are_given_back_when_nothing_depends_on_them() -> None:
    """A cancelled removal is dealt with by the step in which its addition is."""
    holds = holding(came(ROOM, "1"), went(ROOM, 100, "2"))
    assert holds.take(101).tickets == ["1"]
    holds.add(came(ROOM, "3"))
    assert holds.take(101).tickets == ["2", "3"]


def test_applications_do_not_meet() -> None:
    """The same channel of another application cancels nothing."""
    holds = holding(went(ROOM, 100), Happening("2", ROOM, True))
    assert holds.is_held("1", ROOM)
    assert not holds.is_held("2", ROOM)


FACTS = st.sampled_from([ROOM, ANNA, BEN, Fact("uanna")])


@given(st.lists(st.tuples(FACTS, st.booleans(), st.floats(0, 5)), max_size=40))
def test_what_passed_is_what_came_about_at_last(steps: list[tuple[Fact, bool, float]]) -> None:
    """When all is due, the last word on every fact has passed, and every ticket was given once."""
    holds, now = Holds(HOLD), 0.0
    passed: dict[Fact, bool] = {}
    tickets: list[str] = []
    for number, (fact, holding_, pause) in enumerate(steps):
        now += pause
        holds.add(Happening("1", fact, holding_, b"", now, str(number)))
        ready = holds.take(now)
        passed |= facts(ready.happenings)
        tickets += ready.tickets
    ready = holds.take(now + HOLD)
    passed |= facts(ready.happenings)
    assert passed == {fact: holding_ for fact, holding_, _ in steps}
    assert sorted(tickets + ready.tickets, key=int) == [str(number) for number in range(len(steps))]
    assert len(holds) == 0
