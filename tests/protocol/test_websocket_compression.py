"""Frames of connections that negotiated permessage-deflate."""

from __future__ import annotations

import tracemalloc

import pytest

from herenow.protocol.deflate import compress
from herenow.protocol.errors import CloseCode
from herenow.protocol.websocket import (
    Decoder,
    Opcode,
    close_frame,
    compress_frame,
    ping_frame,
    pong_frame,
    split_frames,
    text_frame,
)

FIN = 0x80
RSV1 = 0x40
TEXT = FIN | Opcode.TEXT
COMPRESSED = TEXT | RSV1
LAST = FIN | Opcode.CONTINUATION
PING = FIN | Opcode.PING

TEXT_OF_FRAME = "Who's online? Ada, Brian, Clémentine and 🙂. ".encode() * 20


def masked(first: int, payload: bytes = b"") -> bytes:
    """A client's frame under a key of zeros."""
    frame = text_frame(payload)
    head = len(frame) - len(payload)
    return bytes([first, frame[1] | 0x80]) + frame[2:head] + bytes(4) + payload


def receive(data: bytes, limit: int = 0) -> list[tuple[int, bytes]]:
    """What *data* means, whole and byte by byte; it must be fine."""
    whole, piecemeal = Decoder(limit, compression=True), Decoder(limit, compression=True)
    received = whole.receive_data(data)
    assert received == [item for byte in data for item in piecemeal.receive_data(bytes([byte]))]
    assert whole.fault is piecemeal.fault is None
    assert not whole.unfinished
    assert not piecemeal.unfinished
    return received


def assert_refused(data: bytes, code: CloseCode, limit: int = 0) -> None:
    """*data* is refused with *code* and yields nothing, whole and byte by byte."""
    for pieces in ([data], [bytes([byte]) for byte in data]):
        decoder = Decoder(limit, compression=True)
        assert [message for piece in pieces for message in decoder.receive_data(piece)] == []
        assert decoder.fault is not None
        assert decoder.fault.code == code


def test_a_compressed_message_is_inflated() -> None:
    data = masked(COMPRESSED, compress(TEXT_OF_FRAME)) * 2
    assert receive(data) == [(Opcode.TEXT, TEXT_OF_FRAME)] * 2


def test_a_binary_message_may_be_compressed() -> None:
    data = masked(FIN | RSV1 | Opcode.BINARY, compress(b"\xff" * 500))
    assert receive(data) == [(Opcode.BINARY, b"\xff" * 500)]


def test_a_message_need_not_be_compressed() -> None:
    data = masked(TEXT, b"plain") + masked(COMPRESSED, compress(b"small")) + masked(TEXT, b"plain")
    assert [payload for _, payload in receive(data)] == [b"plain", b"small", b"plain"]


def test_the_fragments_of_a_message_are_inflated_together() -> None:
    compressed = compress(TEXT_OF_FRAME)
    data = (
        masked(RSV1 | Opcode.TEXT, compressed[:9])
        + masked(PING, b"!")
        + masked(Opcode.CONTINUATION)
        + masked(Opcode.CONTINUATION, compressed[9:20])
        + masked(LAST, compressed[20:])
    )
    assert receive(data) == [(Opcode.PING, b"!"), (Opcode.TEXT, TEXT_OF_FRAME)]


def test_an_empty_last_fragment_ends_a_message() -> None:
    data = masked(RSV1 | Opcode.TEXT, compress(TEXT_OF_FRAME)) + masked(LAST)
    assert receive(data) == [(Opcode.TEXT, TEXT_OF_FRAME)]


@pytest.mark.parametrize("bit", [0x20, 0x10])
@pytest.mark.parametrize("first", [TEXT, COMPRESSED, PING])
def test_the_other_reserved_bits_are_refused(first: int, bit: int) -> None:
    assert_refused(masked(first | bit, b"x"), CloseCode.PROTOCOL_ERROR)


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.CLOSE])
def test_control_frames_are_not_compressed(opcode: Opcode) -> None:
    assert_refused(masked(FIN | RSV1 | opcode, compress(b"x")), CloseCode.PROTOCOL_ERROR)


@pytest.mark.parametrize("first", [RSV1 | Opcode.TEXT, Opcode.TEXT])
def test_only_the_first_fragment_says_that_a_message_is_compressed(first: int) -> None:
    compressed = compress(TEXT_OF_FRAME)
    data = masked(first, compressed[:1] if first & RSV1 else b"x")
    assert_refused(data + masked(LAST | RSV1, compressed[1:]), CloseCode.PROTOCOL_ERROR)


