"""``GET /metrics`` in Prometheus' text format.

Labels are ids of applications and fixed words of ours: never the name of a channel or a user.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from herenow import __version__
from herenow.admin import cluster
from herenow.admin import webhooks as hooks
from herenow.admin.cluster import Connections
from herenow.admin.reads import Unavailable, answer_of
from herenow.admin.webhooks import Waiting, Webhooks
from herenow.cluster.base import Ledger, Totals
from herenow.cluster.partitions.ledger import PartitionedLedger
from herenow.server.counters import Counters
from herenow.server.node import Node

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_WORD_START: Final = re.compile(r"(?<!^)(?=[A-Z])")


class CountingLedger(Ledger, Protocol):
    """A ledger that counts: transitions by kind, departures that a return made unheard."""

    @property
    def transitions(self) -> dict[str, int]: ...
    @property
    def suppressed(self) -> int: ...
    @property
    def ready(self) -> bool:
        """Whether the engine can be asked about everything."""


class Metrics:
    """Asks the ledger for the totals of every application, then writes everything out."""

    def __init__(
        self,
        node: Node,
        ledger: CountingLedger,
        connections: Connections | None,
        webhooks: Webhooks | None,
    ) -> None:
        self._node = node
        self._ledger = ledger
        self._webhooks = webhooks
        self._collector = NodeCollector(node, ledger, connections, webhooks)
        self._registry = CollectorRegistry()
        self._registry.register(self._collector)
        ProcessCollector(registry=self._registry)

    async def show(self, request: Request) -> Response:
        apps = [app.id for app in self._node.apps.all()]
        totals = await asyncio.gather(*map(self._totals, apps))
        self._collector.totals = {
            app: known for app, known in zip(apps, totals, strict=True) if known is not None
        }
        if self._webhooks is not None:
            self._collector.waiting = await hooks.ask(self._webhooks)
        return Response(generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE})

    async def _totals(self, app: str) -> Totals | None:
        try:
            return await answer_of(partial(self._ledger.totals, app))
        except Unavailable:
            return None


class NodeCollector(Collector):
    """What a node counts, read when it is asked for."""

    def __init__(
        self,
        node: Node,
        ledger: CountingLedger,
        connections: Connections | None,
        webhooks: Webhooks | None,
    ) -> None:
        self._node = node
        self._ledger = ledger
        self._connections = connections
        self._webhooks = webhooks
        self.totals: Mapping[str, Totals] = {}
        self.waiting: Sequence[Waiting] = ()

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("herenow_build_info", "The version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        draining = int(self._node.draining)
        yield GaugeMetricFamily("herenow_draining", "1 while the node stops.", draining)
        yield from self._usage()
        yield from _counts(self._node.counters)
        yield _by(
            "herenow_transitions",
            "Members and users that came, went or changed, as the ledger decided.",
            "kind",
            self._ledger.transitions,
        )
        yield CounterMetricFamily(
            "herenow_transitions_suppressed",
            "Departures nobody heard of, since the user came back within the grace.",
            self._ledger.suppressed,
        )
        if self._connections is not None and isinstance(self._ledger, PartitionedLedger):
            yield from cluster.metrics(self._connections, self._ledger)
        if self._webhooks is not None:
            yield from hooks.metrics(self._webhooks, self.waiting)

    def _usage(self) -> Iterator[Metric]:
        connections, users, members, channels = (
            GaugeMetricFamily(f"herenow_{name}", text, labels=["app"])
            for name, text in (
                ("connections", "Open WebSocket connections."),
                ("users", "Users who are signed in."),
                ("members", "Members of presence channels; one in two channels counts twice."),
                ("channels", "Occupied channels."),
            )
        )
        for app, totals in self.totals.items():
            connections.add_metric([app], totals.connections)
            users.add_metric([app], totals.users)
            members.add_metric([app], totals.members)
            channels.add_metric([app], totals.channels)
        yield from (connections, users, members, channels)


def _counts(counters: Counters) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "herenow_messages_received", "Messages from clients.", counters.messages_in
    )
    yield CounterMetricFamily(
        "herenow_messages_sent", "Messages to clients.", counters.messages_out
    )
    calls = CounterMetricFamily(
        "herenow_api_calls", "Calls of the HTTP API.", labels=["endpoint", "status"]
    )
    for (endpoint, status), number in sorted(counters.api_calls.items()):
        calls.add_metric([endpoint, str(status)], number)
    yield calls
    yield CounterMetricFamily(
        "herenow_connections_opened", "Connections accepted.", counters.connections_opened
    )
    yield _by(
        "herenow_connections_refused",
        "Connections refused when they opened.",
        "reason",
        counters.connections_refused,
    )
    yield _by(
        "herenow_connections_closed",
        "Connections that ended.",
        "reason",
        counters.connections_closed,
    )
    yield _by(
        "herenow_refusals", "Requests of clients that were not done.", "reason", counters.refusals
    )
    events = {_words(kind): number for kind, number in counters.events_emitted.items()}
    yield _by("herenow_webhook_events", "Events that a webhook may carry.", "kind", events)


def _by(name: str, text: str, label: str, numbers: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for word, number in sorted(numbers.items()):
        family.add_metric([word], number)
    return family


def _words(name: str) -> str:
    """``MemberAdded`` as ``member_added``."""
    return _WORD_START.sub("_", name).lower()
