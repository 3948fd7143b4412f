"""What ``/metrics`` tells of webhooks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from herenow.webhooks.counters import DeliveryCounters
from herenow.webhooks.endpoints import Endpoint
from herenow.webhooks.journal import Depth, JournalUnavailable, Outbox

ANSWER_SECONDS: Final = 2.0


class Endpoints(Protocol):
    def all(self) -> Iterable[Endpoint]: ...


class Webhooks(Protocol):
    """All that concerns webhooks in this process."""

    @property
    def endpoints(self) -> Endpoints: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def counters(self) -> DeliveryCounters: ...
    @property
    def retry_seconds(self) -> float: ...


class Waiting(NamedTuple):
    """What waits for the endpoints of one application."""

    app: str
    depths: list[Depth]


async def ask(webhooks: Webhooks) -> list[Waiting]:
    """What waits, by application; nothing of those whose journal does not answer soon."""
    by_app: dict[str, list[str]] = {}
    for endpoint in webhooks.endpoints.all():
        by_app.setdefault(endpoint.app, []).append(endpoint.id)
    found = []
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            for app, endpoints in by_app.items():
                found.append(Waiting(app, [await webhooks.outbox.depth(one) for one in endpoints]))
    except (JournalUnavailable, TimeoutError):
        pass
    return found


def metrics(webhooks: Webhooks, waiting: Iterable[Waiting]) -> Iterator[Metric]:
    """How deliveries go, and what waits for them."""
    outbox, counters = webhooks.outbox, webhooks.counters
    yield GaugeMetricFamily(
        "herenow_webhook_outbox_up",
        "0 while the outbox cannot be used, so that nothing is delivered.",
        int(not outbox.problem),
    )
    attempts = CounterMetricFamily(
        "herenow_webhook_attempts", "Requests to receivers, by how they ended.", labels=["outcome"]
    )
    for outcome, number in sorted(counters.attempts.items()):
        attempts.add_metric([outcome], number)
    yield attempts
    lost = CounterMetricFamily(
        "herenow_webhook_events_lost",
        "Events that are never written down and were lost, by kind.",
        labels=["kind"],
    )
    for kind, number in sorted(counters.dropped.items()):
        lost.add_metric([kind], number)
    yield lost
    yield GaugeMetricFamily(
        "herenow_webhook_in_flight", "Requests that are not answered yet.", counters.in_flight
    )
    for name, text, number in (
        ("delivered", "Events that receivers took.", counters.delivered),
        ("buried", "Events that became dead letters by themselves.", counters.buried),
        ("dropped", "Events that will never be delivered.", outbox.dropped),
        (
            "changes_dropped",
            "Changes that found no room to be written down; comparing made them good.",
            outbox.changes_dropped,
        ),
    ):
        yield CounterMetricFamily(f"herenow_webhook_{name}", text, number)
    yield from _backlogs(waiting, webhooks.retry_seconds)


def _backlogs(waiting: Iterable[Waiting], retry_seconds: float) -> Iterator[Metric]:
    backlog = GaugeMetricFamily(
        "herenow_webhook_backlog", "Events that are not delivered.", labels=["app", "state"]
    )
    oldest, failing, adrift = (
        GaugeMetricFamily(f"herenow_webhook_{name}", text, labels=["app"])
        for name, text in (
            ("oldest_seconds", "Age of the oldest event that is to be delivered."),
            ("endpoints_failing", "Endpoints whose last attempt failed."),
            ("endpoints_adrift", "Endpoints to be told what holds, since events were dropped."),
        )
    )
    now = time.time()
    for app, depths in waiting:
        dead = sum(depth.dead(now, retry_seconds) for depth in depths)
        everything = sum(depth.waiting + depth.buried for depth in depths)
        backlog.add_metric([app, "waiting"], everything - dead)
        backlog.add_metric([app, "dead"], dead)
        made = [depth.oldest for depth in depths if depth.oldest is not None]
        oldest.add_metric([app], max(0.0, now - min(made)) if made else 0)
        conditions = [depth.condition for depth in depths]
        failing.add_metric([app], sum(one.failing_since is not None for one in conditions))
        adrift.add_metric([app], sum(one.adrift for one in conditions))
    yield from (backlog, oldest, failing, adrift)
