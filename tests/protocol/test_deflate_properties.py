"""Compression against the ``websockets`` package's: it writes what we read and reads what we write.

``HERENOW_PROOF=1`` searches much longer.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from typing import Final

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from websockets import frames
from websockets.client import ClientProtocol
from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
)
from websockets.frames import Frame
from websockets.headers import build_extension, parse_extension
from websockets.protocol import State
from websockets.uri import parse_uri

from herenow.protocol.deflate import negotiate
from herenow.protocol.websocket import (
    Decoder,
    compress_frame,
    ping_frame,
    split_frames,
    text_frame,
)

PROOF: Final = os.environ.get("HERENOW_PROOF", "") not in ("", "0")

searching = settings(
    max_examples=5_000 if PROOF else 200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

window_bits = st.integers(9, 15)
texts = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(["online", "ümläut", " ", "🙂", '{"id":1}']), max_size=400).map(
        "".join
    ),
    st.integers(0, 70_000).map(lambda length: "x" * length),
).map(str.encode)
binaries = st.one_of(st.binary(max_size=300), texts)


@st.composite
def messages(draw: st.DrawFn) -> tuple[list[Frame], bool]:
    """One message in fragments, with pings between them, and whether to compress it."""
    opcode = draw(st.sampled_from([frames.Opcode.TEXT, frames.Opcode.BINARY]))
    payload = draw(texts if opcode is frames.Opcode.TEXT else binaries)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    sequence = []
    for start, stop in itertools.pairwise([0, *cuts, len(payload)]):
        sequence += draw(st.lists(st.just(Frame(frames.Opcode.PING, b"?")), max_size=1))
        sequence.append(Frame(opcode, payload[start:stop], fin=False))
        opcode = frames.Opcode.CONT
    sequence[-1].fin = True
    return sequence, draw(st.booleans())


def client_extension(bits: int) -> PerMessageDeflate:
    return PerMessageDeflate(True, True, bits, bits, {"level": 6})


def sent(conversation: Iterable[tuple[list[Frame], bool]], bits: int) -> bytes:
    extensions = [client_extension(bits)]
    return b"".join(
        frame.serialize(mask=True, extensions=extensions if compressed else None)
        for sequence, compressed in conversation
        for frame in sequence
    )


def meant(conversation: Iterable[tuple[list[Frame], bool]]) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    for sequence, _ in conversation:
        data = [frame for frame in sequence if frame.opcode is not frames.Opcode.PING]
        found += [(9, b"?")] * (len(sequence) - len(data))
        found.append((data[0].opcode, b"".join(bytes(frame.data) for frame in data)))
    return found


def pieces(data: bytes, cuts: list[int]) -> Iterable[bytes]:
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    return (data[start:stop] for start, stop in itertools.pairwise([0, *places, len(data)]))


@searching
@given(
    st.lists(messages(), max_size=4), window_bits, st.lists(st.integers(0, 100_000), max_size=12)
)
def test_what_a_client_compresses_is_read(
    conversation: list[tuple[list[Frame], bool]], bits: int, cuts: list[int]
) -> None:
    decoder = Decoder(500_000, compression=True)
    data = sent(conversation, bits)
    received = [message for piece in pieces(data, cuts) for message in decoder.receive_data(piece)]
    assert decoder.fault is None
    assert received == meant(conversation)
    assert not decoder.unfinished


@searching
@given(
    st.lists(st.one_of(texts.map(text_frame), st.binary(max_size=125).map(ping_frame)), max_size=5),
    window_bits,
)
def test_a_client_reads_what_is_compressed(written: list[bytes], bits: int) -> None:
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
    client.extensions = [client_extension(bits)]
    assert split_frames(b"".join(written)) == written
    for frame in written:
        compressed = compress_frame(frame, bits)
        assert len(compressed) <= len(frame)
        client.receive_data(compressed)
    plain = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
    plain.receive_data(b"".join(written))
    assert client.parser_exc is None
    assert client.events_received() == plain.events_received()


@searching
@given(
    st.lists(messages(), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 7)), max_size=3),
    st.sampled_from([10, 1_000, 100_000]),
)
def test_anything_is_either_read_or_refused(
    conversation: list[tuple[list[Frame], bool]], flips: list[tuple[int, int]], limit: int
) -> None:
    data = bytearray(sent(conversation, 15))
    assume(len(data) < 5_000)
    for place, bit in flips:
        data[place % len(data)] ^= 1 << bit
    whole, piecemeal = Decoder(limit, compression=True), Decoder(limit, compression=True)
    received = whole.receive_data(bytes(data))
    again = [message for byte in data for message in piecemeal.receive_data(bytes([byte]))]
    assert received == again
    assert (whole.fault is None) == (piecemeal.fault is None)
    assert whole.fault is None or whole.fault.code in (1002, 1007, 1009)
    assert all(len(payload) <= max(limit, 125) for _, payload in received)


parameters = st.lists(
    st.one_of(
        st.sampled_from(["server_no_context_takeover", "client_no_context_takeover"]),
        st.just("client_max_window_bits"),
        st.builds("client_max_window_bits={}".format, st.integers(7, 16)),
        st.builds("server_max_window_bits={}".format, st.integers(7, 16)),
        st.sampled_from(["server_max_window_bits", "unknown", "unknown=1"]),
    ),
    max_size=4,
)


@searching
@given(st.lists(parameters, max_size=3))
def test_one_of_the_offers_is_accepted_if_it_can_be(offers: list[list[str]]) -> None:
    header = ", ".join("; ".join(["permessage-deflate", *offer]) for offer in offers)
    agreement = negotiate(header)
    acceptable = [offer for offer in offers if is_acceptable(offer)]
    if not acceptable:
        assert agreement is None
        return
    assert agreement is not None
    demanded = [int(each[23:]) for each in acceptable[0] if each.startswith("server_max")]
    assert agreement.window_bits == (demanded[0] if demanded else 15)


def is_acceptable(offer: list[str]) -> bool:
    """Whether RFC 7692 §7.1 lets a server accept it, and zlib too."""
    names = [each.partition("=")[0] for each in offer]
    if len(set(names)) < len(names) or "unknown" in names:
        return False
    for each in offer:
        name, valued, value = each.partition("=")
        if name == "server_max_window_bits" and not (valued and 9 <= int(value) <= 15):
            return False
        if name == "client_max_window_bits" and valued and not 8 <= int(value) <= 15:
            return False
    return True


@searching
@given(
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), window_bits),
    st.one_of(st.none(), st.just(True), window_bits),
)
def test_a_client_accepts_the_answer(
    server_forgets: bool, client_forgets: bool, server_bits: int | None, client_bits: int | None
) -> None:
    factory = ClientPerMessageDeflateFactory(
        server_forgets, client_forgets, server_bits, client_bits
    )
    offer = build_extension([(factory.name, factory.get_request_params())])
    agreement = negotiate(offer)
    assert agreement is not None
    ((name, answer),) = parse_extension(agreement.answer)
    assert name == factory.name
    try:
        extension = factory.process_response_params(answer, [])
    except NegotiationError as error:
        raise AssertionError(f"{offer!r} was answered {agreement.answer!r}") from error
    assert isinstance(extension, PerMessageDeflate)
    assert extension.remote_no_context_takeover
    assert extension.local_no_context_takeover
    assert extension.remote_max_window_bits == agreement.window_bits
