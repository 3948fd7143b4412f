"""Things that become due: in the order of their deadlines, never early, with one timer pending."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Final, Generic, TypeVar

from herenow.cluster.base import Clock

T = TypeVar("T")

ITEMS_A_TURN: Final = 1000


class Deadlines(Generic[T]):
    """Calls *reached* with each item once, when its deadline has passed.

    Nothing is taken out before: *reached* decides whether its item still means anything.
    """

    def __init__(self, clock: Clock, reached: Callable[[T], None]) -> None:
        self._clock = clock
        self._reached = reached
        self._order = count()
        self._heap: list[tuple[float, int, T]] = []
        # Wake-ups asked for and still to come, the next one last. A clock takes none back, so an
        # earlier deadline asks for one more, and the later one is used when its time has come.
        self._wakeups: list[float] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, deadline: float, item: T) -> None:
        heapq.heappush(self._heap, (deadline, next(self._order), item))
        self._wake_at(self._heap[0][0])

    def _wake_at(self, deadline: float) -> None:
        if self._wakeups and self._wakeups[-1] <= deadline:
            return
        self._wakeups.append(deadline)
        self._clock.call_later(max(0.0, deadline - self._clock.time()), self._turn)

    def _turn(self) -> None:
        self._wakeups.pop()
        now = self._clock.time()
        try:
            # A crowd that is due at once shares the loop with everybody else.
            for _ in range(ITEMS_A_TURN):
                if not self._heap or self._heap[0][0] > now:
                    break
                self._reached(heapq.heappop(self._heap)[2])
        finally:
            if self._heap:
                self._wake_at(self._heap[0][0])
