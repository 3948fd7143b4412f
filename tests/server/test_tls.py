"""TLS: the whole port speaks it, and the certificate is read again on SIGHUP."""

from __future__ import annotations

import http.client
import shutil
import signal
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.apps import App
from conformance.harness.server import Server
from server.certificates import make_certificate
from server.processes import MAIN, process, trusting

TLS_ONLY = App("8", "tls-key", "tls-secret", {"tls_only": True})
DEADLINE = 10.0


def connect(server: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
    address = (server.endpoint.host, server.endpoint.port)
    sock = socket.create_connection(address, timeout=DEADLINE)
    return context.wrap_socket(sock, server_hostname=server.endpoint.host)


def first_message(sock: socket.socket, key: str) -> str:
    """Upgrade and read until an event has come."""
    sock.sendall(
        f"GET /app/{key}?protocol=7 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    received = b""
    while b'"data"' not in received:
        chunk = sock.recv(4_096)
        assert chunk, received
        received += chunk
    return received.decode("latin-1")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return make_certificate(tmp_path)


def settings(certificate: tuple[Path, Path]) -> dict[str, object]:
    return {"tls_certificate": str(certificate[0]), "tls_key": str(certificate[1])}


def test_wss_and_https_are_served_on_the_same_port(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    apps = {"main": MAIN, "tls_only": TLS_ONLY}
    with process(tmp_path, settings(certificate), apps=apps) as server:
        assert server.endpoint.tls
        context = trusting(certificate[0])
        for app in apps.values():
            with connect(server, context) as sock:
                assert "connection_established" in first_message(sock, app.key)
        client = http.client.HTTPSConnection(
            server.endpoint.host, server.endpoint.port, timeout=DEADLINE, context=context
        )
        client.request("GET", f"/apps/{MAIN.id}/channels")
        assert client.getresponse().status == 401
        client.close()


def test_what_is_not_tls_is_not_served(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    with process(tmp_path, settings(certificate)) as server:
        address = (server.endpoint.host, server.endpoint.port)
        with socket.create_connection(address, timeout=DEADLINE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert not sock.recv(4_096).startswith(b"HTTP")
        with connect(server, trusting(certificate[0])) as sock:
            assert "connection_established" in first_message(sock, MAIN.key)
    assert "Traceback" not in (tmp_path / "stderr.log").read_text()


def test_an_app_that_wants_tls_is_not_served_without(tmp_path: Path) -> None:
    with process(tmp_path, apps={"tls_only": TLS_ONLY}) as server, server.endpoint.dial() as sock:
        assert '"code":4000' in first_message(sock, TLS_ONLY.key)


def common_name(server: Server, trusted: list[Path]) -> str:
    """Whose certificate the server shows to a new connection."""
    context = ssl.create_default_context()
    for certificate in trusted:
        context.load_verify_locations(str(certificate))
    with connect(server, context) as sock:
        shown = sock.getpeercert()
    assert shown is not None
    subject: Any = shown["subject"]
    return str(dict(subject[0])["commonName"])


def test_sighup_reads_the_certificate_again(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    newer = make_certificate(tmp_path, "newer")
    trusted = [tmp_path / "old.pem", newer[0]]
    shutil.copy(certificate[0], trusted[0])
    with process(tmp_path, settings(certificate)) as server:
        assert server.process is not None
        with connect(server, trusting(trusted[0])) as old:
            first_message(old, MAIN.key)
            assert common_name(server, trusted) == "server"
            for source, target in zip(newer, certificate, strict=True):
                shutil.copy(source, target)
            server.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + DEADLINE
            while common_name(server, trusted) != "newer":
                assert time.monotonic() < deadline
                time.sleep(0.02)
            old.sendall(b"\x89\x80\x00\x00\x00\x00")
            assert old.recv(2) == b"\x8a\x00"


def test_a_certificate_that_cannot_be_read_leaves_the_old_one(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    trusted = tmp_path / "old.pem"
    shutil.copy(certificate[0], trusted)
    log = tmp_path / "stderr.log"
    with process(tmp_path, settings(certificate)) as server:
        assert server.process is not None
        certificate[0].write_text("nothing that is a certificate")
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + DEADLINE
        while "the old one stays" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert common_name(server, [trusted]) == "server"
