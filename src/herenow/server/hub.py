"""One application on one node: its connections, its channels, its users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from herenow.apps.base import App
from herenow.cluster.base import Bus, Ledger, Publication, SubjectKind, Transition
from herenow.protocol.errors import APP_DISABLED, TLS_REQUIRED, Closing, unknown_app
from herenow.protocol.names import ChannelKind
from herenow.protocol.websocket import text_frame
from herenow.server.channels import Channel
from herenow.server.counters import Counters
from herenow.server.delivery import Deliveries
from herenow.server.presence import PresenceChannel
from herenow.server.timers import TimerWheel
from herenow.server.users import Users
from herenow.webhooks.events import CacheMiss, Sink

if TYPE_CHECKING:
    from herenow.server.connection import Connection

CACHE_MISS_INTERVAL_SECONDS: Final = 10.0


class Hub:
    """Everything here belongs to one application; nothing of it is reachable from another's hub.

    ``entering`` counts the connections that wait to be admitted. ``gone``: the application was
    deleted, and what is here is the last of it.
    """

    def __init__(
        self,
        app: App,
        ledger: Ledger,
        bus: Bus,
        sink: Sink,
        timers: TimerWheel,
        counters: Counters,
        deliveries: Deliveries,
        ledger_ids: Iterator[int],
    ) -> None:
        self.app = app
        self.ledger = ledger
        self.bus = bus
        self.sink = sink
        self.timers = timers
        self.counters = counters
        self.ledger_ids = ledger_ids
        self.deliveries = deliveries
        self.connections: dict[str, Connection] = {}
        self.channels: dict[str, Channel] = {}
        self.users = Users(self)
        self.entering = 0
        self.gone = False

    def add(self, connection: Connection) -> None:
        self.connections[connection.session.socket_id] = connection
        self.count_connections()

    def remove(self, connection: Connection) -> None:
        if self.connections.pop(connection.session.socket_id, None) is not None:
            self.count_connections()

    def count_connections(self) -> None:
        """Tell the ledger how many connections there are, those about to enter included."""
        self.ledger.count_connections(self.app.id, len(self.connections) + self.entering)

    def channel(self, name: str, kind: ChannelKind) -> Channel:
        """The channel called *name*, made if nobody here is on it yet."""
        channel = self.channels.get(name)
        if channel is None:
            make = PresenceChannel if kind.presence else Channel
            channel = self.channels[name] = make(self, name, kind)
            channel.open()
        return channel

    def forget_if_idle(self, channel: Channel) -> None:
        """Let go of a channel that nobody here is on, nor about to be."""
        if channel.idle and self.channels.get(channel.name) is channel:
            del self.channels[channel.name]
            channel.close()

    def deliver(self, publication: Publication) -> None:
        """Send an event to those who are on its channel here."""
        channel = self.channels.get(publication.channel)
        if channel is None:
            return
        if publication.sealed:
            channel.seal()
        skip = self.connections.get(publication.skip) if publication.skip else None
        channel.send(text_frame(publication.payload), skip)
        if publication.cached and channel.joining:
            channel.newest = publication.payload

    def announced(self, channel: str, subscriptions: int) -> None:
        """Tell those who are on *channel* here how many are subscribed everywhere."""
        known = self.channels.get(channel)
        if known is not None:
            known.tell_count(subscriptions)

    def missed(self, channel: str) -> None:
        """What was published on *channel* may not have come: tell the number of subscriptions anew.

        An event that was lost cannot be told; the number can.
        """
        known = self.channels.get(channel)
        if known is not None:
            known.publish_count()

    def change(self, app: App | None) -> None:
        """Go on with *app*, ``None`` if it is gone; connections it does not allow are closed.

        Who is sent to TLS comes back at once and has a grace; the others have none.
        """
        self.gone = app is None
        if app is not None:
            self.app = app
        for connection in list(self.connections.values()):
            connection.session.rules = self.app
            refused = self.refuses(connection.key, secure=connection.peer.secure)
            if refused is not None:
                connection.close(refused, None if refused is TLS_REQUIRED else 0)

    def refuses(self, key: str, *, secure: bool) -> Closing | None:
        """Why a connection with *key* may not be here, as the application is now."""
        if self.gone or self.app.pair_of(key) is None:
            return unknown_app(key)
        if not self.app.enabled:
            return APP_DISABLED
        return TLS_REQUIRED if self.app.tls_only and not secure else None

    def missed_cache(self, channel: str) -> None:
        """Tell the application that a cache channel is empty, once in ten seconds a channel."""

        def tell(is_first: bool) -> None:
            if is_first:
                self.sink.emit(CacheMiss(self.app.id, channel))

        self.bus.first_miss(self.app.id, channel, CACHE_MISS_INTERVAL_SECONDS, tell)

    def apply(self, transition: Transition) -> None:
        """Repeat to those concerned here what the ledger decided."""
        subject = transition.subject
        if subject.kind is SubjectKind.USER:
            self.users.apply(transition)
            return
        channel = self.channels.get(subject.name)
        if isinstance(channel, PresenceChannel):
            channel.apply(transition)
