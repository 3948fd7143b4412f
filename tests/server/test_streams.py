"""Connections without TLS, on the server's own epoll instance, seen from the other end."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import struct
from collections.abc import AsyncIterator, Callable

import pytest

from herenow.server import streams
from herenow.server.listening import LoopListener, bind
from herenow.server.streams import HIGH_WATER_BYTES, Stream, Streams
from server.client import SUCCEEDED
from server.serving import eventually, serving

pytestmark = pytest.mark.anyio

LARGE = 4_000_000
TCP_CLOSE = 7
RESET = struct.pack("ii", 1, 0)


class Recorder(asyncio.Protocol):
    """Remembers what it is told; ``answers`` says whether it still writes after the peer ended."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.received = b""
        self.told: list[str] = []
        self.losses = 0
        self.answers = False
        self.fails = False
        self.stream: Stream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Stream)
        self.stream = transport

    def data_received(self, data: bytes) -> None:
        if self.fails:
            raise RuntimeError("not today")
        self.received += data

    def eof_received(self) -> bool:
        self.told.append("end")
        return self.answers

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.losses += 1
        self.told.append("lost" if exc is None else type(exc).__name__)


class Port:
    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self.made: list[Recorder] = []
        self.streams: Streams
        self.name: tuple[str, int]

    async def start(self) -> None:
        sockets = await bind(self._host, 0)
        self.name = sockets[0].getsockname()[:2]
        self.streams = Streams(sockets, self._make, 16)

    def _make(self, address: str) -> Recorder:
        recorder = Recorder(address)
        self.made.append(recorder)
        return recorder

    async def dial(self) -> tuple[socket.socket, Recorder]:
        """A connection, as its client and as its protocol see it."""
        known = len(self.made)
        client = socket.create_connection(self.name)
        client.setblocking(False)
        await eventually(lambda: len(self.made) > known)
        return client, self.made[known]


@contextlib.asynccontextmanager
async def opened(host: str = "127.0.0.1") -> AsyncIterator[Port]:
    """A port that ends, and leaves no descriptor behind, when its last connection has."""
    port = Port(host)
    await port.start()
    try:
        yield port
    finally:
        port.streams.close()
        for recorder in port.made:
            recorder.stream.abort()
        await eventually(lambda: port.streams.epoll.closed)
        assert [made.losses for made in port.made] == [1] * len(port.made)
        assert all(made.stream.descriptor == -1 for made in port.made)


@contextlib.asynccontextmanager
async def connected(host: str = "127.0.0.1") -> AsyncIterator[tuple[Port, socket.socket, Recorder]]:
    """A port with one connection, as its client and as its protocol see it."""
    async with opened(host) as port:
        client, made = await port.dial()
        with client:
            yield port, client, made


async def read_all(client: socket.socket, *may_end_with: type[Exception]) -> bytes:
    """Read until the server ends its side, or with one of these errors."""
    loop = asyncio.get_running_loop()
    received = b""
    async with asyncio.timeout(10):
        with contextlib.suppress(*may_end_with):
            while chunk := await loop.sock_recv(client, 65_536):
                received += chunk
    return received


async def read(client: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    received = b""
    async with asyncio.timeout(10):
        while len(received) < size:
            received += await loop.sock_recv(client, size - len(received))
    return received


async def test_what_is_written_in_one_turn_arrives_in_its_order() -> None:
    async with connected() as (_, client, made):
        for part in (b"one ", b"two ", b"three"):
            made.stream.write(part)
        assert await read(client, 13) == b"one two three"


async def test_closing_sends_what_was_written_however_large_it_is() -> None:
    async with connected() as (_, client, made):
        made.stream.write(b"x" * LARGE)
        made.stream.close()
        made.stream.write(b"too late")
        assert len(await read_all(client)) == LARGE
        await eventually(lambda: made.told[-1] == "lost")


async def test_ending_one_side_sends_what_was_written_and_still_reads() -> None:
    async with connected() as (_, client, made):
        made.stream.write(b"x" * LARGE)
        made.stream.write_eof()
        assert len(await read_all(client)) == LARGE
        await asyncio.get_running_loop().sock_sendall(client, b"goodbye")
        await eventually(lambda: made.received == b"goodbye")


async def test_a_client_that_ended_its_side_may_still_be_answered() -> None:
    async with connected() as (_, client, made):
        made.answers = True
        client.shutdown(socket.SHUT_WR)
        await eventually(lambda: made.told == ["end"])
        # Once the end was read there is nothing that could be read again.
        made.stream.resume_reading()
        made.stream.write(b"answer")
        assert await read(client, 6) == b"answer"
        made.stream.close()
        assert await read_all(client) == b""
        await eventually(lambda: made.told == ["end", "lost"])


async def test_a_client_that_ended_its_side_is_closed_unless_it_is_to_be_answered() -> None:
    async with connected() as (_, client, made):
        client.shutdown(socket.SHUT_WR)
        assert await read_all(client) == b""
        await eventually(lambda: made.told == ["end", "lost"])


async def test_aborting_does_not_wait_for_who_does_not_read() -> None:
    async with connected() as (_, client, made):
        made.stream.write(b"x" * LARGE)
        await eventually(lambda: made.stream.get_write_buffer_size() > HIGH_WATER_BYTES)
        made.stream.close()
        made.stream.abort()
        await eventually(lambda: made.told == ["pause", "lost"])
        assert len(await read_all(client, ConnectionResetError)) < LARGE


async def test_nothing_is_read_while_reading_is_paused() -> None:
    loop = asyncio.get_running_loop()
    async with connected() as (port, client, made):
        made.stream.pause_reading()
        made.stream.pause_reading()
        await loop.sock_sendall(client, b"hello")
        other, answered = await port.dial()
        with other:
            await loop.sock_sendall(other, b"later")
            await eventually(lambda: answered.received == b"later")
        assert made.received == b""
        made.stream.resume_reading()
        await eventually(lambda: made.received == b"hello")


async def test_a_client_that_is_lost_while_reading_is_paused_costs_nothing_until_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    ready = Stream.ready

    def counted(stream: Stream, events: int) -> None:
        calls.append(events)
        ready(stream, events)

    monkeypatch.setattr(Stream, "ready", counted)
    async with opened() as port:
        client, made = await port.dial()
        made.stream.pause_reading()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        kernel = made.stream.get_extra_info("socket")
        await eventually(
            lambda: kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE
        )
        await asyncio.sleep(0.05)
        assert not calls
        made.stream.resume_reading()
        await eventually(lambda: made.told == ["ConnectionResetError"])


async def test_a_protocol_that_fails_loses_its_own_connection_only() -> None:
    loop = asyncio.get_running_loop()
    reports: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, report: reports.append(report))
    try:
        async with opened() as port:
            first, failing = await port.dial()
            second, healthy = await port.dial()
            failing.fails = True
            with first, second:
                await loop.sock_sendall(first, b"?")
                await loop.sock_sendall(second, b"hello")
                assert await read_all(first, ConnectionResetError) == b""
                await eventually(lambda: healthy.received == b"hello")
        assert [type(report["exception"]) for report in reports] == [RuntimeError]
        assert failing.told == ["lost"]
    finally:
        loop.set_exception_handler(None)


