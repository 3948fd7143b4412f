"""How often somebody may ask for something."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MAX_KEYS: Final = 10_000


class Rate:
    """So many at once, and so many a second in the long run, for each key."""

    def __init__(self, at_once: int, per_second: float, now: Callable[[], float]) -> None:
        self._at_once = at_once
        self._per_second = per_second
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, key: str) -> float:
        """Take one; 0 if there was one, else the seconds until there is."""
        now = self._now()
        left, since = self._buckets.pop(key, (float(self._at_once), now))
        left = min(self._at_once, left + (now - since) * self._per_second)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._buckets[key] = (left if wait else left - 1, now)
        if len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)
        return wait
