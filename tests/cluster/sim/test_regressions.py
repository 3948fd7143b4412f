"""Runs that once went wrong."""

from __future__ import annotations

from cluster.sim.actions import Setting
from cluster.sim.explorer import play


def test_an_announcement_that_an_outage_swallowed_leaves_the_number_untold() -> None:
    """It carries the number of this node, which is told again if nobody answered."""
    play(Setting(seated=2), [("ask", 0, 4), ("outage", 20)])


def test_two_failovers_to_copies_of_one_epoch_while_the_clock_is_behind() -> None:
    """The two epochs that they begin are told apart, though neither copy knows of the other."""
    play(
        Setting(seated=2, faults=("jump", "swap")),
        [("time", 4), ("swap", 5), ("jump", -40), ("flush",), ("swap", 4)],
    )


def test_a_number_that_was_announced_before_everything_was_registered_again() -> None:
    """Where it is 0 by then, the new lease is told so."""
    play(
        Setting(slow=True, faults=("empty",)),
        [
            *(("join", 1, 1, 0, 1), ("join", 0, 0, 0, 1), ("flush",), ("empty",), ("time", 4)),
            *(("ask", 1, 4), ("time", 3), ("reload", 0, 0)),
        ],
    )
