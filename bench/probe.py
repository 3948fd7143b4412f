"""How long a ping, a join and a publish take: ``python -m bench.probe PORT SECONDS``.

One client asks for one thing at a time, at moments that follow no rhythm, and prints the times in
milliseconds as JSON. It is woken before the load generator on the same core where the system lets
it, so that the time is the server's.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

from bench.micro.samples import DATA, KEY, PUBLISH_PATH, SECRET, masked, publish_query
from bench.servers import GENERATOR_CORE

from herenow.protocol.messages import encode_json
from herenow.protocol.signing import channel_string, hex_digest

CHANNEL: Final = "presence-probe"
MEMBER: Final = '{"user_id":"probe"}'
# Goes to a channel that none of the load is on.
PROBE_BODY: Final = b'{"name":"ev","channels":["probe"],"data":' + DATA + b"}"
PAUSE_SECONDS: Final = (0.002, 0.02)
PATIENCE_SECONDS: Final = 10
PRIORITY: Final = 10


class Client:
    """A WebSocket that waits for what it asked for, and nothing else."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self._socket.sendall(
            b"GET /app/%b?protocol=7 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % KEY.encode()
        )
        greeting = self.wait_for(b"activity_timeout")
        self.socket_id = greeting.partition(b'socket_id\\":\\"')[2].partition(b"\\")[0].decode()

    def send(self, event: str, data: object) -> None:
        self._socket.sendall(masked(encode_json({"event": event, "data": data})))

    def wait_for(self, mark: bytes) -> bytes:
        received = b""
        while mark not in received:
            data = self._socket.recv(65_536)
            if not data:
                raise SystemExit(f"the server closed the connection: {received[-200:]!r}")
            received += data
        return received


class Probe:
    """What is timed; whatever can be prepared is prepared before."""

    def __init__(self, port: int) -> None:
        self._client = Client(port)
        self._http = http.client.HTTPConnection("127.0.0.1", port, PATIENCE_SECONDS)
        signed = channel_string(self._client.socket_id, CHANNEL, MEMBER)
        self._join = {
            "channel": CHANNEL,
            "channel_data": MEMBER,
            "auth": f"{KEY}:{hex_digest(SECRET, signed)}",
        }
        self._target = f"{PUBLISH_PATH}?{publish_query(time.time(), PROBE_BODY)}"

    def ping(self) -> None:
        self._client.send("pusher:ping", {})
        self._client.wait_for(b"pusher:pong")

    def join(self) -> None:
        self._client.send("pusher:subscribe", self._join)
        self._client.wait_for(b"subscription_succeeded")

    def leave(self) -> None:
        self._client.send("pusher:unsubscribe", {"channel": CHANNEL})

    def publish(self) -> None:
        self._http.request("POST", self._target, PROBE_BODY)
        answer = self._http.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"a publish was answered with {answer.status}")


def timed(action: Callable[[], None]) -> float:
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1_000


def run(port: int, seconds: float) -> dict[str, list[float]]:
    probe = Probe(port)
    times: dict[str, list[float]] = {"ping": [], "join": [], "publish": []}
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for action in (probe.ping, probe.join, probe.publish):
            time.sleep(random.uniform(*PAUSE_SECONDS))
            times[action.__name__].append(timed(action))
        probe.leave()
    return times


def main() -> None:
    os.sched_setaffinity(0, {GENERATOR_CORE})
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    print(json.dumps(run(int(sys.argv[1]), float(sys.argv[2]))))


if __name__ == "__main__":
    main()
