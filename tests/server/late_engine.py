"""An engine that answers when the test says so: it decides at once, as one elsewhere would have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from herenow.cluster.base import (
    Announcement,
    CachedEvent,
    Channels,
    ChannelState,
    Clock,
    Difference,
    Done,
    Follower,
    Joined,
    Online,
    Outbox,
    Publication,
    Refusal,
    Roster,
    Subject,
    Totals,
    Transition,
    UserPresence,
    Users,
)
from herenow.cluster.memory import MemoryBus, MemoryLedger

T = TypeVar("T")


class Lateness:
    """Holds the answers of the kinds in ``late`` until they are released.

    While ``unavailable`` nothing is done and nothing is known, and always so of what is
    ``refused``; while not ``complete`` answers say that they may be missing something.
    """

    def __init__(self, *late: str) -> None:
        self.late = set(late)
        self.held: list[tuple[str, Callable[[], None]]] = []
        self.unavailable = False
        self.refused: set[str] = set()
        self.complete = True

    def delayed(self, kind: str, done: Done[T]) -> Done[T]:
        if kind not in self.late:
            return done
        return lambda answer: self.held.append((kind, partial(done, answer)))

    def part(self, kind: str, done: Done[Any]) -> Done[Any]:
        """*done* for an answer that may be only a part of what was asked for."""

        def marked(answer: Any) -> None:
            if self.complete or isinstance(answer, Refusal):
                done(answer)
            else:
                done(answer._replace(complete=False))

        return self.delayed(kind, marked)

    def refuses(self, kind: str, done: Done[T | Refusal]) -> bool:
        """Whether the engine is away, and *done* was told so."""
        refused = self.unavailable or kind in self.refused
        if refused:
            done(Refusal.UNAVAILABLE)
        return refused

    def waiting(self, kind: str) -> int:
        return sum(held == kind for held, _ in self.held)

    def release(self, kind: str, index: int = 0) -> None:
        """Give one of the held answers of *kind*, by default the oldest."""
        positions = [place for place, (held, _) in enumerate(self.held) if held == kind]
        _, answer = self.held.pop(positions[index])
        answer()

    def release_each(self, kind: str) -> None:
        """Give the held answers of *kind*, in this turn of the loop and in their order."""
        while self.waiting(kind):
            self.release(kind)

    def release_all(self) -> None:
        """Give every answer, and from now on at once."""
        self.late.clear()
        held, self.held = self.held, []
        for _, answer in held:
            answer()


class LateFollower:
    """A node that hears of ``transition`` late; ``chain`` is that and the answers to joins."""

    def __init__(self, lateness: Lateness, follower: Follower) -> None:
        self._lateness = lateness
        self._follower = follower

    def apply(self, transition: Transition) -> None:
        told = self._lateness.delayed("transition", self._follower.apply)
        self._lateness.delayed("chain", told)(transition)

    def announced(self, app: str, channel: str, subscriptions: int) -> None:
        self._follower.announced(app, channel, subscriptions)

    def terminate(self, app: str, user: str) -> None:
        self._follower.terminate(app, user)


class LateLedger(MemoryLedger):
    """Kinds of answers: ``join``, ``online``, ``admit`` and those of the reads by their names.

    ``transition`` is what is told unasked. ``chain`` is both that and the answers to joins, in
    their order: who follows a subject hears nothing until it is released.
    """

    def __init__(self, lateness: Lateness, clock: Clock, outbox: Outbox) -> None:
        super().__init__(clock, outbox)
        self.lateness = lateness

    def attach(self, follower: Follower) -> None:
        super().attach(LateFollower(self.lateness, follower))

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
        late = self.lateness.delayed("join", self.lateness.delayed("chain", done))
        if not self.lateness.refuses("join", late):
            super().join(subject, user, subscription, info, limit, grace, late)

    def roster(self, subject: Subject, done: Done[Roster | Refusal]) -> None:
        late = self.lateness.part("roster", done)
        if not self.lateness.refuses("roster", late):
            super().roster(subject, late)

    def difference(self, subject: Subject, since: int, done: Done[Difference | Refusal]) -> None:
        late = self.lateness.part("difference", done)
        if not self.lateness.refuses("difference", late):
            super().difference(subject, since, late)

    def user(self, app: str, user: str, done: Done[UserPresence | Refusal]) -> None:
        late = self.lateness.part("user", done)
        if not self.lateness.refuses("user", late):
            super().user(app, user, late)

    def users(self, app: str, users: Sequence[str], done: Done[Users | Refusal]) -> None:
        late = self.lateness.part("users", done)
        if not self.lateness.refuses("users", late):
            super().users(app, users, late)

    def online(self, app: str, users: Iterable[str], done: Done[Online | Refusal]) -> None:
        late = self.lateness.part("online", done)
        if not self.lateness.refuses("online", late):
            super().online(app, users, late)

    def channel(self, app: str, channel: str, done: Done[ChannelState | Refusal]) -> None:
        late = self.lateness.part("channel", done)
        if not self.lateness.refuses("channel", late):
            super().channel(app, channel, late)

    def channels(self, app: str, prefix: str, done: Done[Channels | Refusal]) -> None:
        late = self.lateness.part("channels", done)
        if not self.lateness.refuses("channels", late):
            super().channels(app, prefix, late)

    def totals(self, app: str, done: Done[Totals | Refusal]) -> None:
        late = self.lateness.part("totals", done)
        if not self.lateness.refuses("totals", late):
            super().totals(app, late)

    def announce(self, app: str, channel: str, done: Done[Announcement | Refusal]) -> None:
        late = self.lateness.delayed("announce", done)
        if not self.lateness.refuses("announce", late):
            super().announce(app, channel, late)

    def spend(self, app: str, events: int, rate: int, done: Done[float | Refusal]) -> None:
        late = self.lateness.delayed("spend", done)
        if not self.lateness.refuses("spend", late):
            super().spend(app, events, rate, late)

    def terminate(self, app: str, user: str, done: Done[bool]) -> None:
        if self.lateness.unavailable:
            done(False)
        else:
            super().terminate(app, user, done)

    def admit(self, app: str, connections: int, limit: int, done: Done[bool | Refusal]) -> None:
        late = self.lateness.delayed("admit", done)
        if not self.lateness.refuses("admit", late):
            super().admit(app, connections, limit, late)


class LateBus(MemoryBus):
    """Kinds: ``follow``, ``cached`` answers, and ``delivery`` of what is published."""

    is_local: bool = False

    def __init__(self, lateness: Lateness, clock: Clock) -> None:
        super().__init__(clock)
        self.lateness = lateness

    def follow(self, app: str, channel: str, done: Callable[[], None]) -> None:
        self.lateness.delayed("follow", lambda _: done())(None)

    def cached(self, app: str, channel: str, done: Done[CachedEvent | Refusal | None]) -> None:
        late = self.lateness.delayed("cached", done)
        if not self.lateness.refuses("cached", late):
            super().cached(app, channel, late)

    def publish(self, publications: Sequence[Publication], done: Done[bool]) -> None:
        if self.lateness.unavailable:
            self.lateness.delayed("delivery", done)(False)
        else:
            publish = partial(super().publish, done=done)
            self.lateness.delayed("delivery", publish)(publications)
