"""How long things take, and how many there are: more for the proof."""

from __future__ import annotations

from typing import Final

from conformance.harness.proof import PROOF

GRACE: Final = 0.5
HOLD: Final = 0.3
RETURN: Final = 2.0
LEASE: Final = 2.0
TIMEOUT: Final = 1.0
RETRY: Final = 300.0

ALONE: Final = {"return_seconds": RETURN}
"""The settings ``[cluster]`` of a node alone."""

SHARED: Final = {"return_seconds": RETURN, "lease_seconds": LEASE, "partitions": 16}
"""Those of nodes that share an engine."""

WEBHOOKS: Final = {"timeout_seconds": TIMEOUT, "hold_seconds": HOLD, "retry_seconds": RETRY}

GONE: Final = RETURN + LEASE + max(HOLD, GRACE)
"""Seconds after a kill within which those who do not come back are told to be gone."""

DRAINED: Final = 900.0 if PROOF else 150.0
"""Seconds within which a backlog is delivered to a receiver that has failed often.

Its back-off may have grown to a minute.
"""

KILLS: Final = 20 if PROOF else 3
PAGES: Final = 40 if PROOF else 12
