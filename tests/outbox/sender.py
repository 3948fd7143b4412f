"""Signed requests made by hand, to see that a wrong one is found."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, Final

from conformance.harness.apps import App
from outbox.receiver import Outcome, Request

APP: Final = App("9", "sender-key", "sender-secret")
TIMESTAMP: Final = "1760000000"


def event(name: str, channel: str | None = None, user: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "channel": channel or f"#server-to-user-{user}"}
    return made | ({"user_id": user} if user is not None else {})


def request(
    *events: tuple[str, int, dict[str, Any]],
    attempt: int = 1,
    at: float = 0.0,
    time_ms: int = 1_760_000_000_000,
    outcome: Outcome = Outcome.ACCEPTED,
    app: App = APP,
    **headers: str,
) -> Request:
    """A request with *events* as (id, sequence, event); *headers* replace those that are right."""
    body = json.dumps({"time_ms": time_ms, "events": [event for _, _, event in events]}).encode()
    ids = ",".join(id_ for id_, _, _ in events)
    sequences = ",".join(str(sequence) for _, sequence, _ in events)
    signed = b"\n".join([f"{TIMESTAMP}\n{ids}\n{sequences}".encode(), body])
    right = {
        "Content-Type": "application/json",
        "X-Pusher-Key": app.key,
        "X-Pusher-Signature": _digest(app, body),
        "X-Herenow-Event-Ids": ids,
        "X-Herenow-Sequences": sequences,
        "X-Herenow-Attempt": str(attempt),
        "X-Herenow-Timestamp": TIMESTAMP,
        "X-Herenow-Signature": _digest(app, signed),
    }
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("/", tuple((right | changed).items()), body, at, outcome)


def _digest(app: App, content: bytes) -> str:
    return hmac.new(app.secret.encode(), content, hashlib.sha256).hexdigest()
