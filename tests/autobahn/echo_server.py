"""A WebSocket server that echoes every message: the codec alone, on plain asyncio.

Writes the port it listens on to stdout and serves until it is terminated.
"""

from __future__ import annotations

import asyncio
import re
import sys

from herenow.protocol.errors import CloseCode
from herenow.protocol.websocket import (
    Close,
    Decoder,
    Opcode,
    accept_key,
    close_frame,
    parse_close,
    pong_frame,
    text_frame,
)

MAX_MESSAGE_BYTES = 16 << 20


def binary_frame(payload: bytes) -> bytes:
    """The text frame of *payload* under a binary opcode: herenow itself sends text only."""
    return bytes([0x80 | Opcode.BINARY]) + text_frame(payload)[1:]


class EchoProtocol(asyncio.Protocol):
    """Answers an upgrade request, then echoes."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.head = b""
        self.decoder: Decoder | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.decoder is None:
            self.head, blank_line, data = (self.head + data).partition(b"\r\n\r\n")
            if not blank_line:
                return
            self.accept_upgrade()
            self.decoder = Decoder(MAX_MESSAGE_BYTES)
        for opcode, payload in self.decoder.receive_data(data):
            self.answer(opcode, payload)
        if self.decoder.fault is not None:
            self.close(*self.decoder.fault)

    def accept_upgrade(self) -> None:
        key = re.search(rb"^sec-websocket-key:\s*(\S+)", self.head, re.IGNORECASE | re.MULTILINE)
        assert key is not None, self.head
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\n"
            b"Upgrade: websocket\r\n"
            b"Connection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key[1].decode()).encode() + b"\r\n\r\n"
        )

    def answer(self, opcode: int, payload: bytes) -> None:
        match opcode:
            case Opcode.TEXT:
                self.transport.write(text_frame(payload))
            case Opcode.BINARY:
                self.transport.write(binary_frame(payload))
            case Opcode.PING:
                self.transport.write(pong_frame(payload))
            case Opcode.CLOSE:
                match parse_close(payload):
                    case Close(code, reason):
                        self.close(code or CloseCode.NORMAL, reason)
                    case fault:
                        self.close(*fault)

    def close(self, code: int, reason: str) -> None:
        self.transport.write(close_frame(code, reason))
        self.transport.close()


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(EchoProtocol, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
