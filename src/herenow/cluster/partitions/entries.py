"""The subscriptions of this node in one partition: what it wants to be registered there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final

from herenow.cluster.base import Done, Joined, Refusal, Subject, SubjectKind
from herenow.cluster.partitions.placement import subject_key

NEVER: Final = 1 << 62


class Stage(Enum):
    """How far a join has come."""

    QUEUED = "the engine has not been asked"
    ASKED = "the answer is not here"
    JOINED = "waiting until the follower has been told"
    IN = "answered"
    REFUSED = "about to be answered with a refusal"


class Entry:
    """One subscription or sign-in.

    ``joined`` is the sequence number of the join. ``registered`` is that of the latest join or
    restore: a removal after it means that the engine has lost this entry. ``reached`` is what the
    follower must have been told before the join is answered.
    """

    __slots__ = (
        "deadline",
        "done",
        "ended",
        "first",
        "grace",
        "info",
        "joined",
        "key",
        "limit",
        "reached",
        "registered",
        "stage",
        "stamp",
        "subject",
        "subscription",
        "terminated",
        "user",
    )

    def __init__(
        self,
        subject: Subject,
        user: str,
        subscription: int,
        info: bytes,
        limit: int,
        grace: int,
        deadline: float,
        done: Done[Joined | Refusal],
    ) -> None:
        self.subject = subject
        self.key = subject_key(subject)
        self.user = user
        self.subscription = subscription
        self.info = info
        self.limit = limit
        self.grace = grace
        self.deadline = deadline
        self.done = done
        self.stage = Stage.QUEUED
        self.ended = False
        self.first = False
        self.stamp = 0
        self.joined = 0
        self.registered = 0
        self.reached = 0
        self.terminated = 0

    @property
    def is_member(self) -> bool:
        """Whether the engine has said that this entry is registered."""
        return self.stage is Stage.JOINED or self.stage is Stage.IN


class Entries:
    """All entries of a partition, in the order in which they were made."""

    def __init__(self) -> None:
        self.signed_in = 0
        self._entries: dict[tuple[bytes, int], Entry] = {}
        self._of_user: dict[tuple[bytes, str], list[Entry]] = {}
        self._joining: dict[Entry, None] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def joining(self) -> Iterable[Entry]:
        """Those that have no answer yet, by their deadline."""
        return self._joining

    @property
    def joining_count(self) -> int:
        return len(self._joining)

    def get(self, key: bytes, subscription: int) -> Entry | None:
        return self._entries.get((key, subscription))

    def add(self, entry: Entry) -> None:
        self._entries[entry.key, entry.subscription] = entry
        self._of_user.setdefault((entry.key, entry.user), []).append(entry)
        self._joining[entry] = None
        self.signed_in += entry.subject.kind is SubjectKind.USER

    def answered(self, entry: Entry) -> None:
        self._joining.pop(entry, None)

    def remove(self, entry: Entry) -> None:
        entry.ended = True
        self._joining.pop(entry, None)
        if self._entries.pop((entry.key, entry.subscription), None) is None:
            return
        self.signed_in -= entry.subject.kind is SubjectKind.USER
        of_user = self._of_user[entry.key, entry.user]
        of_user.remove(entry)
        if not of_user:
            del self._of_user[entry.key, entry.user]

    def of_user(self, key: bytes, user: str) -> Iterable[Entry]:
        return self._of_user.get((key, user), ())

    def is_registered_before(self, key: bytes, user: str, seq: int) -> bool:
        """Whether *user* is here by an entry that a removal at *seq* cannot mean."""
        return any(e.is_member and e.registered < seq for e in self.of_user(key, user))
