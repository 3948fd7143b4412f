"""A WebSocket client that hides nothing: every frame is seen, and nothing is answered by itself."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

DEADLINE: Final = float(os.environ.get("CONFORMANCE_DEADLINE", "10"))
"""Seconds within which an expected answer must arrive on a busy machine."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass(frozen=True, slots=True)
class Frame:
    """One control frame, or one whole data message."""

    opcode: Opcode
    payload: bytes


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens."""

    host: str
    port: int
    tls: bool = False

    def dial(self) -> socket.socket:
        sock = socket.create_connection((self.host, self.port), timeout=DEADLINE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            return ssl.create_default_context().wrap_socket(sock, server_hostname=self.host)
        return sock

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"


class ConnectionLost(Exception):
    """The server ended the TCP connection without a close frame."""


class WebSocket:
    """One connection, upgraded when the constructor returns."""

    def __init__(
        self,
        endpoint: Endpoint,
        target: str,
        *,
        subprotocols: Sequence[str] = (),
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._socket = endpoint.dial()
        self._received = bytearray()
        self._fragments: list[bytes] = []
        self._fragmented: Opcode | None = None
        try:
            self.response_headers = self._upgrade(endpoint, target, subprotocols, headers)
        except BaseException:
            self._socket.close()
            raise

    def _upgrade(
        self,
        endpoint: Endpoint,
        target: str,
        subprotocols: Sequence[str],
        headers: Iterable[tuple[str, str]],
    ) -> dict[str, str]:
        nonce = base64.b64encode(os.urandom(16))
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {endpoint.authority}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {nonce.decode()}",
            "Sec-WebSocket-Version: 13",
        ]
        if subprotocols:
            lines.append(f"Sec-WebSocket-Protocol: {', '.join(subprotocols)}")
        lines += [f"{name}: {value}" for name, value in headers]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        deadline = time.monotonic() + DEADLINE
        while b"\r\n\r\n" not in self._received:
            self._read(deadline)
        head, _, rest = bytes(self._received).partition(b"\r\n\r\n")
        self._received = bytearray(rest)
        status, *fields = head.decode("latin-1").split("\r\n")
        assert status.startswith("HTTP/1.1 101 "), f"upgrade of {target} answered {status!r}"
        answer = {}
        for field in fields:
            name, _, value = field.partition(":")
            answer[name.strip().lower()] = value.strip()
        accept = base64.b64encode(hashlib.sha1(nonce + _GUID, usedforsecurity=False).digest())
        assert answer.get("upgrade", "").lower() == "websocket", f"no upgrade: {answer}"
        assert "upgrade" in answer.get("connection", "").lower(), f"no upgrade: {answer}"
        assert answer.get("sec-websocket-accept") == accept.decode(), f"wrong accept: {answer}"
        assert "sec-websocket-extensions" not in answer, "no extension was offered"
        return answer

    def _read(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._socket.settimeout(remaining)
        try:
            chunk = self._socket.recv(65_536)
        except ConnectionError as error:
            raise ConnectionLost from error
        if not chunk:
            raise ConnectionLost
        self._received += chunk

    def receive(self, timeout: float = DEADLINE) -> Frame:
        """The next control frame or whole message; else ``TimeoutError``, ``ConnectionLost``."""
        deadline = time.monotonic() + timeout
        while True:
            parsed = self._parse()
            if parsed is None:
                self._read(deadline)
                continue
            final, opcode, payload = parsed
            if opcode >= Opcode.CLOSE:
                assert final, "a control frame was fragmented"
                assert len(payload) <= 125, "a control frame was longer than 125 bytes"
                return Frame(opcode, payload)
            if opcode is Opcode.CONTINUATION:
                assert self._fragmented is not None, "a continuation without a beginning"
            else:
                assert self._fragmented is None, "a message began within another"
                self._fragmented = opcode
            self._fragments.append(payload)
            if final:
                message = Frame(self._fragmented, b"".join(self._fragments))
                self._fragments.clear()
                self._fragmented = None
                return message

    def _parse(self) -> tuple[bool, Opcode, bytes] | None:
        received = self._received
        if len(received) < 2:
            return None
        first, second = received[0], received[1]
        assert not first & 0x70, "a reserved bit was set"
        assert not second & 0x80, "a server must not mask"
        length, start = second & 0x7F, 2
        if length == 126:
            start = 4
            if len(received) < start:
                return None
            (length,) = struct.unpack_from("!H", received, 2)
        elif length == 127:
            start = 10
            if len(received) < start:
                return None
            (length,) = struct.unpack_from("!Q", received, 2)
        end = start + length
        if len(received) < end:
            return None
        payload = bytes(received[start:end])
        del received[:end]
        return bool(first & 0x80), Opcode(first & 0x0F), payload

    def send(self, *frames: bytes) -> None:
        """Send encoded frames in one write."""
        self._socket.settimeout(DEADLINE)
        self._socket.sendall(b"".join(frames))

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """End the connection as a crash would: no close frame, a TCP reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def encode(opcode: Opcode, payload: bytes, *, masked: bool = True) -> bytes:
    """One client frame; unmasked only to see what a server does about it."""
    length = len(payload)
    mask_bit = 0x80 if masked else 0
    if length < 126:
        head = struct.pack("!BB", 0x80 | opcode, mask_bit | length)
    elif length < 65_536:
        head = struct.pack("!BBH", 0x80 | opcode, mask_bit | 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, mask_bit | 127, length)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    pattern = (mask * (length // 4 + 1))[:length]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")
    return head + mask + mixed.to_bytes(length, "big")
