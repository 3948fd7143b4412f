"""Statements 1 to 18: the handshake, what is refused there, and how connections end."""

from __future__ import annotations

import re
import resource
import signal
from pathlib import Path

import pytest

from conformance.harness.apps import QUOTA, catalogue
from conformance.harness.connection import SUCCEEDED, Closed, Connection
from conformance.harness.envelope import Error
from conformance.harness.names import unique
from conformance.harness.proof import PROOF
from conformance.harness.server import STOP_SECONDS, Server, running
from conformance.harness.service import Service, eventually
from conformance.harness.websocket import Opcode

SUBPROTOCOL = "pusher-channels-protocol-7"
UNKNOWN_KEY = "App key {} not in this cluster. Did you forget to specify the cluster?"


def refusals(key: str) -> dict[str, int]:
    """Targets that no server may accept, and the code that each is refused with."""
    return {
        "/app/00000000000000000000?protocol=7": 4001,
        f"/app/{key}?protocol=3": 4007,
        f"/app/{key}?protocol=99": 4007,
        f"/app/{key}": 4008,
        f"/app/{key}?protocol=": 4008,
        f"/app/{key}?protocol=abc": 4006,
        "/foo?protocol=7": 4005,
    }


def test_001_upgrade_and_first_frame(service: Service) -> None:
    key = service.app().key
    connection = service.open(f"/app/{key}?protocol=7&client=js&version=8.6.0&flash=false")
    connection.expect_event("pusher:connection_established")


def test_002_handshake_data(service: Service) -> None:
    connection = service.open(f"/app/{service.app().key}?protocol=7&client=js&version=8.6.0")
    handshake = connection.expect_established().decoded()
    assert isinstance(handshake["socket_id"], str)
    assert re.fullmatch(r"\d+\.\d+", handshake["socket_id"])
    assert type(handshake["activity_timeout"]) is int
    assert handshake["activity_timeout"] > 0


@pytest.mark.parametrize(
    "query",
    [
        "client=java-client&protocol=5&version=2.4.4",
        "protocol=4&client=old&version=1.0",
        "protocol=5&client=pusher-dotnet-client&version=2.3.1",
        "client=Pysher&version=1.0.8&protocol=6",
        "version=8.6.0&flash=false&client=js&protocol=7",
        "protocol=7&client=js&version=8.6.0&flash=false&colour=blue&x",
        "protocol=7",
        "protocol=7&version=%C3%A9%20odd",
    ],
)
def test_003_protocols_and_parameters(service: Service, query: str) -> None:
    connection = service.open(f"/app/{service.app().key}?{query}")
    handshake = connection.expect_established().decoded()
    assert re.fullmatch(r"\d+\.\d+", handshake["socket_id"])
    assert handshake["activity_timeout"] > 0
    connection.expect_nothing()


