"""TLS on the public port.

Connections are accepted here and not by the loop's server, so that each is counted from its first
moment: those that never finish their handshake must not use up the descriptors unseen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from functools import partial
from typing import Final

from herenow.server.front import Front, FrontContext
from herenow.server.listening import BACKLOG
from herenow.server.peers import peer_address

SHUTDOWN_SECONDS: Final = 2.0
ACCEPT_AGAIN_SECONDS: Final = 0.1

log = logging.getLogger("herenow.tls")


class Certificate:
    """The certificate in use, in two PEM files."""

    def __init__(self, certificate: str, key: str) -> None:
        self._files = (certificate, key)
        self.context = self._load()

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._files)
        return context

    def reload(self) -> None:
        """Read the files again, for connections from now on.

        Raises ``OSError`` (``ssl.SSLError`` is one) if they cannot be used; the old ones stay.
        """
        self.context = self._load()


class TlsListener:
    """Accepts on *sockets*, does the handshakes, and makes a :class:`Front` of each connection."""

    def __init__(
        self, sockets: list[socket.socket], certificate: Certificate, context: FrontContext
    ) -> None:
        self._certificate = certificate
        self._context = context
        self._handshakes: set[asyncio.Task[None]] = set()
        for one in sockets:
            one.setblocking(False)
            one.listen(BACKLOG)
        self._accepting = [(one, asyncio.create_task(self._accept_on(one))) for one in sockets]

    def close(self) -> None:
        for one, accepting in self._accepting:
            accepting.cancel()
            one.close()
        for handshake in self._handshakes:
            handshake.cancel()

    async def _accept_on(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, name = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("a connection could not be accepted: %s", error)
                await asyncio.sleep(ACCEPT_AGAIN_SECONDS)
                continue
            address = peer_address(name)
            if not self._context.admit(address):
                accepted.close()
                self._context.closed(address)
                continue
            front = Front(self._context, address, admitted=True)
            handshake = asyncio.create_task(self._shake_hands(accepted, front))
            self._handshakes.add(handshake)
            handshake.add_done_callback(partial(self._end, accepted, address, front))

    async def _shake_hands(self, accepted: socket.socket, front: Front) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: front,
            accepted,
            ssl=self._certificate.context,
            ssl_handshake_timeout=self._context.head_timeout_seconds or None,
            ssl_shutdown_timeout=SHUTDOWN_SECONDS,
        )

    def _end(
        self, accepted: socket.socket, address: str, front: Front, handshake: asyncio.Task[None]
    ) -> None:
        """Clean up after a handshake that failed, or was cancelled before it began."""
        self._handshakes.discard(handshake)
        if not handshake.cancelled() and handshake.exception() is not None:
            error = handshake.exception()
            if not isinstance(error, OSError):
                log.error("a TLS handshake failed", exc_info=error)
        # A front that was connected tells its own end.
        if not front.is_connected:
            with contextlib.suppress(OSError):
                accepted.close()
            self._context.closed(address)
