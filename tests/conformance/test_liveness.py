"""Statements 19 to 25: who is alive, and who is taken for dead."""

from __future__ import annotations

import time

import pytest

from conformance.harness.connection import Closed, Connection
from conformance.harness.envelope import Error
from conformance.harness.names import unique
from conformance.harness.proof import PROOF
from conformance.harness.service import Service
from conformance.harness.websocket import Opcode

INTERVAL = 0.5
TIMEOUT = 0.5
PATIENCE = 10.0
"""What a busy machine may add to the moment at which a dead peer is noticed."""


def stay(connection: Connection, seconds: float) -> None:
    """Read for so long; the server may ping and must do nothing else."""
    deadline = time.monotonic() + seconds
    while (remaining := deadline - time.monotonic()) > 0:
        try:
            received = connection.receive(remaining)
        except TimeoutError:
            return
        raise AssertionError(f"expected nothing, got {received}")


@pytest.mark.parametrize(
    "ping",
    [
        '{"event":"pusher:ping","data":{}}',
        '{"event":"pusher:ping","data":""}',
        '{"event": "pusher:ping"}',
        '{"event":"pusher:ping","data":"{}"}',
        '{"event":"pusher:ping","data":null}',
    ],
)
@pytest.mark.parametrize("subscribed", [False, True])
def test_019_pusher_ping(service: Service, ping: str, subscribed: bool) -> None:
    connection = service.connect()
    if subscribed:
        connection.subscribe(unique("orders"))
    connection.send_text(ping)
    connection.expect_event("pusher:pong", data="{}", timeout=1.0)
    connection.expect_nothing()


def test_020_websocket_ping(service: Service) -> None:
    connection = service.connect()
    payloads = [b"", b"hello", b"\x00\xff", b"x" * 125]
    for payload in payloads:
        connection.send_frame(Opcode.PING, payload)
    connection.expect_nothing()
    assert connection.pongs == payloads


@pytest.mark.parametrize("events_flow", [False, True])
def test_021_silent_client_is_closed(liveness: Service, events_flow: bool) -> None:
    channel, api = unique("orders"), liveness.api()
    connection = liveness.connect(answers_pings=False)
    connection.subscribe(channel)
    since = time.monotonic()
    pinged = 0.0
    received: object = None
    while not isinstance(received, Closed):
        assert time.monotonic() - since < INTERVAL + TIMEOUT + PATIENCE
        if events_flow:
            api.publish("tick", channel, "{}")
        try:
            received = connection.receive(0.05)
        except TimeoutError:
            continue
        finally:
            if connection.pings and not pinged:
                pinged = time.monotonic()
        if isinstance(received, Error):
            assert received.code == 4201
    assert received.code == 4201
    assert pinged, "closed without having been pinged"
    assert time.monotonic() - since >= INTERVAL + TIMEOUT - 0.1


def test_022_only_websocket_pings_are_answered(liveness: Service) -> None:
    connection = liveness.connect()
    stay(connection, 5 * (INTERVAL + TIMEOUT))
    assert len(connection.pings) >= 2
    connection.expect_nothing()


def test_023_pusher_ping_every_120_seconds(request: pytest.FixtureRequest) -> None:
    """At full size with the server's own times; else both are shortened in proportion."""
    service: Service = request.getfixturevalue("service" if PROOF else "liveness")
    gap = 120.0 if PROOF else 120.0 * INTERVAL / 25.0
    connection = service.connect()
    for _ in range(2):
        stay(connection, gap)
        connection.send("pusher:ping", {})
        connection.expect_event("pusher:pong")
    connection.expect_nothing()


def test_024_many_websocket_pings(service: Service) -> None:
    """One a second for ten minutes; at small size as many at once as that client sends in 100 s."""
    connection = service.connect()
    number = 600 if PROOF else 100
    for _ in range(number):
        connection.send_frame(Opcode.PING, b"alive")
        if PROOF:
            stay(connection, 1.0)
    connection.expect_nothing()
    assert connection.pongs == [b"alive"] * number


def test_025_pong_is_not_answered(service: Service) -> None:
    connection = service.connect()
    connection.send("pusher:pong", {})
    connection.send_text('{"event":"pusher:pong"}')
    connection.expect_nothing()
