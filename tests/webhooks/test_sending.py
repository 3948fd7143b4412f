"""Requests to receivers that are not to be trusted, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from herenow.webhooks.sending import HttpSender, is_denied
from server.certificates import make_certificate

pytestmark = pytest.mark.anyio

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def receiving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server whose connections *handler* takes."""
    tasks: set[asyncio.Task[None]] = set()

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(taken, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """The head and the body of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(
        int(line.partition(":")[2])
        for line in head.split("\r\n")
        if line.lower().startswith("content-length:")
    )
    return head, await reader.readexactly(length)


def answering(*answers: bytes) -> tuple[Handler, list[tuple[str, bytes]]]:
    """A handler that gives *answers* one after another on a connection, and what it was sent."""
    got: list[tuple[str, bytes]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            got.append(await request(reader))
            writer.write(answer)
            await writer.drain()

    return handler, got


@asynccontextmanager
async def sender(timeout: float = 5, deny: tuple[str, ...] = ()) -> AsyncIterator[HttpSender]:
    opened = HttpSender(timeout, [ip_network(network) for network in deny])
    try:
        yield opened
    finally:
        await opened.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_headers_and_body_arrive_as_given() -> None:
    """PHP looks headers up as they are written, so their case is kept."""
    handler, got = answering(OK, OK)
    async with receiving(handler) as port, sender() as http:
        url = f"http://127.0.0.1:{port}/hook?a=b"
        headers = [("Content-Type", "application/json"), ("X-Pusher-Key", "k")]
        for _ in range(2):
            outcome = await http.send(url, headers, b'{"a":1}')
            assert outcome.delivered
    head, body = got[0]
    assert head.startswith("POST /hook?a=b HTTP/1.1\r\n")
    assert f"\r\nHost: 127.0.0.1:{port}\r\n" in head
    assert "\r\nX-Pusher-Key: k\r\n" in head
    assert "\r\nContent-Type: application/json\r\n" in head
    assert body == b'{"a":1}'
    assert len(got) == 2, "one connection is used again"


@pytest.mark.parametrize("status", [300, 301, 302, 307, 400, 404, 500, 503])
async def test_anything_but_2xx_is_a_refusal_and_nothing_is_followed(status: int) -> None:
    """A redirect could lead anywhere."""
    head = f"HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 3\r\n\r\n"
    handler, got = answering(head.encode() + b"no\x1b")
    async with receiving(handler) as port, sender() as http:
        outcome = await http.send(f"http://127.0.0.1:{port}/", [], b"{}")
    assert (outcome.word, outcome.answer) == ("refused", f"{status} no")
    assert len(got) == 1


async def test_a_long_answer_is_cut_and_its_connection_closed() -> None:
    """At most 4 KiB are read and kept."""
    ended = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                await writer.drain()
        finally:
            ended.set()

    async with receiving(handler) as port, sender() as http:
        outcome = await http.send(f"http://127.0.0.1:{port}/", [], b"{}")
        async with asyncio.timeout(5):
            await ended.wait()
    assert outcome.word == "refused"
    assert len(outcome.answer) <= 4_100


async def test_a_trickle_is_cut_by_the_timeout() -> None:
    """The timeout is for the whole request, headers and body of the answer included."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-A: b\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with receiving(handler) as port, sender(timeout=0.3) as http:
        outcome = await http.send(f"http://127.0.0.1:{port}/", [], b"{}")
    assert (outcome.word, outcome.answer) == ("timeout", "no answer within 0.3 s")


async def test_an_answer_counts_when_its_status_is_there() -> None:
    """What a receiver says slowly after that makes it no failure."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with receiving(handler) as port, sender(timeout=0.3) as http:
        assert (await http.send(f"http://127.0.0.1:{port}/", [], b"{}")).delivered


async def test_a_connection_that_is_lost_is_a_failure() -> None:
    """And so is a host that does not listen."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)

    async with receiving(handler) as port, sender() as http:
        lost = await http.send(f"http://127.0.0.1:{port}/", [], b"{}")
    async with sender() as http:
        refused = await http.send(f"http://127.0.0.1:{port}/", [], b"{}")
    assert (lost.word, refused.word) == ("failed", "failed")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "0", "[::]"])
