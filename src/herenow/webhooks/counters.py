"""What deliveries count: plain integers, read by whoever publishes metrics."""

from __future__ import annotations

from collections import Counter


class DeliveryCounters:
    """Totals since the process started; keys are fixed words of ours.

    ``attempts`` by how they ended: delivered, refused (no 2xx), timeout, failed, denied.
    ``dropped`` counts events that were never written down and are lost, by kind; ``buried`` those
    that became dead letters by themselves.
    """

    __slots__ = ("attempts", "buried", "delivered", "dropped", "in_flight")

    def __init__(self) -> None:
        self.attempts: Counter[str] = Counter()
        self.delivered = 0
        self.buried = 0
        self.dropped: Counter[str] = Counter()
        self.in_flight = 0
