"""A running node, put together: the one module that knows all parts."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from herenow.api.routes import ApiRoutes
from herenow.apps.base import App, Apps, Limits
from herenow.apps.polling import StoreReader
from herenow.apps.stored import StoredApps
from herenow.cluster.base import Ledger, Occupancy, Transition
from herenow.cluster.memory import MemoryLedger
from herenow.config import Config, ServerConfig, is_well_known
from herenow.config.apps import read_app
from herenow.engines import EngineError, check, make_engine
from herenow.last_seen import SeenFile
from herenow.log import configure
from herenow.outboxes import Webhooks, file_of
from herenow.protocol.signing import forget_secrets
from herenow.server.counters import Counters
from herenow.server.front import Front, FrontContext
from herenow.server.listening import Listener, bind, listen
from herenow.server.node import Node, NodeSettings
from herenow.server.timers import TimerWheel
from herenow.server.tls import Certificate, TlsListener
from herenow.server.writes import Writes
from herenow.store.database import StoreError
from herenow.store.opening import check_database, open_database
from herenow.store.sealing import Sealer
from herenow.webhooks.events import from_ledger
from herenow.webhooks.journal import JournalUnusable

COULD_NOT_RUN: Final = 1
WEBHOOK_GRACE_SECONDS: Final = 2.0

log = logging.getLogger("herenow")


class NodeClock:
    """Seconds since 1970 that never step: the wall clock at start, carried on by the loop's.

    What is to come without delay comes after this turn of the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timers: TimerWheel) -> None:
        self._loop = loop
        self._timers = timers
        self._offset = time.time() - timers.now()

    def time(self) -> float:
        return self._offset + self._timers.now()

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        if delay <= 0:
            return self._loop.call_soon(callback)
        return self._timers.call_later(delay, callback)


