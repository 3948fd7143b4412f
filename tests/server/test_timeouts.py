"""What is never finished is dropped; who merely has nothing to say is not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from herenow.server.front import Front
from server.certificates import make_certificate
from server.client import DEADLINE
from server.late_engine import LateLedger, Lateness
from server.serving import Serving, eventually, serving

pytestmark = pytest.mark.anyio

TIMEOUT = 0.3
MASK = b"\x00\x00\x00\x00"


@pytest.fixture
async def started() -> AsyncIterator[Serving]:
    async with serving(head_timeout_seconds=TIMEOUT) as started:
        yield started


async def seconds_until_dropped(sock: socket.socket) -> float:
    """How long the server still keeps *sock*."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(DEADLINE):
            while await loop.sock_recv(sock, 65_536):
                pass
    sock.close()
    return loop.time() - begin


@pytest.mark.parametrize("half", [b"", b"GET /apps/7/channels HTTP/1.1\r\nHost: x\r\n"])
async def test_half_a_request_is_dropped(started: Serving, half: bytes) -> None:
    sock = await started.dial()
    await asyncio.get_running_loop().sock_sendall(sock, half)
    assert await seconds_until_dropped(sock) >= TIMEOUT * 0.9
    await eventually(lambda: started.open_sockets == 0)


@pytest.mark.parametrize(
    "half",
    [
        pytest.param(b"\x81", id="half a head"),
        pytest.param(b"\x81\xfe\x01\x00" + MASK + b"x", id="half a frame"),
        pytest.param(b"\x01\x81" + MASK + b"x", id="half a message"),
        pytest.param(b"\x89\x84" + MASK, id="half a ping"),
    ],
)
async def test_half_a_message_is_dropped(started: Serving, half: bytes) -> None:
    client = await started.join("a")
    began = asyncio.get_running_loop().time()
    await client.send_bytes(half)
    await client.expect_closed(None)
    assert asyncio.get_running_loop().time() - began >= TIMEOUT * 0.9
    await eventually(lambda: started.open_sockets == 0)
    assert started.hub.channels == {}


async def test_pings_do_not_keep_half_a_message_alive(started: Serving) -> None:
    client = await started.established()
    connection = started.connection(client)
    await client.send_bytes(b"\x01\x81" + MASK + b"x")
    deadline = asyncio.get_running_loop().time() + DEADLINE
    while not connection.closing:
        assert asyncio.get_running_loop().time() < deadline
        with contextlib.suppress(ConnectionError):
            await client.send_bytes(b"\x89\x80" + MASK)
        await asyncio.sleep(0.02)


async def test_a_client_that_is_merely_idle_stays(started: Serving) -> None:
    client = await started.join("a")
    await asyncio.sleep(3 * TIMEOUT)
    started.publish("a", "hello")
    await client.expect("hello", "a")


async def test_a_client_that_always_has_the_next_frame_half_sent_stays(started: Serving) -> None:
    client = await started.established()
    ping = b'{"event":"pusher:ping"}'
    frame = b"\x81" + bytes([0x80 | len(ping)]) + MASK + ping
    await client.send_bytes(frame[:10])
    for _ in range(12):
        await asyncio.sleep(TIMEOUT / 4)
        await client.send_bytes(frame[10:] + frame[:10])
        await client.expect("pusher:pong")


async def test_a_frame_that_the_server_does_not_read_on_is_waited_for() -> None:
    """Reading stops while too much waits for the engine; that is not the client's fault."""
    lateness = Lateness("join")
    make_ledger = partial(LateLedger, lateness)
    async with serving(head_timeout_seconds=TIMEOUT, make_ledger=make_ledger) as started:
        client = await started.established()
        connection = started.connection(client)
        await client.send_text(client.signin("u"))
        for number in range(70):
            await client.subscribe(f"c{number}")
        await client.send_bytes(b"\x81\xa0" + MASK + b'{"event":"pusher')
        await eventually(lambda: bool(connection._pauses))
        await asyncio.sleep(3 * TIMEOUT)
        await client.send_bytes(b':ping","data":0}')
        lateness.release_all()
        await client.expect("pusher:signin_success")
        events = [message.event for message in await client.barrier()]
        assert len(events) == 71
        assert events[-1] == "pusher:pong"


async def test_half_a_tls_handshake_is_dropped(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    async with serving(head_timeout_seconds=TIMEOUT) as started:
        listening = await loop.create_server(
            lambda: Front(started.context),
            "127.0.0.1",
            0,
            ssl=context,
            ssl_handshake_timeout=TIMEOUT,
        )
        for half in (b"", b"\x16\x03\x01\x02\x00\x01\x00"):
            sock = socket.socket()
            sock.setblocking(False)
            await loop.sock_connect(sock, listening.sockets[0].getsockname())
            await loop.sock_sendall(sock, half)
            assert await seconds_until_dropped(sock) >= TIMEOUT * 0.9
        listening.close()
        await listening.wait_closed()
