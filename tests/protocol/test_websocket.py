from __future__ import annotations

import tracemalloc

import pytest

from herenow.protocol.errors import CloseCode
from herenow.protocol.websocket import (
    Close,
    Decoder,
    Fault,
    Opcode,
    accept_key,
    close_frame,
    parse_close,
    ping_frame,
    pong_frame,
    text_frame,
)

FIN = 0x80
TEXT = FIN | Opcode.TEXT
BINARY = FIN | Opcode.BINARY
CLOSE = FIN | Opcode.CLOSE
PING = FIN | Opcode.PING
LAST = FIN | Opcode.CONTINUATION

KEY = bytes.fromhex("37fa213d")
SMILE = "🙂".encode()


def length_field(length: int) -> bytes:
    if length < 126:
        return bytes([0x80 | length])
    if length < 1 << 16:
        return b"\xfe" + length.to_bytes(2, "big")
    return b"\xff" + length.to_bytes(8, "big")


def masked(first: int, payload: bytes = b"") -> bytes:
    """A client's frame; *first* is FIN, reserved bits and opcode."""
    hidden = bytes(byte ^ KEY[i % 4] for i, byte in enumerate(payload))
    return bytes([first]) + length_field(len(payload)) + KEY + hidden


def assert_refused(data: bytes, code: CloseCode, *, limit: int = 0) -> None:
    """*data* is refused with *code* and yields nothing, whole and byte by byte."""
    whole, piecemeal = Decoder(limit), Decoder(limit)
    assert whole.receive_data(data) == []
    assert whole.fault is not None
    assert whole.fault.code == code
    for i in range(len(data)):
        assert piecemeal.receive_data(data[i : i + 1]) == []
    assert piecemeal.fault == whole.fault


def assert_protocol_error(data: bytes) -> None:
    assert_refused(data, CloseCode.PROTOCOL_ERROR)


def test_accept_key_of_the_rfc() -> None:
    """RFC 6455 §1.3."""
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("8185 37fa213d 7f9f4d5158", (Opcode.TEXT, b"Hello")),
        ("8a85 37fa213d 7f9f4d5158", (Opcode.PONG, b"Hello")),
    ],
)
def test_client_frames_of_the_rfc(data: str, message: tuple[int, bytes]) -> None:
    """RFC 6455 §5.7."""
    assert Decoder(0).receive_data(bytes.fromhex(data)) == [message]


def test_server_frames_of_the_rfc() -> None:
    """RFC 6455 §5.7."""
    assert text_frame(b"Hello") == bytes.fromhex("810548656c6c6f")
    assert ping_frame(b"Hello") == bytes.fromhex("890548656c6c6f")
    assert pong_frame(b"Hello") == bytes.fromhex("8a0548656c6c6f")


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, "8100"),
        (125, "817d"),
        (126, "817e007e"),
        (65535, "817effff"),
        (65536, "817f0000000000010000"),
    ],
)
def test_text_frame_has_the_shortest_length(length: int, head: str) -> None:
    payload = b"x" * length
    assert text_frame(payload) == bytes.fromhex(head) + payload


def test_close_frame_carries_code_and_reason() -> None:
    assert close_frame(4201, "Pong reply not received") == (
        b"\x88\x19\x10\x69Pong reply not received"
    )


def test_close_frame_cuts_a_long_reason_between_characters() -> None:
    assert close_frame(1000, "x" * 200) == b"\x88\x7d\x03\xe8" + b"x" * 123
    assert close_frame(1000, "x" * 122 + "é") == b"\x88\x7c\x03\xe8" + b"x" * 122
    assert close_frame(1000, "x" * 119 + "🙂") == b"\x88\x7d\x03\xe8" + b"x" * 119 + SMILE


def test_close_frame_takes_any_string_for_a_reason() -> None:
    """A key out of a request's path may have been decoded with surrogates."""
    assert close_frame(4001, "key \udcff") == b"\x88\x07\x0f\xa1key ?"


def test_ping_frame_refuses_more_than_a_control_frame_may_carry() -> None:
    assert len(ping_frame(b"x" * 125)) == 127
    with pytest.raises(ValueError, match="not 126"):
        ping_frame(b"x" * 126)


def test_messages_in_one_segment_come_in_order() -> None:
    data = masked(TEXT, b"one") + masked(PING, b"two") + masked(BINARY, b"\xff") + masked(TEXT)
    decoder = Decoder(0)
    assert decoder.receive_data(data) == [
        (Opcode.TEXT, b"one"),
        (Opcode.PING, b"two"),
        (Opcode.BINARY, b"\xff"),
        (Opcode.TEXT, b""),
    ]
    assert not decoder.unfinished


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536])
@pytest.mark.parametrize("first", [TEXT, BINARY])
def test_every_length_of_a_message(first: int, length: int) -> None:
    payload = b"x" * length
    assert Decoder(0).receive_data(masked(first, payload)) == [(first & 15, payload)]


