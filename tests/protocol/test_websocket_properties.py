"""The codec against the ``websockets`` package: the same bytes, the same decision.

``HERENOW_PROOF=1`` searches much longer.

Where the two differ on purpose:

- A length in more bytes than it needs is refused here, as RFC 6455 §5.2 says ("the minimal number
  of bytes MUST be used"); websockets takes it. A frame of 2^63 bytes or more is a protocol error
  here and too big there.
- A close frame may come in the middle of a fragmented message (§5.4, §5.5.1); websockets calls
  the message incomplete.
- What is both malformed and too big is malformed here and too big there, and the limit of a
  message does not hold for the control frames within it. So the limit is applied to the frames
  that websockets decodes, in this module.
- websockets leaves it to the layer above to check text, and checks what a frame's first bytes
  tell only once the frame is complete. So all input is followed by zeros, which complete any
  frame that may still be accepted and are a protocol error after it.
"""

from __future__ import annotations

import codecs
import itertools
import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from websockets import frames
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.protocol import Protocol, State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from herenow.protocol import websocket
from herenow.protocol.websocket import Close, Decoder, Opcode, parse_close

PROOF: Final = os.environ.get("HERENOW_PROOF", "") not in ("", "0")

searching = settings(
    max_examples=5_000 if PROOF else 300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# More than a length of 16 bits announces: only frames longer than that stay incomplete.
ZEROS: Final = bytes(70_000)

Messages = list[tuple[int, bytes]]


class Verdict(NamedTuple):
    """What a client's bytes mean: messages, and then a fault's code or a close frame."""

    messages: Messages
    end: int | Close | None


payloads = st.one_of(
    st.text(max_size=50).map(str.encode),
    st.binary(max_size=50),
    st.integers(120, 300).map(lambda length: b"x" * length),
)
texts = st.one_of(st.text(max_size=50), st.integers(120, 300).map(lambda length: "ü" * length)).map(
    str.encode
)
controls = st.builds(
    Frame, st.sampled_from([frames.Opcode.PING, frames.Opcode.PONG]), st.binary(max_size=125)
)
keys = st.binary(min_size=4, max_size=4)
closes = st.one_of(
    st.just(b""),
    st.builds(
        lambda code, reason: code.to_bytes(2, "big") + reason,
        st.one_of(st.sampled_from([1000, 1001, 1005, 1015, 3000, 4999]), st.integers(0, 0xFFFF)),
        st.text(max_size=20).map(str.encode),
    ),
    st.binary(max_size=10),
)


@st.composite
def messages_as_frames(draw: st.DrawFn) -> list[Frame]:
    """One message in fragments, with control frames before, between and after them."""
    opcode = draw(st.sampled_from([frames.Opcode.TEXT, frames.Opcode.BINARY]))
    payload = draw(texts if opcode is frames.Opcode.TEXT else payloads)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    sequence = draw(st.lists(controls, max_size=1))
    for start, stop in itertools.pairwise([0, *cuts, len(payload)]):
        sequence.append(Frame(opcode, payload[start:stop], fin=False))
        sequence += draw(st.lists(controls, max_size=1))
        opcode = frames.Opcode.CONT
    last = max(i for i, frame in enumerate(sequence) if frame.opcode in frames.DATA_OPCODES)
    sequence[last].fin = True
    return sequence


conversations = st.lists(messages_as_frames(), max_size=5).map(
    lambda lists: list(itertools.chain.from_iterable(lists))
)


@st.composite
def raw_frames(draw: st.DrawFn) -> bytes:
    """A client's frame, mostly well-formed, with any length, in any form, announced for it."""
    first = draw(
        st.one_of(
            st.sampled_from([0x81, 0x01, 0x00, 0x80, 0x82, 0x02, 0x88, 0x89, 0x8A]),
            st.integers(0, 0xFF),
        )
    )
    payload = draw(closes if first == 0x88 else payloads)
    length = draw(st.one_of(st.just(len(payload)), st.sampled_from([0, 125, 126, 1 << 16])))
    forms = [0 if length < 126 else 2 if length < 1 << 16 else 8] * 4 + [2, 8]
    size = draw(st.sampled_from([form for form in forms if length < 126 or form]))
    size = 8 if length >= 1 << 16 else size
    top_bit = draw(st.sampled_from([0, 0, 0, 1])) << 63 if size == 8 else 0
    mask = draw(st.sampled_from([0x80] * 9 + [0]))
    second = length if size == 0 else 126 if size == 2 else 127
    extended = (length | top_bit).to_bytes(size, "big") if size else b""
    key = draw(keys)
    body = bytes(a ^ b for a, b in zip(payload, itertools.cycle(key), strict=False))
    return bytes([first, mask | second]) + extended + key + body


def serialized(sequence: list[Frame]) -> bytes:
    return b"".join(frame.serialize(mask=True) for frame in sequence)


@st.composite
def mutated_conversations(draw: st.DrawFn) -> bytes:
    ending = [Frame(frames.Opcode.CLOSE, payload) for payload in draw(st.lists(closes, max_size=1))]
    data = bytearray(serialized(draw(conversations) + ending))
    for _ in range(draw(st.integers(0, 3))):
        if not data:
            break
        place = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["flip", "delete", "insert"])):
            case "flip":
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "delete":
                del data[place]
            case _:
                data[place:place] = draw(st.binary(min_size=1, max_size=4))
    return bytes(data)


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    for start, stop in itertools.pairwise([0, *sorted(cut % (len(data) + 1) for cut in cuts)]):
        yield data[start:stop]
    yield data[max((cut % (len(data) + 1) for cut in cuts), default=0) :]


