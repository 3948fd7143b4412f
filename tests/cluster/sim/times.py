"""How long things take in a simulation: a quantum is the least time that passes."""

from __future__ import annotations

from typing import Final

START: Final = 1_700_000_000.0
QUANTUM: Final = 0.25
QUANTA_A_LEASE: Final = 12
LEASE: Final = QUANTA_A_LEASE * QUANTUM
HOLD: Final = 20 * QUANTUM
