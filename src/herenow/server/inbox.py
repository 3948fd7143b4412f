"""The order in which a connection's messages take effect, and how fast.

Requests about one channel take effect in the order received, and nothing overtakes a sign-in;
requests about different channels may be under way together. What exceeds the connection's rate
waits until its bucket fills again: nothing is dropped, for official clients send all their
subscribes at once after a reconnect and never repeat one. When too much waits, the connection is
not read further.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from herenow.cluster.bucket import TokenBucket
from herenow.protocol.errors import TOO_MANY_MESSAGES
from herenow.protocol.messages import ClientMessage, decode_hash

if TYPE_CHECKING:
    from herenow.server.connection import Connection
    from herenow.server.subscriptions import Subscription
    from herenow.server.users import SigningIn

EVERYTHING: Final = ""
PAUSE_FULL: Final = 1 << 0
MAX_WAITING_MESSAGES: Final = 64
MAX_WAITING_BYTES: Final = 65_536
BURST_SECONDS: Final = 24
THROTTLED_TOO_LONG_SECONDS: Final = 10.0
CALM_SECONDS: Final = 1.0


class Received(NamedTuple):
    """A message, or the text of what is wrong with one."""

    message: ClientMessage | str
    size: int


class Inbox:
    """What one connection sent and is not done yet.

    ``under_way`` maps the name of each channel with an unanswered request to that request; an
    unanswered sign-in stands under ``EVERYTHING``.
    """

    __slots__ = (
        "_bucket",
        "_calm_since",
        "_connection",
        "_throttled_since",
        "_unpaid",
        "_waiting",
        "_waiting_bytes",
        "_waiting_for",
        "under_way",
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.under_way: dict[str, Subscription | SigningIn] = {}
        # Lists, for they are short and mostly empty: an empty deque has 700 bytes.
        self._waiting: list[tuple[str, Received]] = []
        self._waiting_for: dict[str, None] = {}
        self._waiting_bytes = 0
        self._unpaid: list[Received] = []
        self._throttled_since = self._calm_since = float("-inf")
        rate = connection.hub.app.limits.messages_per_second
        now = connection.hub.timers.now()
        self._bucket = TokenBucket(rate, rate * BURST_SECONDS, now) if rate else None

    def receive(self, message: ClientMessage | str, size: int) -> None:
        """Do what *message* asks, now or when its turn comes. *size* is that of its frame."""
        item = Received(message, size)
        if not self._unpaid and self._pay():
            self._take(item)
            return
        if not self._unpaid:
            self._throttle()
        self._unpaid.append(item)
        self._waiting_bytes += size
        self._pause_if_full()

    def _pay(self) -> bool:
        return self._bucket is None or self._bucket.take(self._connection.hub.timers.now())

    def _throttle(self) -> None:
        now = self._connection.hub.timers.now()
        if now - self._calm_since > CALM_SECONDS:
            self._throttled_since = now
        self._pay_later()

    def _pay_later(self) -> None:
        assert self._bucket is not None
        wait = self._bucket.seconds_until(self._bucket.rate)
        self._connection.hub.timers.call_later(wait, self._pay_waiting)

    def _pay_waiting(self) -> None:
        if self._connection.closing:
            return
        now = self._connection.hub.timers.now()
        if now - self._throttled_since >= THROTTLED_TOO_LONG_SECONDS:
            self._connection.close(TOO_MANY_MESSAGES)
            return
        while self._unpaid and self._pay():
            item = self._unpaid.pop(0)
            self._waiting_bytes -= item.size
            self._take(item)
        if self._unpaid:
            self._pay_later()
        else:
            self._calm_since = now
        self._resume_if_room()

    def _take(self, item: Received) -> None:
        if self.under_way or self._waiting:
            self._take_in_order(_ordered_by(item.message), item)
        else:
            self._connection.execute(item.message)

    def _take_in_order(self, key: str, item: Received) -> None:
        if not self._must_wait(key):
            self._connection.execute(item.message)
            return
        self._waiting.append((key, item))
        self._waiting_for[key] = None
        self._waiting_bytes += item.size
        self._pause_if_full()

    def _must_wait(self, key: str) -> bool:
        if EVERYTHING in self.under_way or EVERYTHING in self._waiting_for:
            return True
        if key == EVERYTHING:
            return bool(self._waiting)
        return key in self.under_way

    def _is_full(self) -> bool:
        waiting = len(self._waiting) + len(self._unpaid)
        return waiting >= MAX_WAITING_MESSAGES or self._waiting_bytes >= MAX_WAITING_BYTES

    def _pause_if_full(self) -> None:
        if self._is_full():
            self._connection.pause_reading(PAUSE_FULL)

    def _resume_if_room(self) -> None:
        if not self._is_full():
            self._connection.resume_reading(PAUSE_FULL)

    def release(self, key: str) -> None:
        """The request under *key* is answered; what waited for it may go on."""
        if self.under_way.pop(key, None) is None or self._connection.closing:
            return
        if key != EVERYTHING and key not in self._waiting_for:
            return
        waiting = self._forget_waiting()
        for waiting_for, item in waiting:
            self._take_in_order(waiting_for, item)
        self._resume_if_room()

    def _forget_waiting(self) -> list[tuple[str, Received]]:
        waiting, self._waiting = self._waiting, []
        self._waiting_for.clear()
        self._waiting_bytes -= sum(item.size for _, item in waiting)
        return waiting

    def abandon(self, grace: float) -> None:
        """The connection closed: end what is under way and forget what waits."""
        self._forget_waiting()
        self._unpaid.clear()
        under_way, self.under_way = self.under_way, {}
        for request in under_way.values():
            request.abandon(grace)


def _ordered_by(message: ClientMessage | str) -> str:
    """The channel that *message* is about; ``EVERYTHING`` for a sign-in."""
    if isinstance(message, str):
        return "?"
    if message.event in ("pusher:subscribe", "pusher:unsubscribe"):
        fields = decode_hash(message.data) or {}
        channel = fields.get("channel")
    elif message.event == "pusher:signin":
        return EVERYTHING
    else:
        channel = message.channel
    return channel if isinstance(channel, str) and channel else "?"
