"""A process that is nearly out of descriptors refuses connections and keeps those it has."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

from conformance.harness.websocket import Endpoint, WebSocket
from server.processes import MAIN, process

LIMIT = 160
TARGET = f"/app/{MAIN.key}?protocol=7"
UPGRADE = (
    f"GET {TARGET} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
).encode()


def outcome(sock: socket.socket) -> str:
    """What came of the upgrade that *sock* asked for."""
    received = b""
    with contextlib.suppress(ConnectionError):
        sock.sendall(UPGRADE)
        while b'"pusher:' not in received and (chunk := sock.recv(4_096)):
            received += chunk
    if not received:
        return "dropped"
    return "established" if b"connection_established" in received else "4100"


def test_connections_beyond_the_descriptors_get_4100_then_nothing(tmp_path: Path) -> None:
    with process(tmp_path, max_descriptors=LIMIT) as server, contextlib.ExitStack() as sockets:
        endpoint = server.endpoint
        outcomes = []
        for _ in range(LIMIT + 40):
            outcomes.append(outcome(sockets.enter_context(endpoint.dial())))
        assert outcomes[0] == "established"
        assert set(outcomes) == {"established", "4100", "dropped"}
        first_refusal = outcomes.index("4100")
        assert first_refusal > LIMIT // 4
        assert "established" not in outcomes[first_refusal:]
        assert server.admin is not None
        answers(server.admin)
        sockets.close()
        answers(endpoint)
    log = (tmp_path / "stderr.log").read_text()
    assert "raise the limit (ulimit -n)" in log
    assert "Traceback" not in log


def answers(endpoint: Endpoint) -> None:
    """Wait until a connection to *endpoint* is served: those before it take a while to end."""
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(ConnectionError), endpoint.dial() as sock:
            sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            if sock.recv(4_096).startswith(b"HTTP/1.1"):
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_bare_connections_cannot_stop_the_server(tmp_path: Path) -> None:
    with process(tmp_path, max_descriptors=LIMIT) as server:
        with contextlib.ExitStack() as sockets:
            for _ in range(2 * LIMIT):
                sockets.enter_context(server.endpoint.dial())
        answers(server.endpoint)
        WebSocket(server.endpoint, TARGET).close()
