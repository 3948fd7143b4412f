"""The admin port: an HTTP server of its own in the node's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn

from herenow.admin.app import make_app
from herenow.admin.metrics import CountingLedger
from herenow.config import Config
from herenow.server.node import Node

BACKLOG: Final = 128
GRACE_SECONDS: Final = 1


class AdminServer:
    """Listens on ``admin.host`` and ``admin.port`` from :meth:`start` to :meth:`stop`."""

    def __init__(self, node: Node, ledger: CountingLedger, config: Config) -> None:
        self._host = config.admin.host
        self._port = config.admin.port
        self._server = _Embedded(
            uvicorn.Config(
                make_app(node, ledger, config),
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
        sockets = await _bind(self._host, self._port)
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


async def _bind(host: str, port: int) -> list[socket.socket]:
    """Bind every address of *host* to one port, which is a free one if *port* is 0."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    bound: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            taken = bound[0].getsockname()[1] if bound else port
            one = socket.socket(family, kind, protocol)
            try:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
                one.bind((address[0], taken, *address[2:]))
            except OSError as error:
                one.close()
                # "localhost" may have an address of a family that this machine has switched off.
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                missing = error
            else:
                bound.append(one)
        if missing is not None and not bound:
            raise missing
    except OSError:
        for one in bound:
            one.close()
        raise
    return bound
