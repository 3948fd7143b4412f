"""Deadlines: in order, never early, one timer."""

from __future__ import annotations

import pytest

from cluster.engines import START, ManualClock
from herenow.cluster.deadlines import ITEMS_A_TURN, Deadlines


def test_items_come_in_the_order_of_their_deadlines() -> None:
    """Each at its own moment, whatever the order in which they were added."""
    clock = ManualClock()
    reached: list[tuple[float, str]] = []
    deadlines = Deadlines[str](clock, lambda item: reached.append((clock.time() - START, item)))
    for seconds, item in ((5, "b"), (1, "a"), (9, "c"), (5, "d")):
        deadlines.add(START + seconds, item)
    clock.advance(10)
    assert reached == [(1, "a"), (5, "b"), (5, "d"), (9, "c")]
    assert len(deadlines) == 0
    assert clock.pending == 0


def test_later_items_ask_for_no_timer_of_their_own() -> None:
    """One pending call serves all that come after it."""
    clock = ManualClock()
    deadlines = Deadlines[int](clock, lambda item: None)
    for n in range(100):
        deadlines.add(START + 1 + n, n)
    assert clock.pending == 1
    clock.advance(50)
    assert clock.pending == 1


def test_an_item_added_while_one_is_reached_has_its_turn() -> None:
    """An item may be put back to a later moment, or to this very one."""
    clock = ManualClock()
    reached: list[float] = []

    def again(item: int) -> None:
        reached.append(clock.time() - START)
        if item:
            deadlines.add(clock.time() + (item - 1), item - 1)

    deadlines = Deadlines[int](clock, again)
    deadlines.add(START + 1, 3)
    clock.advance(10)
    assert reached == [1, 3, 4, 4]


def test_a_crowd_takes_several_turns() -> None:
    """Others have the loop in between, and nobody is forgotten."""
    clock = ManualClock()
    reached: list[int] = []
    deadlines = Deadlines[int](clock, reached.append)
    for n in range(ITEMS_A_TURN + 1):
        deadlines.add(START + 1, n)
    clock.call_later(1, lambda: reached.append(-1))
    clock.advance(1)
    assert reached.index(-1) == ITEMS_A_TURN
    assert len(reached) == ITEMS_A_TURN + 2


def test_an_item_that_fails_does_not_stop_the_next() -> None:
    """The error surfaces in the clock's callback; later items come all the same."""
    clock = ManualClock()
    reached: list[str] = []

    def reach(item: str) -> None:
        if item == "bad":
            raise RuntimeError("no")
        reached.append(item)

    deadlines = Deadlines[str](clock, reach)
    deadlines.add(START + 1, "bad")
    deadlines.add(START + 1, "good")
    with pytest.raises(RuntimeError):
        clock.advance(1)
    clock.advance(0)
    assert reached == ["good"]
