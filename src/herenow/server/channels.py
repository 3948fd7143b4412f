"""A channel on this node: its subscribers and what they are sent, in order.

Whoever joins gets only what arises after it joined, whoever left gets nothing more. How frames
leave stands in ``delivery.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from herenow.cluster.base import ANNOUNCE_EVERY_CHANGE_UP_TO, Announcement, Refusal
from herenow.protocol import messages
from herenow.protocol.names import ChannelKind
from herenow.protocol.websocket import text_frame
from herenow.server.delivery import Batch, Outgoing
from herenow.server.writers import Writers, make_writers
from herenow.webhooks.events import SubscriptionCount

if TYPE_CHECKING:
    from herenow.server.connection import Connection
    from herenow.server.hub import Hub
    from herenow.server.timers import Timer

ANNOUNCE_AGAIN_SECONDS: Final = 1.0


class Channel:
    """``subscribers`` maps each connection to the channel's sequence when it joined.

    ``followed``: what is published on it arrives here, so subscribers may be told they are on it.
    ``joining`` counts the subscriptions under way; ``newest`` is the last event delivered
    meanwhile that a cache channel keeps. ``batches`` are yet to be delivered, oldest first.
    ``last_joined`` is the sequence at which somebody joined last.
    """

    __slots__ = (
        "_count_due",
        "_sequence",
        "_unopened",
        "_writers",
        "batches",
        "followed",
        "hub",
        "joining",
        "kind",
        "last_joined",
        "name",
        "newest",
        "subscribers",
    )

    def __init__(self, hub: Hub, name: str, kind: ChannelKind) -> None:
        self.hub = hub
        self.name = name
        self.kind = kind
        self.subscribers: dict[Connection, int] = {}
        self.last_joined = 0
        self._writers: Writers | None = None
        self.joining = 0
        self.newest: bytes | None = None
        self._sequence = 0
        self.batches: deque[Batch] = deque()
        self._count_due: Timer | None = None
        self.followed = False
        self._unopened: list[Callable[[], None]] = []

    def open(self) -> None:
        """Called once, when the channel is known to its hub."""
        self.hub.bus.follow(self.hub.app.id, self.name, self._opened)

    def _opened(self) -> None:
        self.followed = True
        waiting, self._unopened = self._unopened, []
        for enter in waiting:
            enter()

    def when_followed(self, enter: Callable[[], None]) -> None:
        """Call *enter* when whatever is published arrives here: now, or soon."""
        if self.followed:
            enter()
        else:
            self._unopened.append(enter)

    @property
    def idle(self) -> bool:
        """Whether nobody is on the channel here, nor about to be."""
        return not self.subscribers and not self.joining

    def add(self, connection: Connection) -> None:
        """Make *connection* a subscriber of whatever arises from now on."""
        self.subscribers[connection] = self.last_joined = self._sequence
        if self._writers is not None and not self._writers.add(connection):
            self._writers = None
        self.hub.ledger.count(self.hub.app.id, self.name, len(self.subscribers))

    def remove(self, connection: Connection) -> None:
        for batch in self.batches:
            batch.keep_receivers()
        del self.subscribers[connection]
        self._writers = None
        self.hub.ledger.count(self.hub.app.id, self.name, len(self.subscribers))

    @property
    def writers(self) -> Writers:
        """How to write to each of the ``subscribers``, in their order."""
        if self._writers is None:
            self._writers = make_writers(self.subscribers)
        return self._writers

    def rewire(self) -> None:
        """A subscriber is written to in another way from now on."""
        self._writers = None

    def send(self, frame: bytes, skip: Connection | None = None) -> None:
        """Send *frame* to every subscriber of this moment but *skip*, at the end of the turn."""
        if self.subscribers:
            self._enqueue(Outgoing(frame, skip, None))

    def reply(self, connection: Connection, frame: bytes) -> None:
        """Send *frame* to *connection* alone, after everything it is yet to get from here."""
        if self.batches and connection in self.subscribers:
            self._enqueue(Outgoing(frame, None, connection))
        else:
            connection.send(frame)

    def _enqueue(self, outgoing: Outgoing) -> None:
        batches = self.batches
        if not batches or not batches[-1].open:
            batch = Batch(self, self._sequence)
            batches.append(batch)
            self.hub.deliveries.add(batch)
        batches[-1].outgoing.append(outgoing)
        self._sequence += 1

    def seal(self) -> None:
        """Let what arises from now on leave after what waits already, of other channels too."""
        if self.batches:
            self.batches[-1].open = False

    def owed(self, connection: Connection) -> list[tuple[int, list[bytes]]]:
        """What *connection*, a subscriber, is yet to get from here: batch number and frames."""
        since = self.subscribers[connection]
        return [
            (batch.number, batch.frames_for(connection, since))
            for batch in self.batches
            if batch.is_yet_to_reach(connection)
        ]

    def publish_count(self) -> None:
        """Tell how many are subscribed, if the application wants it (protocol reference §13)."""
        if not self.hub.app.subscription_count or not self.kind.counted:
            return
        if self._count_due is None or len(self.subscribers) <= ANNOUNCE_EVERY_CHANGE_UP_TO:
            self._announce()

    def _announce(self) -> None:
        self.hub.ledger.announce(self.hub.app.id, self.name, self._announced)

    def _announced(self, answer: Announcement | Refusal) -> None:
        if isinstance(answer, Refusal):
            self._announce_in(ANNOUNCE_AGAIN_SECONDS)
        elif answer.subscriptions is None:
            self._announce_in(answer.wait)
        else:
            if self._count_due is not None:
                self._count_due.cancel()
                self._count_due = None
            self.hub.sink.emit(SubscriptionCount(self.hub.app.id, self.name, answer.subscriptions))

    def _announce_in(self, seconds: float) -> None:
        if self._count_due is None:
            self._count_due = self.hub.timers.call_later(seconds, self._announce_due)

    def _announce_due(self) -> None:
        self._count_due = None
        self._announce()

    def tell_count(self, subscriptions: int) -> None:
        """Tell the subscribers here how many there are everywhere."""
        if self.subscribers:
            self.send(text_frame(messages.subscription_count(self.name, subscriptions)))

    def close(self) -> None:
        """Called once, when the channel is not used again."""
        self.hub.bus.unfollow(self.hub.app.id, self.name)
