"""A small public port in a thread of its own, and a client that speaks raw bytes with it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, NamedTuple

import uvloop

from herenow.protocol.http1 import Request, Response
from herenow.server.front import Front, FrontContext, Handler, Peer, Respond
from herenow.server.listening import bind, listen
from herenow.server.timers import TimerWheel
from herenow.server.writes import Writes

DEADLINE: Final = 10.0
BIG_BODY: Final = b"x" * 8_000_000
NOT_FOUND: Final = Response(404, b"404 NOT FOUND\n", "text/plain")


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


class Table:
    """Routes for every behaviour a connection can show."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._handlers: dict[str, dict[str, Handler]] = {
            "/hello": {"GET": lambda request, peer, respond: respond(Response(200, b"{}"))},
            "/echo": {"POST": self._echo, "PUT": self._echo},
            "/peer": {"GET": self._peer},
            "/big": {"GET": lambda request, peer, respond: respond(Response(200, BIG_BODY))},
            "/raise": {"GET": self._raise},
            "/raise-late": {"GET": self._raise_late},
            "/broken": {"GET": self._broken},
        }

    def find(self, method: str, path: str) -> Handler | Response:
        if path.startswith("/later/"):
            return self._later
        methods = self._handlers.get(path)
        if methods is None:
            return NOT_FOUND
        allowed = (("Allow", ", ".join(methods)),)
        refusal = Response(405, b"Method not allowed\n", "text/plain", allowed)
        return methods.get(method, refusal)

    def _echo(self, request: Request, peer: Peer, respond: Respond) -> None:
        respond(Response(200, request.body, "application/octet-stream"))

    def _peer(self, request: Request, peer: Peer, respond: Respond) -> None:
        respond(Response(200, json.dumps(peer._asdict()).encode()))

    def _later(self, request: Request, peer: Peer, respond: Respond) -> None:
        self._port.owed[request.path] = respond

    def _raise(self, request: Request, peer: Peer, respond: Respond) -> None:
        raise RuntimeError("not today")

    def _raise_late(self, request: Request, peer: Peer, respond: Respond) -> None:
        respond(Response(200, b"{}"))
        raise RuntimeError("too late")

    def _broken(self, request: Request, peer: Peer, respond: Respond) -> None:
        respond(Response(200, headers=(("A", "b\r\nC: d"),)))


class Echo(asyncio.Protocol):
    """Stands for the WebSocket side: says where it is, then repeats every byte."""

    def __init__(self, port: Port, transport: asyncio.Transport, request: Request) -> None:
        self._port = port
        self._transport = transport
        port.websockets.append(transport)
        transport.write(b"<%b>" % request.path.encode())

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._port.websockets_lost += 1


class Port:
    """What a test sees of the running port."""

    def __init__(self, **settings: object) -> None:
        self.owed: dict[str, Respond] = {}
        self.admitted: list[str] = []
        self.closed: list[str] = []
        self.admits = True
        self.websockets: list[asyncio.Transport] = []
        self.websockets_lost = 0
        self.upgrade_fails = False
        self.number = 0
        self.context: FrontContext
        self.listening: socket.socket
        self._settings = settings
        self._loop = uvloop.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(DEADLINE)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)

    def _run(self) -> None:
        loop = self._loop
        timers = TimerWheel(loop)
        settings = {
            "routes": Table(self),
            "open_websocket": self._open_websocket,
            "timers": timers,
            "writes": Writes(loop),
            "admit": self._admit,
            "closed": self.closed.append,
        } | self._settings
        self.context = FrontContext(**settings)  # type: ignore[arg-type]
        sockets = loop.run_until_complete(bind("127.0.0.1", 0))
        listener = loop.run_until_complete(listen(sockets, partial(Front, self.context)))
        self.listening = sockets[0]
        self.number = self.listening.getsockname()[1]
        self._ready.set()
        loop.run_forever()
        listener.close()
        for front in list(self.context.fronts):
            front.abort()
        for websocket in self.websockets:
            websocket.abort()
        loop.run_until_complete(asyncio.sleep(0))
        timers.stop()
        loop.close()

    def _admit(self, address: str) -> bool:
        self.admitted.append(address)
        return self.admits

    def _open_websocket(
        self, transport: asyncio.Transport, request: Request, peer: Peer, accepted: bytes
    ) -> asyncio.Protocol:
        if self.upgrade_fails:
            raise RuntimeError("no WebSocket today")
        transport.write(accepted)
        return Echo(self, transport, request)

    def answer(self, path: str, response: Response) -> None:
        """Answer the request for *path*, once it has arrived."""
        eventually(lambda: path in self.owed)
        self._loop.call_soon_threadsafe(self.owed[path], response)

    def abort_after(self, path: str, response: Response) -> None:
        """Answer the request for *path*, and abort every connection before that turn ends."""
        eventually(lambda: path in self.owed)

        def answer() -> None:
            self.owed[path](response)
            for front in list(self.context.fronts):
                front.abort()

        self._loop.call_soon_threadsafe(answer)

    def drain(self) -> None:
        """Ask every connection to close when it is idle."""
        done = threading.Event()

        def close() -> None:
            for front in list(self.context.fronts):
                front.close_when_idle()
            done.set()

        self._loop.call_soon_threadsafe(close)
        assert done.wait(DEADLINE)


@contextmanager
def running_port(**settings: object) -> Iterator[Port]:
    port = Port(**settings)
    port.start()
    try:
        yield port
    finally:
        port.stop()


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One TCP connection that sends exactly what it is given."""

    def __init__(self, port: Port, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port.number))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *details: object) -> None:
        self._reader.close()
        self.socket.close()

    def send(self, *lines: str, body: bytes = b"") -> None:
        """Send a head of *lines* and a body."""
        self.send_bytes("\r\n".join([*lines, "", ""]).encode() + body)

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_answer(self, method: str = "GET") -> Answer:
        status_line = self._reader.readline()
        assert status_line.startswith(b"HTTP/1.1 "), status_line
        headers: dict[str, str] = {}
        while (line := self._reader.readline()) != b"\r\n":
            assert line.endswith(b"\r\n"), line
            name, _, value = line.decode().strip().partition(": ")
            name = name.lower()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        length = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
        return Answer(int(status_line.split()[1]), headers, self._reader.read(length))

    def read(self, count: int) -> bytes:
        return self._reader.read(count)

    def end(self) -> None:
        """Send no more, but go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def read_to_end(self) -> bytes:
        """Everything until the server closes."""
        return self._reader.read()

    def wait_for_the_end(self) -> bytes:
        """What comes before the server closes, or resets, the connection."""
        try:
            return self.read_to_end()
        except ConnectionError:
            return b""
