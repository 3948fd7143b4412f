"""Where webhook events go: to a file of this server, or through the engine that nodes share."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Final

from herenow.apps.base import Apps
from herenow.cluster.base import Clock
from herenow.config import Config
from herenow.engines import Engine, MemoryEngine, SharedEngine
from herenow.webhooks.counters import DeliveryCounters
from herenow.webhooks.deliveries import Deliveries
from herenow.webhooks.desk import Desk
from herenow.webhooks.endpoints import Endpoints
from herenow.webhooks.events import VOLATILE_NAMES, Event
from herenow.webhooks.journal import Bounds, Outbox
from herenow.webhooks.outbox import EmbeddedOutbox, OutboxSettings
from herenow.webhooks.sending import HttpSender
from herenow.webhooks.truth import MemoryTruth

SQLITE: Final = "sqlite:///"


class Webhooks:
    """All that concerns webhooks in one process, put together.

    It is the :class:`Sink` of the core, and counts what comes by kind in *counts*.
    """

    def __init__(
        self, config: Config, apps: Apps, engine: Engine, clock: Clock, counts: Counter[str]
    ) -> None:
        settings = config.webhooks
        self.endpoints = Endpoints(apps)
        self.counters = DeliveryCounters()
        self.retry_seconds = settings.retry_seconds
        self._counts = counts
        deliveries = Deliveries(
            self.endpoints,
            apps.by_id,
            HttpSender(settings.timeout_seconds, settings.deny_networks),
            settings.retry_seconds,
            clock,
            self.counters,
        )
        self.outbox = _make_outbox(config, self.endpoints, deliveries, engine, clock)
        self.desk = Desk(self.endpoints, self.outbox, time.time, settings.retry_seconds)

    def emit(self, event: Event) -> None:
        kind = type(event)
        self._counts[kind.__name__] += 1
        name = VOLATILE_NAMES.get(kind)
        # Of the others even those count that no endpoint wants: by them it is known what holds.
        if name is None or self.endpoints.any_wants(event.app, name):
            self.outbox.emit(event)


def _make_outbox(
    config: Config, endpoints: Endpoints, deliveries: Deliveries, engine: Engine, clock: Clock
) -> Outbox:
    webhooks = config.webhooks
    # What is tried again is kept at least as long.
    keep_seconds = max(webhooks.keep_seconds, webhooks.retry_seconds)
    if isinstance(engine, MemoryEngine):
        bounds = Bounds(keep_seconds, webhooks.max_backlog, webhooks.retry_seconds)
        settings = OutboxSettings(
            file_of(config), webhooks.hold_seconds, config.cluster.return_seconds, bounds
        )
        return EmbeddedOutbox(endpoints, deliveries, MemoryTruth(engine.ledger), settings, clock)
    # Imported late: a server that is alone listens without having read any of it.
    from herenow.webhooks.clustered import ClusteredOutbox, ClusteredSettings

    assert isinstance(engine, SharedEngine), "there are two engines"
    return ClusteredOutbox(
        engine.ledger,
        engine.connections,
        endpoints,
        deliveries,
        ClusteredSettings(
            lease_seconds=config.cluster.lease_seconds,
            hold_seconds=webhooks.hold_seconds,
            return_seconds=config.cluster.return_seconds,
            keep_seconds=keep_seconds,
            max_backlog=webhooks.max_backlog,
        ),
        clock,
    )


def file_of(config: Config) -> Path:
    """The store, if it is a file; a database on a server is for applications alone."""
    url = config.store.url
    return Path(url.removeprefix(SQLITE) if url.startswith(SQLITE) else config.store.outbox)
