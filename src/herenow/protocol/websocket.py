"""The server's half of RFC 6455 framing: bytes in, messages out; payloads in, frames out.

Of the extensions there is permessage-deflate (``deflate.py``), and its bit is the only reserved one
that may ever be set.
"""

from __future__ import annotations

import binascii
import codecs
import hashlib
import sys
from enum import IntEnum
from typing import Final, NamedTuple

from herenow.protocol.deflate import CorruptMessage, Inflater, MessageTooLong, compress
from herenow.protocol.errors import CloseCode

_HANDSHAKE_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MAX_CONTROL_PAYLOAD: Final = 125
_MAX_REASON: Final = _MAX_CONTROL_PAYLOAD - 2

_FIN: Final = 0x80
_RESERVED: Final = 0x70
_COMPRESSED: Final = 0x40
_OPCODE: Final = 0x0F
_CONTROL: Final = 0x08
# What of a first byte tells that a message is neither fragmented nor compressed: FIN alone.
_WHOLE: Final = _FIN | _COMPRESSED
_MASKED: Final = 0x80
_MAX_LENGTH: Final = (1 << 63) - 1

# First bytes of the final frames: FIN and the opcode.
_TEXT: Final = 0x81
_CLOSE: Final = 0x88
_PING: Final = 0x89
_PONG: Final = 0x8A

_new_utf8_decoder: Final = codecs.getincrementaldecoder("utf-8")


class Opcode(IntEnum):
    """What a frame carries (RFC 6455 §5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_OPCODES: Final = frozenset(Opcode)


class Fault(NamedTuple):
    """Why input was refused, as a close frame tells it."""

    code: CloseCode
    reason: str


class Close(NamedTuple):
    """What a peer's close frame says; ``code`` is ``None`` when it says nothing."""

    code: int | None
    reason: str


def accept_key(sec_websocket_key: str) -> bytes:
    """The ``Sec-WebSocket-Accept`` that answers a ``Sec-WebSocket-Key`` (RFC 6455 §4.2.2)."""
    digest = hashlib.sha1(sec_websocket_key.encode() + _HANDSHAKE_GUID, usedforsecurity=False)
    return binascii.b2a_base64(digest.digest(), newline=False)


def text_frame(payload: bytes) -> bytes:
    """*payload*, which must be UTF-8, as one unmasked text frame."""
    return _frame(_TEXT, payload)


def split_frames(frames: bytes) -> list[bytes]:
    """The unmasked frames that *frames* is joined of."""
    found = []
    start = 0
    while start < len(frames):
        _, stop = _payload_place(frames, start)
        found.append(frames[start:stop])
        start = stop
    return found


def compress_frame(frame: bytes, window_bits: int) -> bytes:
    """*frame*, an unmasked text frame, compressed (RFC 7692); as it is if that is not smaller.

    Any other frame is left alone.
    """
    if frame[0] != _TEXT:
        return frame
    begin, _ = _payload_place(frame, 0)
    compressed = _frame(_TEXT | _COMPRESSED, compress(frame[begin:], window_bits))
    return compressed if len(compressed) < len(frame) else frame


def ping_frame(payload: bytes = b"") -> bytes:
    """A ping with at most 125 bytes of *payload*."""
    return _control_frame(_PING, payload)


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping with that *payload*."""
    return _control_frame(_PONG, payload)


def close_frame(code: int, reason: str) -> bytes:
    """A close frame; of *reason* go as many whole characters as fit into 123 bytes."""
    encoded = reason.encode("utf-8", "replace")[:_MAX_REASON]
    whole_characters = encoded.decode("utf-8", "ignore").encode()
    return _control_frame(_CLOSE, code.to_bytes(2, "big") + whole_characters)


def parse_close(payload: bytes) -> Close | Fault:
    """What the *payload* of a peer's close frame says, or why no peer may say so (§7.4)."""
    if not payload:
        return Close(None, "")
    if len(payload) == 1:
        return Fault(CloseCode.PROTOCOL_ERROR, "Close frame with half a close code")
    try:
        reason = payload[2:].decode()
    except UnicodeDecodeError:
        return Fault(CloseCode.INVALID_PAYLOAD, "Close reason is not UTF-8")
    code = int.from_bytes(payload[:2], "big")
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        return Fault(CloseCode.PROTOCOL_ERROR, f"Close code {code} must not be sent")
    return Close(code, reason)


def _frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return (first << 8 | length).to_bytes(2, "big") + payload
    if length < 1 << 16:
        return (first << 24 | 126 << 16 | length).to_bytes(4, "big") + payload
    return (first << 72 | 127 << 64 | length).to_bytes(10, "big") + payload


