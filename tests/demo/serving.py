"""The chat of the demo in this process, beside a server that a test can stop and start."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn

from compat.inbox import DEADLINE
from compat.serving import DEFAULT_APP, Server
from herenow import AsyncChannels
from herenow.demo.app import make_app
from herenow.demo.pages import STATIC

SECRET: Final = bytes(range(32))
"""What the sessions are signed with."""


@dataclass(frozen=True, slots=True)
class Chat:
    url: str
    server: Server


@contextmanager
def running_chat(server: Server, static: Path = STATIC) -> Iterator[Chat]:
    """Serve the chat from a thread, on a free port."""
    channels = AsyncChannels(
        DEFAULT_APP.id, DEFAULT_APP.key, DEFAULT_APP.secret, host=server.host, port=server.port
    )
    app = make_app(channels, DEFAULT_APP.key, server.host, server.port, SECRET, static)
    chat = uvicorn.Server(
        uvicorn.Config(app, ws="none", lifespan="off", log_config=None, log_level="warning")
    )
    chat.config.timeout_graceful_shutdown = 1
    # Named as TCP, or asyncio would not send small answers at once.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        async def serve() -> None:
            async with channels:
                await chat.serve([listening])

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            # It listens already: who connects now is answered once the chat has started.
            yield Chat(f"http://127.0.0.1:{listening.getsockname()[1]}", server)
        finally:
            chat.should_exit = True
            thread.join(DEADLINE)
            assert not thread.is_alive()
