"""What is in memory of a backlog: lanes of events, each in its order, no more than is sent soon."""

from __future__ import annotations

import math
import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any, Final

from herenow.webhooks.bodies import event_of, event_of_volatile
from herenow.webhooks.events import Volatile
from herenow.webhooks.facts import channel_lane
from herenow.webhooks.journal import Entry

MAX_IN_LANE: Final = 50
PAGE: Final = 500
_ID_BYTES: Final = 12


class Item:
    """One event on its way to one endpoint: an entry of a journal, or one that is in memory alone.

    ``position`` is None for the latter, which comes behind entries up to the position ``after``;
    it has an id, and a sequence of 0, since it is not counted.
    """

    __slots__ = ("after", "entry", "event", "id", "lane", "position", "sequence")

    def __init__(
        self, lane: Lane, entry: Entry | None, event: Volatile | None = None, after: int = 0
    ) -> None:
        self.lane = lane
        self.entry = entry
        self.event = event
        self.after = after
        self.position = entry.position if entry is not None else None
        self.id = entry.id if entry is not None else secrets.token_hex(_ID_BYTES)
        self.sequence = entry.sequence if entry is not None else 0

    def written(self, *, user_info: bool) -> dict[str, Any]:
        """The event as it stands in a body."""
        if self.entry is not None:
            return event_of(self.entry, user_info=user_info)
        assert self.event is not None, "an item is an entry or an event"
        return event_of_volatile(self.event)


class Lane:
    """Events that keep their order. While it is ``busy``, its first ones are being sent.

    ``unread_after``: its entries beyond this position were passed over, since it was full.
    ``parked`` are events of memory that come among or after those, each with the position that it
    comes after. The first ``singly`` items are sent one by one.
    """

    __slots__ = ("busy", "items", "name", "parked", "queued", "singly", "unread_after", "window")

    def __init__(self, window: Window, name: str) -> None:
        self.window = window
        self.name = name
        self.items: deque[Item] = deque()
        self.parked: deque[tuple[int, Volatile]] = deque()
        self.busy = False
        self.queued = False
        self.singly = 0
        self.unread_after: int | None = None

    @property
    def is_ready(self) -> bool:
        return bool(self.items) and not self.busy

    @property
    def is_idle(self) -> bool:
        return not (self.items or self.busy or self.parked or self.unread_after is not None)

    def add(self, entry: Entry) -> None:
        if self.unread_after is not None:
            return
        if len(self.items) >= MAX_IN_LANE:
            last = (item.position for item in reversed(self.items) if item.position is not None)
            self.unread_after = next(last, entry.position - 1)
            return
        self._append(Item(self, entry))

    def add_volatile(self, event: Volatile, after: int) -> None:
        if self.unread_after is None:
            self._append(Item(self, None, event, after))
        else:
            self.parked.append((after, event))
            self.window.size += 1

    def take(self, most: int) -> list[Item]:
        """The first *most* items, or the one that is sent singly: from now on under way."""
        self.busy = True
        most = 1 if self.singly else min(most, len(self.items))
        items = [self.items.popleft() for _ in range(most)]
        self.window.size -= most
        self.window.taken.update(item.position for item in items if item.position is not None)
        self.singly = max(0, self.singly - 1)
        return items

    def put_back(self, item: Item) -> None:
        if item.position is not None:
            self.window.taken.discard(item.position)
        self.window.size += 1
        self.items.appendleft(item)

    def go_on(self, entries: list[Entry], upto: int, *, all_read: bool) -> None:
        """Take what was passed over up to *upto*; what is beyond is read with all others.

        Unless that was *all_read*, there may be more that was passed over.
        """
        for entry in entries:
            if entry.position > upto:
                break
            self.unread_after = entry.position
            self._unpark(entry.position)
            if not self.window.is_known(entry.position):
                self._append(Item(self, entry))
        if all_read:
            self.unread_after = None
            self._unpark(math.inf)

    def _append(self, item: Item) -> None:
        self.window.size += 1
        self.items.append(item)

    def _unpark(self, before: float) -> None:
        """Let the events of memory follow that come before the entry at this position."""
        while self.parked and self.parked[0][0] < before:
            after, event = self.parked.popleft()
            self.window.size -= 1
            self._append(Item(self, None, event, after))


