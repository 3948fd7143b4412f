"""Whatever happens to nodes, connections and the engine: nobody is told anything that is not so.

Node logic and scripts are the product's; what is in between, and time, are the simulation's.
``HERENOW_PROOF=1`` searches six times longer.
"""

from __future__ import annotations

from typing import Final

from hypothesis import given

from cluster.sim.ending import check_nothing_was_repaired
from cluster.sim.explorer import play
from cluster.sim.server import SimulatedServer
from cluster.sim.strategies import PROOF, Run, runs, searching

EXAMPLES: Final = 600

server = SimulatedServer()


def try_out(run: Run) -> None:
    world = play(
        run.setting, run.actions, run_zombies=run.run_zombies, server=server, patiently=PROOF
    )
    if not run.setting.faults:
        check_nothing_was_repaired(world)


@searching(EXAMPLES)
@given(runs())
def test_all_kinds_of_faults(run: Run) -> None:
    try_out(run)


@searching(EXAMPLES // 2)
@given(runs(("reset", "mute", "hangup", "deafen", "lose", "repeat", "cut")))
def test_connections_break_and_messages_are_lost(run: Run) -> None:
    try_out(run)


@searching(EXAMPLES // 2)
@given(runs(("crash", "freeze", "cut")))
def test_nodes_die_sleep_and_are_cut_off(run: Run) -> None:
    try_out(run)


@searching(EXAMPLES // 2)
@given(runs(("pause", "jump", "restart", "empty", "older", "swap")))
def test_the_engine_is_away_or_loses_data(run: Run) -> None:
    try_out(run)


@searching(EXAMPLES // 3)
@given(runs(()))
def test_without_faults_nothing_is_ever_repaired(run: Run) -> None:
    try_out(run)
