"""The timer wheel: never early, little late, and nothing stops it but stopping it."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable, Coroutine
from contextvars import Context
from itertools import pairwise
from typing import Any, Final, TypeVarTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from herenow.server.timers import TICK_SECONDS, TimerWheel

Ts = TypeVarTuple("Ts")

DEADLINE_SECONDS: Final = 10.0


class SteppedLoop(asyncio.SelectorEventLoop):
    """A loop whose time does not pass but is stepped, from one call to the next."""

    def __init__(self, now: float = 1000.0) -> None:
        super().__init__()
        self.now = now
        self.pending: list[tuple[float, asyncio.TimerHandle, Callable[..., object]]] = []
        self.errors: list[dict[str, Any]] = []

    def time(self) -> float:
        return self.now

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self)
        self.pending.append((when, handle, callback))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self.pending = [entry for entry in self.pending if entry[1] is not handle]

    def step(self, until: float, latency: float = 0.0) -> None:
        """Let time pass; each call is made *latency* after the moment it was asked for."""
        while self.pending:
            entry = min(self.pending, key=lambda entry: entry[0])
            if max(self.now, entry[0]) + latency > until:
                break
            self.pending.remove(entry)
            self.now = max(self.now, entry[0]) + latency
            entry[2]()
        self.now = until


def stepped(test: Callable[[SteppedLoop, TimerWheel], None], now: float = 1000.0) -> None:
    loop = SteppedLoop(now)
    try:
        test(loop, TimerWheel(loop))
    finally:
        loop.close()


def in_a_loop(test: Callable[[TimerWheel], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        wheel = TimerWheel(asyncio.get_running_loop())
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await test(wheel)
        finally:
            wheel.stop()

    asyncio.run(run())


def test_a_timer_fires_in_a_real_loop_and_never_early() -> None:
    """With the loop's own clock, whatever it rounds."""

    async def test(wheel: TimerWheel) -> None:
        fired: asyncio.Queue[tuple[float, float]] = asyncio.Queue()

        def expect(delay: float) -> None:
            due = time.monotonic() + delay
            wheel.call_later(delay, lambda: fired.put_nowait((due, time.monotonic())))

        delays = [0.0, 0.001, 0.02, 0.05, 0.07, 0.1, 0.15, 0.2]
        for delay in delays:
            expect(delay)
        for _ in delays:
            due, moment = await fired.get()
            assert moment >= due

    in_a_loop(test)


@given(
    now=st.floats(0, 1e7),
    delays=st.lists(st.floats(0, 20), min_size=1, max_size=20),
    idle=st.floats(0, 5),
)
@settings(deadline=None, max_examples=60)
def test_a_timer_is_never_early_and_at_most_a_tick_late(
    now: float, delays: list[float], idle: float
) -> None:
    """At any time of day, also when the wheel has been idle."""

    def test(loop: SteppedLoop, wheel: TimerWheel) -> None:
        late: list[float] = []

        def expect(delay: float) -> None:
            due = loop.time() + delay
            wheel.call_later(delay, lambda: late.append(loop.time() - due))

        for delay in delays:
            expect(delay)
            loop.step(loop.now + idle)
        loop.step(loop.now + 30)
        assert len(late) == len(delays)
        assert min(late) >= 0
        assert max(late) <= TICK_SECONDS + 1e-6
        assert not loop.pending

    stepped(test, now)


class Appointment:
    """Is its own timer."""

    def __init__(self, loop: SteppedLoop) -> None:
        self._loop = loop
        self.moments: list[float] = []

    def fire(self) -> None:
        self.moments.append(self._loop.now)


@given(now=st.floats(0, 1e7), delays=st.lists(st.floats(0, 20), min_size=1, max_size=20))
@settings(deadline=None, max_examples=60)
def test_what_is_its_own_timer_fires_as_precisely(now: float, delays: list[float]) -> None:
    """Each time that it was added, among timers that can be cancelled."""

    def test(loop: SteppedLoop, wheel: TimerWheel) -> None:
        appointment = Appointment(loop)
        due = sorted(loop.now + delay for delay in delays)
        for delay in delays:
            wheel.call_later(delay, lambda: None).cancel()
            wheel.add(appointment, delay)
        loop.step(loop.now + 30)
        late = [moment - at for moment, at in zip(appointment.moments, due, strict=True)]
        assert min(late) >= 0
        assert max(late) <= TICK_SECONDS + 1e-6
        wheel.add(appointment, 1)
        wheel.stop()
        loop.step(loop.now + 30)
        assert len(appointment.moments) == len(delays)

    stepped(test, now)


def test_a_busy_loop_makes_timers_late_but_skips_none() -> None:
    """A turn that comes seconds late fires everything that became due meanwhile."""

    def test(loop: SteppedLoop, wheel: TimerWheel) -> None:
        fired: list[int] = []
        for n in range(100):
            wheel.call_later(n * 0.03, lambda n=n: fired.append(n))  # type: ignore[misc]
        loop.step(loop.now + 30, latency=0.7)
        assert sorted(fired) == list(range(100))

    stepped(test)


