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


def test_an_info_said_anew_is_not_replaced_by_one_registered_again() -> None:
    """Whoever joined last decides, also if he said what was shown already."""
    play(
        Setting(nodes=3, slow=True, faults=("freeze", "jump")),
        [
            *(("join", 2, 0, 0, 0), ("watch", 2, 2), ("reload", 2, 2), ("watch", 0, 2)),
            *(("away", 1, 8), ("join", 2, 2, 0, 0), ("join", 0, 1, 0, 0), ("jump", 40)),
            *(("away", 2, 8), ("subscribe", 0, 0), ("freeze", 0), ("jump", 3), ("reload", 0, 2)),
            *(("reload", 0, 0), ("reload", 0, 0), ("reload", 0, 0), ("reload", 0, 1)),
            *(("join", 2, 2, 0, 1), ("flush",), ("away", 2, 8)),
        ],
        run_zombies=False,
    )


def test_a_registration_sent_again_may_want_no_roster_any_more() -> None:
    """The feed was lost in between; the roster is asked for when it is back."""
    play(
        Setting(seated=1, faults=("cut", "hangup")),
        [
            *(("time", 1), ("time", 1), ("join", 0, 1, 0, 0), ("cut", 0), ("time", 1), ("time", 1)),
            *(
                ("heal", 0),
                ("time", 1),
                ("apart", 0, 8),
                ("time", 8),
                ("hangup", 0),
                ("apart", 0, 3),
            ),
        ],
        run_zombies=False,
    )


def test_a_channel_may_be_occupied_again_before_it_is_certain_that_it_was_vacated() -> None:
    """That it is vacated is not said then, but may have been found by comparing."""
    play(
        Setting(users=2, faults=("cut", "freeze", "older")),
        [
            *(("join", 1, 1, 0, 1), ("away", 0, 8), ("older", 7), ("news", 0), ("away", 0, 8)),
            *(("reload", 0, 0), ("news", 0)),
        ],
        run_zombies=False,
    )
