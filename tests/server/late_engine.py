"""An engine that answers when the test says so: it decides at once, as one elsewhere would have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from herenow.cluster.base import (
    CachedEvent,
    Clock,
    Done,
    Joined,
    Online,
    Outbox,
    Publication,
    Refusal,
    Roster,
    Subject,
    Transition,
)
from herenow.cluster.memory import MemoryBus, MemoryLedger

T = TypeVar("T")


class Lateness:
    """Holds the answers of the kinds in ``late`` until they are released."""

    def __init__(self, *late: str) -> None:
        self.late = set(late)
        self.held: list[tuple[str, Callable[[], None]]] = []
        self.unavailable = False

    def delayed(self, kind: str, done: Done[T]) -> Done[T]:
        if kind not in self.late:
            return done
        return lambda answer: self.held.append((kind, partial(done, answer)))

    def waiting(self, kind: str) -> int:
        return sum(held == kind for held, _ in self.held)

    def release(self, kind: str, index: int = 0) -> None:
        """Give one of the held answers of *kind*, by default the oldest."""
        positions = [place for place, (held, _) in enumerate(self.held) if held == kind]
        _, answer = self.held.pop(positions[index])
        answer()

    def release_all(self) -> None:
        """Give every answer, and from now on at once."""
        self.late.clear()
        held, self.held = self.held, []
        for _, answer in held:
            answer()


class LateLedger(MemoryLedger):
    """Kinds of answers: ``join``, ``roster``, ``online``; ``transition`` is what is told unasked.

    ``question``: what a roster holds is decided when it is released, not when it was asked for.

    While ``unavailable`` a join is not done, and refused.
    """

    def __init__(self, lateness: Lateness, clock: Clock, outbox: Outbox) -> None:
        super().__init__(clock, outbox)
        self.lateness = lateness

    def attach(self, follower: Callable[[Transition], None]) -> None:
        super().attach(lambda told: self.lateness.delayed("transition", follower)(told))

    def join(
        self,
        subject: Subject,
        user: str,
        subscription: int,
        info: bytes,
        limit: int,
        done: Done[Joined | Refusal],
    ) -> None:
        late = self.lateness.delayed("join", done)
        if self.lateness.unavailable:
            late(Refusal.UNAVAILABLE)
        else:
            super().join(subject, user, subscription, info, limit, late)

    def roster(self, subject: Subject, done: Done[Roster]) -> None:
        if "question" in self.lateness.late:
            self.lateness.held.append(("question", partial(super().roster, subject, done)))
            return
        super().roster(subject, self.lateness.delayed("roster", done))

    def online(self, app: str, users: Iterable[str], done: Done[Online]) -> None:
        super().online(app, users, self.lateness.delayed("online", done))


class LateBus(MemoryBus):
    """Kinds: ``cached`` answers, and ``delivery`` of what is published."""

    def __init__(self, lateness: Lateness, clock: Clock) -> None:
        super().__init__(clock)
        self.lateness = lateness

    def cached(self, app: str, channel: str, done: Done[CachedEvent | None]) -> None:
        super().cached(app, channel, self.lateness.delayed("cached", done))

    def publish(self, publication: Publication) -> None:
        self.lateness.delayed("delivery", super().publish)(publication)
