"""What comes about, as facts that begin or cease to hold, and what an endpoint is told of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from herenow.webhooks.events import (
    ChannelOccupied,
    ChannelVacated,
    Event,
    MemberAdded,
    MemberRemoved,
    UserOffline,
    UserOnline,
)
from herenow.webhooks.journal import Change, Fact

CHANNEL: Final = "c"
USER: Final = "u"


class Happening(NamedTuple):
    """A fact of *app* began to hold, or ceased to.

    ``since`` is when, in seconds since 1970. ``ticket`` is what the source of it forgets when it
    is dealt with; an outbox that has nothing to forget leaves it empty.
    """

    app: str
    fact: Fact
    holds: bool
    info: bytes = b""
    since: float = 0
    ticket: str = ""


class Wanting(Protocol):
    """An endpoint, as far as it chooses events."""

    @property
    def id(self) -> str: ...

    def wants(self, event_name: str, channel: str | None) -> bool: ...


def channel_lane(channel: str) -> str:
    return CHANNEL + channel


def user_lane(user: str) -> str:
    return USER + user


def happening_of(event: Event, ticket: str = "") -> Happening | None:
    """What *event* says of a fact; None for an event that is about none."""
    match event:
        case MemberAdded(app, channel, user, info):
            return Happening(app, Fact(CHANNEL + channel, user), True, info, 0, ticket)
        case MemberRemoved(app, channel, user, info, since):
            return Happening(app, Fact(CHANNEL + channel, user), False, info, since, ticket)
        case ChannelOccupied(app, channel):
            return Happening(app, Fact(CHANNEL + channel), True, b"", 0, ticket)
        case ChannelVacated(app, channel, since):
            return Happening(app, Fact(CHANNEL + channel), False, b"", since, ticket)
        case UserOnline(app, user):
            return Happening(app, Fact(USER + user), True, b"", 0, ticket)
        case UserOffline(app, user, since):
            return Happening(app, Fact(USER + user), False, b"", since, ticket)
        case _:
            return None


def event_names(fact: Fact) -> tuple[str, str]:
    """The events that tell that *fact* holds, and that it no longer does."""
    if fact.member is not None:
        return "member_added", "member_removed"
    if fact.lane.startswith(USER):
        return "user_online", "user_offline"
    return "channel_occupied", "channel_vacated"


def channel_of(fact: Fact) -> str | None:
    """The channel that filters look at; None for a user."""
    return fact.lane[1:] if fact.lane.startswith(CHANNEL) else None


def concerns(endpoint: Wanting, fact: Fact) -> bool:
    """Whether *endpoint* is to hear of *fact*: when it comes to hold, when it ceases, or both."""
    added, removed = event_names(fact)
    channel = channel_of(fact)
    return endpoint.wants(added, channel) or endpoint.wants(removed, channel)


def change_for(endpoint: Wanting, happening: Happening) -> Change | None:
    """What *endpoint* is to be told of *happening*; None if the fact does not concern it.

    An endpoint that wants to hear of one direction only is told the other without an event.
    """
    fact, holds = happening.fact, happening.holds
    added, removed = event_names(fact)
    channel = channel_of(fact)
    wanted, other = (added, removed) if holds else (removed, added)
    if endpoint.wants(wanted, channel):
        return Change(endpoint.id, fact, holds, happening.info)
    if endpoint.wants(other, channel):
        return Change(endpoint.id, fact, holds, happening.info, silent=True)
    return None


def changes_for(endpoints: Iterable[Wanting], happening: Happening) -> list[Change]:
    """What *endpoints* are to be told of *happening*, each in order.

    A member is never told before the channel is told to be occupied, whoever is heard first.
    """
    fact = happening.fact
    happenings = [happening]
    if happening.holds and fact.member is not None:
        happenings.insert(0, Happening(happening.app, Fact(fact.lane), True))
    changes = (change_for(endpoint, each) for endpoint in endpoints for each in happenings)
    return [change for change in changes if change is not None]
