"""Ports: how they are bound, and who takes what connects to them."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from herenow.server import streams

BACKLOG: Final = 4_096


class Listener(Protocol):
    """A port that is listened on."""

    def close(self) -> None:
        """Accept no more; what was accepted stays."""


MakeProtocol = Callable[[str | None], asyncio.Protocol]
"""Makes the protocol of a connection from this address, if it is known already."""


class LoopListener:
    """Leaves accepting, and the connections, to the event loop."""

    def __init__(self, servers: list[asyncio.Server]) -> None:
        self._servers = servers

    @classmethod
    async def start(cls, sockets: list[socket.socket], make: MakeProtocol) -> LoopListener:
        loop = asyncio.get_running_loop()
        make_protocol = partial(make, None)
        return cls(
            [await loop.create_server(make_protocol, sock=one, backlog=BACKLOG) for one in sockets]
        )

    def close(self) -> None:
        for server in self._servers:
            server.close()


async def listen(sockets: list[socket.socket], make: MakeProtocol) -> Listener:
    """Hand every connection to a protocol of its own, without TLS."""
    if streams.AVAILABLE:
        return streams.Streams(sockets, make, BACKLOG)
    return await LoopListener.start(sockets, make)


async def bind(host: str, port: int) -> list[socket.socket]:
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
