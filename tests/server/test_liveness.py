"""Whether the peer of a connection lives, moment by moment; ``test_timeouts.py`` has real ones."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Final, cast

from herenow.protocol.errors import PONG_TIMEOUT
from herenow.server.connection import Connection
from herenow.server.liveness import Liveness
from herenow.server.timers import TICK_SECONDS, TimerWheel
from server.test_timers import SteppedLoop, stepped

PING_INTERVAL: Final = 25.0
PONG_TIMEOUT_SECONDS: Final = 10.0
HEAD_TIMEOUT: Final = 10.0


class Peer:
    """Stands for a connection, and its transport: notes when it is pinged, closed and dropped."""

    def __init__(self, loop: SteppedLoop, wheel: TimerWheel) -> None:
        self._loop = loop
        self.timers = wheel
        self.node = self.transport = self
        self.settings = SimpleNamespace(
            ping_interval_seconds=PING_INTERVAL,
            pong_timeout_seconds=PONG_TIMEOUT_SECONDS,
            head_timeout_seconds=HEAD_TIMEOUT,
        )
        self.is_reading_paused = False
        self.closing: object = None
        self.pinged: list[float] = []
        self.dropped: list[float] = []
        self.unsent = 1
        self.liveness = Liveness(cast(Connection, self))
        self.liveness.start()

    def write(self, frame: bytes) -> None:
        self.pinged.append(self._loop.now)

    def close(self, closing: object) -> None:
        self.closing = closing
        self.liveness.stop()

    def drop(self) -> None:
        self.dropped.append(self._loop.now)
        self.liveness.stop()

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str) -> Peer:
        return self

    def getsockopt(self, *option: int) -> bytes:
        return b""

    def fileno(self) -> int:
        raise AssertionError("something is unsent")


def watching(test: Callable[[SteppedLoop, Peer], None]) -> None:
    stepped(lambda loop, wheel: test(loop, Peer(loop, wheel)))


def is_at(moment: float, due: float) -> bool:
    return due <= moment <= due + TICK_SECONDS + 1e-6


def test_who_is_silent_is_asked_once_and_then_lost() -> None:
    def test(loop: SteppedLoop, peer: Peer) -> None:
        begun = loop.now
        loop.step(begun + PING_INTERVAL + PONG_TIMEOUT_SECONDS - 1)
        (pinged,) = peer.pinged
        assert is_at(pinged, begun + PING_INTERVAL)
        assert not peer.closing
        loop.step(loop.now + 2)
        assert peer.closing is PONG_TIMEOUT
        loop.step(loop.now + 100)
        assert len(peer.pinged) == 1
        assert not peer.dropped

    watching(test)


def test_who_has_answered_is_asked_again_after_the_interval() -> None:
    def test(loop: SteppedLoop, peer: Peer) -> None:
        for times in range(1, 4):
            loop.step(loop.now + PING_INTERVAL + 1)
            assert len(peer.pinged) == times
            peer.liveness.heard()
            heard = loop.now
        loop.step(heard + PING_INTERVAL + 1)
        assert is_at(peer.pinged[-1], heard + PING_INTERVAL)
        assert not peer.closing

    watching(test)


def test_a_frame_that_was_finished_changes_nothing() -> None:
    def test(loop: SteppedLoop, peer: Peer) -> None:
        loop.step(loop.now + 3)
        peer.liveness.heard()
        peer.liveness.watch_unfinished(True, completed=False)
        loop.step(loop.now + 3)
        peer.liveness.heard()
        peer.liveness.watch_unfinished(False, completed=True)
        heard = loop.now
        loop.step(heard + PING_INTERVAL + 1)
        (pinged,) = peer.pinged
        assert is_at(pinged, heard + PING_INTERVAL)
        assert not peer.dropped

    watching(test)


def test_a_frame_that_stays_unfinished_is_the_end_whatever_comes_of_it() -> None:
    def test(loop: SteppedLoop, peer: Peer) -> None:
        begun = loop.now
        for _ in range(int(HEAD_TIMEOUT) + 5):
            peer.liveness.heard()
            peer.liveness.watch_unfinished(True, completed=False)
            loop.step(loop.now + 1)
        (dropped,) = peer.dropped
        assert is_at(dropped, begun + HEAD_TIMEOUT)

    watching(test)


def test_many_frames_in_pieces_cost_few_appointments() -> None:
    def test(loop: SteppedLoop, peer: Peer) -> None:
        for _ in range(10_000):
            peer.liveness.heard()
            peer.liveness.watch_unfinished(True, completed=False)
            loop.step(loop.now + 0.01)
            peer.liveness.heard()
            peer.liveness.watch_unfinished(False, completed=True)
        waiting = sum(len(slot) for slot in peer.timers._slots.values())
        assert waiting <= 2 + PING_INTERVAL / HEAD_TIMEOUT
        assert not peer.pinged
        assert not peer.dropped

    watching(test)


def test_who_is_lost_is_told_so_although_a_frame_is_unfinished() -> None:
    """The loop came late to both."""

    def test(loop: SteppedLoop, peer: Peer) -> None:
        loop.step(loop.now + PING_INTERVAL + 1)
        peer.liveness._begun = loop.now
        loop.step(loop.now + 1)
        loop.step(loop.now + 3 * PONG_TIMEOUT_SECONDS, latency=2 * PONG_TIMEOUT_SECONDS)
        assert peer.closing is PONG_TIMEOUT
        assert not peer.dropped

    watching(test)


def test_who_is_not_read_is_not_lost() -> None:
    def test(loop: SteppedLoop, peer: Peer) -> None:
        loop.step(loop.now + PING_INTERVAL + 1)
        peer.is_reading_paused = True
        loop.step(loop.now + 3 * PONG_TIMEOUT_SECONDS)
        peer.is_reading_paused = False
        peer.liveness.heard()
        heard = loop.now
        loop.step(heard + PING_INTERVAL - 1)
        assert len(peer.pinged) == 1
        loop.step(heard + PING_INTERVAL + 1)
        assert len(peer.pinged) == 2
        assert not peer.closing

    watching(test)


def test_who_reads_slowly_is_given_more_time_as_long_as_it_reads() -> None:
    def test(loop: SteppedLoop, peer: Peer) -> None:
        peer.unsent = 1_000_000
        loop.step(loop.now + PING_INTERVAL + 1)
        for _ in range(3):
            peer.unsent -= 1_000
            loop.step(loop.now + PONG_TIMEOUT_SECONDS)
            assert not peer.closing
        loop.step(loop.now + 2 * PONG_TIMEOUT_SECONDS)
        assert peer.closing is PONG_TIMEOUT

    watching(test)
