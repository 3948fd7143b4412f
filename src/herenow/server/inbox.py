"""The order in which a connection's messages take effect, and how fast.

Requests about one channel take effect in the order received, and nothing overtakes a sign-in;
requests about different channels may be under way together. A connection over its rate is not
read further until its bucket fills again: nothing is dropped, for official clients send all their
subscribes at once after a reconnect and never repeat one.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final, NamedTuple

from herenow.protocol.errors import TOO_MANY_MESSAGES
from herenow.protocol.messages import ClientMessage, decode_hash
from herenow.server.limits import TokenBucket

if TYPE_CHECKING:
    from herenow.server.connection import Connection
    from herenow.server.subscriptions import Subscription
    from herenow.server.users import SigningIn

EVERYTHING: Final = ""
PAUSE_RATE: Final = 1
PAUSE_ORDER: Final = 2
MAX_WAITING_MESSAGES: Final = 64
MAX_WAITING_BYTES: Final = 65_536
BURST_SECONDS: Final = 24
THROTTLED_TOO_LONG_SECONDS: Final = 10.0


class Received(NamedTuple):
    message: ClientMessage
    size: int


class Inbox:
    """What one connection sent and is not done yet.

    ``under_way`` maps the name of each channel with an unanswered request to that request; an
    unanswered sign-in stands under ``EVERYTHING``.
    """

    __slots__ = (
        "_bucket",
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
        self._waiting: deque[tuple[str, Received]] = deque()
        self._waiting_for: Counter[str] = Counter()
        self._waiting_bytes = 0
        self._unpaid: deque[Received] = deque()
        self._throttled_since: float | None = None
        rate = connection.hub.app.limits.messages_per_second
        now = connection.hub.timers.now()
        self._bucket = TokenBucket(rate, rate * BURST_SECONDS, now) if rate else None

    def receive(self, message: ClientMessage, size: int) -> None:
        """Do what *message* asks, now or when its turn comes. *size* is that of its frame."""
        item = Received(message, size)
        if self._unpaid:
            self._unpaid.append(item)
        elif self._pay():
            self._take(item)
        else:
            self._unpaid.append(item)
            self._throttle()

    def _pay(self) -> bool:
        bucket = self._bucket
        if bucket is None:
            return True
        if not bucket.take(self._connection.hub.timers.now()):
            return False
        if bucket.tokens >= bucket.rate:
            self._throttled_since = None
        return True

    def _throttle(self) -> None:
        assert self._bucket is not None
        timers = self._connection.hub.timers
        if self._throttled_since is None:
            self._throttled_since = timers.now()
        self._connection.pause_reading(PAUSE_RATE)
        timers.call_later(self._bucket.seconds_until(self._bucket.rate), self._pay_waiting)

    def _pay_waiting(self) -> None:
        if self._connection.closing:
            return
        since = self._throttled_since
        now = self._connection.hub.timers.now()
        if since is not None and now - since >= THROTTLED_TOO_LONG_SECONDS:
            self._connection.close(TOO_MANY_MESSAGES)
            return
        while self._unpaid and self._pay():
            self._take(self._unpaid.popleft())
        if self._unpaid:
            self._throttle()
        else:
            self._connection.resume_reading(PAUSE_RATE)

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
        self._waiting_for[key] += 1
        self._waiting_bytes += item.size
        if self._is_full():
            self._connection.pause_reading(PAUSE_ORDER)

    def _must_wait(self, key: str) -> bool:
        if EVERYTHING in self.under_way or EVERYTHING in self._waiting_for:
            return True
        if key == EVERYTHING:
            return bool(self._waiting)
        return key in self.under_way or key in self._waiting_for

    def _is_full(self) -> bool:
        return (
            len(self._waiting) >= MAX_WAITING_MESSAGES or self._waiting_bytes >= MAX_WAITING_BYTES
        )

    def release(self, key: str) -> None:
        """The request under *key* is answered; what waited for it may go on."""
        if self.under_way.pop(key, None) is None or self._connection.closing:
            return
        if key != EVERYTHING and key not in self._waiting_for:
            return
        waiting = self._forget_waiting()
        for waiting_for, item in waiting:
            self._take_in_order(waiting_for, item)
        if not self._is_full():
            self._connection.resume_reading(PAUSE_ORDER)

    def _forget_waiting(self) -> deque[tuple[str, Received]]:
        waiting, self._waiting = self._waiting, deque()
        self._waiting_for.clear()
        self._waiting_bytes = 0
        return waiting

    def abandon(self, grace: float) -> None:
        """The connection closed: end what is under way and forget what waits."""
        self._forget_waiting()
        self._unpaid.clear()
        under_way, self.under_way = self.under_way, {}
        for request in under_way.values():
            request.abandon(grace)


def _ordered_by(message: ClientMessage) -> str:
    """The channel that *message* is about; ``EVERYTHING`` for a sign-in."""
    if message.event in ("pusher:subscribe", "pusher:unsubscribe"):
        fields = decode_hash(message.data) or {}
        channel = fields.get("channel")
    elif message.event == "pusher:signin":
        return EVERYTHING
    else:
        channel = message.channel
    return channel if isinstance(channel, str) and channel else "?"
