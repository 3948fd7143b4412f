"""A WebSocket server that echoes every message: the codec alone, on plain asyncio.

Writes the port it listens on to stdout and serves until it is terminated.
"""

from __future__ import annotations

import asyncio
import re
import sys

from herenow.protocol.deflate import Agreement, negotiate
from herenow.protocol.errors import CloseCode
from herenow.protocol.websocket import (
    Close,
    Decoder,
    Opcode,
    accept_key,
    close_frame,
    compress_frame,
    parse_close,
    pong_frame,
    text_frame,
)

MAX_MESSAGE_BYTES = 16 << 20


def as_binary(frame: bytes) -> bytes:
    """A text frame under a binary opcode: herenow itself sends text only."""
    return bytes([frame[0] - Opcode.TEXT + Opcode.BINARY]) + frame[1:]


class EchoProtocol(asyncio.Protocol):
    """Answers an upgrade request, then echoes."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.head = b""
        self.decoder: Decoder | None = None
        self.agreement: Agreement | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.decoder is None:
            self.head, blank_line, data = (self.head + data).partition(b"\r\n\r\n")
            if not blank_line:
                return
            self.accept_upgrade()
            self.decoder = Decoder(MAX_MESSAGE_BYTES, compression=self.agreement is not None)
        for opcode, payload in self.decoder.receive_data(data):
            self.answer(opcode, payload)
        if self.decoder.fault is not None:
            self.close(*self.decoder.fault)

    def accept_upgrade(self) -> None:
        key = self.header("sec-websocket-key")
        assert key, self.head
        self.agreement = negotiate(self.header("sec-websocket-extensions"))
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_key(key).decode()}",
        ]
        if self.agreement is not None:
            lines.append(f"Sec-WebSocket-Extensions: {self.agreement.answer}")
        self.transport.write("\r\n".join([*lines, "", ""]).encode())

    def header(self, name: str) -> str:
        values = re.findall(
            rf"^{name}:[ \t]*(.*?)[ \t]*\r$", self.head.decode() + "\r", re.I | re.M
        )
        return ", ".join(values)

    def answer(self, opcode: int, payload: bytes) -> None:
        match opcode:
            case Opcode.TEXT:
                self.transport.write(self.compressed(text_frame(payload)))
            case Opcode.BINARY:
                frame = self.compressed(text_frame(payload))
                self.transport.write(as_binary(frame))
            case Opcode.PING:
                self.transport.write(pong_frame(payload))
            case Opcode.CLOSE:
                match parse_close(payload):
                    case Close(code, reason):
                        self.close(code or CloseCode.NORMAL, reason)
                    case fault:
                        self.close(*fault)

    def compressed(self, frame: bytes) -> bytes:
        return (
            frame if self.agreement is None else compress_frame(frame, self.agreement.window_bits)
        )

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
