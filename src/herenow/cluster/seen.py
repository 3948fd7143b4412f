"""When users were last here, as a node that is alone remembers it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from herenow.cluster.base import Done, Refusal

MOST_SEEN: Final = 1_000_000
KEEP_SECONDS: Final = 30 * 86_400.0


class UserKey(NamedTuple):
    app: str
    user: str


class SeenKeeper(Protocol):
    """Keeps for the next start what is remembered."""

    def changed(self, key: UserKey, at: float) -> None:
        """The user was last seen *at*, in seconds since 1970."""

    def erase(self, key: UserKey, done: Done[bool | Refusal]) -> None:
        """Erase what is kept of the user; true when it is gone."""


class Seen:
    """The last *most* users, each for *keep* seconds; 0: nobody is remembered."""

    def __init__(self, keep: float = KEEP_SECONDS, most: int = MOST_SEEN) -> None:
        self.keep = keep
        self.keeper: SeenKeeper | None = None
        self._most = most
        self._at: OrderedDict[UserKey, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._at)

    def record(self, key: UserKey, at: float) -> None:
        if not self.keep or at < self._at.get(key, 0):
            return
        self._at[key] = at
        self._at.move_to_end(key)
        self._forget_first(at - self.keep)
        if self.keeper is not None:
            self.keeper.changed(key, at)

    def _forget_first(self, before: float) -> None:
        """Those who are remembered for longest stand first, more or less."""
        while len(self._at) > self._most or next(iter(self._at.values())) < before:
            self._at.popitem(last=False)

    def get(self, key: UserKey, now: float) -> float | None:
        at = self._at.get(key)
        return at if at is not None and at >= now - self.keep else None

    def all(self) -> dict[UserKey, float]:
        return dict(self._at)

    def restore(self, kept: Iterable[tuple[UserKey, float]]) -> None:
        """Take in what was kept, oldest first; what is remembered already is newer."""
        later = self._at
        self._at = OrderedDict(kept)
        for key, at in later.items():
            self._at[key] = at
            self._at.move_to_end(key)
        while len(self._at) > self._most:
            self._at.popitem(last=False)

    def forget(self, key: UserKey, done: Done[bool | Refusal]) -> None:
        self._at.pop(key, None)
        if self.keeper is not None:
            self.keeper.erase(key, done)
        else:
            done(True)
