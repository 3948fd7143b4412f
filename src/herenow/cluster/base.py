"""The interfaces of an engine: the ledger decides who is here, the bus carries what is said.

Every question is answered through a callback. An engine in memory calls it before the method
returns, so the hot path never suspends; an engine elsewhere calls it when its answer arrives.
Every callback is called exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

T = TypeVar("T")
Done = Callable[[T], None]

ANNOUNCE_EVERY_CHANGE_UP_TO: Final = 100
ANNOUNCE_INTERVAL_SECONDS: Final = 5.0
HISTORY_TRANSITIONS: Final = 1_000
HISTORY_SECONDS: Final = 3_600.0


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
    since: float


class Occupancy(NamedTuple):
    """A channel became occupied or vacant. Told to the outbox only."""

    app: str
    channel: str
    occupied: bool
    since: float


class Refusal(Enum):
    """Why something was not done or not answered. ``UNAVAILABLE``: the engine did not answer.

    A join waits for it as long as the hold, a question for a moment only.
    """

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
    """The members of a subject in the order they joined, as of ``revision``.

    Not ``complete``, here and below: other nodes may be about to register who is missing.
    """

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


class UserState(NamedTuple):
    """Whether a user is signed in: since when, or None; by how many connections, 0 of which are
    left while he is departing.

    ``last_seen`` is now while there are any; else when his last one went, signed in or a member
    of a presence channel; None if that is not known (any more).
    """

    since: float | None
    connections: int
    last_seen: float | None


class UserPresence(NamedTuple):
    """One user, and the presence channels that he is a member of by his id."""

    state: UserState
    channels: tuple[str, ...]
    complete: bool = True


class Users(NamedTuple):
    """The users asked about by their ids."""

    states: dict[str, UserState]
    complete: bool = True


class Difference(NamedTuple):
    """What became of a roster since a revision, up to ``revision``; members as they are now.

    ``full``: that is not known, and ``added`` are all members there are.
    """

    added: tuple[Member, ...]
    updated: tuple[Member, ...]
    removed: tuple[str, ...]
    revision: int
    full: bool
    complete: bool = True


class Announcement(NamedTuple):
    """How many subscriptions were announced, or None and how many seconds to wait with it."""

    subscriptions: int | None
    wait: float


class Follower(Protocol):
    """One node, as the ledger sees it."""

    def apply(self, transition: Transition) -> None:
        """A followed subject changed. The chain is valid: who is added was absent, who is
        removed was there."""

    def announced(self, app: str, channel: str, subscriptions: int) -> None:
        """How many subscriptions a channel has in all, to be told to its subscribers."""

    def terminate(self, app: str, user: str) -> None:
        """Every connection that signed in as *user* is to be closed."""


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
        """Tell the follower who is in *subject*, as additions, and from then on what changes.

        With the engine in memory the additions are told before this returns.
        """

    def unfollow(self, subject: Subject) -> None: ...

    def join(
        self,
        subject: Subject,
        user: str,
        subscription: int,
        info: bytes,
        limit: int,
        grace: float,
        done: Done[Joined | Refusal],
    ) -> None:
        """Enter *user* by *subscription*. *info* is compact JSON, the newest one holds.

        *limit* (0: none) is the number of members beyond which a new user is refused. In a full
        subject a newcomer completes the earliest departure and takes its place. A departure of
        the same user is cancelled and nobody is told. *grace* is what the user is given should
        this node die. Of a followed subject the answer comes in the turn in which the follower
        has been told everything up to this join, and nothing after it.
        """

    def leave(self, subject: Subject, subscription: int, grace: float) -> None:
        """End *subscription*; an unknown one changes nothing, one under way is undone.

        The member goes when no subscription of the user is left and every grace given with a
        leave of his has passed: at once, or when it has. A join under way is never answered.
        """

    def roster(self, subject: Subject, done: Done[Roster | Refusal]) -> None: ...

    def difference(self, subject: Subject, since: int, done: Done[Difference | Refusal]) -> None:
        """What became of the roster since the revision *since*.

        Recorded is it while somebody asks, at least every ``HISTORY_SECONDS``, and the subject is
        not empty. The difference is full if it began later, if *since* is unknown, or older than
        that or than the last ``HISTORY_TRANSITIONS``.
        """

    def user(self, app: str, user: str, done: Done[UserPresence | Refusal]) -> None: ...

    def users(self, app: str, users: Sequence[str], done: Done[Users | Refusal]) -> None:
        """The state of each of *users*, who need not be followed."""

    def forget(self, app: str, user: str, done: Done[bool | Refusal]) -> None:
        """Erase when *user* was last seen; true when it is nowhere kept any more."""

    def online(self, app: str, users: Iterable[str], done: Done[Online | Refusal]) -> None:
        """Which of *users*, all of them followed, are signed in, as the follower knows it."""

    def terminate(self, app: str, user: str, done: Done[bool]) -> None:
        """Tell every node to close the connections of *user*; false if nobody was told."""

    def count(self, app: str, channel: str, subscriptions: int) -> None:
        """Say how many subscriptions *channel* has on this node."""

    def announce(self, app: str, channel: str, done: Done[Announcement | Refusal]) -> None:
        """Tell the followers of all nodes how many subscriptions *channel* has in all.

        Above ``ANNOUNCE_EVERY_CHANGE_UP_TO`` not sooner than ``ANNOUNCE_INTERVAL_SECONDS`` after
        the last time (protocol reference §13).
        """

    def admit(self, app: str, connections: int, limit: int, done: Done[bool | Refusal]) -> None:
        """Say how many connections *app* has on this node, the newest of which is not admitted yet.

        False if there are more than *limit* (0: any number) on all nodes; the number then stays
        as it was. An engine that is away is answered for from what was last heard of it: true, or
        else unavailable, for by now there may be room.
        """

    def count_connections(self, app: str, connections: int) -> None:
        """Say how many connections *app* has on this node."""

    def spend(self, app: str, events: int, rate: int, done: Done[float | Refusal]) -> None:
        """Take *events* from the bucket of *app*, which holds *rate* and gains as many a second.

        The answer is 0, or how many seconds to wait before it can be taken.
        """

    def channel(self, app: str, channel: str, done: Done[ChannelState | Refusal]) -> None: ...

    def channels(self, app: str, prefix: str, done: Done[Channels | Refusal]) -> None: ...

    def totals(self, app: str, done: Done[Totals | Refusal]) -> None: ...


class Publication(msgspec.Struct, frozen=True, gc=False):
    """An event on its way to every node.

    ``payload`` is the JSON of the whole event, ``skip`` the socket id that gets nothing.
    ``cached``: it is the channel's last event from now on; for the bus alone, ``data`` (the JSON
    string token published) is kept with it for ``ttl`` seconds. ``sealed``: it leaves after what
    waits already on other channels.
    """

    app: str
    channel: str
    payload: bytes
    skip: str | None = None
    cached: bool = False
    sealed: bool = False
    data: bytes = b""
    ttl: float = 0


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

    def missed(self, app: str, channel: str) -> None:
        """Something that was published on *channel* may not have arrived."""

    def app_changed(self, app: str) -> None:
        """The application *app* was made, changed or deleted."""


class Bus(Protocol):
    """Carries events to every node; the order on one channel is the same everywhere.

    ``is_local``: there is one node, and all is delivered before ``publish`` returns.
    """

    is_local: bool

    def attach(self, receiver: Receiver) -> None: ...

    def follow(self, app: str, channel: str, done: Callable[[], None]) -> None:
        """Deliver what is published on *channel*; *done* is called when that is in force.

        An engine that is away is not waited for.
        """

    def unfollow(self, app: str, channel: str) -> None: ...

    def publish(self, publications: Sequence[Publication], done: Done[bool]) -> None:
        """Deliver all of *publications* in their order, or none and say false.

        Cached ones are kept in the same step.
        """

    def cached(self, app: str, channel: str, done: Done[CachedEvent | Refusal | None]) -> None: ...

    def first_miss(self, app: str, channel: str, seconds: float, done: Done[bool]) -> None:
        """Whether no node has found *channel* empty before, in the last *seconds*.

        What is kept for the channel makes the next miss the first again. True while the engine is
        away.
        """

    def change_app(self, app: str, done: Done[bool]) -> None:
        """Tell every node that *app* was changed."""
