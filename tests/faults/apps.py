"""The applications of a deployment, one for each combination of settings."""

from __future__ import annotations

import hashlib
from typing import Final

from conformance.harness.apps import App
from conformance.harness.proof import PROOF

GRACE: Final = 3.0 if PROOF else 1.0
QUOTA: Final = 4
ROOM_LIMIT: Final = 3
RATE: Final = 5


def _app(number: int, **settings: object) -> App:
    digest = hashlib.sha256(f"faults-{number}".encode()).hexdigest()
    defaults = {"client_events": True, "leave_grace_seconds": GRACE, "watchlist_events": True}
    return App(str(number), digest[:20], digest[20:60], defaults | settings)


MAIN: Final = _app(1)
EXACT: Final = _app(2, leave_grace_seconds=0)
COUNTED: Final = _app(3, subscription_count=True)
FEW_CONNECTIONS: Final = _app(4, limits={"max_connections": QUOTA})
SMALL_ROOMS: Final = _app(5, leave_grace_seconds=0, limits={"max_presence_members": ROOM_LIMIT})
RATED: Final = _app(6, limits={"events_per_second": RATE})
PATIENT: Final = _app(7, leave_grace_seconds=30)

APPS: Final = {
    "main": MAIN,
    "exact": EXACT,
    "counted": COUNTED,
    "few": FEW_CONNECTIONS,
    "small": SMALL_ROOMS,
    "rated": RATED,
    "patient": PATIENT,
}
