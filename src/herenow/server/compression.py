"""Frames for connections that negotiated permessage-deflate: each compressed once for all of them.

Whoever fans out knows nothing of it: it hands everybody the same bytes, and the ``write`` of such a
connection looks up what these become.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from herenow.protocol.websocket import compress_frame, split_frames, text_frame

RECENT_BYTES: Final = 1 << 20

Deflate = Callable[[bytes], bytes]
"""Makes frames, one or several joined, into what is written instead."""


class Deflater:
    """For one size of window: frames go in, the same frames with compressed payloads come out.

    It remembers the last of them, about ``RECENT_BYTES`` in all. Bytes keep their hash, so for the
    next receiver of the same object looking it up costs nothing that grows with it.
    """

    __slots__ = ("_held", "_min_size", "_recent", "_window_bits")

    def __init__(self, min_bytes: int, window_bits: int) -> None:
        self._min_size = len(text_frame(bytes(min_bytes)))
        self._window_bits = window_bits
        self._recent: dict[bytes, bytes] = {}
        self._held = 0

    def deflate(self, frames: bytes) -> bytes:
        """*frames* as they are to be written."""
        if len(frames) < self._min_size:
            return frames
        known = self._recent.get(frames)
        return self._deflate_anew(frames) if known is None else known

    def _deflate_anew(self, frames: bytes) -> bytes:
        parts = split_frames(frames)
        if len(parts) == 1:
            deflated = compress_frame(frames, self._window_bits)
        else:
            deflated = b"".join(map(self.deflate, parts))
        self._remember(frames, deflated)
        return deflated

    def _remember(self, frames: bytes, deflated: bytes) -> None:
        recent = self._recent
        recent[frames] = deflated
        self._held += len(frames) + len(deflated)
        while self._held > RECENT_BYTES and len(recent) > 1:
            oldest = next(iter(recent))
            self._held -= len(oldest) + len(recent.pop(oldest))


class Compression:
    """The deflaters of a node, shared by its connections."""

    def __init__(self, min_bytes: int) -> None:
        self._min_bytes = min_bytes
        self._deflates: dict[int, Deflate] = {}

    def deflate(self, window_bits: int) -> Deflate:
        """What makes frames fit for a client that can read so large a window."""
        deflate = self._deflates.get(window_bits)
        if deflate is None:
            deflate = self._deflates[window_bits] = Deflater(self._min_bytes, window_bits).deflate
        return deflate
