"""What is to be told, in its order: whoever is told something finds the ledger's work done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from herenow.cluster.base import Clock, Follower, Transition


class Telling:
    """A queue of what is to be told. What a callback asks for is told after it, not within it."""

    def __init__(self, clock: Clock) -> None:
        self.follower: Follower | None = None
        self._clock = clock
        self._untold: deque[Callable[[], None]] = deque()
        self._running = False

    def __bool__(self) -> bool:
        return bool(self._untold)

    def add(self, tell: Callable[[], None]) -> None:
        """Have *tell* called in the next ``run``; it looks itself whether it still matters."""
        self._untold.append(tell)

    def add_transition(self, transition: Transition, matters: Callable[[], bool]) -> None:
        """Tell the follower, if it still *matters* by then."""

        def tell() -> None:
            if self.follower is not None and matters():
                self.follower.apply(transition)

        self._untold.append(tell)

    def add_termination(self, app: str, user: str) -> None:
        def tell() -> None:
            if self.follower is not None:
                self.follower.terminate(app, user)

        self._untold.append(tell)

    def run(self) -> None:
        """Tell everything there is, unless that is being done further up."""
        if self._running:
            return
        self._running = True
        try:
            while self._untold:
                self._untold.popleft()()
        finally:
            self._running = False
            if self._untold:  # somebody raised: the others are told all the same
                self._clock.call_later(0, self.run)
