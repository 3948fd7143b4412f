"""What is gone leaves nothing behind, and no bytes from outside get the better of a connection."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator
from typing import Final

import pytest

from herenow.cluster.memory import MemoryBus, MemoryLedger
from herenow.server import hub
from herenow.server.connection import Connection
from herenow.server.front import Front
from herenow.server.liveness import Liveness
from herenow.server.refusing import RefusedConnection
from herenow.server.timers import Timer
from server.client import Client
from server.serving import APP, Serving, app_with, eventually, serving

pytestmark = pytest.mark.anyio

BUSY: Final = app_with(APP, subscription_count=True, messages_per_second=0)
ROUNDS: Final = 40


@pytest.fixture
async def started() -> AsyncIterator[Serving]:
    async with serving(
        BUSY,
        max_connections_per_address=1_000,
        connects_per_second_per_address=10_000,
        head_timeout_seconds=0.3,
    ) as started:
        yield started


def alive() -> int:
    """Objects of the server's that belong to one connection."""
    gc.collect()
    return sum(
        isinstance(each, Connection | Front | RefusedConnection) for each in gc.get_objects()
    )


async def nothing_is_left(started: Serving) -> None:
    await eventually(lambda: started.open_sockets == 0)
    node, left = started.node, started.hub
    assert left.connections == {}
    assert left.channels == {}
    assert left.users.signed_in == {}
    assert left.users._watchers == {}
    assert left.users._asking == {}
    assert node._addresses._connections == {}
    assert len(node._addresses._connects) <= 1
    assert not started.context.fronts
    ledger = started.ledger
    assert isinstance(ledger, MemoryLedger)
    assert ledger._followed == {}
    assert ledger._usages == {}
    bus = started.bus
    assert isinstance(bus, MemoryBus)
    await eventually(lambda: bus._misses == {})
    await eventually(lambda: alive() == 0)
    waiting = [due for slot in started.timers._slots.values() for due in slot]
    assert not any(isinstance(due, Timer) for due in waiting)
    assert all(due._connection is None for due in waiting if isinstance(due, Liveness))


async def use_everything(started: Serving, number: int, end: str) -> None:
    """A connection that does all that there is to do, on names seen once."""
    client = await started.established()
    user = f"u{number}"
    await client.send_text(client.signin(user, (f"w{number}", f"u{number + 1}")))
    for channel in ("", "private-", "cache-", "private-encrypted-"):
        await client.subscribe(f"{channel}{number}")
    await client.subscribe(f"presence-{number}", user, {"n": number})
    await client.subscribe("presence-all", user)
    await client.subscribe(f"#server-to-user-{user}")
    await client.send(f"client-{number}", {}, f"private-{number}")
    await client.send("pusher:unsubscribe", {"channel": f"never-{number}"})
    await client.subscribe(f"bad name {number}")
    await client.barrier()
    if end == "close":
        await client.leave()
    elif end == "reset":
        client.reset()
    elif end == "terminate":
        started.node.terminate(started.app.id, user)
        await client.read_until_closed()
    else:
        for channel in list(started.connection(client).session.subscriptions):
            await client.unsubscribe(channel)
        await client.barrier()
        client.close()


async def test_connections_and_names_seen_once_leave_nothing(
    started: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "CACHE_MISS_INTERVAL_SECONDS", 0.2)
    ends = ("close", "reset", "terminate", "unsubscribe")
    for number in range(ROUNDS):
        await use_everything(started, number, ends[number % len(ends)])
    await nothing_is_left(started)


async def test_who_left_is_forgotten_without_the_garbage_collector(started: Serving) -> None:
    """It comes seldom, and ten thousand may have left."""
    assert alive() == 0
    gc.disable()
    try:
        client = await started.established()
        await client.enter("presence-a", "a")
        await client.subscribe("news")
        await client.expect_subscribed("news")
        client.close()
        await eventually(lambda: not any(isinstance(each, Connection) for each in gc.get_objects()))
    finally:
        gc.enable()


async def test_refused_connections_leave_nothing(started: Serving) -> None:
    for query in ("", "protocol=3", "protocol=x"):
        client = await started.connect(query=query)
        await client.read_until_closed()
        client.close()
        silent = await started.connect(query=query)
        silent.reset()
    stranger = await started.connect(app_with(APP, keys=(APP.keys[0].__class__("no", "no"),)))
    await stranger.expect_closed(4001)
    stranger.close()
    await nothing_is_left(started)


async def test_calls_about_unknown_names_leave_nothing(started: Serving) -> None:
    base = f"/apps/{APP.id}"
    for number in range(20):
        await started.trigger(f"c{number}", "e", info="subscription_count")
        await started.call("GET", f"{base}/channels/presence-{number}/users")
        await started.call("GET", f"{base}/channels/x{number}")
        await started.call("POST", f"{base}/users/u{number}/terminate_connections", {})
    await nothing_is_left(started)


