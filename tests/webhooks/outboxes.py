"""An outbox on a ledger in memory, whose receivers are in the test."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from herenow.apps.base import App, Key, WebhookEndpoint
from herenow.cluster.base import Occupancy, Subject, SubjectKind, Transition
from herenow.cluster.memory import MemoryLedger
from herenow.webhooks.counters import DeliveryCounters
from herenow.webhooks.deliveries import Deliveries
from herenow.webhooks.endpoints import Endpoints
from herenow.webhooks.events import Event, from_ledger
from herenow.webhooks.journal import Bounds
from herenow.webhooks.outbox import EmbeddedOutbox, OutboxSettings
from herenow.webhooks.truth import MemoryTruth
from webhooks.backlogs import ScriptedSender, Time

TRANSITIONS = (
    "channel_occupied",
    "channel_vacated",
    "member_added",
    "member_removed",
    "user_online",
    "user_offline",
)
HOOK = WebhookEndpoint("http://hook.example/", (*TRANSITIONS, "client_event"))
UNBOUNDED = Bounds(86_400, 0, 300)
HOLD = 0.1
RETURN = 0.3


class ChangingApps:
    """Applications that a test changes."""

    complete = True

    def __init__(self, *apps: App) -> None:
        self._apps = {app.id: app for app in apps}

    def by_key(self, key: str) -> App | None:
        return next((app for app in self.all() if app.secret_of(key) is not None), None)

    def by_id(self, app_id: str) -> App | None:
        return self._apps.get(app_id)

    def all(self) -> tuple[App, ...]:
        return tuple(self._apps.values())

    def set(self, app: App) -> None:
        self._apps[app.id] = app


@dataclass
class Node:
    """One process: who is on it, what it keeps, and what its receivers got."""

    apps: ChangingApps
    ledger: MemoryLedger
    outbox: EmbeddedOutbox
    endpoints: Endpoints
    sender: ScriptedSender
    path: Path
    subscriptions: Any

    @property
    def endpoint(self) -> str:
        """The id of the first endpoint."""
        return self.endpoints.of("1")[0].id

    def join(self, channel: str, user: str, info: bytes = b"{}") -> int:
        subject = Subject("1", SubjectKind.PRESENCE, channel)
        number: int = next(self.subscriptions)
        self.ledger.join(subject, user, number, info, 0, 0, lambda joined: None)
        return number

    def leave(self, channel: str, subscription: int) -> None:
        self.ledger.leave(Subject("1", SubjectKind.PRESENCE, channel), subscription, 0)

    def sign_in(self, user: str) -> int:
        number: int = next(self.subscriptions)
        subject = Subject("1", SubjectKind.USER, user)
        self.ledger.join(subject, user, number, b"{}", 0, 0, lambda joined: None)
        return number

    def change_hooks(self, *hooks: WebhookEndpoint) -> None:
        app = self.apps.by_id("1")
        assert app is not None
        self.apps.set(replace(app, webhooks=hooks))
        self.outbox.app_changed("1")

    def heard(self, url: str = HOOK.url) -> list[tuple[str, str]]:
        """Every event that was accepted at *url*: its name and whom it is about."""
        return [
            (event["name"], event.get("user_id", event["channel"]))
            for sent in self.sender.sent
            if sent.url == url
            for event in json.loads(sent.body)["events"]
        ]


@contextlib.asynccontextmanager
async def node(
    path: Path,
    *,
    hooks: tuple[WebhookEndpoint, ...] = (HOOK,),
    bounds: Bounds = UNBOUNDED,
    return_seconds: float = RETURN,
    kills: bool = False,
    early: Callable[[Node], None] = lambda node: None,
) -> AsyncIterator[Node]:
    """A process with *hooks*; what is in *path* outlives it. *kills*: it ends without a word.

    *early* happens before its outbox has begun, when clients are served already.
    """
    time = Time()
    apps = ChangingApps(App("1", (Key("key", "secret"),), webhooks=hooks))
    endpoints, sender = Endpoints(apps), ScriptedSender()

    def decided(transition: Transition | Occupancy) -> None:
        event: Event | None = from_ledger(transition)
        if event is not None:
            outbox.emit(event)

    ledger = MemoryLedger(time, decided)
    deliveries = Deliveries(
        endpoints, apps.by_id, sender, bounds.retry_seconds, time, DeliveryCounters()
    )
    settings = OutboxSettings(path, HOLD, return_seconds, bounds)
    outbox = EmbeddedOutbox(endpoints, deliveries, MemoryTruth(ledger), settings, time)
    made = Node(apps, ledger, outbox, endpoints, sender, path, count(1))
    early(made)
    await outbox.start()
    try:
        yield made
    finally:
        sender.let_go()
        if not kills:
            outbox.drain()
        await outbox.stop(1)
