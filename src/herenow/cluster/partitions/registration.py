"""Registering again: under a new lease, the engine is told everything that this node has."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

from herenow.cluster.partitions.engine import Argument
from herenow.cluster.partitions.entries import Entry
from herenow.cluster.partitions.placement import encode
from herenow.cluster.partitions.session import Operation

ENTRIES_A_CALL: Final = 500
CALLS_UNDER_WAY: Final = 4


class Known(NamedTuple):
    """A member registered by another node, handed back to an engine that may have lost him."""

    user: str
    info: bytes
    stamp: int


class _Part(NamedTuple):
    """What one call registers of a subject; the ``last`` one brings the roster."""

    key: bytes
    app: str
    entries: Sequence[Entry]
    known: Sequence[Known]
    last: bool


class RegistrationOwner(Protocol):
    """What registering needs of its partition."""

    def send(self, operation: Operation) -> None: ...

    def flags_of(self, app: str) -> int: ...

    def wants_roster(self, key: bytes, operation: Operation) -> bool:
        """Whether the answer of *operation*, sent now, is taken as the roster of a subject."""

    def restored(
        self, key: bytes, operation: Operation, entries: Sequence[Entry], reply: list[Any]
    ) -> None:
        """*entries* are registered; the reply has the roster if it was wanted."""

    def all_sent(self) -> None:
        """Everything is registered, or on its way in front of whatever is sent now."""


class Registration:
    """Sends a few calls at a time, so that a node with many entries leaves room for others."""

    def __init__(self, owner: RegistrationOwner) -> None:
        self._owner = owner
        self._parts: deque[_Part] = deque()
        self._unfinished: dict[bytes, int] = {}
        self._under_way = 0
        self._sending = False

    @property
    def is_sent(self) -> bool:
        return not self._sending

    def covers(self, key: bytes) -> bool:
        """Whether a part of this subject is still to be answered."""
        return key in self._unfinished

    def begin(self, entries: Iterable[Entry], known: Mapping[bytes, Sequence[Known]]) -> None:
        """Start, from the beginning."""
        of_subject: dict[bytes, list[Entry]] = {key: [] for key in known}
        for entry in entries:
            if entry.is_member:
                of_subject.setdefault(entry.key, []).append(entry)
        self._parts = deque()
        self._unfinished = {}
        self._under_way = 0
        self._sending = True
        for key, mine in of_subject.items():
            parts = list(_divide(key, mine, known.get(key, ())))
            self._unfinished[key] = len(parts)
            self._parts.extend(parts)
        self._pump()

    def _pump(self) -> None:
        while self._parts and self._under_way < CALLS_UNDER_WAY:
            self._under_way += 1
            self._send(self._parts.popleft())
        if self._sending and not self._parts:
            self._sending = False
            self._owner.all_sent()

    def _send(self, part: _Part) -> None:
        entries: Sequence[Entry] = ()

        def arguments() -> list[Argument]:
            nonlocal entries
            # Who has left meanwhile is not registered: his leave is for the lease before.
            entries = [entry for entry in part.entries if not entry.ended and entry.is_member]
            wanted = part.last and self._owner.wants_roster(part.key, operation)
            flags = self._owner.flags_of(part.app)
            made: list[Argument] = [part.key, int(wanted), len(entries)]
            for e in entries:
                made += (e.subscription, encode(e.user), e.info, e.stamp, e.grace, flags)
            made.append(len(part.known))
            for member in part.known:
                made += (encode(member.user), member.info, member.stamp, flags)
            return made

        def answered(reply: list[Any]) -> None:
            self._under_way -= 1
            left = self._unfinished.pop(part.key) - 1
            if left:
                self._unfinished[part.key] = left
            self._owner.restored(part.key, operation, entries, reply)
            self._pump()

        operation = Operation("restore", arguments, answered)
        self._owner.send(operation)


def _divide(key: bytes, entries: Sequence[Entry], known: Sequence[Known]) -> Iterable[_Part]:
    app = key.split(b"/", 1)[0].decode()
    mine, others = iter(entries), iter(known)
    left = len(entries) + len(known)
    while left > 0:
        some = list(islice(mine, ENTRIES_A_CALL))
        more = list(islice(others, ENTRIES_A_CALL - len(some)))
        left -= len(some) + len(more)
        yield _Part(key, app, some, more, left == 0)
