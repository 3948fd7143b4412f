"""Messages compressed for those who want it, once for all of them."""

from __future__ import annotations

import json
import random

import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from herenow.protocol.deflate import compress
from herenow.protocol.errors import SLOW_READER
from herenow.protocol.websocket import (
    compress_frame,
    ping_frame,
    split_frames,
    text_frame,
)
from herenow.server import compression, connection
from herenow.server.compression import Compression, Deflater
from server.client import Client, Closed, Message, roster_ids
from server.serving import Serving, eventually, serving

pytestmark = pytest.mark.anyio

DATA = json.dumps([{"id": number, "text": "who is online"} for number in range(40)])
SMALL_BUFFER = 16_384


@pytest.fixture
def compressions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the frames that were compressed."""
    sizes: list[int] = []

    def counting(frame: bytes, window_bits: int) -> bytes:
        sizes.append(len(frame))
        return compress_frame(frame, window_bits)

    monkeypatch.setattr(compression, "compress_frame", counting)
    return sizes


def offer(server_max_window_bits: int | None = None) -> ClientPerMessageDeflateFactory:
    return ClientPerMessageDeflateFactory(
        server_max_window_bits=server_max_window_bits, client_max_window_bits=True
    )


async def established(started: Serving, receive_buffer: int = 0) -> Client:
    """A connection that compresses."""
    client = await started.connect(compression=offer(), receive_buffer=receive_buffer)
    assert client.compresses
    await client.expect_established()
    return client


async def join(started: Serving, channel: str, receive_buffer: int = 0) -> Client:
    client = await established(started, receive_buffer)
    await client.subscribe(channel)
    await client.expect_subscribed(channel)
    return client


def noise(length: int) -> str:
    """Text that compresses to about half of it."""
    return random.Random(length).randbytes(length // 2).hex()


def masked(first: int, payload: bytes) -> bytes:
    frame = text_frame(payload)
    head = len(frame) - len(payload)
    return bytes([first, frame[1] | 0x80]) + frame[2:head] + bytes(4) + payload


async def test_nothing_is_negotiated_unless_it_is_switched_on() -> None:
    async with serving() as started:
        client = await started.connect(compression=offer())
        assert not client.compresses
        await client.expect_established()


async def test_nothing_is_negotiated_that_the_client_does_not_offer() -> None:
    async with serving(compression=True) as started:
        client = await started.join("news")
        assert not client.compresses
        await client.send_bytes(masked(0xC1, compress(b"{}")))
        await client.expect_closed(1002)


async def test_who_compresses_and_who_does_not_get_the_same_event(compressions: list[int]) -> None:
    async with serving(compression=True) as started:
        compressing = [await join(started, "news") for _ in range(3)]
        plain = [await started.join("news") for _ in range(3)]
        compressions.clear()
        before = [client.received_bytes for client in (compressing[0], plain[0])]
        started.publish("news", "e", DATA)
        for client in (*compressing, *plain):
            assert await client.next() == Message("e", "news", DATA)
        assert len(compressions) == 1
        little = compressing[0].received_bytes - before[0]
        much = plain[0].received_bytes - before[1]
        assert little * 4 < much


async def test_small_messages_are_sent_as_they_are(compressions: list[int]) -> None:
    async with serving(compression=True, compression_min_bytes=1_000) as started:
        client = await join(started, "news")
        started.publish("news", "e", "x" * 900)
        assert (await client.next()).data == "x" * 900
        assert compressions == []


async def test_events_of_one_turn_are_each_compressed_once(compressions: list[int]) -> None:
    async with serving(compression=True) as started:
        clients = [await join(started, "news") for _ in range(3)]
        skipped = await join(started, "news")
        compressions.clear()
        for number in range(5):
            started.publish("news", f"e{number}", DATA)
            started.publish("news", f"small{number}")
        started.publish("news", "last", DATA, skip=skipped.socket_id)
        names = [name for number in range(5) for name in (f"e{number}", f"small{number}")]
        for client in clients:
            assert [(await client.next()).event for _ in range(11)] == [*names, "last"]
        assert [(await skipped.next()).event for _ in range(10)] == names
        assert len(compressions) == 6
        await skipped.expect_nothing()


async def test_a_roster_is_compressed_once_for_all_who_wait_for_it(compressions: list[int]) -> None:
    async with serving(compression=True) as started:
        first = await established(started)
        await first.enter("presence-room", "1", {"name": "x" * 500})
        clients = [await established(started) for _ in range(3)]
        for client in clients:
            await client.subscribe("presence-room", "1", {"name": "x" * 500})
        for client in clients:
            assert roster_ids(await client.expect_subscribed("presence-room")) == ["1"]
        assert len(compressions) == 1


@pytest.mark.parametrize("bits", [9, 12])
async def test_a_client_with_a_small_window_reads_what_it_is_sent(bits: int) -> None:
    async with serving(compression=True) as started:
        small = await started.connect(compression=offer(bits))
        assert small.compresses
        await small.expect_established()
        await small.subscribe("news")
        await small.expect_subscribed("news")
        large = await join(started, "news")
        for _ in range(3):
            started.publish("news", "e", noise(6_000) * 2)
            for client in (small, large):
                assert (await client.next()).data == noise(6_000) * 2


async def test_what_a_client_compresses_is_understood() -> None:
    async with serving(compression=True) as started:
        sender = await join(started, "private-room")
        listener = await started.join("private-room")
        await sender.send("client-typed", DATA, "private-room")
        assert (await listener.next()).data == DATA
        await sender.send_text(" " * 60_000 + '{"event":"pusher:ping","data":{}}')
        assert (await sender.next()).event == "pusher:pong"


async def test_many_compressed_messages_in_one_read_are_all_understood() -> None:
    async with serving(compression=True) as started:
        client = await established(started)
        ping = masked(0xC1, compress(b'{"event":"pusher:ping","data":"' + b" " * 60_000 + b'"}'))
        assert len(ping) * 30 > 4 * connection.COMPRESSED_SLICE_BYTES
        await client.send_bytes(ping * 30)
        assert [(await client.next()).event for _ in range(30)] == ["pusher:pong"] * 30


async def test_a_bomb_ends_its_own_connection() -> None:
    async with serving(compression=True) as started:
        other = await join(started, "news")
        client = await established(started)
        bomb = compress(bytes(64 << 20))
        assert len(bomb) > 65_000
        await client.send_bytes(masked(0xC1, bomb[:65_000]))
        await client.expect_closed(1009)
        started.publish("news", "e", DATA)
        assert (await other.next()).event == "e"
        assert started.counters.connections_closed["message_too_big"] == 1


async def test_a_refused_client_is_told_although_it_compresses() -> None:
    async with serving(compression=True) as started:
        client = await started.connect(query="protocol=99", compression=offer())
        assert client.compresses
        await client.expect_closed(4007)


async def test_a_connection_that_is_closed_is_told_why() -> None:
    async with serving(compression=True) as started:
        client = await join(started, "news")
        started.publish("news", "e", DATA)
        started.connection(client).close(SLOW_READER)
        assert (await client.next()).event == "e"
        await client.expect_closed(4100)


async def test_a_client_that_compresses_and_does_not_read_is_closed() -> None:
    async with serving(compression=True, write_buffer_bytes=50_000) as started:
        reader = await join(started, "news")
        slow = await join(started, "news", SMALL_BUFFER)
        published = 0
        while len(started.hub.connections) == 2:
            assert published < 3_000, "the client that does not read is still connected"
            started.publish("news", f"e{published}", noise(20_000))
            assert (await reader.next()).event == f"e{published}"
            published += 1
        assert started.counters.connections_closed["over_capacity"] == 1
        received = await slow.read_until_closed()
        events = [item.event for item in received if isinstance(item, Message)]
        if received[-1] == Closed(4100):
            assert events.pop() == "pusher:error"
        assert events == [f"e{number}" for number in range(len(events))]


async def test_what_waits_is_counted_as_it_is_written() -> None:
    """And who catches up still gets compressed what comes then."""
    async with serving(compression=True, write_buffer_bytes=0) as started:
        slow = await join(started, "news", SMALL_BUFFER)
        served = started.connection(slow)
        published = 0
        while served._transport.get_write_buffer_size() < 300_000:
            started.publish("news", f"e{published}", noise(20_000))
            published += 1
            await started.call("GET", "/apps/7/channels")
        backlog = served._backlog
        assert backlog is not None
        before = served._transport.get_write_buffer_size()
        written = backlog.sent(before)
        started.publish("news", f"e{published}", noise(20_000))
        published += 1
        await eventually(lambda: served._transport.get_write_buffer_size() > before)
        grown = served._transport.get_write_buffer_size() - before
        assert 9_000 < grown < 13_000
        assert backlog.sent(served._transport.get_write_buffer_size()) == written
        for number in range(published):
            assert (await slow.next()).event == f"e{number}"
        await eventually(lambda: served._backlog is None)
        before = slow.received_bytes
        started.publish("news", "last", DATA)
        assert (await slow.next()).event == "last"
        assert slow.received_bytes - before < len(DATA) // 4


def test_a_deflater_compresses_text_frames_of_some_size_only() -> None:
    deflater = Deflater(300, 15)
    for frame in (text_frame(b"x" * 299), ping_frame(b"x" * 125)):
        assert deflater.deflate(frame) is frame
    frame = text_frame(b"x" * 300)
    assert deflater.deflate(frame) == compress_frame(frame, 15)
    assert len(deflater.deflate(frame)) < 30
    joined = ping_frame(b"x" * 125) + frame + text_frame(b"x" * 299)
    assert split_frames(deflater.deflate(joined)) == [
        ping_frame(b"x" * 125),
        compress_frame(frame, 15),
        text_frame(b"x" * 299),
    ]


def test_a_deflater_of_everything_still_leaves_control_frames_alone() -> None:
    deflater = Deflater(0, 15)
    assert deflater.deflate(ping_frame(b"x" * 125)) == ping_frame(b"x" * 125)
    assert deflater.deflate(text_frame(b"x" * 20)) == compress_frame(text_frame(b"x" * 20), 15)


def test_equal_frames_are_compressed_once(compressions: list[int]) -> None:
    deflater = Deflater(100, 15)
    frames = [text_frame(DATA.encode()), text_frame(b"y" * 1_000)]
    for _ in range(3):
        deflater.deflate(frames[0])
        deflater.deflate(b"".join(frames))
        deflater.deflate(text_frame(DATA.encode()))
    assert len(compressions) == 2


def test_what_a_deflater_remembers_is_bounded(
    monkeypatch: pytest.MonkeyPatch, compressions: list[int]
) -> None:
    monkeypatch.setattr(compression, "RECENT_BYTES", 50_000)
    deflater = Deflater(100, 15)
    frames = [text_frame(noise(2_000 + 2 * number).encode()) for number in range(100)]
    for frame in frames:
        deflater.deflate(frame)
    assert sum(map(len, (*deflater._recent.keys(), *deflater._recent.values()))) <= 50_000
    deflater.deflate(frames[-1])
    assert len(compressions) == 100
    deflater.deflate(frames[0])
    assert len(compressions) == 101
    large = text_frame(noise(200_000).encode())
    deflater.deflate(large)
    deflater.deflate(large)
    assert len(compressions) == 102
    assert len(deflater._recent) == 1


def test_windows_of_one_size_share_a_deflater() -> None:
    shared = Compression(256)
    assert shared.deflate(15) is shared.deflate(15)
    frame = text_frame((noise(2_000) * 2).encode())
    assert len(shared.deflate(9)(frame)) > len(shared.deflate(15)(frame))
