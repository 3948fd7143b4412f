"""The entrance of an application that may have so many connections and no more.

The count is the ledger's, so that it holds for all nodes together. A client waits for it before it
is greeted; what it sends meanwhile waits too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from herenow.cluster.base import Refusal
from herenow.protocol import errors
from herenow.protocol.errors import Closing

if TYPE_CHECKING:
    from herenow.server.hub import Hub

Enter = Callable[[Closing | None], asyncio.Protocol]


class Entering(asyncio.Protocol):
    """A WebSocket that is not let in yet. *enter* lets it in or refuses it; *left* says it went."""

    __slots__ = ("_enter", "_entered", "_gone", "_hub", "_left", "_transport", "_unread")

    def __init__(
        self, hub: Hub, transport: asyncio.Transport, enter: Enter, left: Callable[[], None]
    ) -> None:
        self._hub = hub
        self._transport = transport
        self._enter = enter
        self._left = left
        self._entered: asyncio.Protocol | None = None
        self._unread: bytes | None = None
        self._gone = False

    def begin(self) -> asyncio.Protocol:
        """Ask the ledger; the answer is whoever is to have the transport now."""
        hub = self._hub
        hub.entering += 1
        connections = len(hub.connections) + hub.entering
        hub.ledger.admit(hub.app.id, connections, hub.app.limits.max_connections, self._answered)
        if self._entered is not None:
            return self._entered
        self._unread = b""
        return self

    def _answered(self, admitted: bool | Refusal) -> None:
        hub = self._hub
        hub.entering -= 1
        if not self._gone:
            self._entered = self._enter(_refusal(admitted))
            if self._unread is not None:
                self._hand_over(self._entered, self._unread)
        hub.count_connections()

    def _hand_over(self, entered: asyncio.Protocol, unread: bytes) -> None:
        self._transport.set_protocol(entered)
        if unread:
            self._transport.resume_reading()
            entered.data_received(unread)

    def data_received(self, data: bytes) -> None:
        self._unread = (self._unread or b"") + data
        self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._left()


def _refusal(admitted: bool | Refusal) -> Closing | None:
    if isinstance(admitted, Refusal):
        # Nobody knows whether there is room: the client is to come back, not to give up.
        return errors.ENGINE_UNAVAILABLE
    return None if admitted else errors.OVER_QUOTA
