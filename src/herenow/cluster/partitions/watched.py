"""The users that somebody here watches: for each of them whether he was told to be online.

There may be hundreds of thousands, so a user who is at rest costs one entry of a dictionary. Who
is not at rest is asked about in batches; what changes meanwhile is kept with the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from herenow.cluster.base import Transition, TransitionKind
from herenow.cluster.partitions.counters import Counters
from herenow.cluster.partitions.engine import Argument
from herenow.cluster.partitions.feed import ADD, INFO, REMOVE, Delta
from herenow.cluster.partitions.placement import subject_of
from herenow.cluster.partitions.session import Operation

USERS_A_CALL: Final = 500
CALLS_UNDER_WAY: Final = 4


class WatchedOwner(Protocol):
    """What the watched users need of their partition."""

    counters: Counters

    @property
    def can_ask(self) -> bool:
        """Whether the feed is live and everything of this node is registered."""

    def send(self, operation: Operation) -> None: ...

    def tell_watched(self, key: bytes, transition: Transition) -> None: ...

    def is_registered_before(self, key: bytes, user: str, seq: int) -> bool: ...

    def registration_lost(self) -> None: ...

    def settle(self, key: bytes, reached: int) -> None: ...

    def now(self) -> float: ...


class _Batch:
    """Users asked about together. ``stale``: something was lost since; the answer is of no use."""

    __slots__ = ("changes", "stale", "users")

    def __init__(self, users: list[bytes]) -> None:
        self.users = users
        self.changes: dict[bytes, list[Delta]] = {}
        self.stale = False


class Watched:
    """``uncertain``: others may be about to register users who seem to be offline."""

    def __init__(self, owner: WatchedOwner) -> None:
        self.uncertain = False
        self._owner = owner
        self._shown: dict[bytes, bool | None] = {}
        self._unasked: dict[bytes, None] = {}
        self._asked: dict[bytes, _Batch] = {}
        self._under_way: set[_Batch] = set()
        # How far the answers were ahead of the feed, until it has caught up.
        self._ahead: dict[bytes, int] = {}
        self._furthest = 0
        # Shown online although the engine, in a young epoch, does not know them (yet).
        self._held: dict[bytes, None] = {}
        self._when_known: dict[bytes, list[Callable[[], None]]] = {}

    def __len__(self) -> int:
        return len(self._shown)

    def __contains__(self, key: bytes) -> bool:
        return key in self._shown

    def add(self, key: bytes) -> None:
        if key not in self._shown:
            self._shown[key] = None
            self._unasked[key] = None

    def remove(self, key: bytes) -> None:
        self._shown.pop(key, None)
        self._unasked.pop(key, None)
        self._asked.pop(key, None)
        self._ahead.pop(key, None)
        self._held.pop(key, None)
        self._when_known.pop(key, None)

    def is_online(self, key: bytes) -> bool | None:
        """Whether the user was told to be online; None while that is not known."""
        return self._shown.get(key)

    def when_known(self, key: bytes, call: Callable[[], None]) -> None:
        """Call once when ``is_online`` has an answer, which it has not yet."""
        self._when_known.setdefault(key, []).append(call)

    def reached(self, key: bytes, position: int) -> int:
        """Up to where the follower knows everything of the user, the feed being at *position*."""
        if key in self._unasked or key in self._asked:
            return -1
        return max(position, self._ahead.get(key, 0))

    def invalidate(self) -> None:
        """Something was lost: ask about everybody again."""
        self._unasked = dict.fromkeys(self._shown)
        self._asked = {}
        for batch in self._under_way:
            batch.stale = True

    def ask(self) -> None:
        """Ask about those who are not at rest, as far as that may be done now."""
        while self._unasked and len(self._under_way) < CALLS_UNDER_WAY and self._owner.can_ask:
            users = [key for key, _ in zip(self._unasked, range(USERS_A_CALL), strict=False)]
            batch = _Batch(users)
            for key in users:
                del self._unasked[key]
                self._asked[key] = batch
            self._under_way.add(batch)
            self._send(batch)

    def ask_held(self) -> None:
        """Ask again about those whom a young epoch may not know yet."""
        for key in self._held:
            if key not in self._asked:
                self._unasked[key] = None
        self.ask()

    def restart(self) -> None:
        """There is a new lease: nothing that was asked is answered any more."""
        self.invalidate()
        self._under_way.clear()

    @property
    def is_ahead(self) -> bool:
        """Whether some are known further than the feed has come."""
        return bool(self._ahead)

    def advanced(self, position: int) -> None:
        if position >= self._furthest:
            self._ahead = {}
            self._furthest = 0

    def changed(self, delta: Delta) -> None:
        key = delta.subject
        if key not in self._shown or key in self._unasked or delta.kind == INFO:
            return
        batch = self._asked.get(key)
        if batch is not None:
            batch.changes.setdefault(key, []).append(delta)
        elif delta.seq > self._ahead.get(key, 0):
            self._apply(key, delta)

    def _send(self, batch: _Batch) -> None:
        def arguments() -> Sequence[Argument]:
            # What has arrived by now is part of the answer.
            batch.changes = {}
            return batch.users

        def answered(reply: list[Any]) -> None:
            self._under_way.discard(batch)
            if not batch.stale:
                self._take(batch, reply[2], bool(reply[3]), reply[4:])
            self.ask()

        self._owner.send(Operation("online", arguments, answered))

    def _take(self, batch: _Batch, seq: int, uncertain: bool, answers: Iterable[int]) -> None:
        self.uncertain = uncertain
        self._furthest = max(self._furthest, seq)
        for key, online in zip(batch.users, answers, strict=True):
            if self._asked.get(key) is not batch:
                continue
            del self._asked[key]
            self._ahead[key] = seq
            self._held.pop(key, None)
            shown = self._shown[key]
            if shown and not online and uncertain:
                self._held[key] = None
            elif not self._is_lost(key, shown, bool(online), seq):
                self._show_answer(key, shown, bool(online), seq)
            self._owner.settle(key, seq)
            for call in self._when_known.pop(key, ()):
                call()
            for delta in batch.changes.get(key, ()):
                self._owner.settle(key, delta.seq - 1)
                if delta.seq > seq and key not in self._unasked:
                    self._apply(key, delta)

    def _show_answer(self, key: bytes, shown: bool | None, online: bool, seq: int) -> None:
        self._shown[key] = online
        if shown is not None and shown is not online:
            self._owner.counters.differences += 1
        if bool(shown) is not online:
            kind = TransitionKind.ADD if online else TransitionKind.REMOVE
            self._tell(key, kind, b"", seq, self._owner.now())

    def _apply(self, key: bytes, delta: Delta) -> None:
        shown, online = self._shown[key], delta.kind == ADD
        if delta.kind == REMOVE and self._is_lost(key, True, False, delta.seq):
            return
        self._held.pop(key, None)
        self._shown[key] = online
        if bool(shown) is not online:
            kind = TransitionKind.ADD if online else TransitionKind.REMOVE
            self._tell(key, kind, delta.info, delta.seq, delta.since / 1e6)

    def _is_lost(self, key: bytes, shown: bool | None, online: bool, seq: int) -> bool:
        """Whether the engine has removed a user who is signed in here: he is asked about again."""
        if online or not shown:
            return False
        if not self._owner.is_registered_before(key, subject_of(key).name, seq):
            return False
        self._unasked[key] = None
        self._owner.registration_lost()
        return True

    def _tell(
        self, key: bytes, kind: TransitionKind, info: bytes, revision: int, since: float
    ) -> None:
        subject = subject_of(key)
        self._owner.tell_watched(
            key, Transition(subject, kind, subject.name, info, revision, since)
        )
