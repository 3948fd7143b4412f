"""Both programs of the demo, until they are told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from herenow import AsyncChannels
from herenow.demo.app import make_app
from herenow.demo.server import APP_ID, APP_KEY, APP_SECRET, HOST, Server, ServerEnded

COULD_NOT_RUN: Final = 1
RESTART_SECONDS: Final = 2
MAX_RESTART_SECONDS: Final = 16
GRACE_SECONDS: Final = 2

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ports:
    """Where to listen; 0 takes a free port."""

    server: int
    app: int
    admin: int


def run(ports: Ports, say: Say, warn: Say) -> int:
    """Run until SIGTERM or SIGINT; the answer is the exit code.

    *say* gets the two lines that tell where server and chat are, *warn* what goes wrong.
    """
    try:
        listening = _bind(ports.app)
    except OSError as error:
        warn(
            f"herenow: the chat cannot use port {ports.app}: {error.strerror}. Stop what listens "
            "there, or choose another port with --app-port"
        )
        return COULD_NOT_RUN
    with listening:
        return asyncio.run(_run(ports, listening, say, warn))


async def _run(ports: Ports, listening: socket.socket, say: Say, warn: Say) -> int:
    stopping = asyncio.Event()
    _handle_signals(stopping.set)
    server = Server(ports.server, ports.admin)
    try:
        ready = await server.start()
    except ServerEnded as error:
        await server.stop()
        return 0 if stopping.is_set() else error.status
    try:
        say(ready)
        await _serve_chat(server, listening, stopping, say, warn)
    finally:
        await server.stop()
    return 0


async def _serve_chat(
    server: Server, listening: socket.socket, stopping: asyncio.Event, say: Say, warn: Say
) -> None:
    async with AsyncChannels(APP_ID, APP_KEY, APP_SECRET, host=HOST, port=server.port) as channels:
        chat = _Chat(make_app(channels, APP_KEY, HOST, server.port, secrets.token_bytes(32)))
        serving = asyncio.create_task(chat.serve([listening]))
        await chat.listening.wait()
        say(f"herenow demo http://{HOST}:{listening.getsockname()[1]}")
        await _keep_running(server, stopping, warn)
        chat.should_exit = True
        await serving


async def _keep_running(server: Server, stopping: asyncio.Event, warn: Say) -> None:
    """Start the server again when it ends, so that one can see the chat come back."""
    while not stopping.is_set():
        ended = asyncio.create_task(server.ended())
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait({ended, stop}, return_when=asyncio.FIRST_COMPLETED)
        for task in (ended, stop):
            task.cancel()
        # With Ctrl-C the terminal tells both processes, so the end may be the first to be noticed.
        if await _within(stopping, RESTART_SECONDS if ended.done() else 0):
            return
        warn("herenow: the server has ended, it is started again")
        delay = RESTART_SECONDS
        while not await _starts(server):
            if await _within(stopping, delay):
                return
            delay = min(delay * 2, MAX_RESTART_SECONDS)
        warn("herenow: the server is back")


async def _starts(server: Server) -> bool:
    try:
        await server.start()
    except ServerEnded:
        return False
    return True


async def _within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


def _handle_signals(stop: Callable[[], None]) -> None:
    if sys.platform == "win32":
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)


def _bind(port: int) -> socket.socket:
    # Named as TCP, or asyncio would not send small answers at once.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # On Windows the option would let two programs share the port.
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


class _Chat(uvicorn.Server):
    """The web application; the signals are the demo's."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()
