"""What watchlists cost a node: memory, subscriptions at the engine, time to sign in.

``python bench/cluster/watchers.py [CONNECTIONS] [WATCHED]`` starts a Valkey and puts a whole
node on it, with connections whose sockets are left out: what they write is counted and thrown
away. Every connection signs in as a user of its own. It is done without watchlists, with lists of
friends (every user is watched by as many as it watches), and with lists of people whom nobody else
watches.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import redis
import uvloop

from herenow import Channels
from herenow.apps.base import App, Key
from herenow.apps.static import StaticApps
from herenow.config import ClusterConfig
from herenow.engines import SharedEngine
from herenow.protocol.http1 import Request
from herenow.protocol.messages import encode_json
from herenow.server.counters import Counters
from herenow.server.node import Node, NodeSettings
from herenow.server.peers import Peer
from herenow.server.timers import TimerWheel

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from cluster.servers import Valkey

APP: Final = App("1", (Key("a-key", "a-secret"),))
CHANNELS: Final = Channels("1", "a-key", "a-secret", host="127.0.0.1", port=1)
PEER: Final = Peer("127.0.0.1", False, True)
AT_ONCE: Final = 256


class Discard(asyncio.Transport):
    """A transport that throws away what it is given, and knows when a sign-in was answered."""

    __slots__ = ("signed_in", "written")

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.signed_in: asyncio.Event | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += len(data)
        if self.signed_in is not None and b"pusher:signin_success" in bytes(data):
            self.signed_in.set()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


class LoopClock:
    def __init__(self, timers: TimerWheel) -> None:
        self._timers = timers
        self._offset = time.time() - timers.now()

    def time(self) -> float:
        return self._offset + self._timers.now()

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        return self._timers.call_later(delay, callback)


class NoWebhooks:
    def emit(self, event: object) -> None:
        """Nothing is delivered here."""


def client_frame(payload: bytes) -> bytes:
    """A text frame as a client sends it, under a mask of zeros."""
    if len(payload) < 126:
        return bytes((0x81, 0x80 | len(payload))) + bytes(4) + payload
    return bytes((0x81, 0x80 | 126)) + len(payload).to_bytes(2, "big") + bytes(4) + payload


def signin(socket_id: str, user: str, watchlist: Iterable[str]) -> bytes:
    signed = CHANNELS.authenticate_user(socket_id, {"id": user, "watchlist": list(watchlist)})
    return client_frame(encode_json({"event": "pusher:signin", "data": signed}))


def resident_kilobytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


async def sign_in(node: Node, number: int, watchlist: Iterable[str]) -> Discard:
    transport = Discard()
    path = "/app/a-key"
    request = Request("GET", path, path, "protocol=7", {"host": "127.0.0.1"}, "1.1", True)
    before = len(node.hub(APP).connections)
    connection: Any = node.open_websocket(transport, request, PEER, b"")
    assert len(node.hub(APP).connections) == before + 1
    transport.signed_in = asyncio.Event()
    frame = signin(connection.session.socket_id, f"user-{number}", watchlist)
    connection.data_received(frame)
    await transport.signed_in.wait()
    transport.signed_in = None
    return transport


async def measure(
    url: str, kind: str, connections: int, watchlist: Callable[[int], Iterable[str]]
) -> None:
    client = redis.Redis.from_url(url)
    client.flushall()
    timers = TimerWheel(asyncio.get_running_loop())
    clock = LoopClock(timers)
    engine = SharedEngine(ClusterConfig(url=url), clock, lambda app: 0, 30 * 86_400)
    settings = NodeSettings(ping_interval_seconds=3600)
    node = Node(
        settings, StaticApps((APP,)), engine.ledger, engine.bus, NoWebhooks(), timers, Counters()
    )
    await engine.start()
    await sign_in(node, connections, ())
    before = resident_kilobytes()
    numbers = iter(range(connections))

    async def work() -> list[Discard]:
        return [await sign_in(node, number, watchlist(number)) for number in numbers]

    began = time.process_time()
    transports = await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    used = time.process_time() - began
    while node.hub(APP).users._asking:
        await asyncio.sleep(0.05)
    memory: Any = client.info("memory")
    channels: Any = client.pubsub_channels()
    kilobytes = resident_kilobytes() - before
    assert sum(len(part) for part in transports) == connections
    each = len(list(watchlist(0)))
    print(
        f"| {kind} | {connections:,} | {each} | {kilobytes / 1024:.0f} |"
        f" {kilobytes / connections:.1f} | {len(channels)} |"
        f" {memory['used_memory'] / 1_048_576:.0f} | {used / connections * 1e6:.0f} |",
        flush=True,
    )
    timers.stop()
    await engine.connections.stop()


def lists_of(kind: str, connections: int, watched: int) -> Callable[[int], list[str]]:
    def nobody(number: int) -> list[str]:
        return []

    def friends(number: int) -> list[str]:
        return [f"user-{(number + 1 + step * 37) % connections}" for step in range(watched)]

    def strangers(number: int) -> list[str]:
        return [f"stranger-{number}-{step}" for step in range(watched)]

    return {"none": nobody, "friends": friends, "strangers": strangers}[kind]


def main(arguments: list[str]) -> None:
    if len(arguments) == 4:
        url, kind, connections, watched = arguments
        lists = lists_of(kind, int(connections), int(watched))
        uvloop.run(measure(url, kind, int(connections), lists))
        return
    size = arguments or ["20000", "100"]
    print("| watchlists | connections | each watches | MiB | KiB a connection |", end="")
    print(" channels read | engine, MiB | CPU to sign in, µs |\n|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        server = Valkey(Path(directory)).start()
        try:
            for kind in ("none", "friends", "strangers"):
                # A process of its own for each: memory that is let go of is not given back.
                command = [sys.executable, __file__, server.url, kind, *size]
                subprocess.run(command, check=True)
        finally:
            server.kill()


if __name__ == "__main__":
    main(sys.argv[1:])
