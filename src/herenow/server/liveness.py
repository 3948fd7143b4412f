"""Whether the peer of a connection still lives, and finishes what it begins.

Only what is received counts as life (protocol reference §4). A peer that reads a large frame slowly
cannot answer a ping that stands behind it: as long as what was written before the ping is still
arriving there, it is given more time.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from typing import TYPE_CHECKING, Final

from herenow.protocol.errors import PONG_TIMEOUT
from herenow.protocol.websocket import ping_frame

if TYPE_CHECKING:
    from herenow.server.connection import Connection
    from herenow.server.timers import Timer

_LOOK_AGAIN_SECONDS: Final = 0.1
_PING: Final = ping_frame()


class Liveness:
    """Watches over one connection with at most two timers of the node's wheel."""

    __slots__ = (
        "_begun",
        "_behind",
        "_check",
        "_connection",
        "_delivered",
        "_half",
        "_heard",
        "_pinged",
        "_transport",
    )

    def __init__(self, connection: Connection, transport: asyncio.Transport) -> None:
        self._connection = connection
        self._transport = transport
        self._heard = connection.node.timers.now()
        self._pinged = False
        self._behind = False
        self._delivered = 0
        self._check: Timer | None = None
        self._begun: float | None = None
        self._half: Timer | None = None

    def start(self) -> None:
        self._look_in(self._connection.node.settings.ping_interval_seconds)

    def stop(self) -> None:
        for timer in (self._check, self._half):
            if timer is not None:
                timer.cancel()

    def heard(self) -> None:
        """Something arrived, or reading begins again after the server itself had paused it."""
        self._heard = self._connection.node.timers.now()
        self._pinged = False

    def caught_up(self) -> None:
        """What was written has left; a ping that waited behind it has gone out only now."""
        if self._pinged and self._check is not None:
            self._check.cancel()
            self._look_in(self._connection.node.settings.pong_timeout_seconds)

    def _look_in(self, seconds: float) -> None:
        if seconds:
            self._check = self._connection.node.timers.call_later(seconds, self._look)

    def _look(self) -> None:
        settings = self._connection.node.settings
        silent = self._connection.node.timers.now() - self._heard
        if self._connection.is_reading_paused:
            self._look_in(max(settings.ping_interval_seconds - silent, _LOOK_AGAIN_SECONDS))
        elif self._pinged:
            self._miss_pong()
        elif silent < settings.ping_interval_seconds:
            self._look_in(settings.ping_interval_seconds - silent)
        else:
            self._pinged = True
            self._behind = _undelivered(self._transport)
            self._delivered = _delivered(self._transport)
            self._connection.write(_PING)
            self._look_in(settings.pong_timeout_seconds)

    def _miss_pong(self) -> None:
        delivered = _delivered(self._transport)
        if self._behind and delivered > self._delivered:
            self._delivered = delivered
            self._behind = _undelivered(self._transport)
            self._look_in(self._connection.node.settings.pong_timeout_seconds)
        else:
            self._connection.close(PONG_TIMEOUT)

    def watch_unfinished(self, unfinished: bool, completed: bool) -> None:
        """Give a frame or message that has begun its time; what comes of it wins no more.

        *completed*: another one came to its end first.
        """
        if not unfinished:
            self._begun = None
            return
        if completed or self._begun is None:
            self._begun = self._heard
        if self._half is None:
            self._drop_in(self._connection.node.settings.head_timeout_seconds)

    def _drop_in(self, seconds: float) -> None:
        if seconds and not self._connection.closing:
            self._half = self._connection.node.timers.call_later(seconds, self._check_unfinished)

    def _check_unfinished(self) -> None:
        self._half = None
        if self._begun is None or self._connection.is_reading_paused:
            return
        settings, now = self._connection.node.settings, self._connection.node.timers.now()
        remaining = self._begun + settings.head_timeout_seconds - now
        if remaining > 0:
            self._drop_in(remaining)
        else:
            self._connection.drop()


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
