"""A presence channel as this node knows it: what its follower has been told of it.

A replica that is live applies each delta. One that is not keeps them until a roster has come that
is recent enough, and tells what differs from what was told before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from herenow.cluster.base import Subject, Transition, TransitionKind
from herenow.cluster.partitions.counters import Counters
from herenow.cluster.partitions.feed import INFO, REMOVE, Delta
from herenow.cluster.partitions.placement import decode, subject_key
from herenow.cluster.partitions.rosters import Listed
from herenow.cluster.partitions.session import Operation


class ReplicaOwner(Protocol):
    """What a replica needs of its partition."""

    counters: Counters

    def tell(self, replica: Replica, transition: Transition) -> None:
        """Tell the follower, unless it has stopped following *replica* by then."""

    def is_registered_before(self, key: bytes, user: str, seq: int) -> bool: ...

    def registration_lost(self) -> None:
        """The engine has removed somebody who is connected here."""

    def settle(self, key: bytes, reached: int) -> None:
        """Answer the joins that waited for what has been told up to *reached*."""


class Replica:
    """``shown`` is whom the follower was told to be there, with info and stamp.

    ``reached`` is the sequence number up to which it is right, ``need`` what a roster must have
    reached to be of use. ``asked`` is the operation that will bring one; the answer of an earlier
    one does not count. ``holding``: shown are some whom the engine, in a young epoch, does not
    know (yet); it is to be asked again. ``closed``: nobody follows any more.
    """

    __slots__ = (
        "_buffer",
        "_loaded",
        "_owner",
        "asked",
        "closed",
        "holding",
        "key",
        "live",
        "need",
        "reached",
        "shown",
        "subject",
    )

    def __init__(self, owner: ReplicaOwner, subject: Subject, need: int) -> None:
        self.subject = subject
        self.key = subject_key(subject)
        self.shown: dict[str, tuple[bytes, int]] = {}
        self.live = False
        self.need = need
        self.reached = 0
        self.asked: Operation | None = None
        self.holding = False
        self.closed = False
        self._owner = owner
        self._loaded = False
        self._buffer: list[Delta] = []

    def invalidate(self, need: int) -> None:
        """A roster that has reached *need* is wanted before anything else is told."""
        self.live = False
        self.need = need
        self._buffer = []

    def asking(self) -> None:
        """A roster is asked for now: it will contain every delta that has arrived so far."""
        self._buffer = []

    def changed(self, delta: Delta) -> None:
        if not self.live:
            if self.asked is not None:
                self._buffer.append(delta)
            return
        if delta.seq <= self.reached:
            return
        user = decode(delta.user)
        if delta.kind == REMOVE:
            if self._owner.is_registered_before(self.key, user, delta.seq):
                self._lose(delta.seq)
                return
            self.reached = delta.seq
            gone = self.shown.pop(user, None)
            if gone is not None:
                self._tell(TransitionKind.REMOVE, user, gone[0], delta.seq, delta.since / 1e6)
        else:
            self.reached = delta.seq
            self._show(delta.kind == INFO, user, delta)

    def take(self, seq: int, members: Iterable[Listed], uncertain: bool, now: float) -> None:
        """Tell how the roster as of *seq* differs from what was told, removals first.

        Who is missing from a roster that is *uncertain* may be about to be registered again.
        """
        there = {member.user: member for member in members}
        gone = [user for user in self.shown if user not in there]
        if any(self._owner.is_registered_before(self.key, user, seq) for user in gone):
            self._lose(seq)
            return
        self.holding = uncertain and bool(gone)
        if uncertain:
            gone = []
        differences = len(gone)
        for user in gone:
            info, _ = self.shown.pop(user)
            self._tell(TransitionKind.REMOVE, user, info, seq, now)
        for user, member in there.items():
            before = self.shown.get(user)
            self.shown[user] = (member.info, member.stamp)
            if before is None:
                differences += 1
                self._tell(TransitionKind.ADD, user, member.info, seq, member.since)
            elif before[0] != member.info:
                differences += 1
                self._tell(TransitionKind.INFO, user, member.info, seq, now)
        if self._loaded:
            self._owner.counters.resyncs += 1
            self._owner.counters.differences += differences
        self._loaded = self.live = True
        self.reached = seq
        buffer, self._buffer = self._buffer, []
        self._owner.settle(self.key, seq)
        for delta in buffer:
            self._owner.settle(self.key, delta.seq - 1)
            self.changed(delta)

    def _show(self, is_info: bool, user: str, delta: Delta) -> None:
        before = self.shown.get(user)
        if before is None and is_info:
            return
        self.shown[user] = (delta.info, delta.stamp)
        if before is None:
            self._tell(TransitionKind.ADD, user, delta.info, delta.seq, delta.since / 1e6)
        elif before[0] != delta.info:
            self._tell(TransitionKind.INFO, user, delta.info, delta.seq, delta.since / 1e6)

    def _lose(self, seq: int) -> None:
        self.invalidate(seq)
        self._owner.registration_lost()

    def _tell(
        self, kind: TransitionKind, user: str, info: bytes, revision: int, since: float
    ) -> None:
        self._owner.tell(self, Transition(self.subject, kind, user, info, revision, since))