def test_compressed_frames_are_refused_where_nothing_was_negotiated() -> None:
    decoder = Decoder(0)
    assert decoder.receive_data(masked(COMPRESSED, compress(b"x"))) == []
    assert decoder.fault is not None
    assert decoder.fault.code == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("text", [b"\xff", b"a\xe2\x82a", b"\xf0\x9f\x99"], ids=bytes.hex)
def test_what_a_text_inflates_to_must_be_utf8(text: bytes) -> None:
    compressed = compress(text)
    assert_refused(masked(COMPRESSED, compressed), CloseCode.INVALID_PAYLOAD)
    fragments = masked(RSV1 | Opcode.TEXT, compressed[:1]) + masked(LAST, compressed[1:])
    assert_refused(fragments, CloseCode.INVALID_PAYLOAD)


def test_a_character_may_be_cut_by_a_compressed_fragment() -> None:
    compressed = compress("🙂".encode())
    data = masked(RSV1 | Opcode.TEXT, compressed[:3]) + masked(LAST, compressed[3:])
    assert receive(data) == [(Opcode.TEXT, "🙂".encode())]


@pytest.mark.parametrize("payload", [b"", b"\xff\xff\xff", compress(TEXT_OF_FRAME)[:-1]])
def test_what_does_not_inflate_is_refused(payload: bytes) -> None:
    assert_refused(masked(COMPRESSED, payload), CloseCode.INVALID_PAYLOAD)


def test_the_limit_holds_for_what_a_message_inflates_to() -> None:
    assert receive(masked(COMPRESSED, compress(bytes(300))), limit=300) == [(1, bytes(300))]
    compressed = compress(bytes(301))
    assert_refused(masked(COMPRESSED, compressed), CloseCode.MESSAGE_TOO_BIG, limit=300)
    fragments = masked(RSV1 | Opcode.TEXT, compressed[:4]) + masked(LAST, compressed[4:])
    assert_refused(fragments, CloseCode.MESSAGE_TOO_BIG, limit=300)


def test_the_limit_holds_for_what_is_received() -> None:
    assert_refused(masked(COMPRESSED, bytes(301)), CloseCode.MESSAGE_TOO_BIG, limit=300)


def test_one_message_leaves_nothing_behind_for_the_next() -> None:
    """Were the window kept, the second could refer to the first."""
    decoder = Decoder(1_000, compression=True)
    data = masked(COMPRESSED, compress(TEXT_OF_FRAME))
    tracemalloc.start()
    try:
        for _ in range(50):
            assert len(decoder.receive_data(data)) == 1
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 5_000


def test_a_bomb_is_refused_before_it_takes_memory() -> None:
    """A frame of 64 KiB that would grow to 64 MiB."""
    bomb = masked(COMPRESSED, compress(bytes(64 << 20))[:65_536])
    decoder = Decoder(65_536, compression=True)
    tracemalloc.start()
    try:
        assert decoder.receive_data(bomb) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert decoder.fault is not None
    assert decoder.fault.code == CloseCode.MESSAGE_TOO_BIG
    assert peak < 1_000_000


def test_a_frame_is_compressed_for_clients() -> None:
    frame = compress_frame(text_frame(TEXT_OF_FRAME), 15)
    assert frame[0] == COMPRESSED
    assert split_frames(frame) == [frame]
    assert len(frame) < len(TEXT_OF_FRAME) // 4


@pytest.mark.parametrize(
    "frame",
    [
        ping_frame(b"x" * 100),
        pong_frame(b"x" * 100),
        close_frame(1000, "x" * 100),
        text_frame(b""),
        text_frame(bytes(range(256))),
        compress_frame(text_frame(TEXT_OF_FRAME), 15),
    ],
    ids=["ping", "pong", "close", "empty", "incompressible", "compressed"],
)
def test_other_frames_are_left_as_they_are(frame: bytes) -> None:
    assert compress_frame(frame, 15) == frame


def test_joined_frames_are_split() -> None:
    frames = [text_frame(bytes(length)) for length in (0, 125, 126, 65_535, 65_536)]
    frames.insert(2, ping_frame(b"?"))
    assert split_frames(b"".join(frames)) == frames
    assert split_frames(b"") == []