def test_many_timers_share_one_call_of_the_loop() -> None:
    """A hundred thousand connections cost the loop one pending call."""

    def test(loop: SteppedLoop, wheel: TimerWheel) -> None:
        fired: list[None] = []
        for n in range(10_000):
            wheel.call_later(n / 1000, lambda: fired.append(None))
        assert len(loop.pending) == 1
        loop.step(loop.now + 5)
        assert len(loop.pending) == 1
        loop.step(loop.now + 6)
        assert len(fired) == 10_000
        assert not loop.pending

    stepped(test)


def test_a_cancelled_timer_does_not_fire() -> None:
    """Nor do the others of its slot suffer; cancelling twice or late is nothing."""

    def test(loop: SteppedLoop, wheel: TimerWheel) -> None:
        fired: list[str] = []
        wheel.call_later(1, lambda: fired.append("before"))
        timer = wheel.call_later(1, lambda: fired.append("cancelled"))
        after = wheel.call_later(1, lambda: fired.append("after"))
        timer.cancel()
        timer.cancel()
        loop.step(loop.now + 2)
        after.cancel()
        assert fired == ["before", "after"]

    stepped(test)


def test_a_cancelled_timer_lets_go_of_what_it_held() -> None:
    """A connection that is closed is not kept until its longest timer would have fired."""

    class Connection:
        def time_out(self) -> None:
            raise AssertionError("it is closed")

    def test(loop: SteppedLoop, wheel: TimerWheel) -> None:
        connection = Connection()
        alive = weakref.ref(connection)
        timer = wheel.call_later(3600, connection.time_out)
        del connection
        gc.collect()
        assert alive() is not None
        timer.cancel()
        gc.collect()
        assert alive() is None

    stepped(test)


def test_a_timer_may_cancel_its_neighbour() -> None:
    """Also one that is due in the same turn."""

    def test(loop: SteppedLoop, wheel: TimerWheel) -> None:
        fired: list[str] = []
        wheel.call_later(1, lambda: neighbour.cancel())
        neighbour = wheel.call_later(1, lambda: fired.append("neighbour"))
        loop.step(loop.now + 2)
        assert fired == []

    stepped(test)


def test_a_callback_may_set_the_next_timer() -> None:
    """Each waits its own time from that moment, none is lost when the wheel was about to rest."""

    def test(loop: SteppedLoop, wheel: TimerWheel) -> None:
        moments: list[float] = []

        def again() -> None:
            moments.append(loop.now)
            if len(moments) < 50:
                wheel.call_later((len(moments) % 3) * 0.5, again)

        again()
        loop.step(loop.now + 60, latency=0.2)
        assert len(moments) == 50
        for n, (one, next_one) in enumerate(pairwise(moments), start=1):
            assert next_one - one >= (n % 3) * 0.5
        assert not loop.pending

    stepped(test)


def test_a_delay_below_zero_is_none() -> None:
    """A moment that has passed already is the next tick, not never."""

    def test(loop: SteppedLoop, wheel: TimerWheel) -> None:
        fired: list[None] = []
        wheel.call_later(-5, lambda: fired.append(None))
        loop.step(loop.now + 1)
        assert fired == [None]
        assert not loop.pending

    stepped(test)


def test_a_callback_that_fails_stops_nobody_else() -> None:
    """The loop is told of the error; neighbours and later timers fire, and new ones can be set."""

    def test(loop: SteppedLoop, wheel: TimerWheel) -> None:
        fired: list[str] = []

        def fail() -> None:
            raise RuntimeError("no")

        wheel.call_later(1, fail)
        wheel.call_later(1, lambda: fired.append("neighbour"))
        wheel.call_later(2, lambda: fired.append("later"))
        loop.step(loop.now + 3)
        wheel.call_later(1, lambda: fired.append("new"))
        loop.step(loop.now + 2)
        assert fired == ["neighbour", "later", "new"]
        assert [str(error["exception"]) for error in loop.errors] == ["no"]

    stepped(test)


def test_a_stopped_wheel_fires_nothing() -> None:
    """Stopping twice is nothing, and a stopped wheel asks nothing of the loop."""

    def test(loop: SteppedLoop, wheel: TimerWheel) -> None:
        fired: list[None] = []
        wheel.call_later(1, lambda: fired.append(None))
        wheel.stop()
        wheel.stop()
        assert not loop.pending
        loop.step(loop.now + 2)
        assert fired == []

    stepped(test)


def test_a_callback_may_stop_the_wheel() -> None:
    """Its neighbours in the same slot stay silent, and a timer set afterwards works."""

    def test(loop: SteppedLoop, wheel: TimerWheel) -> None:
        fired: list[str] = []

        def stop_and_begin_again() -> None:
            wheel.stop()
            wheel.call_later(1, lambda: fired.append("new"))

        wheel.call_later(1, stop_and_begin_again)
        neighbour = wheel.call_later(1, lambda: fired.append("neighbour"))
        later = wheel.call_later(2, lambda: fired.append("later"))
        loop.step(loop.now + 1.1)
        neighbour.cancel()
        later.cancel()
        assert len(loop.pending) == 1
        loop.step(loop.now + 5)
        assert fired == ["new"]
        assert not loop.pending

    stepped(test)
