"""How keys and channels of a partition begin."""

from __future__ import annotations

import re

from herenow.cluster.partitions.placement import encode


class Names:
    """``<prefix>:{17}`` for keys; ``<prefix>@2:{17}`` for channels, which know no databases."""

    def __init__(self, prefix: str, database: int, partitions: int) -> None:
        self.partitions = partitions
        self._keys = encode(prefix)
        self._channels = encode(f"{prefix}@{database}" if database else prefix)
        self._key = re.compile(re.escape(self._keys) + rb":\{(\d+)\}:")

    def base(self, partition: int) -> bytes:
        """What the partition's keys begin with."""
        return b"%b:{%d}" % (self._keys, partition)

    def pubsub_base(self, partition: int) -> bytes:
        """What the partition's channels begin with."""
        return b"%b:{%d}" % (self._channels, partition)

    def channel(self, partition: int, name: str) -> bytes:
        """The channel *name* of a partition in full."""
        return b"%b:{%d}:%b" % (self._channels, partition, encode(name))

    def partition_of(self, channel: bytes) -> int:
        """The partition that a channel in full belongs to."""
        start = len(self._channels) + 2
        return int(channel[start : channel.index(b"}", start)])

    def pattern(self, partition: int | None) -> bytes:
        """What SCAN finds the keys of a partition with, or of all."""
        escaped = re.sub(rb"([\\*?\[\]])", rb"\\\1", self._keys)
        return escaped + (b":{*" if partition is None else b":{%d}:*" % partition)

    def partition_of_key(self, key: bytes) -> int | None:
        """The partition that a key belongs to, None if it is none of ours."""
        match = self._key.match(key)
        return int(match[1]) if match else None
