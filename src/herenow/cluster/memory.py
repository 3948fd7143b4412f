"""The ledger of a node that is alone: plain dictionaries, and an answer before a call returns."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from herenow.cluster.base import (
    ANNOUNCE_EVERY_CHANGE_UP_TO,
    ANNOUNCE_INTERVAL_SECONDS,
    Announcement,
    Channels,
    ChannelState,
    Clock,
    Difference,
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
    UserPresence,
    Users,
    UserState,
)
from herenow.cluster.bucket import TokenBucket
from herenow.cluster.deadlines import Deadlines
from herenow.cluster.histories import Histories, difference, whole
from herenow.cluster.memory_bus import MemoryBus
from herenow.cluster.memory_usage import Presence, Present, Usage
from herenow.cluster.seen import Seen, UserKey
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
    """The answer to a join, told in its turn."""

    done: Done[Joined | Refusal]
    result: Joined | Refusal
    subscription: int


class _Presences(NamedTuple):
    """The answer to the question who is online, told in its turn."""

    done: Done[Online | Refusal]
    result: Online


_Untold = Transition | Occupancy | _Answer | _Presences


class MemoryLedger(Ledger):
    """Decides for one node, and remembers nothing of a name that nobody uses or follows.

    Revisions come from one rising sequence for all subjects, ``max(last + 1, µs since 1970)``:
    a subject of its own count would have to be remembered when it is empty, or would begin
    again, and deltas after that would look old. So a revision never repeats or falls.

    What a callback asks for while something is being told is decided at once, told after it, and
    answered after that: everybody hears in the order of revisions, and a join is answered when
    the outbox and the follower know what it changed.

    ``seen`` is when users were last here, as long as it is remembered. ``transitions`` counts by
    kind, ``suppressed`` the departures cancelled by a return. It is always ``ready``.
    """

    ready: bool = True

    def __init__(self, clock: Clock, outbox: Outbox, seen: Seen | None = None) -> None:
        self.seen = seen if seen is not None else Seen()
        self.transitions: dict[str, int] = {kind.value: 0 for kind in TransitionKind}
        self.suppressed = 0
        self._clock = clock
        self._outbox = outbox
        self._follower: Follower | None = None
        self._followed: dict[Subject, _Followed] = {}
        self._usages: dict[str, Usage] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self._histories = Histories()
        self._revision = 0
        self._departures: Deadlines[tuple[Subject, Present]] = Deadlines(clock, self._depart)
        self._untold: deque[_Untold] = deque()
        self._telling = False

    def attach(self, follower: Follower) -> None:
        self._follower = follower

    def follow(self, subject: Subject) -> None:
        if subject in self._followed:
            return
        presence = self._presence(subject)
        revision = presence.revision if presence is not None else 0
        self._followed[subject] = _Followed(self._revision, revision)
        if presence is not None and self._follower is not None:
            self._tell_members(subject, presence, self._follower)

    def unfollow(self, subject: Subject) -> None:
        self._followed.pop(subject, None)

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
        presence = self._presence(subject)
        member = presence.members.get(user) if presence is not None else None
        if presence is None or member is None:
            result = self._enter(subject, presence, user, subscription, info, limit)
        else:
            if subscription not in presence.subscriptions:
                self._enter_again(subject, presence, member, subscription, info)
            result = Joined(False, presence.revision)
        self._untold.append(_Answer(done, result, subscription))
        self._tell()

    def leave(self, subject: Subject, subscription: int, grace: float) -> None:
        presence = self._presence(subject)
        member = presence.subscriptions.pop(subscription, None) if presence is not None else None
        if presence is None or member is None:
            return
        if self._untold:
            self._drop_answer(subscription)
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

    def roster(self, subject: Subject, done: Done[Roster | Refusal]) -> None:
        presence = self._presence(subject)
        if presence is None:
            followed = self._followed.get(subject)
            done(Roster((), followed.revision if followed is not None else 0))
            return
        done(Roster(tuple(map(_shown, presence.members.values())), presence.revision))

    def difference(self, subject: Subject, since: int, done: Done[Difference | Refusal]) -> None:
        presence = self._presence(subject)
        if presence is None:
            followed = self._followed.get(subject)
            done(whole((), followed.revision if followed is not None else 0, complete=True))
            return
        revision = presence.revision
        touched = self._histories.touched(subject, since, revision, self._clock.time())
        present = {member.user: _shown(member) for member in presence.members.values()}
        if touched is None:
            done(whole(present.values(), revision, complete=True))
        else:
            done(difference(touched, present, revision, complete=True))

    def user(self, app: str, user: str, done: Done[UserPresence | Refusal]) -> None:
        usage = self._usages.get(app)
        presences = usage.channels.items() if usage is not None else ()
        channels = tuple(name for name, presence in presences if user in presence.members)
        done(UserPresence(self._state_of(app, user), channels))

    def users(self, app: str, users: Sequence[str], done: Done[Users | Refusal]) -> None:
        done(Users({user: self._state_of(app, user) for user in users}))

    def forget(self, app: str, user: str, done: Done[bool | Refusal]) -> None:
        self.seen.forget(UserKey(app, user), done)

    def see_everybody(self) -> None:
        """Remember who is here now, because the node ends and takes all connections with it."""
        now = self._clock.time()
        for app, usage in self._usages.items():
            for presences in (usage.channels, usage.users):
                for presence in presences.values():
                    for member in presence.members.values():
                        at = now if member.connections else member.left
                        self.seen.record(UserKey(app, member.user), at)

    def online(self, app: str, users: Iterable[str], done: Done[Online | Refusal]) -> None:
        usage = self._usages.get(app)
        signed_in = usage.users if usage is not None else {}
        online = Online(frozenset(user for user in users if user in signed_in))
        self._untold.append(_Presences(done, online))
        self._tell()

    def terminate(self, app: str, user: str, done: Done[bool]) -> None:
        if self._follower is not None:
            self._follower.terminate(app, user)
        done(True)

    def count(self, app: str, channel: str, subscriptions: int) -> None:
        decides = channel_kind(channel).counted
        usage = self._usage(app)
        counts = usage.counts[0 if decides else 1]
        before = counts.pop(channel, 0)
        if subscriptions:
            counts[channel] = subscriptions
        else:
            usage.announced.pop(channel, None)
        self._forget_if_empty(app, usage)
        if decides and bool(before) is not bool(subscriptions):
            self._untold.append(Occupancy(app, channel, bool(subscriptions), self._clock.time()))
            self._tell()

    def announce(self, app: str, channel: str, done: Done[Announcement | Refusal]) -> None:
        usage = self._usages.get(app)
        subscriptions = usage.subscriptions(channel) if usage is not None else 0
        if usage is not None and subscriptions:
            now = self._clock.time()
            wait = usage.announced.get(channel, 0) + ANNOUNCE_INTERVAL_SECONDS - now
            if subscriptions > ANNOUNCE_EVERY_CHANGE_UP_TO and wait > 0:
                done(Announcement(None, wait))
                return
            usage.announced[channel] = now
        if self._follower is not None:
            self._follower.announced(app, channel, subscriptions)
        done(Announcement(subscriptions, 0))

    def admit(self, app: str, connections: int, limit: int, done: Done[bool | Refusal]) -> None:
        admitted = not limit or connections <= limit
        if admitted:
            self.count_connections(app, connections)
        done(admitted)

    def count_connections(self, app: str, connections: int) -> None:
        usage = self._usage(app)
        usage.connections = connections
        self._forget_if_empty(app, usage)

    def spend(self, app: str, events: int, rate: int, done: Done[float | Refusal]) -> None:
        now = self._clock.time()
        bucket = self._buckets.get(app)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[app] = TokenBucket(rate, rate, now)
        events = min(events, rate)
        done(0 if bucket.take(now, events) else bucket.seconds_until(events))

    def channel(self, app: str, channel: str, done: Done[ChannelState | Refusal]) -> None:
        usage = self._usages.get(app)
        done(usage.state(channel) if usage is not None else ChannelState(False, 0, 0))

    def channels(self, app: str, prefix: str, done: Done[Channels | Refusal]) -> None:
        usage = self._usages.get(app)
        if usage is None:
            done(Channels({}))
            return
        occupied = (usage.channels, usage.counts[0])
        names = (name for names in occupied for name in names if name.startswith(prefix))
        done(Channels({name: usage.state(name) for name in names}))

    def totals(self, app: str, done: Done[Totals | Refusal]) -> None:
        usage = self._usages.get(app)
        if usage is None:
            done(Totals(0, 0, 0, 0))
            return
        channels = len(usage.channels) + len(usage.counts[0])
        done(Totals(usage.connections, channels, len(usage.users), usage.members))

    def usage(self, app: str) -> Usage | None:
        """What *app* has here, to be looked at and not to be kept; None if it has nothing."""
        return self._usages.get(app)

    def _usage(self, app: str) -> Usage:
        usage = self._usages.get(app)
        if usage is None:
            usage = self._usages[app] = Usage()
        return usage

    def _forget_if_empty(self, app: str, usage: Usage) -> None:
        if usage.is_empty():
            self._usages.pop(app, None)

    def _state_of(self, app: str, user: str) -> UserState:
        now = self._clock.time()
        seen = self.seen.get(UserKey(app, user), now)
        presence = self._presence(Subject(app, SubjectKind.USER, user))
        if presence is None:
            return UserState(None, 0, seen)
        member = presence.members[user]
        if not member.connections:
            now = max(member.left, seen or 0)
        return UserState(member.since, member.connections, now)

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
        self.seen.record(UserKey(subject.app, member.user), member.left)
        self._decide(subject, presence, TransitionKind.REMOVE, member, member.left)
        if subject.kind is SubjectKind.PRESENCE:
            usage.members -= 1
        if presence.members:
            return
        self._histories.forget(subject)
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
        presence.revision = self._revision
        followed = self._followed.get(subject)
        if followed is not None:
            followed.revision = self._revision
        self.transitions[kind.value] += 1
        transition = Transition(subject, kind, member.user, member.info, self._revision, since)
        self._histories.record(transition, self._clock.time())
        self._untold.append(transition)

    def _tell_members(self, subject: Subject, presence: Presence, follower: Follower) -> None:
        """Tell who is there as additions, at once: what was decided before is contained."""
        additions = [
            Transition(
                subject,
                TransitionKind.ADD,
                member.user,
                member.info,
                presence.revision,
                member.since,
            )
            for member in presence.members.values()
        ]
        telling, self._telling = self._telling, True
        try:
            for addition in additions:
                follower.apply(addition)
        finally:
            self._telling = telling
            self._tell()

    def _drop_answer(self, subscription: int) -> None:
        for told in self._untold:
            if isinstance(told, _Answer) and told.subscription == subscription:
                self._untold.remove(told)
                return

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

    def _tell_one(self, told: _Untold) -> None:
        if isinstance(told, _Answer):
            told.done(told.result)
            return
        if isinstance(told, _Presences):
            told.done(told.result)
            return
        try:
            self._outbox(told)
        finally:
            if isinstance(told, Transition) and self._follower is not None:
                followed = self._followed.get(told.subject)
                if followed is not None and told.revision > followed.after:
                    self._follower.apply(told)


def _shown(member: Present) -> Member:
    return Member(member.user, member.info, member.connections, member.since)
