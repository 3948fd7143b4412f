"""What became of the rosters that somebody compares, so that he can be told the difference."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from herenow.cluster.base import (
    HISTORY_SECONDS,
    HISTORY_TRANSITIONS,
    Difference,
    Member,
    Subject,
    Transition,
    TransitionKind,
)

MOST_HISTORIES: Final = 1_000


class Touched(NamedTuple):
    """A user of whom something was decided; ``was_there`` at the revision compared with."""

    user: str
    was_there: bool


class _Decided(NamedTuple):
    revision: int
    kind: TransitionKind
    user: str
    at: float


class _History:
    """The last transitions of one subject: all of them after ``floor``."""

    __slots__ = ("asked", "decided", "floor")

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.asked = 0.0
        self.decided: deque[_Decided] = deque()

    def add(self, decided: _Decided) -> None:
        self.decided.append(decided)
        if len(self.decided) > HISTORY_TRANSITIONS:
            self._forget_first()

    def forget_before(self, moment: float) -> None:
        while self.decided and self.decided[0].at < moment:
            self._forget_first()

    def _forget_first(self) -> None:
        self.floor = self.decided.popleft().revision


class Histories:
    """The histories of the subjects asked about within ``HISTORY_SECONDS``, *most* of them.

    Beyond that the one that was not asked about for longest is forgotten.
    """

    def __init__(self, most: int = MOST_HISTORIES) -> None:
        self._most = most
        self._of: OrderedDict[Subject, _History] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def record(self, transition: Transition, now: float) -> None:
        history = self._of.get(transition.subject)
        if history is None:
            return
        if history.asked < now - HISTORY_SECONDS:
            self.forget(transition.subject)
            return
        history.add(_Decided(transition.revision, transition.kind, transition.user, now))

    def forget(self, subject: Subject) -> None:
        self._of.pop(subject, None)

    def touched(
        self, subject: Subject, since: int, revision: int, now: float
    ) -> list[Touched] | None:
        """Of whom something was decided after *since*, up to *revision*, in order; each once.

        None if it is not known. From now on it is.
        """
        self._forget_unasked(now)
        history = self._of.pop(subject, None)
        if history is None:
            history = _History(revision)
            if len(self._of) >= self._most:
                self._of.popitem(last=False)
        self._of[subject] = history
        history.asked = now
        history.forget_before(now - HISTORY_SECONDS)
        if not history.floor <= since <= revision:
            return None
        touched: dict[str, bool] = {}
        for decided in history.decided:
            if decided.revision > since:
                touched.setdefault(decided.user, decided.kind is not TransitionKind.ADD)
        return [Touched(user, was_there) for user, was_there in touched.items()]

    def _forget_unasked(self, now: float) -> None:
        while self._of:
            history = next(iter(self._of.values()))
            if history.asked >= now - HISTORY_SECONDS:
                return
            self._of.popitem(last=False)


def difference(
    touched: Iterable[Touched], present: Mapping[str, Member], revision: int, *, complete: bool
) -> Difference:
    """The net difference that *touched* made, with *present* as it is now."""
    added: list[Member] = []
    updated: list[Member] = []
    removed: list[str] = []
    for user, was_there in touched:
        member = present.get(user)
        if member is not None:
            (updated if was_there else added).append(member)
        elif was_there:
            removed.append(user)
    return Difference(tuple(added), tuple(updated), tuple(removed), revision, False, complete)


def whole(members: Iterable[Member], revision: int, *, complete: bool) -> Difference:
    """All of a roster, because the difference is not known."""
    return Difference(tuple(members), (), (), revision, True, complete)
