"""Runs that are chosen by chance alone, long ones too; what is found is made as short as it can be.

``HERENOW_PROOF=1`` explores eight thousand, each to its very end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from cluster.sim.actions import Action, Setting
from cluster.sim.explorer import minimise, play, random_run
from cluster.sim.server import SimulatedServer
from cluster.sim.strategies import PROOF

RUNS: Final = 8_000 if PROOF else 150


def test_random_runs() -> None:
    server = SimulatedServer()

    def attempt(setting: Setting, actions: Sequence[Action], run_zombies: bool) -> None:
        play(setting, actions, run_zombies=run_zombies, patiently=PROOF, server=server)

    for seed in range(RUNS):
        if (found := random_run(seed, attempt)) is not None:
            pytest.fail(f"seed {seed}: {minimise(found, attempt)}")
