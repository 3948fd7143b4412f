"""What the deliveries to all endpoints share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from herenow.apps.base import App
from herenow.log import RateLimitedLog
from herenow.webhooks.counters import DeliveryCounters
from herenow.webhooks.endpoints import Endpoint
from herenow.webhooks.sending import Sender


class Surroundings(NamedTuple):
    """``let_go`` is told how many volatile events are done with."""

    endpoint_of: Callable[[str], Endpoint | None]
    app_of: Callable[[str], App | None]
    sender: Sender
    retry_seconds: float
    now: Callable[[], float]
    counters: DeliveryCounters
    let_go: Callable[[int], None]
    recovered: Callable[[str], None]
    log: RateLimitedLog