async def test_who_is_behind_gets_everything_in_order_and_holds_nobody_up() -> None:
    """The same frames to many: the slow one's wait in its stream, the others' do not."""
    async with opened() as port:
        slow, behind = await port.dial()
        quick, current = await port.dial()
        descriptors = [behind.stream.descriptor, current.stream.descriptor]
        with slow, quick:
            behind.stream.write(b"hello ")
            frames = [b"hello "]
            told_at = 0
            while not told_at or len(frames) < told_at + 20:
                frame = b"%07d " % len(frames) * 2_000
                port.streams.write_to_each(descriptors, frame)
                frames.append(frame)
                assert await read(quick, len(frame)) == frame
                assert len(frames) < 5_000
                if behind.told and not told_at:
                    told_at = len(frames)
            assert port.streams.blocked == {behind.stream.descriptor}
            assert behind.told == ["pause"]
            expected = b"".join(frames)
            assert await read(slow, len(expected)) == expected
            await eventually(lambda: not port.streams.blocked)
            assert behind.told == ["pause", "resume"]
            port.streams.write_to_each(descriptors, b"end")
            assert await read(slow, 3) == await read(quick, 3) == b"end"


async def test_who_is_cut_off_gets_nothing_after_half_a_frame() -> None:
    async with connected() as (port, client, made):
        made.stream.write(b"x" * LARGE)
        await eventually(lambda: made.stream.get_write_buffer_size() > 0)
        made.stream.abort()
        # Now there is room, and the connection is not closed before the next turn.
        received = client.recv(LARGE)
        port.streams.write_to_each([made.stream.descriptor], b"y")
        received += await read_all(client, ConnectionResetError)
        assert received == b"x" * len(received)


async def test_who_has_a_connection_next_is_told_that_its_client_is_behind() -> None:
    async with connected() as (_, client, made):
        made.stream.write(b"x" * LARGE)
        await eventually(lambda: made.told == ["pause"])
        following = Recorder(made.address)
        made.stream.set_protocol(following)
        assert following.told == ["pause"]
        await read(client, LARGE)
        await eventually(lambda: following.told == ["pause", "resume"])
        made.stream.set_protocol(made)
        assert made.told == ["pause"]


async def test_who_is_lost_is_passed_over_when_many_are_written_to() -> None:
    async with opened() as port:
        lost, gone = await port.dial()
        client, made = await port.dial()
        descriptors = [gone.stream.descriptor, made.stream.descriptor]
        with client:
            gone.stream.pause_reading()
            lost.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            lost.close()
            port.streams.write_to_each(descriptors, b"event")
            assert await read(client, 5) == b"event"
            await eventually(lambda: len(gone.told) == 1)
            assert gone.told[0] in ("ConnectionResetError", "BrokenPipeError")


async def test_accepting_goes_on_when_descriptors_were_short(
    caplog: pytest.LogCaptureFixture,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with opened() as port:
        client = socket.socket()
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
            client.connect(port.name)
            await eventually(lambda: "could not be accepted" in caplog.text)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with client:
            await eventually(lambda: len(port.made) == 1)


async def test_small_frames_are_not_held_back() -> None:
    async with connected() as (_, _, made):
        option = made.stream.get_extra_info("socket").getsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 4
        )
        assert struct.unpack("i", option) == (1,)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_address_of_a_client_is_known(host: str) -> None:
    try:
        socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        ).close()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    async with connected(host) as (_, _, made):
        assert made.address == host


async def test_who_is_here_without_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems without epoll leave connections to the event loop."""
    started_by: list[Callable[..., object]] = []
    start = LoopListener.start

    async def noted(*arguments: object) -> LoopListener:
        started_by.append(start)
        return await start(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(streams, "AVAILABLE", False)
    monkeypatch.setattr(LoopListener, "start", noted)
    async with serving() as started:
        first = await started.established()
        await first.subscribe("presence-room", "a")
        assert (await first.next()).event == SUCCEEDED
        second = await started.established()
        await second.subscribe("presence-room", "b")
        assert (await second.next()).event == SUCCEEDED
        assert (await first.next()).event == "pusher_internal:member_added"
        started.publish("presence-room", "e", "x")
        assert (await first.next()).event == (await second.next()).event == "e"
    assert started_by
