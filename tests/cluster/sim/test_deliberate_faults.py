"""The simulation can fail: with a safety measure taken out it finds what goes wrong then.

The search is that of the property that everything holds. It may go on for longer: which examples
there are depends on the constants in all modules that happen to be imported.
"""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given

from cluster.sim.explorer import play
from cluster.sim.faults import FURTHER, RARE, REQUIRED, Fault
from cluster.sim.model import Violation
from cluster.sim.strategies import PROOF, Run, finding, runs
from cluster.sim.test_simulation import EXAMPLES

OFTEN: Final = REQUIRED | FURTHER


def find(fault: Fault, examples: int) -> None:
    """Search until something is wrong; it is an error if nothing is."""
    with fault.in_force() as server:

        @finding(examples)
        @given(runs())
        def search(run: Run) -> None:
            play(
                run.setting,
                run.actions,
                run_zombies=run.run_zombies,
                server=server,
                checks_sequence=fault.checks_sequence,
            )

        with pytest.raises(Violation):
            search()


@pytest.mark.parametrize("name", OFTEN)
def test_fault_is_found(name: str) -> None:
    find(OFTEN[name], 5 * EXAMPLES)


@pytest.mark.skipif(not PROOF, reason="takes thousands of examples")
@pytest.mark.parametrize("name", RARE)
def test_rare_fault_is_found(name: str) -> None:
    find(RARE[name], 10 * EXAMPLES)
