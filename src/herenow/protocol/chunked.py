"""The chunked transfer coding (RFC 9112 §7.1), received."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

MAX_LINE_BYTES: Final = 8 * 1024
MAX_TRAILER_BYTES: Final = 32 * 1024
_HEX_DIGITS: Final = b"0123456789abcdefABCDEF"
_MAX_SIZE_DIGITS: Final = 16


class Refused(Exception):
    """A message that is not served: status, one line for the client, further headers."""

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(status, message, headers)


class _Line(Enum):
    """What the next line must be."""

    SIZE = auto()
    END_OF_CHUNK = auto()
    TRAILER = auto()


class ChunkedBody:
    """A chunked body being received; ``body`` is valid once ``complete``.

    Extensions and trailers are read and dropped. ``max_bytes`` bounds the body; 0 means unlimited.
    """

    __slots__ = ("_left", "_max_bytes", "_next", "_trailer_bytes", "body", "complete")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._left = 0
        self._next = _Line.SIZE
        self._trailer_bytes = 0
        self.body = bytearray()
        self.complete = False

    def receive_data(self, data: bytes, start: int) -> int:
        """Read *data* from *start*; return where it stopped: at the body's end, or where more
        must come first. Raises :exc:`Refused`.
        """
        while not self.complete:
            if self._left:
                stop = min(start + self._left, len(data))
                self.body += data[start:stop]
                self._left -= stop - start
                start = stop
                if self._left:
                    break
            feed = data.find(b"\n", start, start + MAX_LINE_BYTES)
            if feed < 0:
                if len(data) - start >= MAX_LINE_BYTES:
                    raise Refused(400, "Malformed chunked body: line too long")
                break
            line = data[start : feed + 1]
            if not line.endswith(b"\r\n") or line.count(b"\r") != 1:
                raise Refused(400, "Malformed chunked body: a line must end with CR LF")
            self._receive_line(line[:-2])
            start = feed + 1
        return start

    def _receive_line(self, line: bytes) -> None:
        if self._next is _Line.SIZE:
            self._receive_size(line.partition(b";")[0])
        elif self._next is _Line.END_OF_CHUNK:
            if line:
                raise Refused(400, "Malformed chunked body: data beyond the size of its chunk")
            self._next = _Line.SIZE
        elif not line:
            self.complete = True
        else:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > MAX_TRAILER_BYTES:
                raise Refused(431, f"Trailers are larger than {MAX_TRAILER_BYTES} bytes")

    def _receive_size(self, digits: bytes) -> None:
        if not 1 <= len(digits) <= _MAX_SIZE_DIGITS or digits.strip(_HEX_DIGITS):
            raise Refused(400, "Malformed chunked body: a size must be hexadecimal digits")
        size = int(digits, 16)
        if size == 0:
            self._next = _Line.TRAILER
            return
        if 0 < self._max_bytes < len(self.body) + size:
            raise Refused(413, f"Request body is larger than {self._max_bytes} bytes")
        self._left = size
        self._next = _Line.END_OF_CHUNK
