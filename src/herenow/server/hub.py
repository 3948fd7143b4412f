"""One application on one node: its connections, its channels, its users."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from herenow.apps.base import App
from herenow.cluster.base import Bus, Ledger, Publication, SubjectKind, Transition
from herenow.protocol.errors import APP_DISABLED, Closing, unknown_app
from herenow.protocol.names import ChannelKind
from herenow.protocol.websocket import text_frame
from herenow.server.channels import Channel
from herenow.server.counters import Counters
from herenow.server.delivery import Deliveries
from herenow.server.presence import PresenceChannel
from herenow.server.timers import Timer, TimerWheel
from herenow.server.users import Users
from herenow.webhooks.events import CacheMiss, Sink

if TYPE_CHECKING:
    from herenow.server.connection import Connection

CACHE_MISS_INTERVAL_SECONDS: Final = 10.0


class Hub:
    """Everything here belongs to one application; nothing of it is reachable from another's hub.

    ``entering`` counts the connections that wait to be admitted; ``refusal`` is why none may come
    since the application was changed.
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
        self._cache_misses: dict[str, Timer] = {}
        self.deliveries = deliveries
        self.connections: dict[str, Connection] = {}
        self.channels: dict[str, Channel] = {}
        self.users = Users(self)
        self.entering = 0
        self.refusal: Closing | None = None

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
        if publication.cached:
            self.stored_cache(publication.channel)
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
        """Go on with *app*; if it is disabled or gone, every connection is closed."""
        if app is not None:
            self.app = app
            self.refusal = None if app.enabled else APP_DISABLED
        else:
            self.refusal = unknown_app(self.app.keys[-1].key)
        for connection in list(self.connections.values()):
            if self.refusal is not None:
                connection.close(self.refusal, grace=0)
            else:
                connection.session.rules = self.app

    def missed_cache(self, channel: str) -> None:
        """Tell the application that a cache channel is empty, once in ten seconds a channel."""
        if channel not in self._cache_misses:
            forget = partial(self.stored_cache, channel)
            self._cache_misses[channel] = self.timers.call_later(
                CACHE_MISS_INTERVAL_SECONDS, forget
            )
            self.sink.emit(CacheMiss(self.app.id, channel))

    def stored_cache(self, channel: str) -> None:
        """A value is stored, or the last miss long ago: the next miss is news again."""
        timer = self._cache_misses.pop(channel, None)
        if timer is not None:
            timer.cancel()

    def apply(self, transition: Transition) -> None:
        """Repeat to those concerned here what the ledger decided."""
        subject = transition.subject
        if subject.kind is SubjectKind.USER:
            self.users.apply(transition)
            return
        channel = self.channels.get(subject.name)
        if isinstance(channel, PresenceChannel):
            channel.apply(transition)