def test_a_message_may_arrive_byte_by_byte() -> None:
    payload = "grüße ".encode() * 5_000
    data = masked(TEXT, payload)
    decoder = Decoder(0)
    for i in range(len(data) - 1):
        assert decoder.receive_data(data[i : i + 1]) == []
        assert decoder.unfinished
    assert decoder.receive_data(data[-1:]) == [(Opcode.TEXT, payload)]
    assert not decoder.unfinished


def test_fragments_are_joined() -> None:
    """RFC 6455 §5.7, a fragmented message; control frames may come between (§5.4)."""
    decoder = Decoder(0)
    assert decoder.receive_data(masked(Opcode.TEXT, b"Hel")) == []
    assert decoder.receive_data(masked(PING, b"!")) == [(Opcode.PING, b"!")]
    assert decoder.unfinished
    assert decoder.receive_data(masked(Opcode.CONTINUATION)) == []
    assert decoder.receive_data(masked(LAST, b"lo")) == [(Opcode.TEXT, b"Hello")]
    assert not decoder.unfinished


def test_a_character_may_be_cut_by_a_fragment() -> None:
    decoder = Decoder(0)
    decoder.receive_data(masked(Opcode.TEXT, SMILE[:2]))
    decoder.receive_data(masked(Opcode.CONTINUATION, SMILE[2:3]))
    assert decoder.receive_data(masked(LAST, SMILE[3:])) == [(Opcode.TEXT, SMILE)]


def test_one_message_leaves_nothing_behind_for_the_next() -> None:
    decoder = Decoder(4)
    for _ in range(3):
        decoder.receive_data(masked(Opcode.BINARY, b"\xf0\x9f"))
        assert decoder.receive_data(masked(LAST, b"\xff\xff")) == [(2, b"\xf0\x9f\xff\xff")]
        assert decoder.receive_data(masked(TEXT, b"text")) == [(1, b"text")]


def test_half_a_control_frame_is_unfinished() -> None:
    decoder = Decoder(0)
    ping = masked(PING, b"payload")
    assert decoder.receive_data(ping[:-1]) == []
    assert decoder.unfinished
    assert decoder.receive_data(ping[-1:]) == [(Opcode.PING, b"payload")]
    assert not decoder.unfinished


@pytest.mark.parametrize("first", [TEXT, PING])
def test_an_unmasked_frame_is_refused(first: int) -> None:
    assert_protocol_error(bytes([first, 5]) + b"Hello")


@pytest.mark.parametrize("bit", [0x40, 0x20, 0x10])
@pytest.mark.parametrize("first", [TEXT, PING, CLOSE])
def test_reserved_bits_are_refused(first: int, bit: int) -> None:
    assert_protocol_error(masked(first | bit, b"Hello"))


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes_are_refused(opcode: int) -> None:
    assert_protocol_error(masked(FIN | opcode))


@pytest.mark.parametrize("opcode", [Opcode.CLOSE, Opcode.PING, Opcode.PONG])
def test_control_frames_are_short_and_whole(opcode: Opcode) -> None:
    assert Decoder(0).receive_data(masked(FIN | opcode, b"x" * 125)) == [(opcode, b"x" * 125)]
    assert_protocol_error(masked(FIN | opcode, b"x" * 126))
    assert_protocol_error(masked(opcode, b"x"))


@pytest.mark.parametrize(
    "field", ["fe0000", "fe007d", "ff000000000000007d", "ff000000000000ffff"], ids=str
)
def test_a_length_in_more_bytes_than_it_needs_is_refused(field: str) -> None:
    assert_protocol_error(bytes([BINARY]) + bytes.fromhex(field))


def test_a_length_of_64_bits_is_refused() -> None:
    assert_protocol_error(bytes([BINARY, 0xFF]) + (1 << 63).to_bytes(8, "big"))


@pytest.mark.parametrize("first", [LAST, Opcode.CONTINUATION])
def test_a_continuation_of_nothing_is_refused(first: int) -> None:
    assert_protocol_error(masked(first, b"x"))


@pytest.mark.parametrize("first", [TEXT, BINARY, Opcode.TEXT, Opcode.BINARY])
def test_a_new_message_within_a_message_is_refused(first: int) -> None:
    assert_protocol_error(masked(Opcode.TEXT, b"x") + masked(first, b"x"))


BAD_UTF8 = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"a\xe2\x82a"]


@pytest.mark.parametrize("text", [*BAD_UTF8, SMILE[:3]], ids=bytes.hex)
def test_text_that_is_not_utf8_is_refused(text: bytes) -> None:
    assert_refused(masked(TEXT, text), CloseCode.INVALID_PAYLOAD)
    assert_refused(masked(Opcode.TEXT, text) + masked(LAST), CloseCode.INVALID_PAYLOAD)


@pytest.mark.parametrize("text", BAD_UTF8, ids=bytes.hex)
def test_bad_text_is_refused_before_its_message_ends(text: bytes) -> None:
    assert_refused(masked(Opcode.TEXT, text), CloseCode.INVALID_PAYLOAD)
    unfinished_frame = masked(TEXT, text + b"never sent")[: -len(b"never sent")]
    assert_refused(unfinished_frame, CloseCode.INVALID_PAYLOAD)


