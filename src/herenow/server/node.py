"""One node: the applications on it, who may connect, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from herenow.apps.base import App, Apps
from herenow.cluster.base import Bus, Ledger, Publication, Transition
from herenow.log import RateLimitedLog
from herenow.protocol import errors
from herenow.protocol.deflate import Agreement, negotiate
from herenow.protocol.errors import Closing
from herenow.protocol.http1 import Request
from herenow.protocol.session import Refused, Session
from herenow.server import handshake
from herenow.server.compression import Compression
from herenow.server.connection import Connection
from herenow.server.counters import Counters
from herenow.server.delivery import Deliveries
from herenow.server.entrance import Entering
from herenow.server.front import Peer
from herenow.server.handshake import Found
from herenow.server.hub import Hub
from herenow.server.limits import DROP_BEYOND, Addresses
from herenow.server.refusing import RefusedConnection
from herenow.server.timers import TimerWheel
from herenow.webhooks.events import Sink

CLOSES_PER_SECOND: Final = 500
CLOSING_TICK_SECONDS: Final = 0.01
CLOSING_SHARE: Final = 0.7
DESCRIPTOR_RESERVE: Final = 64
_SOCKET_IDS: Final = 10**10
_TWO_NUMBERS: Final = struct.Struct("QQ")
_DRAWN_AT_ONCE: Final = 64

log = logging.getLogger("herenow.node")


def _draw_socket_ids() -> Iterator[str]:
    """Numbers that nobody can foretell; the system is asked for many at once."""
    while True:
        drawn = secrets.token_bytes(_DRAWN_AT_ONCE * _TWO_NUMBERS.size)
        for first, second in _TWO_NUMBERS.iter_unpack(drawn):
            # 64 bits for each half of 33: no number is likelier than another by a billionth.
            yield f"{first % _SOCKET_IDS + 1}.{second % _SOCKET_IDS + 1}"


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The settings of ``[server]`` that connections depend on; times in seconds."""

    path_prefix: str = ""
    shutdown_grace_seconds: float = 10
    activity_timeout_seconds: int = 120
    ping_interval_seconds: float = 25
    pong_timeout_seconds: float = 10
    write_buffer_bytes: int = 1_048_576
    max_message_bytes: int = 65_536
    compression: bool = False
    compression_min_bytes: int = 256
    head_timeout_seconds: float = 10
    drain_grace_seconds: float = 30
    max_connections_per_address: int = 0
    connects_per_second_per_address: int = 0
    loopback_apps: frozenset[str] = frozenset()
    max_descriptors: int = 0


