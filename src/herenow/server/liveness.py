"""Whether the peer of a connection still lives, and finishes what it begins.

Only what is received counts as life (protocol reference §4). A peer that reads a large frame slowly
cannot answer a ping that stands behind it: as long as what was written before the ping is still
arriving there, it is given more time.
"""

from __future__ import annotations

import asyncio
import math
import struct
import sys
from typing import TYPE_CHECKING, Final

from herenow.protocol.errors import PONG_TIMEOUT
from herenow.protocol.websocket import ping_frame

if TYPE_CHECKING:
    from herenow.server.connection import Connection

_LOOK_AGAIN_SECONDS: Final = 0.1
_PING: Final = ping_frame()


class _Pinged:
    """A ping that is not answered: until when it may be, and what had arrived when it was sent."""

    __slots__ = ("behind", "delivered", "until")

    def __init__(self, transport: asyncio.Transport, until: float) -> None:
        self.until = until
        self.behind = _undelivered(transport)
        self.delivered = _delivered(transport)

    def progresses(self, transport: asyncio.Transport) -> bool:
        """Take note of what has arrived of what was written before it: whether that is more."""
        delivered = _delivered(transport)
        if not self.behind or delivered <= self.delivered:
            return False
        self.behind, self.delivered = _undelivered(transport), delivered
        return True


class Liveness:
    """Watches over one connection, and is the one timer it needs for that.

    ``_due`` is when it looks next. Only a look puts that off, a frame that begins may bring it
    forward; so what the wheel fires before it, being never early, is left over from earlier.
    """

    __slots__ = ("_begun", "_connection", "_due", "_heard", "_pinged", "_timers")

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self._timers = connection.node.timers
        self._heard = self._timers.now()
        self._due = math.inf
        self._pinged: _Pinged | None = None
        self._begun: float | None = None

    def start(self) -> None:
        if self._connection is not None:
            self._look_by(self._heard + self._connection.node.settings.ping_interval_seconds)

    def stop(self) -> None:
        self._connection = self._pinged = None

    def heard(self) -> None:
        """Something arrived, or reading begins again after the server itself had paused it."""
        self._heard = self._timers.now()
        self._pinged = None

    def caught_up(self) -> None:
        """What was written has left; a ping that waited behind it has gone out only now."""
        if self._pinged is not None and self._connection is not None:
            pong_timeout = self._connection.node.settings.pong_timeout_seconds
            self._pinged.until = self._timers.now() + pong_timeout

    def watch_unfinished(self, unfinished: bool, completed: bool) -> None:
        """Give a frame or message that has begun its time; what comes of it wins no more.

        *completed*: another one came to its end first.
        """
        if not unfinished or self._connection is None:
            self._begun = None
            return
        if completed or self._begun is None:
            self._begun = self._heard
        self._look_by(self._begun + self._connection.node.settings.head_timeout_seconds)

    def _look_by(self, moment: float) -> None:
        if moment < self._due:
            self._due = moment
            self._timers.add(self, moment - self._timers.now())

    def fire(self) -> None:
        connection, now = self._connection, self._timers.now()
        if connection is None or now < self._due:
            return
        self._due = math.inf
        moment = self._look(connection, now)
        if not connection.closing:
            self._look_by(moment)

    def _look(self, connection: Connection, now: float) -> float:
        """Do what is due; the answer is when to look again."""
        settings = connection.node.settings
        due = self._heard + settings.ping_interval_seconds
        if connection.is_reading_paused:
            return max(due, now + _LOOK_AGAIN_SECONDS)
        if self._pinged is not None:
            due = self._await_pong(connection, self._pinged, now)
        elif due <= now:
            due = now + settings.pong_timeout_seconds
            self._pinged = _Pinged(connection.transport, due)
            connection.write(_PING)
        if self._begun is None or connection.closing:
            return due
        finished = self._begun + settings.head_timeout_seconds
        if finished <= now:
            connection.drop()
            return math.inf
        return min(due, finished)

    def _await_pong(self, connection: Connection, pinged: _Pinged, now: float) -> float:
        if pinged.until <= now:
            if pinged.progresses(connection.transport):
                pinged.until = now + connection.node.settings.pong_timeout_seconds
            else:
                connection.close(PONG_TIMEOUT)
        return pinged.until


def _undelivered(transport: asyncio.Transport) -> bool:
    """Whether something written has not reached the peer's system yet."""
    if transport.get_write_buffer_size():
        return True
    if sys.platform != "linux":
        return False
    import fcntl
    import termios

    descriptor = transport.get_extra_info("socket").fileno()
    (queued,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
    return bool(queued)


def _delivered(transport: asyncio.Transport) -> int:
    """How many bytes have reached the peer's system; where that is unknown, how few still wait."""
    if sys.platform != "linux":
        return -transport.get_write_buffer_size()
    import socket

    # struct tcp_info of linux/tcp.h: tcpi_bytes_acked stands at offset 120.
    sock = transport.get_extra_info("socket")
    answer = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
    if len(answer) < 128:
        return -transport.get_write_buffer_size()
    (acknowledged,) = struct.unpack_from("Q", answer, 120)
    return int(acknowledged)
