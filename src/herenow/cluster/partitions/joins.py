"""Joins and leaves of this node: asked for once each, and answered when the follower knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from herenow.cluster.base import Done, Joined, Refusal
from herenow.cluster.partitions.counters import Counters
from herenow.cluster.partitions.entries import NEVER, Entries, Entry, Stage
from herenow.cluster.partitions.placement import encode, subject_of
from herenow.cluster.partitions.session import Operation
from herenow.cluster.partitions.telling import Telling


class JoinsOwner(Protocol):
    """What joins and leaves need of their partition."""

    counters: Counters
    telling: Telling

    @property
    def is_registered(self) -> bool:
        """Whether what is asked now is sent, after everything that is to be registered again."""

    def send(self, operation: Operation) -> None: ...

    def flags_of(self, app: str) -> int: ...

    def reached(self, key: bytes) -> int | None:
        """Up to where the follower knows everything of a subject; None if it does not follow."""

    def depart(self, grace: float) -> None:
        """A departure ends in *grace* seconds."""


class Joins:
    """``entries`` has every subscription that has not ended, answered or not."""

    def __init__(self, owner: JoinsOwner) -> None:
        self.entries = Entries()
        self._owner = owner
        self._waiting: dict[bytes, list[Entry]] = {}

    @property
    def under_way(self) -> int:
        return self.entries.joining_count

    @property
    def is_waiting(self) -> bool:
        """Whether some have their answer and wait for the follower to be told."""
        return bool(self._waiting)

    def join(self, entry: Entry) -> None:
        known = self.entries.get(entry.key, entry.subscription)
        if known is not None:
            self._join_again(known, entry)
            return
        self.entries.add(entry)
        if self._owner.is_registered:
            self._ask(entry)

    def leave(self, key: bytes, subscription: int, grace: float) -> None:
        entry = self.entries.get(key, subscription)
        if entry is None:
            return
        self.entries.remove(entry)
        if entry.stage is not Stage.QUEUED and entry.stage is not Stage.REFUSED:
            self._send_leave(entry, grace)

    def ask_queued(self) -> None:
        for entry in list(self.entries.joining):
            if entry.stage is Stage.QUEUED:
                self._ask(entry)

    def lapsed(self) -> None:
        """Nothing is registered any more, and nothing that was asked is answered."""
        for entry in self.entries.joining:
            if entry.stage is Stage.ASKED:
                entry.stage = Stage.QUEUED
            elif entry.stage is Stage.JOINED:
                entry.reached = NEVER

    def restored(self, entries: Iterable[Entry], seq: int) -> None:
        """*entries* were registered again at *seq*."""
        for entry in entries:
            entry.registered = seq
            if entry.stage is Stage.JOINED:
                entry.reached = seq

    def settle_all(self) -> None:
        for key in list(self._waiting):
            self.settle(key, self._owner.reached(key))

    def settle(self, key: bytes, reached: int | None) -> None:
        """Answer the joins of a subject that waited for what has been told up to *reached*."""
        waiting = self._waiting.get(key)
        if waiting is None:
            return
        still = []
        for entry in waiting:
            if entry.ended or entry.stage is not Stage.JOINED:
                continue
            is_early = reached is not None and entry.reached > reached
            if is_early or entry.reached == NEVER:
                still.append(entry)
                continue
            entry.stage = Stage.IN
            self.entries.answered(entry)
            self._answer(entry, Joined(entry.first, entry.joined))
        if still:
            self._waiting[key] = still
        else:
            del self._waiting[key]

    def expire(self, now: float) -> None:
        """Refuse the joins that were held long enough, and undo what may have been executed."""
        for entry in list(self.entries.joining):
            if entry.deadline > now:
                break
            if entry.stage in (Stage.ASKED, Stage.JOINED):
                self._send_leave(entry, 0)
            self._refuse(entry, Refusal.UNAVAILABLE)

    def terminated(self, key: bytes, user: str, seq: int) -> None:
        """Whoever signed in as *user* before *seq* is to be closed."""
        is_concerned = False
        for entry in self.entries.of_user(key, user):
            if entry.stage is Stage.IN:
                is_concerned = is_concerned or entry.joined < seq
            elif entry.stage in (Stage.ASKED, Stage.JOINED):
                entry.terminated = max(entry.terminated, seq)
        if is_concerned:
            self._owner.telling.add_termination(subject_of(key).app, user)

    def _ask(self, entry: Entry) -> None:
        entry.stage = Stage.ASKED

        def arguments() -> list[bytes | str | int]:
            return [
                entry.key,
                encode(entry.user),
                entry.subscription,
                entry.info,
                entry.grace,
                entry.limit,
                self._owner.flags_of(entry.subject.app),
            ]

        def wanted() -> bool:
            return not entry.ended and entry.stage is Stage.ASKED

        self._owner.send(
            Operation("join", arguments, lambda reply: self._answered(entry, reply), wanted=wanted)
        )

    def _answered(self, entry: Entry, reply: list[Any]) -> None:
        if entry.ended or entry.stage is not Stage.ASKED:
            return
        if reply[0] == b"full":
            self._refuse(entry, Refusal.FULL)
            return
        _, _, seq, first, stamp, suppressed = reply
        self._owner.counters.suppressed += suppressed
        entry.stage = Stage.JOINED
        entry.first = bool(first)
        entry.stamp = stamp
        entry.joined = entry.registered = entry.reached = seq
        self._waiting.setdefault(entry.key, []).append(entry)
        self.settle(entry.key, self._owner.reached(entry.key))

    def _join_again(self, known: Entry, entry: Entry) -> None:
        """The same subscription is asked for twice: it counts once, and both are answered."""
        if known.stage is Stage.IN:
            entry.stage = Stage.IN
            seq = self._owner.reached(known.key) or known.joined
            self._answer(entry, Joined(False, max(seq, known.joined)))
            return
        known.done = _both(known.done, entry.done)

    def _refuse(self, entry: Entry, refusal: Refusal) -> None:
        entry.stage = Stage.REFUSED
        self.entries.answered(entry)

        def tell() -> None:
            if not entry.ended:
                self.entries.remove(entry)
                entry.done(refusal)

        self._owner.telling.add(tell)

    def _answer(self, entry: Entry, answer: Joined) -> None:
        def tell() -> None:
            if entry.ended:
                return
            entry.done(answer)
            entry.done = _nobody
            if entry.terminated > entry.joined and not entry.ended:
                self._owner.telling.add_termination(entry.subject.app, entry.user)

        self._owner.telling.add(tell)

    def _send_leave(self, entry: Entry, grace: float) -> None:
        arguments = [entry.subscription, round(grace * 1e6)]

        def answered(_: list[Any]) -> None:
            if grace > 0:
                self._owner.depart(grace)

        self._owner.send(Operation("leave", lambda: arguments, answered))


def _nobody(_: Joined | Refusal) -> None:
    pass


def _both(
    first: Done[Joined | Refusal], second: Done[Joined | Refusal]
) -> Callable[[Joined | Refusal], None]:
    def done(answer: Joined | Refusal) -> None:
        first(answer)
        second(Joined(False, answer.revision) if isinstance(answer, Joined) else answer)

    return done
