from __future__ import annotations

import sys
import time
import tracemalloc
import zlib

import pytest

from herenow.protocol.deflate import (
    Agreement,
    CorruptMessage,
    Inflater,
    MessageTooLong,
    compress,
    negotiate,
)

ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
TEXT = "Who's online? Ada, Brian, Clémentine and 🙂. ".encode() * 40
FINAL_EMPTY_BLOCK = b"\x03\x00"


def inflate(compressed: bytes, limit: int = 100_000) -> bytes:
    output = bytearray()
    inflater = Inflater(output, limit)
    told = inflater.inflate(compressed)
    told += inflater.finish()
    assert told == output
    return bytes(output)


def finished(payload: bytes) -> bytes:
    """*payload* in blocks of which the last is a final one."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(payload) + compressor.flush()


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate;client_max_window_bits=8",
        'permessage-deflate ;\tclient_max_window_bits = "12" ; server_no_context_takeover',
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        "permessage-bzip2, x-webkit-deflate-frame,permessage-deflate, permessage-deflate; foo",
        ",, permessage-deflate ,",
    ],
)
def test_an_offer_is_accepted_with_nothing_kept_between_messages(offer: str) -> None:
    assert negotiate(offer) == Agreement(ANSWER, 15)


@pytest.mark.parametrize("bits", range(9, 16))
def test_a_demanded_window_is_kept_to(bits: int) -> None:
    offer = f"permessage-deflate; server_max_window_bits={bits}"
    assert negotiate(offer) == Agreement(f"{ANSWER}; server_max_window_bits={bits}", bits)


@pytest.mark.parametrize(
    "parameters",
    [
        "foo",
        "foo=1",
        "",
        "server_no_context_takeover=1",
        "client_no_context_takeover=",
        "server_max_window_bits",
        "server_max_window_bits=",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=+9",
        "server_max_window_bits=٩",
        'server_max_window_bits="10',
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=08",
        "Server_No_Context_Takeover",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits=10; server_max_window_bits=10",
    ],
)
def test_an_offer_that_is_not_understood_is_declined_and_the_next_one_tried(
    parameters: str,
) -> None:
    """RFC 7692 §7.1."""
    offer = f"permessage-deflate; {parameters}"
    assert negotiate(offer) is None
    assert negotiate(f"{offer}, permessage-deflate") == Agreement(ANSWER, 15)


def test_a_window_of_8_bits_is_declined() -> None:
    """zlib would use one of 9, which the client could not read."""
    smallest = "permessage-deflate; server_max_window_bits=8"
    assert negotiate(smallest) is None
    both = f"{smallest}, permessage-deflate; server_max_window_bits=9"
    assert negotiate(both) == Agreement(f"{ANSWER}; server_max_window_bits=9", 9)


@pytest.mark.parametrize("offers", ["", "permessage-deflated", "deflate", "x; permessage-deflate"])
def test_without_an_offer_nothing_is_agreed_on(offers: str) -> None:
    assert negotiate(offers) is None


def test_a_long_header_is_read_in_no_time() -> None:
    start = time.perf_counter()
    for filling in ("permessage-deflate;" * 3_000, " \t" * 30_000, "a=" * 30_000, '"' * 60_000):
        assert negotiate(f"permessage-deflate; {filling}") is None
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("compressed", "payload"),
    [
        ("f248cdc9c90700", b"Hello"),
        ("000500faff48656c6c6f00", b"Hello"),
        ("f348cdc9c9070000", b"Hello"),
        ("f248050000 00ffff cac9c90700", b"Hello"),
        ("00", b""),
    ],
    ids=["one block", "no compression", "a final block", "two blocks", "empty"],
)
def test_examples_of_the_rfc(compressed: str, payload: bytes) -> None:
    """RFC 7692 §7.2.3."""
    assert inflate(bytes.fromhex(compressed)) == payload


def test_a_message_compresses_as_in_the_rfc() -> None:
    """RFC 7692 §7.2.3.1."""
    assert compress(b"Hello") == bytes.fromhex("f248cdc9c90700")


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 5_000, 70_000])
def test_a_message_can_be_read_with_the_window_agreed_on(bits: int, length: int) -> None:
    payload = (TEXT * (length // len(TEXT) + 1))[:length]
    compressed = compress(payload, bits)
    assert zlib.decompressobj(-bits).decompress(compressed + b"\x00\x00\xff\xff") == payload
    assert inflate(compressed) == payload


def test_a_message_may_arrive_in_any_pieces() -> None:
    compressed = compress(TEXT)
    output = bytearray()
    inflater = Inflater(output, len(TEXT))
    told = b"".join(inflater.inflate(bytes([byte])) for byte in compressed)
    assert told + inflater.finish() == output == TEXT


def test_blocks_may_follow_a_final_one_and_refer_to_what_was_before() -> None:
    """RFC 7692 §7.2.1."""
    second = zlib.compressobj(wbits=-15, zdict=TEXT)
    referring = second.compress(TEXT) + second.flush(zlib.Z_SYNC_FLUSH)
    assert len(referring) < len(compress(TEXT))
    assert inflate(finished(TEXT) + referring[:-4]) == TEXT * 2
    assert inflate(finished(b"one ") + FINAL_EMPTY_BLOCK + finished(b"two") + b"\x00") == b"one two"


def test_a_final_block_at_the_very_end_is_enough() -> None:
    """Strictly an empty block has to follow it; some senders leave it out."""
    assert inflate(finished(TEXT)) == TEXT


def test_final_blocks_without_end_are_refused() -> None:
    with pytest.raises(CorruptMessage, match="final blocks"):
        inflate(FINAL_EMPTY_BLOCK * 30_000)


@pytest.mark.parametrize(
    "compressed",
    [
        b"\xff\xff\xff",
        b"",
        compress(TEXT)[:-1],
        compress(TEXT)[:20],
        finished(TEXT)[:-1],
        finished(TEXT) + b"\xff",
        compress(TEXT) + b"\x07",
        zlib.compress(TEXT),
    ],
    ids=["garbage", "nothing", "cut", "cut short", "cut final", "tail", "bad block", "zlib head"],
)
def test_what_is_not_one_whole_message_is_refused(compressed: bytes) -> None:
    with pytest.raises(CorruptMessage):
        inflate(compressed)


def test_a_message_may_be_as_long_as_the_limit() -> None:
    assert inflate(compress(bytes(70_000)), limit=70_000) == bytes(70_000)
    with pytest.raises(MessageTooLong):
        inflate(compress(bytes(70_001)), limit=70_000)


def test_the_largest_limit_there_is() -> None:
    assert inflate(compress(TEXT), limit=sys.maxsize) == TEXT


def test_a_bomb_never_takes_more_memory_than_the_limit() -> None:
    """64 KiB on the wire would be 64 MiB."""
    limit = 65_536
    compressor = zlib.compressobj(9, wbits=-15)
    bomb = compressor.compress(bytes(64 << 20)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 65_536 + 4
    output = bytearray()
    tracemalloc.start()
    try:
        with pytest.raises(MessageTooLong):
            Inflater(output, limit).inflate(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(output) == limit + 1
    assert peak < 6 * limit
