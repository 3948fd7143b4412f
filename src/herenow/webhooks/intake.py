"""What comes about, in the order in which it is to be settled."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from herenow.cluster.base import Clock
from herenow.protocol.names import channel_kind
from herenow.webhooks.events import Event, Volatile
from herenow.webhooks.facts import Happening, channel_of, happening_of
from herenow.webhooks.holds import Holds
from herenow.webhooks.journal import Change, Fact

SHARD: Final = "sqlite"
"""The only shard of a server that is alone."""

MAX_WAITING: Final = 100_000


class Fed(NamedTuple):
    """Changes of one endpoint that were found, not emitted; ``events`` is how many they became."""

    changes: Sequence[Change]
    events: asyncio.Future[int]


Waiting = Happening | Fed | Volatile


class Intake:
    """Takes events from the core without delay, lets removals wait, and hands out what is due.

    Rooms are not vacated before :meth:`pass_vacancies`: after a start, those who were told to be
    in them may still be on their way back, and would have to be removed first. At most *most*
    things wait; happenings beyond that are dropped, which ``dropped`` counts and
    ``overflowed`` remembers until :meth:`make_good`.
    """

    def __init__(self, hold_seconds: float, clock: Clock, most: int = MAX_WAITING) -> None:
        self.overflowed = False
        self.dropped = 0
        self._holds = Holds(hold_seconds)
        self._clock = clock
        self._filled = asyncio.Event()
        self._most = most
        self._emitted: deque[Event] = deque()
        self._waiting: deque[Waiting] = deque()
        self._turn_comes = False
        self._alarm: float | None = None
        self._draining = False
        self._postponed: dict[tuple[str, Fact], Happening] | None = {}

    def emit(self, event: Event) -> None:
        self._emitted.append(event)
        if not self._turn_comes:
            self._turn_comes = True
            self._clock.call_later(0, self._turn)

    def drain(self) -> None:
        """From now on removals are left to the next start, which sees who came back."""
        self.take_in()
        self._draining = True

    def feed(self, changes: Sequence[Change]) -> asyncio.Future[int]:
        """Put *changes* behind everything that was emitted."""
        self.take_in()
        fed = Fed(changes, asyncio.get_running_loop().create_future())
        self._waiting.append(fed)
        self._filled.set()
        return fed.events

    def is_held(self, app: str, fact: Fact) -> bool:
        """Whether a removal of *fact* that was emitted waits for a return."""
        postponed = self._postponed is not None and (app, fact) in self._postponed
        return postponed or self._holds.is_held(app, fact)

    def pass_vacancies(self) -> None:
        """Let channels be vacated, from now on and those that were meanwhile."""
        self.take_in()
        postponed, self._postponed = self._postponed or {}, None
        for happening in postponed.values():
            self._holds.add(happening)
        self._turn()

    def take_in(self) -> None:
        """Take in what was emitted, so that :meth:`is_held` knows of it."""
        while self._emitted:
            event = self._emitted.popleft()
            happening = happening_of(event)
            if happening is not None:
                self._take(happening)
            elif isinstance(event, Volatile):
                self._collect()
                self._append(event)
        self._collect()

    async def wait(self) -> None:
        """Return when there may be something for :meth:`batch`."""
        await self._filled.wait()
        self._filled.clear()

    def _take(self, happening: Happening) -> None:
        if self._draining and not happening.holds:
            return
        key = happening.app, happening.fact
        if self._postponed is not None and _is_of_a_room(happening.fact):
            if not happening.holds:
                self._postponed[key] = happening
                return
            self._postponed.pop(key, None)
        self._holds.add(happening)

    def batch(self, most: int) -> list[Waiting]:
        """The first *most* of what waits."""
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def make_good(self) -> bool:
        """Whether something was dropped since the last time, and now there is room again."""
        if self._waiting or not self.overflowed:
            return False
        self.overflowed = False
        return True

    def _turn(self) -> None:
        self._turn_comes = False
        self.take_in()
        if self._waiting:
            self._filled.set()
        due = self._holds.next_due()
        if due is not None and (self._alarm is None or due < self._alarm):
            self._alarm = due
            self._clock.call_later(max(0.0, due - self._clock.time()), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if not self._draining:
            self._turn()

    def _collect(self) -> None:
        # What is held when the server ends stays held.
        now = 0.0 if self._draining else self._clock.time()
        for happening in self._holds.take(now).happenings:
            self._append(happening)

    def _append(self, waiting: Happening | Volatile) -> None:
        if len(self._waiting) < self._most:
            self._waiting.append(waiting)
            return
        self.dropped += 1
        self.overflowed = True


def _is_of_a_room(fact: Fact) -> bool:
    """Whether it says that a channel with members is occupied."""
    channel = channel_of(fact)
    return fact.member is None and channel is not None and channel_kind(channel).presence
