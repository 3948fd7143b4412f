"""The pub/sub connection to one primary: who reads which channel, over every reconnect."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Set
from typing import Any, Final

from herenow.cluster.partitions.engine import Subscriber
from herenow.cluster.redis.address import Location, Topology
from herenow.cluster.redis.calling import is_sharded
from herenow.cluster.redis.line import Line, Site
from herenow.cluster.redis.names import Names
from herenow.cluster.redis.wire import Connection, pack

CHANNELS_A_COMMAND: Final = 500
_MOVED: Final = "it has given a slot away"


class PubSubLine(Line):
    """Subscribes what the subscribers of its *partitions* read.

    *subscribers* is shared by all lines: the channel in full and who reads it.
    """

    def __init__(
        self,
        site: Site,
        location: Location,
        names: Names,
        subscribers: dict[bytes, Subscriber],
        partitions: Set[int],
        *,
        opened: Callable[[], None],
    ) -> None:
        super().__init__(site, location, site.lease_seconds)
        self._names = names
        self._subscribers = subscribers
        self._partitions = partitions
        self._told_opened = opened
        self._sharded = False
        # Channels whose subscribe has been sent, and how many of those are not confirmed.
        self._carried: dict[bytes, None] = {}
        self._unconfirmed: dict[bytes, int] = {}
        self._changed: dict[bytes, None] = {}

    def change(self, channel: bytes) -> None:
        """*channel* has got a subscriber, or another one, or none."""
        if self._connection is None:
            return
        if not self._changed:
            asyncio.get_running_loop().call_soon(self._settle)
        self._changed[channel] = None

    async def _greet(self, connection: Connection) -> None:
        cluster = self._site.address.topology is Topology.CLUSTER
        self._sharded = cluster and await is_sharded(connection)
        # Whoever may not read the channels is to be told now, not when somebody subscribes.
        channel = self._names.channel(min(self._partitions, default=0), "feed")
        await connection.request(self._word(b"SUBSCRIBE"), channel)
        await connection.request(self._word(b"UNSUBSCRIBE"), channel)

    def _opened(self, connection: Connection) -> None:
        ping = pack("PING")
        connection.beat(lambda: connection.post(ping))
        for channel in self._subscribers:
            if self._names.partition_of(channel) in self._partitions:
                self._changed[channel] = None
        self._settle()
        self._told_opened()

    def _lost(self, reason: str) -> None:
        channels = self._carried | self._changed
        self._carried.clear()
        self._changed.clear()
        self._unconfirmed.clear()
        for channel in channels:
            subscriber = self._subscribers.get(channel)
            if subscriber is not None:
                subscriber.lost()

    def _settle(self) -> None:
        """Have the server do what changed in this turn."""
        if self._connection is None:
            return
        changed, self._changed = self._changed, {}
        added, removed = [], []
        for channel in changed:
            if channel not in self._subscribers:
                if channel in self._carried:
                    del self._carried[channel]
                    removed.append(channel)
            elif channel not in self._carried:
                self._carried[channel] = None
                self._unconfirmed[channel] = self._unconfirmed.get(channel, 0) + 1
                added.append(channel)
            elif channel not in self._unconfirmed:
                self._subscribers[channel].subscribed()
        self._send(b"UNSUBSCRIBE", removed)
        self._send(b"SUBSCRIBE", added)

    def _send(self, command: bytes, channels: list[bytes]) -> None:
        if self._connection is None:
            return
        for batch in self._batches(channels):
            self._connection.post(pack(self._word(command), *batch))

    def _batches(self, channels: list[bytes]) -> Iterable[list[bytes]]:
        """What one command may name: on a cluster the channels of one slot."""
        groups: dict[int, list[bytes]] = defaultdict(list)
        for channel in channels:
            groups[self._names.partition_of(channel) if self._sharded else 0].append(channel)
        for group in groups.values():
            for start in range(0, len(group), CHANNELS_A_COMMAND):
                yield group[start : start + CHANNELS_A_COMMAND]

    def _pushed(self, answer: list[Any]) -> None:
        # Most of what comes are messages; a match statement would cost twice as much.
        if answer[0] == b"message" or answer[0] == b"smessage":
            subscriber = self._subscribers.get(answer[1])
            if subscriber is not None:
                subscriber.message(answer[2])
            return
        match answer:
            case [b"subscribe" | b"ssubscribe", channel, _]:
                self._confirmed(channel)
            case [b"sunsubscribe", channel, _] if channel in self._carried:
                # What was asked for is carried no more, so this was not asked for.
                self.drop(_MOVED)

    def _confirmed(self, channel: bytes) -> None:
        """A later subscribe of the same channel may follow: only the last one counts."""
        left = self._unconfirmed[channel] - 1
        if left:
            self._unconfirmed[channel] = left
            return
        del self._unconfirmed[channel]
        if channel in self._carried and channel in self._subscribers:
            self._subscribers[channel].subscribed()

    def _word(self, command: bytes) -> bytes:
        return b"S" + command if self._sharded else command
