"""The ledger of a node that is alone: plain dictionaries, and an answer before a call returns."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from herenow.cluster.base import (
    Channels,
    ChannelState,
    Clock,
    Done,
    Follower,
    Joined,
    Ledger,
    Member,
    Occupancy,
    Online,
    Outbox,
    Refusal,
    Roster,
    Subject,
    SubjectKind,
    Totals,
    Transition,
    TransitionKind,
)
from herenow.cluster.deadlines import Deadlines
from herenow.cluster.memory_bus import MemoryBus
from herenow.cluster.memory_usage import Presence, Present, Usage
from herenow.protocol.names import channel_kind

__all__ = ["MemoryBus", "MemoryLedger"]


class _Followed:
    """A subject the follower hears of: what is decided ``after`` that revision.

    ``revision`` is the subject's own; it outlives the members as long as somebody follows.
    """

    __slots__ = ("after", "revision")

    def __init__(self, after: int, revision: int) -> None:
        self.after = after
        self.revision = revision


class _Answer(NamedTuple):
    done: Done[Joined | Refusal]
    result: Joined | Refusal


class MemoryLedger(Ledger):
    """Decides for one node, and remembers nothing of a name that nobody uses or follows.

    Revisions come from one rising sequence for all subjects, ``max(last + 1, µs since 1970)``:
    a subject of its own count would have to be remembered when it is empty, or would begin
    again, and deltas after that would look old. So a revision never repeats or falls, and
    ``previous`` is the subject's revision before, or 0 if the ledger has forgotten it; it never
    does while the subject is followed, and nobody else could have missed anything.

    What a callback asks for while something is being told is decided at once, told after it, and
    answered after that: everybody hears in the order of revisions, and a join is answered when
    the outbox and the follower know what it changed.

    ``transitions`` counts by kind, ``suppressed`` the departures cancelled by a return.
    """

    def __init__(self, clock: Clock, outbox: Outbox) -> None:
        self.transitions: dict[str, int] = {kind.value: 0 for kind in TransitionKind}
        self.suppressed = 0
        self._clock = clock
        self._outbox = outbox
        self._follower: Follower | None = None
        self._followed: dict[Subject, _Followed] = {}
        self._usages: dict[str, Usage] = {}
        self._revision = 0
        self._departures: Deadlines[tuple[Subject, Present]] = Deadlines(clock, self._depart)
        self._untold: deque[Transition | Occupancy | _Answer] = deque()
        self._telling = False

    def attach(self, follower: Follower) -> None:
        self._follower = follower

    def follow(self, subject: Subject) -> None:
        if subject not in self._followed:
            presence = self._presence(subject)
            revision = presence.revision if presence is not None else 0
            self._followed[subject] = _Followed(self._revision, revision)

    def unfollow(self, subject: Subject) -> None:
        self._followed.pop(subject, None)

    def join(
        self,
        subject: Subject,
        user: str,
        subscription: int,
        info: bytes,
        limit: int,
        done: Done[Joined | Refusal],
    ) -> None:
        presence = self._presence(subject)
        member = presence.members.get(user) if presence is not None else None
        if presence is None or member is None:
            result = self._enter(subject, presence, user, subscription, info, limit)
        else:
            if subscription not in presence.subscriptions:
                self._enter_again(subject, presence, member, subscription, info)
            result = Joined(False, presence.revision)
        self._untold.append(_Answer(done, result))
        self._tell()

    def leave(self, subject: Subject, subscription: int, grace: float) -> None:
        presence = self._presence(subject)
        member = presence.subscriptions.pop(subscription, None) if presence is not None else None
        if presence is None or member is None:
            return
        now = self._clock.time()
        presence.left = member.left = now
        member.connections -= 1
        if grace > 0:
            member.held_until = max(member.held_until, now + grace)
        if member.connections:
            return
        if member.held_until > now:
            member.due = member.held_until
            presence.departing[member.user] = member
            self._queue(subject, member)
        else:
            self._remove(subject, presence, member)
            self._tell()

    def roster(self, subject: Subject, done: Done[Roster]) -> None:
        presence = self._presence(subject)
        if presence is None:
            followed = self._followed.get(subject)
            done(Roster((), followed.revision if followed is not None else 0))
            return
        members = tuple(
            Member(member.user, member.info, member.connections, member.since)
            for member in presence.members.values()
        )
        done(Roster(members, presence.revision))

    def online(self, app: str, users: Iterable[str], done: Done[Online]) -> None:
        usage = self._usages.get(app)
        signed_in = usage.users if usage is not None else {}
        done(Online(frozenset(user for user in users if user in signed_in)))

    def count(self, app: str, channel: str, subscriptions: int) -> None:
        decides = channel_kind(channel).counted
        usage = self._usage(app)
        counts = usage.counts[0 if decides else 1]
        before = counts.pop(channel, 0)
        if subscriptions:
            counts[channel] = subscriptions
        self._forget_if_empty(app, usage)
        if decides and bool(before) is not bool(subscriptions):
            self._untold.append(Occupancy(app, channel, bool(subscriptions), self._clock.time()))
            self._tell()

    def count_connections(self, app: str, connections: int) -> None:
        usage = self._usage(app)
        usage.connections = connections
        self._forget_if_empty(app, usage)

    def channel(self, app: str, channel: str, done: Done[ChannelState]) -> None:
        usage = self._usages.get(app)
        done(usage.state(channel) if usage is not None else ChannelState(False, 0, 0))

    def channels(self, app: str, prefix: str, done: Done[Channels]) -> None:
        usage = self._usages.get(app)
        if usage is None:
            done(Channels({}))
            return
        occupied = (usage.channels, usage.counts[0])
        names = (name for names in occupied for name in names if name.startswith(prefix))
        done(Channels({name: usage.state(name) for name in names}))

    def totals(self, app: str, done: Done[Totals]) -> None:
        usage = self._usages.get(app)
        if usage is None:
            done(Totals(0, 0, 0, 0))
            return
        channels = len(usage.channels) + len(usage.counts[0])
        done(Totals(usage.connections, channels, len(usage.users), usage.members))

    def _usage(self, app: str) -> Usage:
        usage = self._usages.get(app)
        if usage is None:
            usage = self._usages[app] = Usage()
        return usage

    def _forget_if_empty(self, app: str, usage: Usage) -> None:
        if usage.is_empty():
            self._usages.pop(app, None)

    def _presence(self, subject: Subject) -> Presence | None:
        usage = self._usages.get(subject.app)
        return usage.presences(subject.kind).get(subject.name) if usage is not None else None

    def _enter(
        self,
        subject: Subject,
        presence: Presence | None,
        user: str,
        subscription: int,
        info: bytes,
        limit: int,
    ) -> Joined | Refusal:
        now = self._clock.time()
        usage = self._usage(subject.app)
        making_room: list[Present] = []
        if presence is None:
            followed = self._followed.get(subject)
            presence = Presence(followed.revision if followed is not None else 0, now)
            usage.presences(subject.kind)[subject.name] = presence
            if subject.kind is SubjectKind.PRESENCE:
                self._untold.append(Occupancy(subject.app, subject.name, True, now))
        elif limit and len(presence.members) >= limit:
            beyond = len(presence.members) + 1 - limit
            if beyond > len(presence.departing):
                return Refusal.FULL
            making_room = presence.earliest_departures(beyond)
        member = presence.members[user] = Present(user, info, now)
        presence.subscriptions[subscription] = member
        member.connections = 1
        if subject.kind is SubjectKind.PRESENCE:
            usage.members += 1
        for departing in making_room:
            self._remove(subject, presence, departing)
        self._decide(subject, presence, TransitionKind.ADD, member, now)
        return Joined(True, presence.revision)

    def _enter_again(
        self,
        subject: Subject,
        presence: Presence,
        member: Present,
        subscription: int,
        info: bytes,
    ) -> None:
        presence.subscriptions[subscription] = member
        member.connections += 1
        if member.due is not None:
            member.due = None
            del presence.departing[member.user]
            self.suppressed += 1
        if info != member.info:
            member.info = info
            self._decide(subject, presence, TransitionKind.INFO, member, self._clock.time())

    def _queue(self, subject: Subject, member: Present) -> None:
        # ``held_until`` never falls, so a member already queued is looked at in time.
        if not member.queued:
            member.queued = True
            self._departures.add(member.held_until, (subject, member))

    def _depart(self, departure: tuple[Subject, Present]) -> None:
        subject, member = departure
        member.queued = False
        if member.due is None:
            return
        if member.due > self._clock.time():
            self._queue(subject, member)
            return
        presence = self._presence(subject)
        assert presence is not None, "a departing member is a member"
        self._remove(subject, presence, member)
        self._tell()

    def _remove(self, subject: Subject, presence: Presence, member: Present) -> None:
        usage = self._usages[subject.app]
        del presence.members[member.user]
        presence.departing.pop(member.user, None)
        member.due = None
        self._decide(subject, presence, TransitionKind.REMOVE, member, member.left)
        if subject.kind is SubjectKind.PRESENCE:
            usage.members -= 1
        if presence.members:
            return
        del usage.presences(subject.kind)[subject.name]
        if subject.kind is SubjectKind.PRESENCE:
            self._untold.append(Occupancy(subject.app, subject.name, False, presence.left))
        self._forget_if_empty(subject.app, usage)

    def _decide(
        self,
        subject: Subject,
        presence: Presence,
        kind: TransitionKind,
        member: Present,
        since: float,
    ) -> None:
        self._revision = max(self._revision + 1, int(self._clock.time() * 1_000_000))
        previous, presence.revision = presence.revision, self._revision
        followed = self._followed.get(subject)
        if followed is not None:
            followed.revision = self._revision
        self.transitions[kind.value] += 1
        self._untold.append(
            Transition(subject, kind, member.user, member.info, self._revision, previous, since)
        )

    def _tell(self) -> None:
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold:
                self._tell_one(self._untold.popleft())
        finally:
            self._telling = False
            if self._untold:  # somebody raised: the others are told all the same
                self._clock.call_later(0, self._tell)

    def _tell_one(self, told: Transition | Occupancy | _Answer) -> None:
        if isinstance(told, _Answer):
            told.done(told.result)
            return
        try:
            self._outbox(told)
        finally:
            if isinstance(told, Transition) and self._follower is not None:
                followed = self._followed.get(told.subject)
                if followed is not None and told.revision > followed.after:
                    self._follower(told)