def judged(segments: Iterator[bytes], limit: int) -> Verdict:
    """What the decoder makes of a client's bytes."""
    decoder = Decoder(limit)
    messages = [message for data in segments for message in decoder.receive_data(data)]
    if messages and messages[-1][0] == Opcode.CLOSE:
        closing = parse_close(messages.pop()[1])
        return Verdict(messages, closing if isinstance(closing, Close) else int(closing.code))
    return Verdict(messages, None if decoder.fault is None else int(decoder.fault.code))


def open_server() -> ServerProtocol:
    return ServerProtocol(state=State.OPEN, max_size=None)


def frames_of(protocol: Protocol) -> list[Frame]:
    events = protocol.events_received()
    assert all(isinstance(event, Frame) for event in events)
    return [event for event in events if isinstance(event, Frame)]


def in_shortest_form(head: bytes) -> bool:
    match head[1] & 0x7F:
        case 126:
            return int.from_bytes(head[2:4], "big") > 125
        case 127:
            return 0xFFFF < int.from_bytes(head[2:10], "big") < 1 << 63
    return True


def end_of(protocol: ServerProtocol) -> int | Close:
    """How websockets ended the connection."""
    if (closed := protocol.close_rcvd) is not None:
        return Close(None if closed.code == 1005 else int(closed.code), closed.reason)
    assert protocol.close_sent is not None
    return int(protocol.close_sent.code)


