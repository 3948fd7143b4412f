"""Applications whose events go to a receiver."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from conformance.harness.apps import App
from outbox.account import TRANSITIONS
from outbox.receiver import Receiver
from outbox.times import GRACE

SETTINGS: Final = {"client_events": True, "leave_grace_seconds": GRACE}


def endpoint(
    receiver: Receiver, path: str, events: Sequence[str] = TRANSITIONS, **settings: object
) -> dict[str, object]:
    """The settings ``[[apps.webhooks]]`` of what *receiver* hears at *path*."""
    return {"url": receiver.url(path), "events": list(events), **settings}


def app(number: int, *webhooks: dict[str, object], **settings: object) -> App:
    digest = hashlib.sha256(f"outbox-{number}".encode()).hexdigest()
    return App(
        str(number), digest[:20], digest[20:60], {**SETTINGS, "webhooks": webhooks, **settings}
    )