class Server:
    """One process: a node, its public port and its admin port."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._timers = TimerWheel(self._loop)
        self._clock = NodeClock(self._loop, self._timers)
        self.counters = Counters()
        apps = StoredApps(config.apps, partial(_store_reader, config), config.store.poll_seconds)
        self._apps = apps
        self._engine = make_engine(
            config.cluster,
            self._clock,
            self._decided,
            lambda app: int(_has_webhooks(apps, app)),
            config.users.keep_seconds,
        )
        self.ledger = self._engine.ledger
        self._webhooks = Webhooks(
            config, apps, self._engine, self._clock, self.counters.events_emitted
        )
        self.node = Node(
            _node_settings(config, descriptor_limit()),
            apps,
            self.ledger,
            self._engine.bus,
            self._webhooks,
            self._timers,
            self.counters,
        )
        self._last_seen = _last_seen(config, self.ledger)
        self._certificate = _certificate(config.server)
        self._routes = ApiRoutes(self.node, time.time, self._webhooks.desk)
        self._listener: Listener
        self._context = FrontContext(
            routes=self._routes,
            open_websocket=self.node.open_websocket,
            timers=self._timers,
            writes=Writes(self._loop),
            head_timeout_seconds=config.server.head_timeout_seconds,
            keep_alive_seconds=config.server.keep_alive_seconds,
            max_request_bytes=_largest_request(config.limits, apps.all()),
            trusted_proxies=config.server.trusted_proxies,
            secure=self._certificate is not None,
            admit=self.node.admit_socket,
            admit_websocket=self.node.admit_websocket,
            closed=self.node.release_socket,
            negotiate=self.node.negotiate,
        )
        self._measures = False
        apps.on_change(self._app_changed)

    def _app_changed(self, app_id: str) -> None:
        if not self._measures:
            # Once for all that change together.
            self._measures = True
            asyncio.get_running_loop().call_soon(self._measure)
            forget_secrets()
        self.node.app_changed(app_id)
        self._webhooks.outbox.app_changed(app_id)

    def _measure(self) -> None:
        self._measures = False
        self._context.max_request_bytes = _largest_request(self._config.limits, self._apps.all())

    def _decided(self, decided: Transition | Occupancy) -> None:
        event = from_ledger(decided)
        if event is not None:
            self._webhooks.emit(event)

    async def start(self) -> str:
        """Reach the engine, then listen on both ports; the answer is the line that says where."""
        await self._apps.start()
        try:
            await self._engine.start()
            try:
                return await self._listen()
            except BaseException:
                await self._webhooks.outbox.stop(0)
                await self._engine.stop()
                if self._last_seen is not None:
                    await self._last_seen.stop()
                raise
        except BaseException:
            await self._apps.stop()
            raise

    async def _listen(self) -> str:
        server = self._config.server
        with _port_errors(server.host, server.port, "--port"):
            sockets = await bind(server.host, server.port)
            if self._certificate is None:
                self._listener = await listen(sockets, partial(Front, self._context))
            else:
                self._listener = TlsListener(sockets, self._certificate, self._context)
            port = sockets[0].getsockname()[1]
        await self._webhooks.outbox.start()
        if self._last_seen is not None:
            await self._last_seen.start()
        # Imported late: the public port listens before the dashboard's libraries are read.
        from herenow.admin.server import AdminServer

        admin = self._config.admin
        connections = self._engine.connections
        self._admin = AdminServer(self.node, self.ledger, self._config, connections, self._webhooks)
        with _port_errors(admin.host, admin.port, "--admin-port"):
            admin_port = await self._admin.start()
        scheme = "https" if self._certificate is not None else "http"
        return (
            f"herenow ready public={scheme}://{_in_url(server.host)}:{port}"
            f" admin=http://{_in_url(admin.host)}:{admin_port}"
        )

    def reload_tls(self) -> None:
        """Read the certificate again, for connections from now on."""
        if self._certificate is None:
            return
        try:
            self._certificate.reload()
            log.info("TLS certificate read again")
        except OSError as error:
            log.error("the TLS certificate could not be read, the old one stays: %s", error)

    async def stop(self) -> None:
        """Accept no more, close every connection with 4200 and end within the grace."""
        self.node.draining = True
        self._webhooks.outbox.drain()
        self._listener.close()
        for front in list(self._context.fronts):
            front.close_when_idle()
        await self.node.drain()
        for front in list(self._context.fronts):
            front.abort()
        await self._webhooks.outbox.stop(WEBHOOK_GRACE_SECONDS)
        await self._engine.stop()
        if self._last_seen is not None:
            await self._last_seen.stop()
        await self._apps.stop()
        await self._admin.stop()
        self._timers.stop()
        self._routes.flush_log()
        self.node.flush_log()


def serve(config: Config, log_format: str) -> int:
    """Run until SIGTERM or SIGINT; the answer is the exit code.

    Raises :class:`ConfigError` if what the configuration says of the engine cannot be used.
    """
    configure(log_format)
    try:
        check(config.cluster)
        check_database(config.store.url)
    except (EngineError, StoreError) as error:
        print(f"herenow: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    before = descriptor_limit()
    raise_descriptor_limit()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(config, before))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where there is one: it does not exist for Windows."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(config: Config, descriptors_before: int) -> int:
    stopping = asyncio.Event()
    server = Server(config)
    _handle_signals(stopping.set, server.reload_tls)
    starting = asyncio.ensure_future(server.start())
    stopped = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        return 0
    try:
        ready = starting.result()
    except (PortError, EngineError, JournalUnusable) as error:
        stopped.cancel()
        print(f"herenow: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    _tell_start(config, descriptors_before)
    gc.collect()
    gc.freeze()
    print(ready, flush=True)
    await stopping.wait()
    log.info("stopping: connections are closed with 4200")
    await server.stop()
    return 0


def _handle_signals(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    if sys.platform == "win32":
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)


def _tell_start(config: Config, descriptors_before: int) -> None:
    """Say what an operator should know, once the ports are open: the first line costs time."""
    limit = descriptor_limit()
    if limit != descriptors_before:
        log.info("descriptor limit raised from %d to %d", descriptors_before, limit)


def _last_seen(config: Config, ledger: Ledger) -> SeenFile | None:
    """What keeps when users were last seen, unless nodes share an engine that does."""
    if not isinstance(ledger, MemoryLedger):
        return None
    return SeenFile(file_of(config), ledger.seen)


def _store_reader(config: Config) -> StoreReader:
    return StoreReader(
        open_database(config.store.url),
        Sealer(config.store.secret_key),
        partial(read_app, limits=config.limits),
    )


def _has_webhooks(apps: Apps, app_id: str) -> bool:
    app = apps.by_id(app_id)
    return app is not None and bool(app.webhooks)


class PortError(Exception):
    """A port cannot be listened on."""


@contextlib.contextmanager
def _port_errors(host: str, port: int, flag: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortError(
                f"port {port} on {host} is in use: stop what listens there,"
                f" or choose another port with {flag}"
            ) from None
        raise PortError(f"cannot listen on {host} port {port}: {error}") from None


def _node_settings(config: Config, max_descriptors: int) -> NodeSettings:
    server = config.server
    return NodeSettings(
        path_prefix=server.path_prefix,
        shutdown_grace_seconds=server.shutdown_grace_seconds,
        activity_timeout_seconds=max(1, round(server.activity_timeout_seconds)),
        ping_interval_seconds=server.ping_interval_seconds,
        pong_timeout_seconds=server.pong_timeout_seconds,
        write_buffer_bytes=server.write_buffer_bytes,
        max_message_bytes=server.max_message_bytes,
        compression=server.compression,
        compression_min_bytes=server.compression_min_bytes,
        head_timeout_seconds=server.head_timeout_seconds,
        drain_grace_seconds=server.drain_grace_seconds,
        max_connections_per_address=server.max_connections_per_address,
        connects_per_second_per_address=server.connects_per_second_per_address,
        loopback_apps=frozenset(app.id for app in config.apps if is_well_known(app)),
        max_descriptors=max_descriptors,
    )


def descriptor_limit() -> int:
    """How many descriptors this process may have open; 0 if nothing limits them."""
    if sys.platform == "win32":
        return 0
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else soft


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open descriptors to the hard one."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _certificate(server: ServerConfig) -> Certificate | None:
    if not server.tls_certificate:
        return None
    return Certificate(server.tls_certificate, server.tls_key)


def _largest_request(limits: Limits, apps: Sequence[App]) -> int:
    """The size up to which a body is read before it is known whose it is; 0 for any."""
    sizes = [app.limits.max_request_bytes for app in apps] or [limits.max_request_bytes]
    return 0 if 0 in sizes else max(sizes)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