async def test_a_denied_address_is_never_connected_to(host: str) -> None:
    """Names are looked up first; what they stand for decides."""
    connected: list[None] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(None)

    deny = ("127.0.0.0/8", "::1/128")
    async with receiving(handler) as port, sender(deny=deny) as http:
        outcome = await http.send(f"http://{host}:{port}/", [], b"{}")
    assert outcome.word == "denied"
    assert "webhooks.deny_networks" in outcome.answer
    assert not connected


def resolving(
    monkeypatch: pytest.MonkeyPatch, look_up: Callable[[str], tuple[str, ...] | None]
) -> None:
    """Let names stand for the addresses that *look_up* gives; None: for what they stand for."""
    real = socket.getaddrinfo

    def found(host: str, *more: Any, **named: Any) -> list[Any]:
        addresses = look_up(host)
        if addresses is None:
            return real(host, *more, **named)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 0)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


async def test_another_address_of_the_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one is denied or does not answer, the next may."""
    handler, got = answering(OK)
    known = {"receiver.example": ("10.0.0.1", "127.0.0.3", "127.0.0.1")}
    resolving(monkeypatch, known.get)
    async with receiving(handler) as port, sender(deny=("10.0.0.0/8",)) as http:
        outcome = await http.send(f"http://receiver.example:{port}/", [], b"{}")
    assert outcome.delivered
    assert f"Host: receiver.example:{port}" in got[0][0]


async def test_a_name_is_looked_up_for_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is denied later is not reached by what was known of it before."""
    handler, got = answering(OK)
    addresses = ["127.0.0.1", "10.0.0.1"]
    resolving(monkeypatch, lambda host: (addresses.pop(0),) if host == "receiver.example" else None)
    async with receiving(handler) as port, sender(deny=("10.0.0.0/8",)) as http:
        url = f"http://receiver.example:{port}/"
        first = await http.send(url, [], b"{}")
        second = await http.send(url, [], b"{}")
    assert (first.word, second.word) == ("delivered", "denied")
    assert len(got) == 1


async def test_a_name_server_that_hangs_holds_up_no_other_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many requests wait for it, and however many such names there are."""
    handler, _ = answering(OK)
    end = threading.Event()

    def look_up(host: str) -> tuple[str, ...] | None:
        if host.startswith("hangs"):
            end.wait(20)
        return ("127.0.0.1",) if host.endswith(".example") else None

    resolving(monkeypatch, look_up)
    async with receiving(handler) as port, sender() as http:
        hanging = [
            asyncio.ensure_future(http.send(f"http://hangs{n % 40}.example:{port}/", [], b"{}"))
            for n in range(400)
        ]
        try:
            outcome = await http.send(f"http://receiver.example:{port}/", [], b"{}")
            assert outcome.delivered
            assert not any(task.done() for task in hanging)
        finally:
            end.set()
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_name_that_is_unknown_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome says so."""

    def look_up(host: str) -> tuple[str, ...] | None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    resolving(monkeypatch, look_up)
    async with sender() as http:
        outcome = await http.send("http://receiver.example/", [], b"{}")
    assert outcome.word == "failed"
    assert "not known" in outcome.answer


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the machine's authorities know it."""
    handler, _ = answering(OK)
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with receiving(handler, context) as port:
        url = f"https://127.0.0.1:{port}/"
        async with sender() as http:
            refused = await http.send(url, [], b"{}")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with sender() as http:
            accepted = await http.send(url, [], b"{}")
    assert refused.word == "failed"
    assert "certificate" in refused.answer.lower()
    assert accepted.delivered


@pytest.mark.parametrize(
    ("address", "network", "denied"),
    [
        ("169.254.169.254", "169.254.0.0/16", True),
        ("::ffff:169.254.169.254", "169.254.0.0/16", True),
        ("64:ff9b::a9fe:a9fe", "169.254.0.0/16", True),
        ("2002:a9fe:a9fe::1", "169.254.0.0/16", True),
        ("fe80::1%eth0", "fe80::/10", True),
        ("fd00:ec2::254", "fd00:ec2::254/128", True),
        ("0.0.0.0", "127.0.0.0/8", True),
        ("::", "127.0.0.0/8", True),
        ("::", "::1/128", True),
        ("::ffff:0.0.0.0", "127.0.0.0/8", True),
        ("8.8.8.8", "169.254.0.0/16", False),
        ("2001:db8::1", "169.254.0.0/16", False),
    ],
)
def test_an_address_is_denied_however_it_is_written(
    address: str, network: str, *, denied: bool
) -> None:
    """IPv6 has several ways to reach an IPv4 address."""
    assert is_denied(address, [ip_network(network)]) is denied