MASK: Final = b"\x00\x00\x00\x00"
HEAD: Final = b"Host: 127.0.0.1\r\n"
UPGRADE: Final = (
    b"GET /app/app-key?protocol=7 HTTP/1.1\r\n" + HEAD + b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def text_frame(payload: bytes) -> bytes:
    assert len(payload) < 65_536
    if len(payload) < 126:
        return bytes([0x81, 0x80 | len(payload)]) + MASK + payload
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + MASK + payload


SEEDS: Final = (
    b"GET /apps/7/channels?auth_key=app-key HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"POST /apps/7/events?auth_key=app-key HTTP/1.1\r\n"
    + HEAD
    + b'Content-Length: 12\r\n\r\n{"name":"x"}',
    b"POST /apps/7/events HTTP/1.1\r\n"
    + HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"HEAD /users/%ff/terminate_connections HTTP/1.0\r\n\r\n",
    UPGRADE,
    UPGRADE + text_frame(b'{"event":"pusher:subscribe","data":{"channel":"a"}}'),
    UPGRADE
    + text_frame(b'{"event":"pusher:subscribe","data":{"channel":"presence-a","auth":"a:b"}}'),
    UPGRADE + text_frame(b'{"event":"pusher:signin","data":{"auth":"a:b","user_data":"{}"}}'),
    UPGRADE + text_frame(b'{"event":"client-a","channel":"private-a","data":[1,"\\u1234"]}'),
    UPGRADE + text_frame(b"[" * 3_000),
    UPGRADE + b"\x89\x84" + MASK + b"ping" + b"\x88\x82" + MASK + b"\x03\xe8",
    UPGRADE + b"\x01\x81" + MASK + b"a" + b"\x89\x80" + MASK + b"\x80\x81" + MASK + b"b",
)


def mutated(chance: random.Random, seed: bytes) -> bytes:
    """*seed* with some of its bytes changed, repeated, left out or random ones put in."""
    found = bytearray(seed)
    keep = len(UPGRADE) if seed.startswith(UPGRADE) and chance.random() < 0.8 else 0
    for _ in range(chance.randrange(1, 8)):
        place = chance.randrange(keep, len(found) + 1) if keep <= len(found) else len(found)
        kind = chance.randrange(4)
        if kind == 0:
            found[place : place + 1] = chance.randbytes(1)
        elif kind == 1:
            found[place:place] = chance.randbytes(chance.randrange(1, 9))
        elif kind == 2:
            del found[place : place + chance.randrange(1, 9)]
        else:
            start = chance.randrange(len(found) + 1)
            found[place:place] = found[start : start + chance.randrange(1, 60)]
    return bytes(found)


@pytest.mark.parametrize("seed", range(3))
async def test_no_bytes_get_the_better_of_a_connection(
    started: Serving, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)
    loop = asyncio.get_running_loop()
    failures: list[object] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))

    async def attack(data: bytes, cut: int) -> None:
        sock = await started.dial()
        try:
            await loop.sock_sendall(sock, data[:cut])
            await asyncio.sleep(0)
            await loop.sock_sendall(sock, data[cut:])
            async with asyncio.timeout(0.01):
                while await loop.sock_recv(sock, 65_536):
                    pass
        except (ConnectionError, TimeoutError):
            pass
        finally:
            sock.close()

    for _ in range(60):
        batch = []
        for _ in range(10):
            data = chance.randbytes(chance.randrange(1, 200))
            if chance.random() < 0.9:
                data = mutated(chance, chance.choice(SEEDS))
            batch.append(attack(data, chance.randrange(len(data) + 1)))
        await asyncio.gather(*batch)
        assert not failures, failures
    client = await started.established()
    await client.leave()
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
    await nothing_is_left(started)


async def test_mutated_messages_leave_a_connection_alive(started: Serving) -> None:
    """Text that is UTF-8 ends no connection, whatever it says."""
    chance = random.Random(7)
    client = await started.established()
    signed = [
        client.subscription("presence-a", "u", {"a": "b"}),
        client.subscription("private-a"),
        client.signin("u", ("a", "b")),
        client.message("client-a", {"a": [1, 2.5, None]}, "private-a"),
        client.message("pusher:unsubscribe", {"channel": "presence-a"}),
    ]
    for _ in range(400):
        text = mutated(chance, chance.choice(signed).encode()).decode("utf-8", "ignore")
        await client.send_text(text)
    await client.barrier()
    assert not started.connection(client).closing


async def test_a_client_cannot_speak_unmasked(started: Serving) -> None:
    client: Client = await started.established()
    await client.send_bytes(b"\x81\x02{}")
    await client.expect_closed(1002)
