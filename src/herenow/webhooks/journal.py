"""What the outbox keeps: events that are not delivered yet, and what receivers were told.

A journal is kept in *shards*, each of which decides for itself. All events of one lane are in the
same shard, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from herenow.webhooks.events import Sink


class JournalUnavailable(Exception):
    """The journal did not answer. Whatever was asked of it may have been done, or not."""


class JournalUnusable(Exception):
    """The journal cannot be opened, so nothing can be delivered; the sentence says what to do."""


class Bounds(NamedTuple):
    """What a journal may keep: entries younger than ``keep_seconds``, ``max_backlog`` of them.

    0 of the latter: any number. Entries of endpoints that fail for more than ``retry_seconds``
    count as dead letters, which go first.
    """

    keep_seconds: float
    max_backlog: int
    retry_seconds: float


class Fact(NamedTuple):
    """Something a receiver is told when it comes to hold, and when it no longer does.

    ``lane`` names whose events keep their order: ``"c"`` and a channel, or ``"u"`` and a user.
    ``member`` is the user whose membership in the channel it is; None: that the channel is
    occupied, or that the user is online.
    """

    lane: str
    member: str | None = None


class Change(NamedTuple):
    """What one endpoint is to be told; nothing, if that is what it was told last.

    ``info`` is the member's user_info as compact JSON, or empty. ``silent``: it counts as told,
    but no event says so, since the endpoint wants to hear of the other direction alone. What was
    told silently is told aloud by the next change that is not silent.
    """

    endpoint: str
    fact: Fact
    holds: bool
    info: bytes = b""
    silent: bool = False


class Entry(NamedTuple):
    """An event on its way to one endpoint.

    ``position`` rises within the shard. ``id`` is this event's and no other's, whatever happens;
    ``sequence`` counts the events of the lane for this endpoint. ``repeat``: an addition that was
    told before is told again, with the id and the sequence it had. ``buried``: it is not
    delivered unless it is asked for.
    """

    position: int
    endpoint: str
    fact: Fact
    holds: bool
    info: bytes
    id: str
    sequence: int
    made: float
    repeat: bool = False
    buried: bool = False


class Condition(NamedTuple):
    """How an endpoint does. Times in seconds since 1970.

    ``failing_since``: the first failure after which nothing succeeded, None if the last attempt
    did. ``answer`` says how the last attempt ended, cleaned and short. ``adrift``: events were
    dropped, so what it was told is to be compared with the ledger when it answers again.
    """

    failing_since: float | None = None
    answer: str = ""
    attempted: float | None = None
    adrift: bool = False


class Backlog(Protocol):
    """One shard, as whoever delivers sees it. Every method raises :class:`JournalUnavailable`."""

    async def read(
        self, endpoint: str, after: int, most: int, lane: str | None = None
    ) -> list[Entry]:
        """The first *most* entries beyond the position *after* that are not buried, in order."""

    async def delivered(self, endpoint: str, positions: Sequence[int]) -> None:
        """Forget these entries: the endpoint has them."""

    async def bury(self, endpoint: str, positions: Sequence[int]) -> None:
        """Let these entries be, and go on with those behind them."""

    async def condition(self, endpoint: str) -> Condition: ...

    async def note(self, endpoint: str, condition: Condition) -> None: ...


class Depth(NamedTuple):
    """What waits for one endpoint. ``oldest`` is when the oldest entry was made."""

    waiting: int
    buried: int
    oldest: float | None
    condition: Condition

    def dead(self, now: float, retry_seconds: float) -> int:
        """How many are dead letters: those buried, and all while the endpoint fails for longer."""
        since = self.condition.failing_since
        given_up = since is not None and now - since > retry_seconds
        return self.buried + (self.waiting if given_up else 0)


class Journal(Protocol):
    """All shards, as an operator sees them. Every method raises :class:`JournalUnavailable`."""

    async def depth(self, endpoint: str) -> Depth: ...

    async def page(
        self, endpoint: str, cursor: str, most: int, *, buried_only: bool
    ) -> tuple[list[Entry], str]:
        """Entries in the order of their shards and positions, and the next cursor or ``""``."""

    async def revive(self, endpoint: str, ids: Sequence[str] | None) -> int:
        """Deliver buried entries after all: these, or every one. Answers how many.

        An endpoint that was failing is tried at once, as far as this process delivers to it.
        """

    async def drop(self, endpoint: str, ids: Sequence[str] | None) -> int:
        """Never deliver these entries, or any; answers how many are gone.

        Receivers must not be led astray: an entry goes together with the one that undoes it. If
        nothing undoes it yet, it counts as not told, and the endpoint is adrift.
        """

    async def reconcile(self, endpoint: str) -> int:
        """Tell the present state: differences from the ledger, then every addition once more.

        Answers how many entries this makes.
        """


class Outbox(Sink, Journal, Protocol):
    """Takes events and has them delivered.

    ``problem`` says why that does not go on, and is empty if it does. ``dropped`` counts entries
    that are never delivered, ``changes_dropped`` what was never written down.
    """

    @property
    def problem(self) -> str: ...
    @property
    def dropped(self) -> int: ...
    @property
    def changes_dropped(self) -> int: ...

    async def start(self) -> None:
        """Begin, if an application has webhooks; :class:`JournalUnusable` if that cannot be."""

    def app_changed(self, app: str) -> None:
        """An application was made, changed or deleted."""

    def drain(self) -> None:
        """The server ends: its connections are about to be closed."""

    async def stop(self, grace: float) -> None:
        """Finish what is under way for about *grace* seconds, and let go."""
