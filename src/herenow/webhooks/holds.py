"""Removals that wait for a return (protocol reference §17.4)."""

from __future__ import annotations

import heapq
from itertools import count
from typing import NamedTuple

from herenow.webhooks.facts import Happening
from herenow.webhooks.journal import Fact


class Ready(NamedTuple):
    """What is to be settled now, in one step.

    ``happenings`` in their order. ``tickets`` are those of all that is dealt with by it: of the
    happenings themselves, and of the removals that a return has made unheard.
    """

    happenings: list[Happening]
    tickets: list[str]


class _Held:
    """A removal that waits. One whose ``due`` was moved stands in the heap once more."""

    __slots__ = ("due", "happening", "order")

    def __init__(self, happening: Happening, due: float, order: int) -> None:
        self.happening = happening
        self.due = due
        self.order = order


class Holds:
    """Lets additions pass and makes removals wait until *hold_seconds* after the last connection.

    An addition forgets the held removal of the same fact; it passes all the same, since for an
    endpoint that was told already it is no news. A vacancy leaves after the held removals of its
    channel's members. Nothing here knows a clock: *now* is in seconds since 1970.
    """

    def __init__(self, hold_seconds: float) -> None:
        self._hold_seconds = hold_seconds
        self._order = count()
        # By application and lane, then by fact.
        self._lanes: dict[tuple[str, str], dict[Fact, _Held]] = {}
        self._heap: list[tuple[float, int, _Held]] = []
        self._ready = Ready([], [])
        self._held = 0

    def __len__(self) -> int:
        """How many removals are held."""
        return self._held

    def is_held(self, app: str, fact: Fact) -> bool:
        """Whether the removal of *fact* waits: receivers still believe it, and rightly so."""
        return fact in self._lanes.get((app, fact.lane), ())

    def add(self, happening: Happening) -> None:
        """Take in what comes about next."""
        self._forget(happening)
        if happening.holds:
            self._pass(happening)
        else:
            self._hold(happening)

    def take(self, now: float) -> Ready:
        """What passed since the last time, and then the removals that are due."""
        while self._heap and self._heap[0][0] <= now:
            _, order, held = heapq.heappop(self._heap)
            lane = self._lanes.get((held.happening.app, held.happening.fact.lane), {})
            if order != held.order or lane.get(held.happening.fact) is not held:
                continue
            self._take_out(held.happening)
            self._pass(held.happening)
        ready, self._ready = self._ready, Ready([], [])
        return ready

    def next_due(self) -> float | None:
        """When :meth:`take` has something again, if nothing is added; sooner at times."""
        return self._heap[0][0] if self._heap else None

    def _pass(self, happening: Happening) -> None:
        self._ready.happenings.append(happening)
        if happening.ticket:
            self._ready.tickets.append(happening.ticket)

    def _forget(self, happening: Happening) -> None:
        """The newest word on a fact is the one that counts."""
        if self.is_held(happening.app, happening.fact):
            before = self._take_out(happening)
            if before.ticket:
                self._ready.tickets.append(before.ticket)

    def _take_out(self, happening: Happening) -> Happening:
        key = happening.app, happening.fact.lane
        lane = self._lanes[key]
        held = lane.pop(happening.fact)
        if not lane:
            del self._lanes[key]
        self._held -= 1
        return held.happening

    def _hold(self, happening: Happening) -> None:
        lane = self._lanes.setdefault((happening.app, happening.fact.lane), {})
        due = happening.since + self._hold_seconds
        vacancy = Fact(happening.fact.lane)
        if happening.fact == vacancy:
            due = max([due, *(held.due for held in lane.values())])
        held = lane[happening.fact] = _Held(happening, due, next(self._order))
        self._held += 1
        heapq.heappush(self._heap, (due, held.order, held))
        if happening.fact != vacancy and vacancy in lane:
            self._put_behind(lane[vacancy], due)

    def _put_behind(self, vacancy: _Held, due: float) -> None:
        vacancy.due = max(vacancy.due, due)
        vacancy.order = next(self._order)
        heapq.heappush(self._heap, (vacancy.due, vacancy.order, vacancy))
