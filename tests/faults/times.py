"""How long things take: as an operator has them for the proof, short in every other run."""

from __future__ import annotations

from typing import Final

from conformance.harness.proof import PROOF
from faults.apps import GRACE

LEASE: Final = 5.0 if PROOF else 2.0
HOLD: Final = 20.0 if PROOF else 3.0
AWAY: Final = 20.0 if PROOF else 4.5
"""An outage that no lease outlives."""

LONGER_THAN_HOLD: Final = 25.0 if PROOF else 4.5
NOTICED_LOST: Final = LEASE + GRACE + 2.0
"""Seconds within which the users of a dead node are removed."""

BACK: Final = 15.0
"""Seconds within which every roster is the truth after an outage."""

CERTAIN: Final = 2 * LEASE
"""Seconds for which an engine that lost data declares nobody gone."""

CLUSTER: Final = {"lease_seconds": LEASE, "hold_seconds": HOLD, "partitions": 64 if PROOF else 16}
