"""What leaves in a turn of the loop, and in which order.

Frames for one channel that arise in one turn are one batch: one write per subscriber. The batches
of all channels of a node wait in one queue, and a turn takes from it what a millisecond or two
allow; then the loop serves others. A batch for very many is taken in slices, in turn with the
batches of other channels, and never overtaken by its own channel's later ones.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from herenow.server.counters import Counters

if TYPE_CHECKING:
    from herenow.server.channels import Channel
    from herenow.server.connection import Connection

SLICE: Final = 128
APART_DIVISOR: Final = 16
QUEUE_SHARE: Final = 4

Receiver = tuple["Connection", int]


class Outgoing(msgspec.Struct, frozen=True):
    """A frame on its way: for all, for all but ``skip``, or for ``only`` one."""

    frame: bytes
    skip: Connection | None
    only: Connection | None


class Batch:
    """Frames of one channel that follow its frame number ``first``.

    They are for those who subscribed before each arose. ``open`` until delivery begins; ``number``
    is its place among the batches of the node.
    """

    __slots__ = (
        "_alike",
        "_apart",
        "_blob",
        "_end",
        "_position",
        "_receivers",
        "_shared",
        "_skip",
        "channel",
        "first",
        "number",
        "open",
        "outgoing",
    )

    def __init__(self, channel: Channel, first: int) -> None:
        self.channel = channel
        self.first = first
        self.number = 0
        self.open = True
        self.outgoing: list[Outgoing] = []
        self._shared = 0
        self._blob = b""
        self._alike = False
        self._skip: Connection | None = None
        self._apart: set[Connection] = set()
        self._receivers: list[Receiver] | None = None
        self._position = 0
        self._end = 0

    @property
    def begun(self) -> bool:
        """Whether some subscribers have it and others are yet to get it."""
        return self._position > 0

    def deliver(self, counters: Counters) -> int:
        """Write to a slice of subscribers, and say what it cost; at the end the batch is empty.

        The unit of cost is a write of the same bytes as everybody's.
        """
        if not self.begun:
            self._begin()
        cost = 1 + len(self.outgoing) * len(self._apart) / (APART_DIVISOR * (self._end or 1))
        start, end = self._position, self._position + max(1, int(SLICE / cost))
        self._position = end
        if self._alike and self._receivers is None:
            written = self.channel.writers.write(start, min(end, self._end), self._blob, self._skip)
            counters.messages_out += self._shared * written
        else:
            self._write(self._receivers_between(start, end), counters)
        if end >= self._end:
            self.outgoing = []
        return SLICE if start else int(min(end, self._end) * cost)

    def _begin(self) -> None:
        self.open = False
        self._end = len(self.channel.subscribers)
        frames = [item.frame for item in self.outgoing if item.only is None]
        self._shared, self._blob = len(frames), b"".join(frames)
        for item in self.outgoing:
            if (apart := item.skip or item.only) is not None:
                self._apart.add(apart)
        if len(self.outgoing) == 1:
            self._skip = self.outgoing[0].skip
        is_for_all = not self._apart or self._skip is not None
        self._alike = is_for_all and self.channel.last_joined <= self.first

    def keep_receivers(self) -> None:
        """Remember who is yet to get the rest of this; called before a subscriber leaves."""
        if self.begun:
            self._kept_receivers()

    def _kept_receivers(self) -> list[Receiver]:
        if self._receivers is None:
            self._receivers = list(islice(self.channel.subscribers.items(), self._end))
        return self._receivers

    def _receivers_between(self, start: int, end: int) -> Collection[Receiver]:
        subscribers = self.channel.subscribers
        if self._receivers is None and end >= self._end:
            return subscribers.items()
        receivers = self._kept_receivers()[start:end]
        # Who left gets nothing more, even if he is back: then he joined after these frames arose.
        return [item for item in receivers if subscribers.get(item[0]) == item[1]]

    def _write(self, receivers: Collection[Receiver], counters: Counters) -> None:
        first, blob, apart, shared = self.first, self._blob, self._apart, self._shared
        for connection, since in receivers:
            write = connection.write
            if since <= first and connection not in apart:
                counters.messages_out += shared
                if blob:
                    write(blob)
                continue
            frames = self.frames_for(connection, since)
            counters.messages_out += len(frames)
            if frames:
                write(b"".join(frames))

    def frames_for(self, connection: Connection, since: int) -> list[bytes]:
        """What *connection*, a subscriber since frame number *since*, is to get of this."""
        return [
            item.frame
            for item in self.outgoing[max(0, since - self.first) :]
            if item.skip is not connection and item.only in (None, connection)
        ]

    def is_yet_to_reach(self, connection: Connection) -> bool:
        """Whether *connection*, a subscriber, has not been written to yet."""
        if not self.begun:
            return True
        return any(item[0] is connection for item in self._kept_receivers()[self._position :])


class Deliveries:
    """The queue of a node: a turn takes about ``SLICE`` subscribers, at most twice that.

    It takes more of a long queue, which would grow for ever otherwise. Before a batch for more
    than ``SLICE`` begins, the loop is given one turn to read what else has arrived: of several
    events published at about the same time only one write each is made then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, counters: Counters) -> None:
        self._loop = loop
        self._counters = counters
        self._queue: deque[Batch] = deque()
        self._batches = 0
        self._scheduled = False
        self._expects_more = False
        self._waited = False

    def add(self, batch: Batch) -> None:
        """Deliver *batch* at the end of this turn, or when it comes to its place."""
        self._batches += 1
        batch.number = self._batches
        self._queue.append(batch)
        self._expects_more = self._expects_more or len(batch.channel.subscribers) > SLICE
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        if self._expects_more and not self._waited:
            self._waited = True
            self._schedule()
            return
        self._expects_more = self._waited = False
        try:
            self._deliver()
        finally:
            if self._queue:
                self._schedule()

    def _deliver(self) -> None:
        queue = self._queue
        budget = SLICE + len(queue) // QUEUE_SHARE
        while queue and budget > 0:
            batch = queue.popleft()
            batches = batch.channel.batches
            budget -= 1
            if batches[0] is batch:
                budget -= batch.deliver(self._counters)
                if not batch.outgoing:
                    batches.popleft()
                    continue
            queue.append(batch)