def _payload_place(frames: bytes, start: int) -> tuple[int, int]:
    """Where the payload of the unmasked frame at *start* begins and where it stops."""
    length = frames[start + 1]
    begin = start + 2
    if length >= 126:
        begin += 2 if length == 126 else 8
        length = int.from_bytes(frames[start + 2 : begin], "big")
    return begin, begin + length


def _control_frame(first: int, payload: bytes) -> bytes:
    if len(payload) > _MAX_CONTROL_PAYLOAD:
        raise ValueError(f"a control frame carries at most 125 bytes, not {len(payload)}")
    return _frame(first, payload)


def _unmask(payload: bytes, key: bytes) -> bytes:
    # One XOR of two big integers beats every loop over bytes by far.
    length = len(payload)
    keys = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(keys, "little")).to_bytes(
        length, "little"
    )


class _Message:
    """A text or binary message of which only a part is here; it takes frames piece by piece.

    All pieces go into one buffer, so a message costs its own size however finely it is cut, and
    an empty fragment costs nothing. Text is checked as it comes.
    """

    __slots__ = ("_final", "_key", "_payload", "_utf8", "missing", "opcode", "size")

    def __init__(self, opcode: int) -> None:
        self.opcode = opcode
        self.size = 0
        self.missing = 0
        self._final = False
        self._key = b""
        self._payload = bytearray()
        self._utf8 = _new_utf8_decoder() if opcode == Opcode.TEXT else None

    @property
    def complete(self) -> bool:
        return self._final and not self.missing

    @property
    def payload(self) -> bytes:
        return bytes(self._payload)

    def begin_frame(self, final: bool, key: bytes, length: int) -> None:
        self._final = final
        self._key = key
        self.missing = length
        self.size += length

    def take(self, masked: bytes) -> None:
        """Add the next bytes of the frame begun last."""
        piece = self._next(masked)
        self._payload += piece
        self._check(piece)

    def _next(self, masked: bytes) -> bytes:
        piece = _unmask(masked, self._key)
        turn = len(piece) % 4
        self._key = self._key[turn:] + self._key[:turn]
        self.missing -= len(piece)
        return piece

    def _check(self, piece: bytes) -> None:
        if self._utf8 is not None:
            try:
                self._utf8.decode(piece, self.complete)
            except UnicodeDecodeError:
                raise _not_utf8() from None


class _CompressedMessage(_Message):
    """A compressed message; ``size`` is what was received, the limit holds for what it becomes."""

    __slots__ = ("_inflater",)

    def __init__(self, opcode: int, limit: int) -> None:
        super().__init__(opcode)
        self._inflater = Inflater(self._payload, limit)

    def take(self, masked: bytes) -> None:
        try:
            piece = self._inflater.inflate(self._next(masked))
            if self.complete:
                piece += self._inflater.finish()
        except CorruptMessage as error:
            reason = f"Compressed message is corrupt: {error}"
            raise _FrameError(CloseCode.INVALID_PAYLOAD, reason) from None
        except MessageTooLong as error:
            reason = f"Compressed message inflates to {error}"
            raise _FrameError(CloseCode.MESSAGE_TOO_BIG, reason) from None
        self._check(piece)


