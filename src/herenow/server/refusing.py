"""A WebSocket that is refused: told why, closed, and gone within a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from herenow.protocol import messages
from herenow.protocol.errors import Closing
from herenow.protocol.websocket import Decoder, Opcode, close_frame, text_frame
from herenow.server.timers import Timer, TimerWheel

CLOSING_SECONDS: Final = 1.0
_MAX_IGNORED_BYTES: Final = 65_536


class RefusedConnection(asyncio.Protocol):
    """The handshake is accepted all the same: a browser cannot see the status of a failed upgrade,
    and its client needs the close code to know whether to come back (protocol reference §2.1).

    *accepted*, the answer to the handshake if it was not written yet, leaves with the rest.
    """

    __slots__ = ("_decoder", "_drop", "_released", "_transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        closing: Closing,
        timers: TimerWheel,
        released: Callable[[], None],
        accepted: bytes,
    ) -> None:
        self._transport = transport
        self._decoder = Decoder(_MAX_IGNORED_BYTES)
        self._released = released
        error = text_frame(messages.error(closing.message, closing.code))
        transport.write(accepted + error + close_frame(closing.code, closing.message))
        self._drop: Timer = timers.call_later(CLOSING_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        if any(opcode == Opcode.CLOSE for opcode, _ in self._decoder.receive_data(data)):
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop.cancel()
        self._released()
