"""How far a connection's reader is behind.

The kernel and the transport take what is written; once the transport holds more than its high-water
mark the frames behind are measured. The frame being sent does not count: a single one, however
large, always reaches a client that reads.
"""

from __future__ import annotations

from collections import deque
from typing import Final

CLOSE_AFTER_SECONDS: Final = 5.0
CLOSE_AT_TIMES: Final = 8


class Backlog:
    """Offsets are bytes handed to the transport since the backlog began."""

    __slots__ = ("_ends", "_limit", "_over_since", "_written")

    def __init__(self, limit: int, buffered: int) -> None:
        """*buffered* bytes wait in the transport now; what they consist of counts as one frame."""
        self._limit = limit
        self._written = buffered
        self._ends = deque((buffered,))
        self._over_since: float | None = None

    def add(self, size: int) -> None:
        """A frame of *size* bytes was handed to the transport."""
        self._written += size
        self._ends.append(self._written)

    def sent(self, buffered: int) -> int:
        """How much is sent, given that *buffered* bytes still wait in the transport."""
        return self._written - buffered

    def is_hopeless(self, buffered: int, now: float) -> bool:
        """Whether the reader is too far behind: 5 s over the limit, or eight times over it.

        A limit of 0 means unlimited.
        """
        sent = self.sent(buffered)
        while len(self._ends) > 1 and self._ends[0] <= sent:
            self._ends.popleft()
        behind = self._written - max(self._ends[0], sent)
        if not self._limit or behind <= self._limit:
            self._over_since = None
            return False
        if behind >= self._limit * CLOSE_AT_TIMES:
            return True
        if self._over_since is None:
            self._over_since = now
        return now - self._over_since >= CLOSE_AFTER_SECONDS