class Expected:
    """What ``websockets`` makes of a client's bytes, with the rules that it leaves to others."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.messages: Messages = []
        self.opcode = 0
        self.payload = b""
        self.utf8 = codecs.getincrementaldecoder("utf-8")()

    def verdict(self, data: bytes) -> Verdict:
        protocol = open_server()
        start = 0
        segments = [data[i : i + 1] for i in range(len(data))] + [ZEROS]
        head = data + ZEROS[:14]
        for stop, segment in enumerate(segments, start=1):
            protocol.receive_data(segment)
            decoded = frames_of(protocol)
            if (decoded or protocol.close_sent) and not in_shortest_form(head[start:]):
                return Verdict(self.messages, 1002)
            for frame in decoded:
                if (fault := self.take(frame)) is not None:
                    return Verdict(self.messages, fault)
                start = stop
            if protocol.close_sent is not None:
                return Verdict(self.messages, end_of(protocol))
        return Verdict(self.messages, self.fault_of_long_frame(data, start))

    def take(self, frame: Frame) -> int | None:
        if frame.opcode is frames.Opcode.CLOSE:
            return None
        if frame.opcode not in frames.DATA_OPCODES:
            self.messages.append((frame.opcode, bytes(frame.data)))
            return None
        self.opcode = frame.opcode or self.opcode
        self.payload += frame.data
        if len(self.payload) > self.limit:
            return 1009
        if self.opcode == Opcode.TEXT:
            try:
                self.utf8.decode(bytes(frame.data), frame.fin)
            except UnicodeDecodeError:
                return 1007
        if frame.fin:
            self.messages.append((self.opcode, self.payload))
            self.payload = b""
        return None

    def fault_of_long_frame(self, data: bytes, start: int) -> int:
        """The code for a frame too long to be completed: asked with the same frame, shorter."""
        head = data[start:] + ZEROS[:14]
        if not in_shortest_form(head):
            return 1002
        protocol = open_server()
        protocol.receive_data(data[:start] + bytes([head[0], head[1] & 0x80 | 126, 0, 126]))
        protocol.receive_data(ZEROS[: 4 + 126])
        return 1009 if protocol.close_sent is None else int(protocol.close_sent.code)


@searching
@given(conversations, closes, st.lists(st.integers(0, 10_000), max_size=12))
def test_the_same_messages_however_the_bytes_are_cut(
    sequence: list[Frame], closing: bytes, cuts: list[int]
) -> None:
    data = serialized([*sequence, Frame(frames.Opcode.CLOSE, closing)])
    expected = Expected(10_000).verdict(data)
    assert len(expected.messages) == sum(frame.fin for frame in sequence)
    assert judged(pieces(data, cuts), 10_000) == expected
    assert judged((data[i : i + 1] for i in range(len(data))), 10_000) == expected


@searching
@given(
    st.one_of(
        st.lists(raw_frames(), max_size=4).map(b"".join),
        mutated_conversations(),
        st.binary(max_size=60),
    ),
    st.sampled_from([1, 30, 126, 300, 1000]),
    st.lists(st.integers(0, 1_000), max_size=6),
)
@example(b"\x01\x80keyskeys", 30, [])
@example(b"\x01\x81key!\x20\x88\x80key!", 30, [])
@example(b"\xff\xff\x7f" + bytes(7), 30, [])
@example(b"\x81\xff" + bytes(5) + b"\x01\x00\x00", 1000, [])
def test_the_same_decision_about_anything(data: bytes, limit: int, cuts: list[int]) -> None:
    expected = Expected(limit).verdict(data)
    assert judged(itertools.chain(pieces(data, cuts), [ZEROS]), limit) == expected


@searching
@given(st.lists(st.one_of(raw_frames(), st.binary(max_size=30)), max_size=5).map(b"".join))
def test_without_a_limit_too_nothing_is_raised(data: bytes) -> None:
    decoder = Decoder(0)
    decoder.receive_data(data)
    assert decoder.fault is None or decoder.fault.code in (1002, 1007)


def can_become_utf8(start: bytes) -> bool:
    """Whether *start* begins some UTF-8, as far as Python tells: surrogates take three bytes."""
    if len(start) >= 2 and start[-2] == 0xED and start[-1] in range(0xA0, 0xC0):
        start = start[:-1]
    endings = (0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF)
    for length in range(4):
        for ending in itertools.product(endings, repeat=length):
            try:
                (start + bytes(ending)).decode()
            except UnicodeDecodeError:
                continue
            return True
    return False


broken_texts = st.builds(
    lambda text, odd, rest: text.encode() + odd + rest,
    st.text(max_size=3),
    st.lists(
        st.sampled_from([0x7F, 0x80, 0x9F, 0xA0, 0xBF, 0xC2, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5]),
        max_size=4,
    ).map(bytes),
    st.binary(max_size=3),
)


@searching
@given(broken_texts, st.booleans())
def test_text_is_refused_at_the_first_byte_that_spoils_it(text: bytes, fragmented: bool) -> None:
    announced = Frame(frames.Opcode.TEXT, text + bytes(9), fin=not fragmented).serialize(mask=True)
    decoder = Decoder(0)
    decoder.receive_data(announced[:6])
    for i in range(len(text)):
        decoder.receive_data(announced[6 + i : 7 + i])
        assert (decoder.fault is None) == can_become_utf8(text[: i + 1])


@searching
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("text"), texts),
            st.tuples(st.just("text"), st.just(b"x" * 70_000)),
            st.tuples(st.sampled_from(["ping", "pong"]), st.binary(max_size=125)),
        ),
        max_size=5,
    ),
    st.sampled_from([1000, 1009, 4001, 4999]),
    st.text(max_size=200),
)
def test_a_client_decodes_every_frame(
    sent: list[tuple[str, bytes]], code: int, reason: str
) -> None:
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN)
    for kind, payload in sent:
        client.receive_data(getattr(websocket, f"{kind}_frame")(payload))
    client.receive_data(websocket.close_frame(code, reason))

    *received, closing = frames_of(client)
    assert [(frame.opcode.name.lower(), frame.data) for frame in received] == sent
    assert all(frame.fin for frame in received)
    assert client.parser_exc is None
    said = frames.Close.parse(closing.data)
    assert said.code == code
    assert reason.startswith(said.reason)
    assert said.reason == reason or len(said.reason.encode()) > 119
