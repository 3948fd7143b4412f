"""What an operator runs to see whether the engine's data fit together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from faults.deployment import environment
from faults.times import CLUSTER

HERENOW: Final = str(Path(sys.executable).with_name("herenow"))


def audit(url: str) -> tuple[int, str]:
    """The exit code of ``herenow presence audit`` and what it says."""
    done = subprocess.run(
        [HERENOW, "presence", "audit", "--cluster", url],
        capture_output=True,
        text=True,
        env=environment() | {"HERENOW_CLUSTER__PARTITIONS": str(CLUSTER["partitions"])},
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def assert_consistent(url: str) -> None:
    """Nothing of a node that is gone is left, and all counts are what they count."""
    code, said = audit(url)
    assert code == 0, said
