"""How a connection gets on a channel and off it.

A subscribe that has to ask the ledger or the bus is under way until the answer is there; the
channel's other requests of that connection wait for it. A connection that closes meanwhile
completes the join with its leave. Nobody is told to be on a channel before what is published there
arrives at this node, and not before that is the cache asked for what was published earlier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from herenow.cluster.base import CachedEvent, Joined, Refusal
from herenow.protocol import messages
from herenow.protocol.errors import ENGINE_UNAVAILABLE
from herenow.protocol.identity import User
from herenow.protocol.session import LIMIT_REACHED, Refused, Subscribe
from herenow.protocol.websocket import text_frame
from herenow.server.channels import Channel
from herenow.server.presence import PresenceChannel

if TYPE_CHECKING:
    from herenow.server.connection import Connection


ASK_AGAIN_SECONDS: Final = 1.0


def subscribe(connection: Connection, request: Subscribe) -> Subscription | None:
    """Begin a subscription; the answer is the one still under way, if it is."""
    channel = connection.hub.channel(request.channel, request.kind)
    if channel.followed and not request.kind.cached and not request.kind.presence:
        enter(connection, channel, None)
        return None
    subscription = Subscription(connection, channel, request.member)
    subscription.begin()
    return None if subscription.ended else subscription


def enter(
    connection: Connection,
    channel: Channel,
    member: User | None,
    cached: bytes | None = None,
) -> None:
    """Make *connection* a subscriber and tell it so: first of all, then what the cache holds."""
    if isinstance(channel, PresenceChannel):
        connection.send(channel.roster_frame())
    else:
        connection.send(text_frame(messages.subscription_succeeded(channel.name)))
    if channel.kind.cached:
        miss = messages.cache_miss(channel.name)
        connection.send(text_frame(cached if cached is not None else miss))
        if cached is None:
            channel.hub.missed_cache(channel.name)
    connection.session.enter(channel.name, None if member is None else member.id)
    channel.add(connection)
    if channel.kind.signed:
        connection.authorized()
    channel.publish_count()


def leave(connection: Connection, name: str, grace: float) -> None:
    """Take *connection* off the channel *name*; a member may be given *grace* seconds to return."""
    hub = connection.hub
    channel = hub.channels[name]
    channel.remove(connection)
    connection.session.leave(name)
    if isinstance(channel, PresenceChannel):
        hub.ledger.leave(channel.subject, channel.subscription_ids.pop(connection), grace)
    channel.publish_count()
    hub.forget_if_idle(channel)


class Subscription:
    """One subscribe that needs an answer from the ledger, the bus or both."""

    __slots__ = ("_cached", "_id", "channel", "connection", "ended", "member")

    def __init__(self, connection: Connection, channel: Channel, member: User | None) -> None:
        self.connection = connection
        self.channel = channel
        self.member = member
        self.ended = False
        self._id = 0
        self._cached: bytes | None = None
        channel.joining += 1

    def begin(self) -> None:
        hub, channel = self.connection.hub, self.channel
        if isinstance(channel, PresenceChannel) and self.member is not None:
            self._id = next(hub.ledger_ids)
            limit = hub.app.limits.max_presence_members
            member, grace = self.member, hub.app.leave_grace_seconds
            hub.ledger.join(
                channel.subject, member.id, self._id, member.info, limit, grace, self._joined
            )
        else:
            channel.when_followed(self._proceed)

    def abandon(self, grace: float) -> None:
        """The connection closed: the join, done or still under way, is undone."""
        self.ended = True
        self._leave(grace)
        self._let_go()

    def _leave(self, grace: float) -> None:
        if isinstance(self.channel, PresenceChannel) and self._id:
            self.connection.hub.ledger.leave(self.channel.subject, self._id, grace)

    def _let_go(self) -> None:
        self.channel.joining -= 1
        if not self.channel.joining:
            self.channel.newest = None
        self.connection.hub.forget_if_idle(self.channel)

    def _joined(self, answer: Joined | Refusal) -> None:
        if self.ended:
            return
        channel, hub = self.channel, self.connection.hub
        if answer is Refusal.UNAVAILABLE:
            self.connection.close(ENGINE_UNAVAILABLE)
            if not self.ended:
                self.abandon(grace=0)
        elif answer is Refusal.FULL:
            maximum = hub.app.limits.max_presence_members
            message = f"Channel {channel.name} has reached its limit of {maximum} members"
            self.connection.refuse(
                Refused("members_per_channel", message, None, channel.name, LIMIT_REACHED)
            )
            self._end()
        else:
            channel.when_followed(self._proceed)

    def _proceed(self) -> None:
        if self.ended:
            return
        if self.channel.kind.cached:
            hub = self.connection.hub
            hub.bus.cached(hub.app.id, self.channel.name, self._found)
        else:
            self._enter()

    def _found(self, cached: CachedEvent | Refusal | None) -> None:
        # The answer may be older than an event that has been delivered here since the question.
        if self.channel.newest is not None:
            self._cached = self.channel.newest
        elif isinstance(cached, CachedEvent):
            self._cached = cached.payload
        elif cached is Refusal.UNAVAILABLE:
            self.connection.hub.timers.call_later(ASK_AGAIN_SECONDS, self._proceed)
            return
        self._enter()

    def _enter(self) -> None:
        if self.ended:
            return
        if isinstance(self.channel, PresenceChannel):
            self.channel.subscription_ids[self.connection] = self._id
        enter(self.connection, self.channel, self.member, self._cached)
        self._end()

    def _end(self) -> None:
        self.ended = True
        self._let_go()
        self.connection.inbox.release(self.channel.name)
