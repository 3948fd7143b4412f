"""What a node counts: plain integers, read by whoever publishes metrics."""

from __future__ import annotations

from collections import Counter


class Counters:
    """Totals since the node started. Reasons are fixed words of ours, never text from outside."""

    __slots__ = (
        "api_calls",
        "connections_closed",
        "connections_opened",
        "connections_refused",
        "events_emitted",
        "messages_in",
        "messages_out",
        "refusals",
    )

    def __init__(self) -> None:
        self.connections_opened = 0
        self.connections_closed: Counter[str] = Counter()
        self.connections_refused: Counter[str] = Counter()
        self.messages_in = 0
        self.messages_out = 0
        self.api_calls: Counter[tuple[str, int]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.events_emitted: Counter[str] = Counter()
