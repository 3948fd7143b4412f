"""One timer wheel for all connections: cheap to set, cheap to cancel, never early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

TICK_SECONDS: Final = 0.05


def _tick(moment: float) -> int:
    """The tick that *moment* is in: *n* at ``n * TICK_SECONDS``, whatever the division rounds."""
    return int(moment / TICK_SECONDS + 1e-6)


class Timer:
    """A pending call. Cancelling it forgets the callback and what the callback holds."""

    __slots__ = ("_callback", "deadline")

    def __init__(self, deadline: float, callback: Callable[[], None]) -> None:
        self.deadline = deadline
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self._callback = None

    def fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class TimerWheel:
    """Timers in slots of 50 ms; the loop is asked for one call while any slot is filled."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Timer]] = {}
        self._current = 0
        self._wakeup: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """The loop's clock, in seconds."""
        return self._loop.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call *callback* after *delay* seconds: never earlier, at most a tick later."""
        timer = Timer(self._loop.time() + max(0.0, delay), callback)
        slot = _tick(timer.deadline) + 1
        timers = self._slots.get(slot)
        if timers is None:
            self._slots[slot] = [timer]
        else:
            timers.append(timer)
        if self._wakeup is None:
            self._current = _tick(self._loop.time())
            self._schedule()
        return timer

    def _schedule(self) -> None:
        self._wakeup = self._loop.call_at((self._current + 1) * TICK_SECONDS, self._turn)

    def _turn(self) -> None:
        wakeup = self._wakeup
        reached = _tick(self._loop.time())
        while self._current < reached and self._slots:
            self._current += 1
            # The slot stays until it is done, so that a callback that stops the wheel stops it too.
            for timer in self._slots.get(self._current, ()):
                self._fire(timer)
            self._slots.pop(self._current, None)
        if self._wakeup is wakeup:  # unless a callback stopped the wheel
            self._wakeup = None
            if self._slots:
                self._schedule()

    def _fire(self, timer: Timer) -> None:
        try:
            timer.fire()
        except Exception as error:  # one timer's failure is not the others'
            self._loop.call_exception_handler(
                {"message": "A timer's callback failed", "exception": error}
            )

    def stop(self) -> None:
        """Cancel every timer."""
        for timers in self._slots.values():
            for timer in timers:
                timer.cancel()
        self._slots.clear()
        if self._wakeup is not None:
            self._wakeup.cancel()
            self._wakeup = None
