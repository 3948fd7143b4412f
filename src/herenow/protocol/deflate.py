"""permessage-deflate (RFC 7692): what is agreed on, and single messages made small or whole again.

Both sides forget each message before the next (``no_context_takeover``). So one compressed form
serves everybody, and between messages a connection keeps nothing.
"""

from __future__ import annotations

import re
import sys
import zlib
from typing import Final, NamedTuple

MAX_WINDOW_BITS: Final = 15
# zlib cannot compress raw data with a window of 8 bits.
_MIN_WINDOW_BITS: Final = 9

# Higher levels take up to seven times as long for a tenth less.
_LEVEL: Final = 3
# Allocating and clearing what a larger one needs takes longer than compressing an event.
_MEMORY_LEVEL: Final = 6

_EXTENSION: Final = "permessage-deflate"
_PARAMETER: Final = re.compile(
    "(server_no_context_takeover|client_no_context_takeover|client_max_window_bits)"
    r"|(server_max_window_bits|client_max_window_bits)[ \t]*=[ \t]*(\"?)(8|9|1[0-5])\3"
)

# What a sender takes off the end of a message (§7.2.1), and an empty block after which it is over.
_TAIL: Final = b"\x00\x00\xff\xff"
_END: Final = b"\x01\x00\x00\xff\xff"
_WINDOW: Final = 1 << MAX_WINDOW_BITS
# Nobody sends more, and each one costs the copy of a window.
_MAX_FINAL_BLOCKS: Final = 16


class Agreement(NamedTuple):
    """``answer`` stands in the response; ``window_bits`` bounds what the server compresses with."""

    answer: str
    window_bits: int


def negotiate(offers: str) -> Agreement | None:
    """The first of a client's *offers*, its ``Sec-WebSocket-Extensions``, that can be accepted.

    An offer with an unknown, repeated or malformed parameter is declined (§7.1), and so is one
    that demands a window smaller than 512 bytes. ``client_max_window_bits`` needs no answer: any
    window that a client may choose can be read.
    """
    for offer in offers.split(","):
        name, *parameters = (part.strip(" \t") for part in offer.split(";"))
        if name == _EXTENSION and (agreement := _accept(parameters)) is not None:
            return agreement
    return None


def _accept(parameters: list[str]) -> Agreement | None:
    values: dict[str, str | None] = {}
    for parameter in parameters:
        match = _PARAMETER.fullmatch(parameter)
        if match is None or (name := match[1] or match[2]) in values:
            return None
        values[name] = match[4]
    answer = f"{_EXTENSION}; server_no_context_takeover; client_no_context_takeover"
    demanded = values.get("server_max_window_bits")
    if demanded is None:
        return Agreement(answer, MAX_WINDOW_BITS)
    window_bits = int(demanded)
    if window_bits < _MIN_WINDOW_BITS:
        return None
    return Agreement(f"{answer}; server_max_window_bits={window_bits}", window_bits)


def compress(payload: bytes, window_bits: int = MAX_WINDOW_BITS) -> bytes:
    """A whole message, compressed as its frame carries it (§7.2.1)."""
    # A window larger than the message gains nothing and costs its allocation.
    fitting = max(_MIN_WINDOW_BITS, min(window_bits, len(payload).bit_length()))
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -fitting, _MEMORY_LEVEL)
    compressed = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return compressed[: -len(_TAIL)]


class CorruptMessage(Exception):
    """What was received does not inflate to a whole message."""


class MessageTooLong(Exception):
    """A message inflates to more than is allowed."""


class Inflater:
    """Appends to ``output`` what a compressed message, taken piece by piece, inflates to.

    Never more than one byte above *limit* is inflated, whatever the message would grow to.
    """

    __slots__ = ("_final_blocks", "_limit", "_output", "_stream")

    def __init__(self, output: bytearray, limit: int) -> None:
        self._output = output
        self._limit = min(limit, sys.maxsize - 1)
        self._stream = zlib.decompressobj(-MAX_WINDOW_BITS)
        self._final_blocks = 0

    def inflate(self, data: bytes) -> bytes:
        """What *data*, the next of the message, adds to the output.

        Raises :exc:`CorruptMessage` or :exc:`MessageTooLong`.
        """
        output = self._output
        start = len(output)
        while data:
            if self._stream.eof:
                self._begin_again()
            try:
                output += self._stream.decompress(data, self._limit - len(output) + 1)
            except zlib.error as error:
                raise CorruptMessage(str(error)) from None
            if len(output) > self._limit:
                raise MessageTooLong(f"more than {self._limit} bytes")
            data = self._stream.unused_data
        return bytes(output[start:])

    def _begin_again(self) -> None:
        """§7.2.1: blocks may follow a final one, and they may refer to what came before it."""
        self._final_blocks += 1
        if self._final_blocks > _MAX_FINAL_BLOCKS:
            raise CorruptMessage(f"more than {_MAX_FINAL_BLOCKS} final blocks")
        self._stream = zlib.decompressobj(-MAX_WINDOW_BITS, zdict=bytes(self._output[-_WINDOW:]))

    def finish(self) -> bytes:
        """What the end of the message adds to the output; raises as :meth:`inflate` does."""
        over = self._stream.eof
        rest = b"" if over else self.inflate(_TAIL + _END)
        if not self._stream.eof:
            raise CorruptMessage("the last block is incomplete")
        return rest
