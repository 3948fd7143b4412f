"""What the memory ledger remembers: an application's usage, its presences, who is present."""

from __future__ import annotations

from herenow.cluster.base import ChannelState, SubjectKind
from herenow.protocol.names import channel_kind


class Present:
    """A user in one subject. ``due`` is when a departing member goes, None while connected."""

    __slots__ = ("connections", "due", "held_until", "info", "left", "queued", "since", "user")

    def __init__(self, user: str, info: bytes, since: float) -> None:
        self.user = user
        self.info = info
        self.since = since
        self.connections = 0
        self.left = since
        self.held_until = 0.0
        self.due: float | None = None
        self.queued = False


class Presence:
    """Who is in one subject, and by which subscriptions. Exists while somebody is."""

    __slots__ = ("departing", "left", "members", "revision", "subscriptions")

    def __init__(self, revision: int, now: float) -> None:
        self.members: dict[str, Present] = {}
        self.departing: dict[str, Present] = {}
        self.subscriptions: dict[int, Present] = {}
        self.revision = revision
        self.left = now

    def earliest_departures(self, number: int) -> list[Present]:
        return sorted(self.departing.values(), key=lambda member: member.held_until)[:number]


class Usage:
    """What one application has here."""

    __slots__ = ("announced", "channels", "connections", "counts", "members", "users")

    def __init__(self) -> None:
        self.connections = 0
        self.members = 0
        self.channels: dict[str, Presence] = {}
        self.users: dict[str, Presence] = {}
        # Subscriptions of channels which these decide to be occupied, and of the others.
        self.counts: tuple[dict[str, int], dict[str, int]] = ({}, {})
        # When the subscriptions of a channel were last announced, while it has any.
        self.announced: dict[str, float] = {}

    def presences(self, kind: SubjectKind) -> dict[str, Presence]:
        return self.channels if kind is SubjectKind.PRESENCE else self.users

    def is_empty(self) -> bool:
        return not (self.connections or self.channels or self.users or any(self.counts))

    def subscriptions(self, channel: str) -> int:
        decided, other = self.counts
        return decided.get(channel, 0) or other.get(channel, 0)

    def state(self, channel: str) -> ChannelState:
        subscriptions = self.subscriptions(channel)
        presence = self.channels.get(channel)
        users = len(presence.members) if presence is not None else 0
        if channel_kind(channel).presence:
            return ChannelState(users > 0, subscriptions, users)
        return ChannelState(subscriptions > 0, subscriptions, users)
