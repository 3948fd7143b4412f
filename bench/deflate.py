"""What compression costs and saves: CPU per event, bytes per delivery, memory per connection.

``python bench/deflate.py`` starts a server, connects clients that discard what they read, and
prints a table for events of several sizes, without compression and with it. CPU and memory are the
server's own. ``python bench/deflate.py 2000`` takes so many clients.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import uvloop

from herenow import AsyncChannels

SIZES: Final = (100, 250, 500, 1_000, 2_500, 5_000, 10_000)
CLIENTS: Final = 1_000
EVENTS: Final = 40
ROUNDS: Final = 5
CHANNEL: Final = "news"
APP: Final = {"id": "1", "key": "bench-key", "secret": "bench-secret"}

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_SUBSCRIBE: Final = json.dumps({"event": "pusher:subscribe", "data": {"channel": CHANNEL}}).encode()


def sample(size: int, seed: int) -> str:
    """*size* bytes of JSON such as applications send: words, names, numbers, times."""
    chance = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(chance.choices(letters, range(26, 0, -1), k=chance.randint(2, 9)))
             for _ in range(300)]  # fmt: skip
    items: list[dict[str, object]] = []
    while True:
        items.append(
            {
                "id": chance.randrange(10**9),
                "user": chance.choice(words),
                "text": " ".join(chance.choices(words, k=10)),
                "at": f"2025-03-{chance.randint(10, 28)}T12:00:{chance.randint(10, 59)}Z",
            }
        )
        text = json.dumps(items)
        if len(text) >= size:
            return text[:size]


class Sink(asyncio.Protocol):
    """A client that subscribes and counts the bytes it gets."""

    def __init__(self, compression: bool, port: int, arrived: Callable[[], None]) -> None:
        self._arrived = arrived
        offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n" if compression else b""
        self._request = (
            b"GET /app/%b?protocol=7 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n%b\r\n" % (APP["key"].encode(), port, offer)
        )
        self.received = 0
        self.subscribed = False
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        head = bytes([0x81, 0x80 | len(_SUBSCRIBE)]) + bytes(4)
        cast("asyncio.Transport", transport).write(self._request + head + _SUBSCRIBE)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if not self.subscribed:
            self._head += data
            self.subscribed = b"subscription_succeeded" in self._head
        self._arrived()


class Server:
    def __init__(self, pid: int, port: int) -> None:
        self.port = port
        self._folder = Path(f"/proc/{pid}")

    def cpu_seconds(self) -> float:
        return int((self._folder / "schedstat").read_text().split()[0]) / 1e9

    def resident_bytes(self) -> int:
        return int((self._folder / "statm").read_text().split()[1]) * _PAGE


@contextmanager
def serving(compression: bool) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "herenow.toml"
        switch = str(compression).lower()
        config.write_text(
            f"[server]\ncompression = {switch}\n"
            "ping_interval_seconds = 3600\n[[apps]]\n"
            + "".join(f'{name} = "{value}"\n' for name, value in APP.items())
        )
        herenow = str(Path(sys.executable).with_name("herenow"))
        command = [herenow, "serve", "--config", str(config), "--port", "0", "--admin-port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                found = re.search(r"public=http://127\.0\.0\.1:(\d+)", process.stdout.readline())
                assert found is not None
                yield Server(process.pid, int(found[1]))
            finally:
                process.kill()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def measure(compression: bool, clients: int) -> None:
    loop = asyncio.get_running_loop()
    with serving(compression) as server:
        api = AsyncChannels(
            app_id=APP["id"],
            key=APP["key"],
            secret=APP["secret"],
            port=server.port,
        )
        sinks: list[Sink] = []
        arrived = asyncio.Event()

        async def until(condition: Callable[[], bool]) -> None:
            while not condition():
                arrived.clear()
                await arrived.wait()

        async def connect(count: int) -> None:
            for _ in range(count):
                _, sink = await loop.create_connection(
                    lambda: Sink(compression, server.port, arrived.set), "127.0.0.1", server.port
                )
                sinks.append(sink)
            await until(lambda: all(sink.subscribed for sink in sinks))

        async def publish(data: str) -> int:
            """The bytes that one client got for an event."""
            for sink in sinks:
                sink.received = 0
            await api.trigger(CHANNEL, "message", data)
            await until(lambda: all(sink.received for sink in sinks))
            await asyncio.sleep(0.02)
            await until(lambda: len({sink.received for sink in sinks}) == 1)
            return sinks[0].received

        await connect(clients // 10)
        await publish(sample(10_000, 0))
        idle = server.resident_bytes()
        await connect(clients - len(sinks))
        memory = (server.resident_bytes() - idle) / (clients - clients // 10)
        await publish(sample(10_000, 1))
        after = (server.resident_bytes() - idle) / (clients - clients // 10)
        say(f"compression {compression}: {memory:,.0f} bytes of memory per connection,")
        say(f"  {after:,.0f} after events of 10,000 bytes to each")
        say("  data bytes | bytes per delivery | CPU ms per event | µs per delivery | range")
        for size in SIZES:
            costs, each = [], 0
            for round_ in range(ROUNDS):
                events = [sample(size, round_ * EVENTS + number) for number in range(EVENTS)]
                before = server.cpu_seconds()
                for event in events:
                    each = await publish(event)
                costs.append((server.cpu_seconds() - before) / EVENTS)
            cost = statistics.median(costs)
            span = f"{min(costs) / clients * 1e6:.2f} to {max(costs) / clients * 1e6:.2f}"
            per_delivery = cost / clients * 1e6
            say(f"  {size:10,} | {each:18,} | {cost * 1e3:16.2f} | {per_delivery:15.2f} | {span}")


async def main() -> None:
    clients = int(sys.argv[1]) if sys.argv[1:] else CLIENTS
    for compression in (False, True):
        await measure(compression, clients)


if __name__ == "__main__":
    uvloop.run(main())