class Window:
    """What is known of one shard's entries for one endpoint.

    Everything up to ``read_upto`` was read; ``more``: there may be entries beyond. ``taken`` are
    positions that are being sent, or whose delivery is not recorded yet: read again, they are
    passed over. ``recorded`` are those of them that a read under way may still bring. Nothing is
    read while it is ``withheld``. ``size`` is how many entries and events its lanes have in memory.
    """

    __slots__ = (
        "lanes",
        "more",
        "number",
        "parked",
        "read_upto",
        "readings",
        "recorded",
        "shard",
        "size",
        "taken",
        "withheld",
    )

    def __init__(self, shard: str | None) -> None:
        self.shard = shard
        self.lanes: dict[str, Lane] = {}
        self.parked: deque[tuple[int, Volatile]] = deque()
        self.taken: set[int] = set()
        self.recorded: set[int] = set()
        self.read_upto = 0
        self.more = shard is not None
        self.readings = 0
        self.number = 0
        self.withheld = 0
        self.size = 0

    def is_known(self, position: int) -> bool:
        return position in self.taken

    def lane(self, name: str) -> Lane:
        lane = self.lanes.get(name)
        if lane is None:
            lane = self.lanes[name] = Lane(self, name)
        return lane

    def add(self, entries: Iterable[Entry]) -> Iterator[Lane]:
        """Take in what was read, in order; answers the lanes that it went to."""
        for entry in entries:
            self.read_upto = max(self.read_upto, entry.position - 1)
            yield from self.release()
            self.read_upto = max(self.read_upto, entry.position)
            if not self.is_known(entry.position):
                lane = self.lane(entry.fact.lane)
                lane.add(entry)
                yield lane
        yield from self.release()

    def park(self, event: Volatile, after: int) -> Iterator[Lane]:
        """Take in *event*, behind all entries up to the position *after*."""
        self.parked.append((after, event))
        yield from self.release()

    def release(self) -> Iterator[Lane]:
        """Give events of memory to their lanes, as far as all entries before them are read."""
        while self.parked:
            unread = self.more or self.readings > 0
            if unread and self.parked[0][0] > self.read_upto:
                return
            after, event = self.parked.popleft()
            lane = self.lane(channel_lane(event.channel))
            lane.add_volatile(event, after)
            yield lane

    def end_reading(self) -> None:
        self.readings -= 1
        if not self.readings:
            self.taken -= self.recorded
            self.recorded.clear()

    def record(self, positions: Iterable[int]) -> None:
        """The journal no longer has these."""
        self.recorded.update(positions)
        if not self.readings:
            self.taken -= self.recorded
            self.recorded.clear()

    def forget(self, lane: Lane) -> None:
        """Let go of *lane* if there is nothing of it."""
        if lane.is_idle and self.lanes.get(lane.name) is lane:
            del self.lanes[lane.name]

    def take_volatile(self) -> list[tuple[int, Volatile]]:
        """Forget the events of memory, and answer them, each with what it comes after."""
        waiting: list[tuple[int, Volatile]] = []
        for lane in list(self.lanes.values()):
            of_lane = [(item.after, item.event) for item in lane.items if item.event is not None]
            of_lane += lane.parked
            self.size -= len(of_lane)
            waiting += of_lane
            lane.items = deque(item for item in lane.items if item.event is None)
            lane.parked.clear()
            self.forget(lane)
        waiting += self.parked
        self.parked.clear()
        return sorted(waiting, key=itemgetter(0))

    def read_again(self) -> list[tuple[int, Volatile]]:
        """Forget every entry that is not being sent; answers the events of memory among them."""
        volatile = self.take_volatile()
        for lane in list(self.lanes.values()):
            self.size -= len(lane.items)
            lane.items.clear()
            lane.singly = 0
            lane.unread_after = None
            self.forget(lane)
        self.number += 1
        self.read_upto = 0
        self.more = True
        return volatile
