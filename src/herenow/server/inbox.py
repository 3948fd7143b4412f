"""The order in which a connection's messages take effect, and how fast.

Requests about one channel take effect in the order received, and nothing overtakes a sign-in;
requests about different channels may be under way together. What exceeds the connection's rate
waits until its bucket fills again: nothing is dropped, for official clients send all their
subscribes at once after a reconnect and never repeat one. When too much waits, the connection is
not read further.
"""

from __future__ import annotations

from functools import partial
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


class _Waiting:
    """What waits: ``ordered`` for others to be done, each under its key, ``unpaid`` for the rate.

    ``keys`` are those of ``ordered``, ``size`` is the bytes of all.
    """

    __slots__ = ("calm_since", "keys", "ordered", "size", "throttled_since", "unpaid")

    def __init__(self) -> None:
        # Lists, for they are short and mostly empty: an empty deque has 700 bytes.
        self.ordered: list[tuple[str, Received]] = []
        self.keys: dict[str, None] = {}
        self.unpaid: list[Received] = []
        self.size = 0
        self.throttled_since = self.calm_since = float("-inf")

    @property
    def is_full(self) -> bool:
        number = len(self.ordered) + len(self.unpaid)
        return number >= MAX_WAITING_MESSAGES or self.size >= MAX_WAITING_BYTES

    def add_ordered(self, key: str, item: Received) -> None:
        self.ordered.append((key, item))
        self.keys[key] = None
        self.size += item.size

    def add_unpaid(self, item: Received) -> None:
        self.unpaid.append(item)
        self.size += item.size

    def take_unpaid(self) -> Received:
        item = self.unpaid.pop(0)
        self.size -= item.size
        return item

    def take_ordered(self) -> list[tuple[str, Received]]:
        ordered, self.ordered = self.ordered, []
        self.keys.clear()
        self.size -= sum(item.size for _, item in ordered)
        return ordered


class Inbox:
    """What one connection sent and is not done yet.

    Requests under way stand under the name of their channel, a sign-in under ``EVERYTHING``. Most
    connections never wait, so there is memory for it only once one does.
    """

    __slots__ = ("_bucket", "_connection", "_under_way", "_waiting")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._under_way: dict[str, Subscription | SigningIn] | None = None
        self._waiting: _Waiting | None = None
        rate = connection.hub.app.limits.messages_per_second
        now = connection.hub.timers.now()
        self._bucket = TokenBucket(rate, rate * BURST_SECONDS, now) if rate else None

    @property
    def requests_under_way(self) -> int:
        return 0 if self._under_way is None else len(self._under_way)

    def begin(self, key: str, request: Subscription | SigningIn) -> None:
        """*request* is under way, until :meth:`release`."""
        if self._under_way is None:
            self._under_way = {}
        self._under_way[key] = request

    def receive(self, message: ClientMessage | str, size: int) -> None:
        """Do what *message* asks, now or when its turn comes. *size* is that of its frame."""
        waiting = self._waiting
        if (waiting is None or not waiting.unpaid) and self._pay():
            self._take(message, size)
            return
        if waiting is None:
            waiting = self._waiting = _Waiting()
        if not waiting.unpaid:
            self._throttle(waiting)
        waiting.add_unpaid(Received(message, size))
        self._pause_if_full(waiting)

    def _pay(self) -> bool:
        return self._bucket is None or self._bucket.take(self._connection.hub.timers.now())

    def _throttle(self, waiting: _Waiting) -> None:
        now = self._connection.hub.timers.now()
        if now - waiting.calm_since > CALM_SECONDS:
            waiting.throttled_since = now
        self._pay_later(waiting)

    def _pay_later(self, waiting: _Waiting) -> None:
        assert self._bucket is not None
        wait = self._bucket.seconds_until(self._bucket.rate)
        self._connection.hub.timers.call_later(wait, partial(self._pay_waiting, waiting))

    def _pay_waiting(self, waiting: _Waiting) -> None:
        if self._connection.closing:
            return
        now = self._connection.hub.timers.now()
        if now - waiting.throttled_since >= THROTTLED_TOO_LONG_SECONDS:
            self._connection.close(TOO_MANY_MESSAGES)
            return
        while waiting.unpaid and self._pay():
            item = waiting.take_unpaid()
            self._take(item.message, item.size)
        if waiting.unpaid:
            self._pay_later(waiting)
        else:
            waiting.calm_since = now
        self._resume_if_room(waiting)

    def _take(self, message: ClientMessage | str, size: int) -> None:
        if self._under_way or (self._waiting is not None and self._waiting.ordered):
            self._take_in_order(_ordered_by(message), Received(message, size))
        else:
            self._connection.execute(message)

    def _take_in_order(self, key: str, item: Received) -> None:
        if not self._must_wait(key):
            self._connection.execute(item.message)
            return
        if self._waiting is None:
            self._waiting = _Waiting()
        self._waiting.add_ordered(key, item)
        self._pause_if_full(self._waiting)

    def _must_wait(self, key: str) -> bool:
        under_way = self._under_way or {}
        waiting = {} if self._waiting is None else self._waiting.keys
        if EVERYTHING in under_way or EVERYTHING in waiting:
            return True
        return bool(waiting) if key == EVERYTHING else key in under_way

    def _pause_if_full(self, waiting: _Waiting) -> None:
        if waiting.is_full:
            self._connection.pause_reading(PAUSE_FULL)

    def _resume_if_room(self, waiting: _Waiting) -> None:
        if not waiting.is_full:
            self._connection.resume_reading(PAUSE_FULL)

    def release(self, key: str) -> None:
        """The request under *key* is answered; what waited for it may go on."""
        if self._under_way is None or self._under_way.pop(key, None) is None:
            return
        if not self._under_way:
            self._under_way = None
        waiting = self._waiting
        if waiting is None or self._connection.closing:
            return
        if key != EVERYTHING and key not in waiting.keys:
            return
        for waiting_for, item in waiting.take_ordered():
            self._take_in_order(waiting_for, item)
        self._resume_if_room(waiting)

    def abandon(self, grace: float) -> None:
        """The connection closed: end what is under way and forget what waits."""
        if self._waiting is not None:
            self._waiting.take_ordered()
            self._waiting.unpaid.clear()
        under_way, self._under_way = self._under_way or {}, None
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