def test_binary_need_not_be_utf8() -> None:
    decoder = Decoder(0)
    assert decoder.receive_data(masked(Opcode.BINARY, b"\xff")) == []
    assert decoder.receive_data(masked(LAST, b"\xff")) == [(Opcode.BINARY, b"\xff\xff")]


def test_a_message_as_long_as_allowed() -> None:
    assert Decoder(300).receive_data(masked(TEXT, b"x" * 300)) == [(Opcode.TEXT, b"x" * 300)]
    fragments = masked(Opcode.TEXT, b"x" * 200) + masked(LAST, b"x" * 100)
    assert Decoder(300).receive_data(fragments) == [(Opcode.TEXT, b"x" * 300)]


@pytest.mark.parametrize("length", [301, 65536, (1 << 63) - 1])
def test_a_message_too_big_is_refused_before_it_arrives(length: int) -> None:
    head = bytes([TEXT]) + length_field(length)
    assert_refused(head, CloseCode.MESSAGE_TOO_BIG, limit=300)


def test_fragments_count_together() -> None:
    begin = masked(Opcode.TEXT, b"x" * 100) + masked(Opcode.CONTINUATION, b"x" * 100)
    head = bytes([Opcode.CONTINUATION, 0x80 | 101])
    assert_refused(begin + head, CloseCode.MESSAGE_TOO_BIG, limit=300)


def test_control_frames_do_not_count() -> None:
    decoder = Decoder(10)
    decoder.receive_data(masked(Opcode.TEXT, b"x" * 10))
    assert decoder.receive_data(masked(PING, b"x" * 125)) == [(Opcode.PING, b"x" * 125)]
    assert decoder.receive_data(masked(LAST)) == [(Opcode.TEXT, b"x" * 10)]


def test_what_came_before_a_fault_is_delivered_and_what_follows_is_not() -> None:
    decoder = Decoder(0)
    data = masked(TEXT, b"good") + masked(TEXT, b"\xff") + masked(TEXT, b"late")
    assert decoder.receive_data(data) == [(Opcode.TEXT, b"good")]
    assert decoder.fault == Fault(CloseCode.INVALID_PAYLOAD, "Text is not UTF-8")
    assert decoder.receive_data(masked(TEXT, b"late")) == []
    assert not decoder.unfinished


def test_nothing_follows_a_close_frame() -> None:
    decoder = Decoder(0)
    data = masked(CLOSE, b"\x03\xe8bye") + masked(TEXT, b"late") + b"\xff\xff"
    assert decoder.receive_data(data) == [(Opcode.CLOSE, b"\x03\xe8bye")]
    assert decoder.receive_data(masked(TEXT, b"late")) == []
    assert decoder.fault is None
    assert not decoder.unfinished


def test_a_peer_may_close_in_the_middle_of_a_message() -> None:
    decoder = Decoder(0)
    decoder.receive_data(masked(Opcode.TEXT, b"half"))
    assert decoder.receive_data(masked(CLOSE)) == [(Opcode.CLOSE, b"")]
    assert decoder.fault is None
    assert not decoder.unfinished


def test_empty_fragments_without_end_take_no_memory() -> None:
    decoder = Decoder(0)
    decoder.receive_data(masked(Opcode.TEXT))
    fragments = masked(Opcode.CONTINUATION) * 100
    decoder.receive_data(fragments)
    tracemalloc.start()
    try:
        for _ in range(200):
            decoder.receive_data(fragments)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 10_000


def test_a_message_in_tiny_fragments_takes_little_more_than_its_size() -> None:
    decoder = Decoder(0)
    decoder.receive_data(masked(Opcode.BINARY, b"x"))
    fragment = masked(Opcode.CONTINUATION, b"x")
    tracemalloc.start()
    try:
        for _ in range(50_000):
            decoder.receive_data(fragment)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 100_000


def test_an_announced_length_takes_no_memory() -> None:
    decoder = Decoder(0)
    tracemalloc.start()
    try:
        decoder.receive_data(bytes([BINARY]) + length_field(1 << 40) + KEY)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000


def test_a_close_without_payload_says_nothing() -> None:
    assert parse_close(b"") == Close(None, "")


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4000, 4999])
def test_close_codes_a_peer_may_send(code: int) -> None:
    assert parse_close(code.to_bytes(2, "big")) == Close(code, "")
    assert parse_close(code.to_bytes(2, "big") + "tschüß".encode()) == Close(code, "tschüß")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_close_codes_no_peer_may_send(code: int) -> None:
    fault = parse_close(code.to_bytes(2, "big") + b"reason")
    assert fault == Fault(CloseCode.PROTOCOL_ERROR, f"Close code {code} must not be sent")


def test_half_a_close_code_is_refused() -> None:
    fault = parse_close(b"\x03")
    assert fault == Fault(CloseCode.PROTOCOL_ERROR, "Close frame with half a close code")


def test_a_close_reason_that_is_not_utf8_is_refused() -> None:
    fault = parse_close(b"\x03\xe8\xff")
    assert fault == Fault(CloseCode.INVALID_PAYLOAD, "Close reason is not UTF-8")
