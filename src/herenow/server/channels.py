"""A channel on this node: its subscribers and what they are sent, in order.

Frames that arise in one turn of the loop leave in one write per subscriber. A fan-out to very many
is cut into slices between which the loop serves others; meanwhile the channel's later frames wait.
Whoever joins gets only what arises after it joined, whoever left gets nothing more.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final, NamedTuple

from herenow.cluster.base import ChannelState
from herenow.protocol import messages
from herenow.protocol.names import ChannelKind
from herenow.protocol.websocket import text_frame
from herenow.webhooks.events import SubscriptionCount

if TYPE_CHECKING:
    from herenow.server.connection import Connection
    from herenow.server.hub import Hub
    from herenow.server.timers import Timer

SLICE: Final = 512
COUNT_EVERY_CHANGE_UP_TO: Final = 100
COUNT_INTERVAL_SECONDS: Final = 5.0


class Outgoing(NamedTuple):
    """A frame that waits for the end of the turn: for all, all but ``skip``, or ``only`` one."""

    frame: bytes
    skip: Connection | None
    only: Connection | None


class Channel:
    """``subscribers`` maps each connection to the channel's sequence when it joined.

    ``joining`` counts the subscriptions under way; ``newest`` is the last event delivered
    meanwhile that a cache channel keeps.
    """

    __slots__ = (
        "_count_due",
        "_count_told",
        "_delivering",
        "_outgoing",
        "_sequence",
        "hub",
        "joining",
        "kind",
        "name",
        "newest",
        "subscribers",
    )

    def __init__(self, hub: Hub, name: str, kind: ChannelKind) -> None:
        self.hub = hub
        self.name = name
        self.kind = kind
        self.subscribers: dict[Connection, int] = {}
        self.joining = 0
        self.newest: bytes | None = None
        self._sequence = 0
        self._outgoing: list[Outgoing] = []
        self._delivering = False
        self._count_told = float("-inf")
        self._count_due: Timer | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody is on the channel here, nor about to be."""
        return not self.subscribers and not self.joining

    def add(self, connection: Connection) -> None:
        """Make *connection* a subscriber of whatever arises from now on."""
        self.subscribers[connection] = self._sequence
        self.hub.ledger.count(self.hub.app.id, self.name, len(self.subscribers))

    def remove(self, connection: Connection) -> None:
        del self.subscribers[connection]
        self.hub.ledger.count(self.hub.app.id, self.name, len(self.subscribers))

    def send(self, frame: bytes, skip: Connection | None = None) -> None:
        """Send *frame* to every subscriber of this moment but *skip*, at the end of the turn."""
        if self.subscribers:
            self._enqueue(Outgoing(frame, skip, None))

    def reply(self, connection: Connection, frame: bytes) -> None:
        """Send *frame* to *connection* alone, after everything it is yet to get from here."""
        if (self._outgoing or self._delivering) and connection in self.subscribers:
            self._enqueue(Outgoing(frame, None, connection))
        else:
            connection.send(frame)

    def _enqueue(self, outgoing: Outgoing) -> None:
        self._sequence += 1
        self._outgoing.append(outgoing)
        if len(self._outgoing) == 1 and not self._delivering:
            self.hub.call_soon(self.flush)

    def flush(self) -> None:
        """Write what waits; a no-op while a sliced delivery is under way."""
        if self._delivering or not self._outgoing:
            return
        outgoing, self._outgoing = self._outgoing, []
        first = self._sequence - len(outgoing)
        if len(self.subscribers) <= SLICE:
            self._deliver(outgoing, first, self.subscribers.items())
        else:
            self._delivering = True
            self._deliver_sliced(outgoing, first, list(self.subscribers.items()), 0)

    def _deliver_sliced(
        self,
        outgoing: list[Outgoing],
        first: int,
        receivers: list[tuple[Connection, int]],
        start: int,
    ) -> None:
        current = self.subscribers
        part = [
            item for item in receivers[start : start + SLICE] if current.get(item[0]) == item[1]
        ]
        self._deliver(outgoing, first, part)
        start += SLICE
        if start < len(receivers):
            self.hub.call_soon(self._deliver_sliced, outgoing, first, receivers, start)
            return
        self._delivering = False
        if self._outgoing:
            self.hub.call_soon(self.flush)

    def _deliver(
        self,
        outgoing: list[Outgoing],
        first: int,
        receivers: Collection[tuple[Connection, int]],
    ) -> None:
        """Write *outgoing*, which follows frame number *first*, to those who joined before it."""
        if len(outgoing) == 1 and outgoing[0].only is None:
            frame, skip, _ = outgoing[0]
            for connection, since in receivers:
                if since <= first and connection is not skip:
                    connection.write(frame)
            self.hub.counters.messages_out += len(receivers) - (skip in self.subscribers)
            return
        shared = [item.frame for item in outgoing if item.only is None]
        blob = b"".join(shared)
        apart = {item.skip or item.only for item in outgoing}
        for connection, since in receivers:
            if since <= first and connection not in apart:
                frames = shared
                if blob:
                    connection.write(blob)
            else:
                frames = [
                    item.frame
                    for item in outgoing[max(0, since - first) :]
                    if item.skip is not connection and item.only in (None, connection)
                ]
                if frames:
                    connection.write(b"".join(frames))
            self.hub.counters.messages_out += len(frames)

    def publish_count(self) -> None:
        """Tell how many are subscribed, if the application wants it (protocol reference §13)."""
        if not self.hub.app.subscription_count or not self.kind.counted:
            return
        wait = self._count_told + COUNT_INTERVAL_SECONDS - self.hub.timers.now()
        if len(self.subscribers) <= COUNT_EVERY_CHANGE_UP_TO or wait <= 0:
            self._tell_count()
        elif self._count_due is None:
            self._count_due = self.hub.timers.call_later(wait, self._tell_count)

    def _tell_count(self) -> None:
        if self._count_due is not None:
            self._count_due.cancel()
            self._count_due = None
        self._count_told = self.hub.timers.now()
        self.hub.ledger.channel(self.hub.app.id, self.name, self._counted)

    def _counted(self, state: ChannelState) -> None:
        count = state.subscriptions
        self.send(text_frame(messages.subscription_count(self.name, count)))
        self.hub.sink.emit(SubscriptionCount(self.hub.app.id, self.name, count))

    def close(self) -> None:
        """Called once, when the channel is not used again."""
