"""When a node beats: every third of its lease, and just after a departure that began here ends."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import Final

TOGETHER_SECONDS: Final = 0.05


class Beats:
    """The times at which a beat is due; departures that end together share one."""

    def __init__(self, first: float, interval: float) -> None:
        self._next = first
        self._interval = interval
        self._departures: list[float] = []

    def add_departure(self, ends_at: float) -> None:
        index = bisect_left(self._departures, ends_at)
        following = self._departures[index : index + 1]
        if not following or following[0] - ends_at > TOGETHER_SECONDS:
            insort(self._departures, ends_at)

    def hasten(self) -> None:
        """The next one is due now."""
        self._next = float("-inf")

    def is_due(self, now: float) -> bool:
        return now >= self._next or (bool(self._departures) and now >= self._departures[0])

    def sent(self, now: float) -> None:
        del self._departures[: bisect_right(self._departures, now)]
        self._next = now + self._interval
