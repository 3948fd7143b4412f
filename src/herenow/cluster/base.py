"""The interfaces of an engine: the ledger decides who is here, the bus carries what is said.

Every question is answered through a callback. An engine in memory calls it before the method
returns, so the hot path never suspends; an engine elsewhere calls it when its answer arrives.
Every callback is called exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple, Protocol, TypeVar

T = TypeVar("T")
Done = Callable[[T], None]


class SubjectKind(Enum):
    """What a subject is: a presence channel, or a user who may be signed in."""

    PRESENCE = "presence"
    USER = "user"


class Subject(NamedTuple):
    """Something one can be present in. A user is a subject whose only member is that user."""

    app: str
    kind: SubjectKind
    name: str


class TransitionKind(Enum):
    ADD = "add"
    REMOVE = "remove"
    INFO = "info"


class Transition(NamedTuple):
    """One decided change of a subject, told once and in the order of revisions.

    ``since`` is when it came about, in seconds of the engine's clock: for a removal the moment
    the last connection went, which may lie ``grace`` seconds back.
    """

    subject: Subject
    kind: TransitionKind
    user: str
    info: bytes
    revision: int
    previous: int
    since: float


class Occupancy(NamedTuple):
    """A channel became occupied or vacant. Told to the outbox only."""

    app: str
    channel: str
    occupied: bool
    since: float


class Refusal(Enum):
    """Why a join was not done. ``UNAVAILABLE``: the engine did not answer within the hold."""

    FULL = "full"
    UNAVAILABLE = "unavailable"


class Joined(NamedTuple):
    """``first``: no entry of this user was there before, departing ones included."""

    first: bool
    revision: int


class Member(NamedTuple):
    """One member of a roster. ``connections`` is 0 while the member is departing."""

    user: str
    info: bytes
    connections: int
    since: float


class Roster(NamedTuple):
    """The members of a subject in the order they joined, as of ``revision``."""

    members: tuple[Member, ...]
    revision: int
    complete: bool = True


class ChannelState(NamedTuple):
    """``users`` is 0 for channels without members; ``subscriptions`` counts connections."""

    occupied: bool
    subscriptions: int
    users: int
    complete: bool = True


class Totals(NamedTuple):
    """What an application uses: ``users`` are signed in, ``members`` are in presence channels."""

    connections: int
    channels: int
    users: int
    members: int
    complete: bool = True


class Channels(NamedTuple):
    """The occupied channels of an application by name."""

    states: dict[str, ChannelState]
    complete: bool = True


class Online(NamedTuple):
    """Those of the users asked about who are signed in."""

    users: frozenset[str]
    complete: bool = True


Follower = Callable[[Transition], None]
Outbox = Callable[[Transition | Occupancy], None]


class Clock(Protocol):
    """Time and timers, as the event loop gives them."""

    def time(self) -> float:
        """Seconds since 1970, never falling."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        """Call back after *delay* seconds, never sooner."""


class Ledger(Protocol):
    """Decides every transition, atomically; everything else repeats what it decided.

    A *subscription* is an id of its own for each subscribe or sign-in, never used again.
    Transitions of followed subjects go to the follower, all of them go to the outbox.
    """

    def attach(self, follower: Follower) -> None:
        """Name who is told the transitions of followed subjects."""

    def follow(self, subject: Subject) -> None:
        """Tell the follower what is decided of *subject* from now on, in an unbroken chain.

        A roster asked for afterwards is where the chain begins or a later point of it.
        """

    def unfollow(self, subject: Subject) -> None: ...

    def join(
        self,
        subject: Subject,
        user: str,
        subscription: int,
        info: bytes,
        limit: int,
        done: Done[Joined | Refusal],
    ) -> None:
        """Enter *user* by *subscription*. *info* is compact JSON, the newest one holds.

        *limit* (0: none) is the number of members beyond which a new user is refused. In a full
        subject a newcomer completes the earliest departure and takes its place. A departure of
        the same user is cancelled and nobody is told.
        """

    def leave(self, subject: Subject, subscription: int, grace: float) -> None:
        """End *subscription*; an unknown one changes nothing.

        The member goes when no subscription of the user is left and every grace given with a
        leave of his has passed: at once, or when it has.
        """

    def roster(self, subject: Subject, done: Done[Roster]) -> None: ...

    def online(self, app: str, users: Iterable[str], done: Done[Online]) -> None: ...

    def count(self, app: str, channel: str, subscriptions: int) -> None:
        """Say how many subscriptions *channel* has on this node."""

    def count_connections(self, app: str, connections: int) -> None:
        """Say how many connections *app* has on this node."""

    def channel(self, app: str, channel: str, done: Done[ChannelState]) -> None: ...

    def channels(self, app: str, prefix: str, done: Done[Channels]) -> None: ...

    def totals(self, app: str, done: Done[Totals]) -> None: ...


class Publication(NamedTuple):
    """An event on its way to every node.

    ``payload`` is the JSON of the whole event, ``skip`` the socket id that gets nothing.
    ``cached``: it is the channel's last event from now on.
    """

    app: str
    channel: str
    payload: bytes
    skip: str | None = None
    cached: bool = False


class CachedEvent(NamedTuple):
    """The last event of a cache channel; ``data`` is the JSON string token published.

    ``seconds_left`` is how long it is still kept, as of the answer.
    """

    payload: bytes
    data: bytes
    seconds_left: float


class Receiver(Protocol):
    """One node, as the bus sees it."""

    def deliver(self, publication: Publication) -> None: ...

    def terminate(self, app: str, user: str) -> None: ...


class Bus(Protocol):
    """Carries events to every node; the order on one channel is the same everywhere."""

    def attach(self, receiver: Receiver) -> None: ...

    def follow(self, app: str, channel: str) -> None: ...

    def unfollow(self, app: str, channel: str) -> None: ...

    def publish(self, publication: Publication) -> None: ...

    def publish_cached(self, publication: Publication, data: bytes, ttl: float) -> None:
        """Publish and keep as the channel's last event for *ttl* seconds, in one step."""

    def cached(self, app: str, channel: str, done: Done[CachedEvent | None]) -> None: ...

    def terminate(self, app: str, user: str) -> None: ...
