"""The engine as one node reaches it: queues, each item of which moves when the simulation says.

Implements ``partitions.engine.Engine``. One command connection and one for channels carry all
partitions; each direction keeps its order, the two connections know nothing of each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from herenow.cluster.partitions.engine import Answer, Answered, Argument, Session, Subscriber

CALL_SECONDS: Final = 0.3
"""How long a call may stay unanswered, in leases."""
WAITS: Final = 3
"""A node tries to connect again in the next quantum, or in one of the two after it."""


class Published(NamedTuple):
    partition: int
    channel: str
    payload: bytes


@dataclass(eq=False)
class Request:
    """A call on its way. ``items``: one per partition, all executed in one step."""

    sent: float
    node: str
    script: str
    items: Sequence[tuple[int, Sequence[Argument]]]
    done: Answered
    asked_at: float = 0.0
    given_up: bool = False
    answer: Answer = None
    unpublished: list[Published] = field(default_factory=list)


class Server(Protocol):
    """The engine itself, as a wire reaches it."""

    @property
    def reachable(self) -> bool: ...

    def execute(self, request: Request) -> Answer: ...

    def publish(self, messages: Sequence[Published]) -> None: ...


class Item(NamedTuple):
    """Something on its way from the engine on the connection for channels."""

    sent: float
    kind: str
    partition: int
    channel: str
    what: int | bytes


class Wires:
    """What leads from one node to the engine and back."""

    def __init__(
        self, node: str, server: Server, partitions: int, lease: float, now: Callable[[], float]
    ) -> None:
        self.partitions = partitions
        self.cut = False
        self.up: deque[Request] = deque()
        self.down: deque[Request] = deque()
        self.zombies: list[deque[Request]] = []
        self.feed_up: deque[Item] = deque()
        self.feed_down: deque[Item] = deque()
        self.connected = False
        self.muted = False
        self.listening = False
        self.deaf_since: float | None = None
        self.breaks = 0
        self._node = node
        self._server = server
        self._lease = lease
        self._now = now
        self._sessions: dict[int, Session] = {}
        self._subscribers: dict[tuple[int, str], tuple[int, Subscriber]] = {}
        self._registered: set[tuple[int, str]] = set()
        self._subscriptions = 0
        self._unread: deque[Request] = deque()
        self._wait = 0
        self._lost_next = 0
        self._repeated_next = 0
        self._soon: deque[Callable[[], None]] = deque()

    # What node logic asks for.

    def attach(self, partition: int, session: Session) -> None:
        self._sessions[partition] = session
        if self.connected:
            self._soon.append(session.connected)

    def call(self, script: str, partition: int, args: Sequence[Argument], done: Answered) -> None:
        self.call_all(script, [(partition, args)], done)

    def call_all(
        self, script: str, items: Sequence[tuple[int, Sequence[Argument]]], done: Answered
    ) -> None:
        if not self.connected:
            self._soon.append(lambda: done(None))
            return
        now = self._now()
        items = [(partition, tuple(args)) for partition, args in items]
        request = Request(now, self._node, script, items, done, asked_at=now)
        if not self.muted:
            self.up.append(request)
        else:
            # It leaves the node, but nobody reads at the other end.
            self._unread.append(request)

    def subscribe(self, partition: int, channel: str, subscriber: Subscriber) -> None:
        self._subscriptions += 1
        self._subscribers[partition, channel] = (self._subscriptions, subscriber)
        if self.listening:
            self._ask("subscribe", partition, channel, self._subscriptions)

    def unsubscribe(self, partition: int, channel: str) -> None:
        self._subscribers.pop((partition, channel), None)
        if self.listening:
            self._ask("unsubscribe", partition, channel, 0)

    def is_listening(self, partition: int) -> bool:
        return self.listening

    def _ask(self, kind: str, partition: int, channel: str, number: int) -> None:
        if self.deaf_since is None:
            self.feed_up.append(Item(self._now(), kind, partition, channel, number))

    @property
    def is_whole(self) -> bool:
        connected = self.connected and self.listening
        return connected and not self.muted and self.deaf_since is None

    # What moves.

    def settle(self) -> None:
        """What was to be called back after the method that caused it."""
        while self._soon:
            self._soon.popleft()()

    def execute(self) -> bool:
        """The engine executes the next call."""
        if not self.up or self.cut or not self._server.reachable:
            return False
        request = self.up.popleft()
        request.answer = self._server.execute(request)
        request.sent = self._now()
        self.down.append(request)
        return True

    def reply(self) -> bool:
        """The next answer arrives."""
        if not self.down or self.cut:
            return False
        request = self.down.popleft()
        self._server.publish(request.unpublished)
        request.done(request.answer)
        for other in (*self.down, *self.up):
            other.asked_at = self._now()
        return True

    def execute_feed(self) -> bool:
        """The engine executes the next subscribe or unsubscribe."""
        if not self.feed_up or self.cut or not self._server.reachable:
            return False
        item = self.feed_up.popleft()
        key = (item.partition, item.channel)
        if item.kind == "subscribe":
            self._registered.add(key)
            self.feed_down.append(item._replace(sent=self._now(), kind="subscribed"))
        else:
            self._registered.discard(key)
        return True

    def hear(self, message: Published) -> None:
        """The engine publishes something."""
        key = (message.partition, message.channel)
        if key not in self._registered:
            return
        item = Item(self._now(), "message", *message)
        if self._lost_next and not message.payload.startswith(b"t"):
            self._lost_next -= 1
            return
        self.feed_down.append(item)
        if self._repeated_next:
            self._repeated_next -= 1
            self.feed_down.append(item)

    def feed(self) -> bool:
        """The next message arrives."""
        if not self.feed_down or self.cut:
            return False
        item = self.feed_down.popleft()
        wanted = self._subscribers.get((item.partition, item.channel))
        if wanted is not None:
            number, subscriber = wanted
            if isinstance(item.what, bytes):
                subscriber.message(item.what)
            elif item.what == number:
                subscriber.subscribed()
        return True

    # What breaks.

    def connect(self) -> bool:
        """Both connections are made if they are missing and can be made."""
        if self.cut or not self._server.reachable or (self.connected and self.listening):
            return False
        if not self.connected and self._wait:
            self._wait -= 1
        elif not self.connected:
            self.connected, self.muted = True, False
            for session in list(self._sessions.values()):
                session.connected()
        if not self.listening:
            self.listening = True
            for (partition, channel), (number, _) in self._subscribers.items():
                self._ask("subscribe", partition, channel, number)
        return True

    def give_up(self, *, executed: bool) -> bool:
        """The command connection is given up. What is on its way may be executed, or never."""
        if not self.connected:
            return False
        waiting = [*self.down, *self.up, *self._unread]
        if executed and self.up:
            self.zombies.append(deque(self.up))
        self.down.clear()
        self.up.clear()
        self._unread.clear()
        self.connected = False
        self.breaks += 1
        self._wait = (self.breaks + ord(self._node[0])) % WAITS
        for request in waiting:
            request.given_up = True
            request.done(None)
        for session in list(self._sessions.values()):
            session.disconnected()
        return True

    def mute(self) -> bool:
        """The command connection breaks, and the node does not notice before it has waited."""
        if not self.connected or self.muted:
            return False
        self.muted = True
        for request in self.up:
            request.given_up = True
        if self.up:
            self.zombies.append(deque(self.up))
        self._unread.extend((*self.down, *self.up))
        self.down.clear()
        self.up.clear()
        return True

    def hang_up(self) -> bool:
        """The connection for channels breaks, and the node notices."""
        if not self.listening:
            return False
        self.listening = False
        self.deaf_since = None
        self._registered.clear()
        self.feed_up.clear()
        self.feed_down.clear()
        for _, subscriber in list(self._subscribers.values()):
            subscriber.lost()
        return True

    def deafen(self, *, forever: bool) -> bool:
        """Subscriptions are lost silently, *forever*: with the connection that carries them."""
        if not self.listening or self.deaf_since is not None:
            return False
        self._registered.clear()
        if forever:
            self.deaf_since = self._now()
            self.feed_up.clear()
            self.feed_down.clear()
        return True

    def lose(self) -> bool:
        """The next message is lost, as between the nodes of a cluster."""
        self._lost_next += 1
        return True

    def repeat(self) -> bool:
        """The next message comes twice."""
        self._repeated_next += 1
        return True

    def pass_time(self) -> None:
        """Give up what waited too long, and try to connect."""
        now = self._now()
        outstanding = [*self._unread, *self.down, *self.up]
        if outstanding and now - outstanding[0].asked_at >= CALL_SECONDS * self._lease:
            self.give_up(executed=True)
        if self.deaf_since is not None and now - self.deaf_since >= 2 * self._lease:
            self.hang_up()
        self.connect()

    def forget(self) -> None:
        """The engine is another one: what was on its way exists no more."""
        self.zombies.clear()
        self._lost_next = self._repeated_next = 0
        self.give_up(executed=False)
        self.hang_up()
