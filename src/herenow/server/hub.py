"""One application on one node: its connections, its channels, its users."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from herenow.apps.base import App
from herenow.cluster.base import Bus, Ledger, Publication, SubjectKind, Transition
from herenow.protocol.names import ChannelKind
from herenow.protocol.websocket import text_frame
from herenow.server.channels import Channel
from herenow.server.counters import Counters
from herenow.server.delivery import Deliveries
from herenow.server.limits import TokenBucket
from herenow.server.presence import PresenceChannel
from herenow.server.timers import Timer, TimerWheel
from herenow.server.users import Users
from herenow.webhooks.events import CacheMiss, Sink

if TYPE_CHECKING:
    from herenow.server.connection import Connection

CACHE_MISS_INTERVAL_SECONDS: Final = 10.0


class Hub:
    """Everything here belongs to one application; nothing of it is reachable from another's hub."""

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
        rate = app.limits.events_per_second
        self.api_events = TokenBucket(rate, rate, timers.now()) if rate else None

    def add(self, connection: Connection) -> None:
        self.connections[connection.session.socket_id] = connection
        self.ledger.count_connections(self.app.id, len(self.connections))

    def remove(self, connection: Connection) -> None:
        if self.connections.pop(connection.session.socket_id, None) is not None:
            self.ledger.count_connections(self.app.id, len(self.connections))

    def channel(self, name: str, kind: ChannelKind) -> Channel:
        """The channel called *name*, made if nobody here is on it yet."""
        channel = self.channels.get(name)
        if channel is None:
            make = PresenceChannel if kind.presence else Channel
            channel = self.channels[name] = make(self, name, kind)
            self.bus.follow(self.app.id, name)
        return channel

    def forget_if_idle(self, channel: Channel) -> None:
        """Let go of a channel that nobody here is on, nor about to be."""
        if channel.idle and self.channels.get(channel.name) is channel:
            del self.channels[channel.name]
            channel.close()
            self.bus.unfollow(self.app.id, channel.name)

    def deliver(self, publication: Publication) -> None:
        """Send an event to those who are on its channel here."""
        channel = self.channels.get(publication.channel)
        if channel is not None:
            skip = self.connections.get(publication.skip) if publication.skip else None
            channel.send(text_frame(publication.payload), skip)
            if publication.cached and channel.joining:
                channel.newest = publication.payload

    def seal(self, channel: str) -> None:
        """Let the next event of *channel* leave after what waits already on other channels."""
        known = self.channels.get(channel)
        if known is not None:
            known.seal()

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
