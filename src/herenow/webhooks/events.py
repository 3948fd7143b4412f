"""The events that a webhook may carry, as the core emits them, and the sink that takes them.

An event is emitted at the moment it comes about, once, in order per channel and per user. What is
sent, when, and to whom is the sink's affair; ``since`` (seconds since 1970) is when the last
connection went, from where the hold of a removal runs (protocol reference §17.4). Channels whose
names start with ``#`` never appear here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from herenow.cluster.base import Occupancy, SubjectKind, Transition, TransitionKind


class ChannelOccupied(NamedTuple):
    app: str
    channel: str


class ChannelVacated(NamedTuple):
    app: str
    channel: str
    since: float


class MemberAdded(NamedTuple):
    """``info`` is the member's user_info as compact JSON."""

    app: str
    channel: str
    user_id: str
    info: bytes


class MemberRemoved(NamedTuple):
    app: str
    channel: str
    user_id: str
    info: bytes
    since: float


class ClientEvent(NamedTuple):
    """``data`` is the text that was relayed; ``user_id`` is set on presence channels only."""

    app: str
    channel: str
    event: str
    data: str
    socket_id: str
    user_id: str | None


class CacheMiss(NamedTuple):
    app: str
    channel: str


class SubscriptionCount(NamedTuple):
    app: str
    channel: str
    subscription_count: int


class UserOnline(NamedTuple):
    app: str
    user_id: str


class UserOffline(NamedTuple):
    app: str
    user_id: str
    since: float


Event = (
    ChannelOccupied
    | ChannelVacated
    | MemberAdded
    | MemberRemoved
    | ClientEvent
    | CacheMiss
    | SubscriptionCount
    | UserOnline
    | UserOffline
)


# These are never written down: what cannot be delivered while the process lives is lost.
Volatile = ClientEvent | CacheMiss | SubscriptionCount

# What they are called in a body and in the settings.
VOLATILE_NAMES: Final[Mapping[type[Event], str]] = {
    ClientEvent: "client_event",
    CacheMiss: "cache_miss",
    SubscriptionCount: "subscription_count",
}


class Sink(Protocol):
    """Takes events as they come about; must not block and must not raise."""

    def emit(self, event: Event) -> None: ...


def from_ledger(decided: Transition | Occupancy) -> Event | None:
    """The event that a decision of the ledger amounts to; changed info amounts to none."""
    if isinstance(decided, Occupancy):
        if decided.occupied:
            return ChannelOccupied(decided.app, decided.channel)
        return ChannelVacated(decided.app, decided.channel, decided.since)
    app, kind, name = decided.subject
    came = decided.kind is TransitionKind.ADD
    if decided.kind is TransitionKind.INFO:
        return None
    if kind is SubjectKind.USER:
        return UserOnline(app, name) if came else UserOffline(app, name, decided.since)
    if came:
        return MemberAdded(app, name, decided.user, decided.info)
    return MemberRemoved(app, name, decided.user, decided.info, decided.since)
