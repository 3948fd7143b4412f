"""What a node counts of its work with the engine, for metrics."""

from __future__ import annotations


class Counters:
    """``differences`` are changes that a roster showed and no message had told.

    ``transitions`` counts by kind what was heard of, ``suppressed`` the departures that a join
    from here cancelled.
    """

    def __init__(self) -> None:
        self.transitions: dict[str, int] = {"add": 0, "remove": 0, "info": 0}
        self.suppressed = 0
        self.resyncs = 0
        self.differences = 0
        self.fenced = 0
        self.lapses = 0
        self.epochs = 0
