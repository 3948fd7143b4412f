"""Answers that leave together at the end of a turn of the loop.

A write wakes whoever waits for it, and that costs more than the write itself. A client that has
many requests under way, or several on one machine, are woken once for all the answers of a turn.
A stream does that by itself.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from herenow.server.streams import Stream

MAX_WAITING_BYTES: Final = 65_536

_log = logging.getLogger("herenow.front")


class Writes:
    """What the connections of one port are to write; between two turns nothing waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []
        self._bytes = 0

    def add(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write *data* at the end of this turn; who writes otherwise, or closes, flushes first."""
        if isinstance(transport, Stream):
            transport.write(data)
            return
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append((transport, data))
        self._bytes += len(data)
        if self._bytes > MAX_WAITING_BYTES:
            # A client that does not read is noticed by what is written, not by what waits.
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        for transport, data in waiting:
            if transport.is_closing():
                continue
            try:
                transport.write(data)
            except Exception:
                # One that cannot be written is not to keep back the others.
                _log.exception("an answer could not be written")
                transport.abort()
