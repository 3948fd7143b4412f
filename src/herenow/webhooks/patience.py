"""How long to wait with an endpoint that does not answer."""

from __future__ import annotations

import random
from typing import Final

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
JITTER: Final = 0.2


class Patience:
    """``failing_since`` is the first failure after which nothing succeeded, None if all is well.

    Then one probe at a time is made, not before ``probe_at``: after 1, 2, 4 … 60 seconds, give or
    take a fifth. Times in seconds since 1970.
    """

    __slots__ = ("_pause", "failing_since", "probe_at")

    def __init__(self) -> None:
        self.failing_since: float | None = None
        self.probe_at = 0.0
        self._pause = 0.0

    def resume(self, failing_since: float, now: float) -> None:
        """Go on with an endpoint that failed before this process started: it is tried at once."""
        if self.failing_since is None:
            self.failing_since, self.probe_at = failing_since, now

    def fail(self, now: float, *, probe: bool) -> None:
        """Something failed; only the first failure and that of a *probe* make the pause longer."""
        if self.failing_since is None:
            self.failing_since = now
        elif not probe:
            return
        self._pause = min(max(2 * self._pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        jittered = self._pause * random.uniform(1 - JITTER, 1 + JITTER)
        self.probe_at = now + min(jittered, LONGEST_PAUSE_SECONDS)

    def hurry(self) -> None:
        """Somebody knows better: the next probe may be made at once."""
        self.probe_at = 0.0

    def succeed(self) -> bool:
        """Something was delivered; answers whether the endpoint was failing."""
        was_failing = self.failing_since is not None
        self.failing_since, self._pause = None, 0.0
        return was_failing
