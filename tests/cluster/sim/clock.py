"""The clock of one node, which the simulation turns."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class NodeClock:
    """Time as one node has it. A node that was frozen finds the present time when it wakes."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._order = count()
        self._pending: list[tuple[float, int, Callable[[], None]]] = []

    def time(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._pending, (self._now + delay, next(self._order), callback))

    def advance(self, until: float) -> None:
        """Let time pass, and call back at the exact moments."""
        while self._pending and self._pending[0][0] <= until:
            moment, _, callback = heapq.heappop(self._pending)
            self._now = max(self._now, moment)
            callback()
        self._now = until

    def wake(self, now: float) -> None:
        """Find that it is *now*; then call back whatever became due meanwhile."""
        self._now = now
        self.advance(now)
