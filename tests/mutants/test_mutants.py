"""The conformance suite can fail: every deliberate fault turns at least one statement red.

Every fifth fault is tried in every run, all of them with ``HERENOW_PROOF=1``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from mutants.faults import FAULTS

HERE: Final = Path(__file__).parent
SUITE: Final = HERE.parent / "conformance"
TESTS_FAILED: Final = 1
# Most faults are noticed by what does not come.
DEADLINE: Final = "4"
FULL_SIZE: Final = os.environ.get("HERENOW_PROOF") == "1"


def test_there_are_forty_faults() -> None:
    assert len(FAULTS) >= 40


@pytest.mark.parametrize("name", FAULTS if FULL_SIZE else list(FAULTS)[::5])
def test_fault_is_noticed(name: str, tmp_path: Path) -> None:
    """Some statement named beside the fault fails against the server that has it."""
    errors = tmp_path / "errors"
    command = [sys.executable, str(HERE / "serve.py"), name, str(errors), "serve"]
    statements = " or ".join(f"test_{number:03}_" for number in FAULTS[name].statements)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--exitfirst", "-p", "no:cacheprovider"),
            *(str(SUITE), "-k", statements, f"--basetemp={tmp_path / 'suite'}", "-p", "no:xdist"),
        ],
        env=os.environ
        | {"HERENOW_SERVER_COMMAND": shlex.join(command), "CONFORMANCE_DEADLINE": DEADLINE},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    output = run.stdout[-2000:] + run.stderr[-2000:]
    assert run.returncode == TESTS_FAILED, output
    assert re.search(r"\b1 failed\b", run.stdout), f"the server was not even tested: {output}"
    assert not errors.exists(), f"the fault does not work: {errors.read_text()}"