class Node:
    """Takes connections in, repeats what the engine says, and lets connections go.

    It is the engine's receiver and follower on this node.
    """

    def __init__(
        self,
        settings: NodeSettings,
        apps: Apps,
        ledger: Ledger,
        bus: Bus,
        sink: Sink,
        timers: TimerWheel,
        counters: Counters,
    ) -> None:
        self.settings = settings
        self.apps = apps
        self.ledger = ledger
        self.bus = bus
        self.timers = timers
        self.counters = counters
        self.draining = False
        self._sink = sink
        self._hubs: dict[str, Hub] = {}
        self._ledger_ids = itertools.count(1)
        self._drawn = _draw_socket_ids()
        self.loop = asyncio.get_running_loop()
        self._deliveries = Deliveries(self.loop, counters)
        self._compression = Compression(settings.compression_min_bytes)
        self._sockets = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._addresses = Addresses(
            settings.max_connections_per_address, settings.connects_per_second_per_address
        )
        self._refusal_log = RateLimitedLog(logging.getLogger("herenow.refused"))
        self._capacity_log = RateLimitedLog(log, per_second=1, window_seconds=60)
        ledger.attach(self)
        bus.attach(self)

    def hub(self, app: App) -> Hub:
        """The hub of *app*, made when the application is first used."""
        hub = self._hubs.get(app.id)
        if hub is None:
            hub = self._hubs[app.id] = Hub(
                app,
                self.ledger,
                self.bus,
                self._sink,
                self.timers,
                self.counters,
                self._deliveries,
                self._ledger_ids,
            )
        return hub

    def hubs(self) -> tuple[Hub, ...]:
        return tuple(self._hubs.values())

    def deliver(self, publication: Publication) -> None:
        hub = self._hubs.get(publication.app)
        if hub is not None:
            hub.deliver(publication)

    def terminate(self, app: str, user: str) -> None:
        hub = self._hubs.get(app)
        if hub is not None:
            hub.users.terminate(user)

    def apply(self, transition: Transition) -> None:
        hub = self._hubs.get(transition.subject.app)
        if hub is not None:
            hub.apply(transition)

    def announced(self, app: str, channel: str, subscriptions: int) -> None:
        hub = self._hubs.get(app)
        if hub is not None:
            hub.announced(channel, subscriptions)

    def missed(self, app: str, channel: str) -> None:
        hub = self._hubs.get(app)
        if hub is not None:
            hub.missed(channel)

    def app_changed(self, app: str) -> None:
        """Look the application up again, and go on with it or close its connections."""
        hub = self._hubs.get(app)
        if hub is not None:
            hub.change(self.apps.by_id(app))

    def admit_socket(self, address: str) -> bool:
        """Whether a TCP connection may stay; either way :meth:`release_socket` ends it."""
        self._sockets += 1
        self._empty.clear()
        maximum = self.settings.max_descriptors
        if maximum and self._sockets > maximum - DESCRIPTOR_RESERVE // 2:
            self._over_capacity()
            return False
        return True

    def release_socket(self, address: str) -> None:
        self._sockets -= 1
        if not self._sockets:
            self._empty.set()

    def _over_capacity(self) -> None:
        self.counters.connections_refused["descriptors"] += 1
        self._capacity_log.warning(
            "connections refused: nearly out of descriptors, raise the limit (ulimit -n)",
            open=self._sockets,
            limit=self.settings.max_descriptors,
        )

    def admit_websocket(self, peer: Peer) -> bool:
        """Judge a WebSocket by its address; :meth:`released` ends one that may open."""
        self._addresses.enter(peer.address, self.timers.now())
        if self._addresses.is_over(peer.address, DROP_BEYOND):
            self._addresses.leave(peer.address)
            self.counters.connections_refused["address_dropped"] += 1
            return False
        return True

    def open_websocket(
        self, transport: asyncio.Transport, request: Request, peer: Peer, accepted: bytes
    ) -> asyncio.Protocol:
        """Make a connection of an upgrade that *accepted* answers, or refuse it in words."""
        try:
            return self._open(transport, request, peer, accepted)
        except Exception:
            self._addresses.leave(peer.address)
            raise

    def _open(
        self, transport: asyncio.Transport, request: Request, peer: Peer, accepted: bytes
    ) -> asyncio.Protocol:
        found = self._judge(request, peer)
        if isinstance(found, Closing):
            return self._refuse(transport, found, peer, accepted)
        app, key = found.app, found.key
        hub = self.hub(app)
        if not app.limits.max_connections:
            return self._welcome(transport, hub, found, request, peer, accepted)

        transport.write(accepted)

        def enter(refused: Closing | None) -> asyncio.Protocol:
            # The application may have been changed meanwhile.
            refused = hub.refuses(key, secure=peer.secure) or refused
            if refused is None and self.draining:
                refused = errors.RECONNECT
            if refused is not None:
                return self._refuse(transport, refused, peer, b"")
            return self._welcome(transport, hub, found, request, peer, b"")

        return Entering(hub, transport, enter, lambda: self.released(peer)).begin()

    def _refuse(
        self, transport: asyncio.Transport, closing: Closing, peer: Peer, accepted: bytes
    ) -> RefusedConnection:
        reason = closing.code.name.lower()
        self.counters.connections_refused[reason] += 1
        self._refusal_log.warning(
            f"connection refused: {reason}", detail=closing.message, address=peer.address
        )
        released = partial(self.released, peer)
        return RefusedConnection(transport, closing, self.timers, released, accepted)

    def _welcome(
        self,
        transport: asyncio.Transport,
        hub: Hub,
        found: Found,
        request: Request,
        peer: Peer,
        accepted: bytes,
    ) -> Connection:
        session = Session(self._socket_id(hub), hub.app)
        agreement = self.negotiate(request)
        deflate = self._compression.deflate(agreement.window_bits) if agreement else None
        connection = Connection(self, hub, transport, session, peer, found.key, deflate)
        connection.client = found.client
        hub.add(connection)
        self.counters.connections_opened += 1
        connection.start(accepted)
        return connection

    def negotiate(self, request: Request) -> Agreement | None:
        """Whether and how messages to and from the client of *request* are compressed."""
        if not self.settings.compression:
            return None
        return negotiate(request.headers.get("sec-websocket-extensions", ""))

    def _judge(self, request: Request, peer: Peer) -> Found | Closing:
        if self.draining:
            return errors.RECONNECT
        maximum = self.settings.max_descriptors
        if maximum and self._sockets > maximum - DESCRIPTOR_RESERVE:
            self._over_capacity()
            return errors.OVER_CAPACITY
        prefix = self.settings.path_prefix
        found = handshake.find_app(request.path, request.query, prefix, self.apps)
        if isinstance(found, Closing):
            return found
        app = found.app
        if self._addresses.is_over(peer.address):
            return errors.ADDRESS_OVER_LIMIT
        refused = handshake.check_app(
            app,
            secure=peer.secure,
            loopback=peer.loopback_direct,
            is_default=app.id in self.settings.loopback_apps,
            origin=request.headers.get("origin"),
            connections=len(self.hub(app).connections),
        )
        return found if refused is None else refused

    def _socket_id(self, hub: Hub) -> str:
        while True:
            socket_id = next(self._drawn)
            if socket_id not in hub.connections:
                return socket_id

    def released(self, peer: Peer) -> None:
        """A WebSocket that was opened or refused is gone."""
        self._addresses.leave(peer.address)
        self.release_socket(peer.address)

    def refused(self, connection: Connection, refused: Refused) -> None:
        """Count and log a request that was not done."""
        self.counters.refusals[refused.reason] += 1
        self._refusal_log.warning(
            f"request refused: {refused.reason}",
            detail=refused.log or refused.message,
            app=connection.hub.app.id,
            socket_id=connection.session.socket_id,
        )

    def flush_log(self) -> None:
        """Say what of the log was suppressed and not yet told."""
        self._refusal_log.flush()
        self._capacity_log.flush()

    async def drain(self) -> None:
        """Close every connection with 4200, spread over the grace, and wait until they are gone."""
        self.draining = True
        start = self.loop.time()
        grace = self.settings.shutdown_grace_seconds
        connections = [item for hub in self.hubs() for item in hub.connections.values()]
        spread = min(grace * CLOSING_SHARE, len(connections) / CLOSES_PER_SECOND)
        closed = 0
        while closed < len(connections):
            elapsed = self.loop.time() - start
            share = elapsed / spread if spread else 1.0
            due = min(len(connections), int(share * len(connections)) + 1)
            for connection in connections[closed:due]:
                stay = connection.hub.app.leave_grace_seconds
                connection.close(errors.RECONNECT, max(stay, self.settings.drain_grace_seconds))
            closed = due
            await asyncio.sleep(CLOSING_TICK_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(start + grace):
                await self._empty.wait()