def test_004_socket_ids_differ(service: Service) -> None:
    number = 10_000 if PROOF else 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + 1_000
    if soft < wanted:
        if hard not in (resource.RLIM_INFINITY,) and hard < wanted:
            pytest.skip(f"{wanted} open files are needed, {hard} allowed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    connections = [service.connect() for _ in range(number)]
    assert len({connection.socket_id for connection in connections}) == number
    connections[0].expect_nothing()


def test_005_unknown_key(service: Service) -> None:
    key = "00000000000000000000"
    connection = service.open(f"/app/{key}?protocol=7&client=js&version=8.6.0&flash=false")
    connection.expect_closed(4001, UNKNOWN_KEY.format(key))


def test_006_disabled_app(service: Service) -> None:
    key = service.app("disabled").key
    service.open(f"/app/{key}?protocol=7").expect_closed(4003)


def test_007_quota_and_freed_slot(service: Service) -> None:
    target = f"/app/{service.app('quota').key}?protocol=7"
    taken = [service.connect("quota") for _ in range(QUOTA)]
    service.open(target).expect_closed(4004, "Account over quota")
    taken[0].close()

    def accepted() -> bool:
        return not isinstance(service.open(target).receive(), Error)

    eventually(accepted, bool)
    taken[1].expect_nothing()


def test_008_tls_only_app(service: Service) -> None:
    key = service.app("tls_only").key
    service.open(f"/app/{key}?protocol=7").expect_closed(4000, "App is encrypted (SSL only)")


@pytest.mark.parametrize("protocol", ["1", "2", "3", "8", "99"])
def test_009_unsupported_protocol(service: Service, protocol: str) -> None:
    service.open(f"/app/{service.app().key}?protocol={protocol}").expect_closed(4007)


@pytest.mark.parametrize("query", ["", "?client=js&version=8.6.0", "?protocol=&client=js"])
def test_010_no_protocol(service: Service, query: str) -> None:
    service.open(f"/app/{service.app().key}{query}").expect_closed(4008)


@pytest.mark.parametrize("protocol", ["abc", "7.0", "7x"])
def test_011_protocol_is_no_integer(service: Service, protocol: str) -> None:
    service.open(f"/app/{service.app().key}?protocol={protocol}").expect_closed(4006)


def test_012_other_path(service: Service) -> None:
    service.open("/foo?protocol=7").expect_closed(4005)


def test_013_first_frame_is_established_or_refusal(service: Service) -> None:
    key = service.app().key
    for target, code in refusals(key).items():
        first = service.open(target).receive()
        assert isinstance(first, Error), f"{target} began with {first}"
        assert first.code == code
    first = service.open(f"/app/{key}?protocol=7").receive()
    assert not isinstance(first, Error | Closed)
    assert first.name == "pusher:connection_established"


def test_014_subprotocol(service: Service) -> None:
    target = f"/app/{service.app().key}?protocol=7"
    offered = service.open(target, subprotocols=["other", SUBPROTOCOL])
    assert offered.websocket.response_headers["sec-websocket-protocol"] == SUBPROTOCOL
    offered.expect_established()
    for subprotocols in ([], ["other"]):
        plain = service.open(target, subprotocols=subprotocols)
        assert "sec-websocket-protocol" not in plain.websocket.response_headers
        plain.expect_established()


@pytest.mark.parametrize("key", ["k" * 40, "k" * 300, "%C3%A9" * 120, "k" + "%C3%A9" * 120])
def test_015_close_repeats_the_error(service: Service, key: str) -> None:
    """Every close in this suite is checked like these, which need their reasons cut."""
    closed = service.open(f"/app/{key}?protocol=7").expect_closed(4001)
    assert len(closed.reason.encode()) <= 123


def violations(service: Service) -> list[Connection]:
    """Connections that have broken a rule of WebSocket, each another one."""
    connections = [service.connect() for _ in range(6)]
    connections[0].send_frame(Opcode.BINARY, b"\x00")
    connections[1].send_frame(Opcode.TEXT, b"\xff\xfe")
    connections[2].send_frame(Opcode.TEXT, b"{}", masked=False)
    connections[3].send_frame(Opcode.PING, b"x" * 126)
    connections[4].send_frame(Opcode.CONTINUATION, b"{}")
    connections[5].send_frame(Opcode.CLOSE, b"\x01")
    return connections


def test_016_close_codes(service: Service) -> None:
    """Every close in this suite is checked so; here are those that a sane client never sees."""
    codes = []
    for connection in violations(service):
        received = connection.receive()
        while not isinstance(received, Closed):
            received = connection.receive()
        codes.append(received.code)
    assert codes == [1003, 1007, 1002, 1002, 1002, 1002]


def test_017_graceful_shutdown(
    target: Server | None, server_command: list[str], tmp_path: Path
) -> None:
    if target is not None:
        pytest.skip("shuts a server down")
    apps = {"main": catalogue(0)["main"]}
    with running(server_command, tmp_path, apps, {}) as server:
        assert server.process is not None
        service = Service(server)
        connections = [service.connect() for _ in range(3)]
        connections[1].subscribe(unique("orders"))
        connections[2].join(unique("presence-room"), "ada")
        server.process.send_signal(signal.SIGTERM)
        for connection in connections:
            connection.expect_closed(4200, timeout=STOP_SECONDS)
        service.close()
        assert server.process.wait(STOP_SECONDS) == 0


def test_018_frame_before_established_is_read(service: Service) -> None:
    channel = unique("orders")
    connection = service.open(f"/app/{service.app().key}?protocol=7")
    connection.send_text(
        '{"event":"pusher:ping","data":""}',
        f'{{"event":"pusher:subscribe","data":{{"channel":"{channel}"}}}}',
    )
    connection.expect_established()
    connection.expect_event("pusher:pong")
    connection.expect_event(SUCCEEDED, channel)
