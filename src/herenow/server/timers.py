"""One timer wheel for all connections: cheap to set, cheap to cancel, never early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

TICK_SECONDS: Final = 0.05


def _tick(moment: float) -> int:
    """The tick that *moment* is in: *n* at ``n * TICK_SECONDS``, whatever the division rounds."""
    return int(moment / TICK_SECONDS + 1e-6)


class Due(Protocol):
    """What has an appointment with the wheel."""

    def fire(self) -> None: ...


class Timer:
    """A pending call, about to be put into *slot*.

    Cancelling it forgets the callback and what the callback holds.
    """

    __slots__ = ("_callback", "_index", "_slot")

    def __init__(self, callback: Callable[[], None], slot: list[Due]) -> None:
        self._callback: Callable[[], None] | None = callback
        self._slot = slot
        self._index = len(slot)

    def cancel(self) -> None:
        if self._callback is not None:
            self._callback = None
            self._slot[self._index] = _NOTHING

    def fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class _Nothing:
    """What stands in the place of a cancelled timer, which has more memory."""

    def fire(self) -> None:
        pass


_NOTHING: Final = _Nothing()


class TimerWheel:
    """Timers in slots of 50 ms; the loop is asked for one call while any slot is filled."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Due]] = {}
        self._current = 0
        self._wakeup: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """The loop's clock, in seconds."""
        return self._loop.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call *callback* after *delay* seconds: never earlier, at most a tick later."""
        slot = self._slot(delay)
        timer = Timer(callback, slot)
        slot.append(timer)
        return timer

    def add(self, due: Due, delay: float) -> None:
        """Have *due* fire after *delay* seconds as precisely; that cannot be cancelled."""
        self._slot(delay).append(due)

    def _slot(self, delay: float) -> list[Due]:
        now = self._loop.time()
        number = _tick(now + max(0.0, delay)) + 1
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = []
        if self._wakeup is None:
            self._current = _tick(now)
            self._schedule()
        return slot

    def _schedule(self) -> None:
        self._wakeup = self._loop.call_at((self._current + 1) * TICK_SECONDS, self._turn)

    def _turn(self) -> None:
        wakeup = self._wakeup
        reached = _tick(self._loop.time())
        while self._current < reached and self._slots:
            self._current += 1
            slot = self._slots.get(self._current, [])
            # The slot stays until it is done, so that a callback that stops the wheel stops it too.
            for due in slot:
                self._fire(due)
            if self._slots.pop(self._current, None) is not None:
                slot.clear()  # its timers refer to it
        if self._wakeup is wakeup:  # unless a callback stopped the wheel
            self._wakeup = None
            if self._slots:
                self._schedule()

    def _fire(self, due: Due) -> None:
        try:
            due.fire()
        except Exception as error:  # one timer's failure is not the others'
            self._loop.call_exception_handler(
                {"message": "A timer's callback failed", "exception": error}
            )

    def stop(self) -> None:
        """Forget every timer."""
        for slot in self._slots.values():
            slot[:] = [_NOTHING] * len(slot)
        self._slots.clear()
        if self._wakeup is not None:
            self._wakeup.cancel()
            self._wakeup = None
