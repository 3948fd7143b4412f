"""The admin port: an HTTP server of its own in the node's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn

from herenow.admin.app import make_app
from herenow.admin.cluster import Connections
from herenow.admin.metrics import CountingLedger
from herenow.admin.webhooks import Webhooks
from herenow.config import Config
from herenow.server.listening import bind
from herenow.server.node import Node

BACKLOG: Final = 128
GRACE_SECONDS: Final = 1


class AdminServer:
    """Listens on ``admin.host`` and ``admin.port`` from :meth:`start` to :meth:`stop`."""

    def __init__(
        self,
        node: Node,
        ledger: CountingLedger,
        config: Config,
        connections: Connections | None,
        webhooks: Webhooks,
    ) -> None:
        self._host = config.admin.host
        self._port = config.admin.port
        self._server = _Embedded(
            uvicorn.Config(
                make_app(node, ledger, config, connections, webhooks),
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                workers=1,
                backlog=BACKLOG,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )

    async def start(self) -> int:
        """Listen; the answer is the port. ``OSError`` where that cannot be done."""
        sockets = await bind(self._host, self._port)
        port: int = sockets[0].getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets))
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._serving.done():
            self._serving.result()
        return port

    async def stop(self) -> None:
        """Answer what was asked, and end."""
        self._server.should_exit = True
        await self._serving


class _Embedded(uvicorn.Server):
    """A server that leaves the signals to whoever runs the loop, and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()