class Decoder:
    """Turns the bytes that a client sends into whole messages.

    Invalid input raises nothing: it sets ``fault``. After that, and after a close frame, which
    is the last thing a peer says, further input is ignored. While no frame or message is
    unfinished the decoder holds no input.

    ``max_message_bytes`` bounds a text or binary message, all fragments together; ``0`` means
    unlimited. *compression*: permessage-deflate was negotiated, so a message may come compressed;
    it is bounded as received and as inflated.
    """

    __slots__ = ("_ended", "_held", "_max_message_bytes", "_message", "_reserved", "fault")

    def __init__(self, max_message_bytes: int, *, compression: bool = False) -> None:
        self.fault: Fault | None = None
        self._reserved = _RESERVED & ~_COMPRESSED if compression else _RESERVED
        self._max_message_bytes = max_message_bytes or sys.maxsize
        self._ended = False
        # The start of a frame, too little to act on: of a data frame its head, of a control
        # frame anything less than all of it, hence never more than 130 bytes.
        self._held = b""
        self._message: _Message | None = None

    @property
    def unfinished(self) -> bool:
        """Whether a part of a frame or of a fragmented message waits for the rest."""
        return self._message is not None or bool(self._held)

    def receive_data(self, data: bytes) -> list[tuple[int, bytes]]:
        """The messages that *data* completes, in order, as pairs of opcode and payload.

        The opcodes are ``TEXT``, with a payload of valid UTF-8, ``BINARY``, ``PING``, ``PONG``
        and ``CLOSE``, with a payload for ``parse_close``.
        """
        messages: list[tuple[int, bytes]] = []
        if self._ended:
            return messages
        try:
            self._decode(data, messages)
        except _FrameError as error:
            self.fault = error.fault
            self._end()
        return messages

    def _decode(self, data: bytes, messages: list[tuple[int, bytes]]) -> None:
        position = 0
        if self._held:
            data = self._held + data
            self._held = b""
        elif (message := self._message) is not None and message.missing:
            position = message.missing
            self._take(message, data[:position], messages)

        end = len(data)
        while end - position >= 2:
            message = self._message
            first = data[position]
            length = data[position + 1] - _MASKED  # negative without the mask bit
            if first != _TEXT or length < 0 or message is not None:
                _check_start(first, length, message is not None, self._reserved)
            control = first & _CONTROL

            key = position + 2
            if length == 126:
                key += 2
                if key > end:
                    break
                length = data[position + 2] << 8 | data[position + 3]
                if length < 126:
                    raise _not_shortest()
            elif length == 127:
                key += 8
                if key > end:
                    break
                length = int.from_bytes(data[position + 2 : key], "big")
                _check_long_length(length)
            size = length if message is None else message.size + length
            if size > self._max_message_bytes and not control:
                raise _too_big(size, self._max_message_bytes)

            begin = key + 4
            stop = begin + length
            if begin > end or (control and stop > end):
                break
            if control or (first & _WHOLE == _FIN and message is None and stop <= end):
                payload = _unmask(data[begin:stop], data[key:begin])
                if first == _TEXT and not payload.isascii():
                    _check_utf8(payload)
                messages.append((first & _OPCODE, payload))
                if first == _CLOSE:
                    self._end()
                    return
            else:
                if message is None:
                    message = self._message = self._begin_message(first)
                message.begin_frame(bool(first & _FIN), data[key:begin], length)
                self._take(message, data[begin:stop], messages)
            position = stop
        self._held = data[position:]

    def _begin_message(self, first: int) -> _Message:
        if first & _COMPRESSED:
            return _CompressedMessage(first & _OPCODE, self._max_message_bytes)
        return _Message(first & _OPCODE)

    def _take(self, message: _Message, masked: bytes, messages: list[tuple[int, bytes]]) -> None:
        message.take(masked)
        if message.complete:
            self._message = None
            messages.append((message.opcode, message.payload))

    def _end(self) -> None:
        self._ended = True
        self._held = b""
        self._message = None


def _check_start(first: int, length: int, fragmented: bool, reserved: int) -> None:
    """Refuse a frame whose first two bytes no client may send (§5.2, §5.4, §5.5).

    No extension was negotiated for the bits *reserved*.
    """
    opcode = first & _OPCODE
    if first & reserved:
        raise _protocol_error("Reserved bits are set, but no extension was negotiated for them")
    if opcode not in _OPCODES:
        raise _protocol_error(f"Unknown opcode {opcode}")
    if length < 0:
        raise _protocol_error("Frame of a client is not masked")
    if opcode & _CONTROL:
        if not first & _FIN:
            raise _protocol_error("Control frame is fragmented")
        if length > _MAX_CONTROL_PAYLOAD:
            raise _protocol_error("Control frame is longer than 125 bytes")
    elif opcode == Opcode.CONTINUATION and not fragmented:
        raise _protocol_error("Continuation without a message to continue")
    elif opcode != Opcode.CONTINUATION and fragmented:
        raise _protocol_error("New message inside a fragmented one")
    # RFC 7692 §6: the first fragment says it for the whole message.
    if first & _COMPRESSED and opcode not in (Opcode.TEXT, Opcode.BINARY):
        raise _protocol_error("Only the first frame of a message is marked as compressed")


def _check_long_length(length: int) -> None:
    if length > _MAX_LENGTH:
        raise _protocol_error("Most significant bit of a 64-bit length is set")
    if length < 1 << 16:
        raise _not_shortest()


def _check_utf8(text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        raise _not_utf8() from None


def _protocol_error(reason: str) -> _FrameError:
    return _FrameError(CloseCode.PROTOCOL_ERROR, reason)


def _not_shortest() -> _FrameError:
    return _protocol_error("Payload length is not in its shortest form")


def _not_utf8() -> _FrameError:
    return _FrameError(CloseCode.INVALID_PAYLOAD, "Text is not UTF-8")


def _too_big(size: int, limit: int) -> _FrameError:
    return _FrameError(CloseCode.MESSAGE_TOO_BIG, f"Message of {size} bytes, {limit} are allowed")


class _FrameError(Exception):
    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.fault = Fault(code, reason)
