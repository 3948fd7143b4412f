"""What one address may take."""

from __future__ import annotations

from typing import Final

from herenow.cluster.bucket import TokenBucket

DROP_BEYOND: Final = 10


class Addresses:
    """Connections of each address, and how fast they come. ``0`` means unlimited.

    Beyond a limit a connection is refused in a way its client understands, beyond ten times the
    limit it is dropped before the upgrade. An address without connections leaves nothing behind
    once its bucket would be full again.
    """

    def __init__(self, max_connections: int, connects_per_second: int) -> None:
        self._max_connections = max_connections
        self._connects_per_second = connects_per_second
        self._connections: dict[str, int] = {}
        self._connects: dict[str, TokenBucket] = {}
        self._swept = 0.0

    def enter(self, address: str, now: float) -> None:
        """Count a new connection of *address*; :meth:`leave` ends it."""
        if self._max_connections:
            self._connections[address] = self._connections.get(address, 0) + 1
        if self._connects_per_second:
            self._forget_calm(now)
            rate = float(self._connects_per_second)
            bucket = self._connects.get(address)
            if bucket is None:
                bucket = self._connects[address] = TokenBucket(rate, rate, now)
            # The bucket may go into debt: how deep tells how far beyond the limit the address is.
            bucket.tokens = max(bucket.refill(now) - 1, -rate * DROP_BEYOND)

    def _forget_calm(self, now: float) -> None:
        if now - self._swept < 1:
            return
        self._swept = now
        for address, bucket in list(self._connects.items()):
            if bucket.refill(now) >= bucket.burst:
                del self._connects[address]

    def leave(self, address: str) -> None:
        """One connection of *address* has ended."""
        connections = self._connections.get(address, 0) - 1
        if connections > 0:
            self._connections[address] = connections
        else:
            self._connections.pop(address, None)

    def is_over(self, address: str, times: int = 1) -> bool:
        """Whether *address*, its newest connection included, is beyond *times* a limit."""
        connections = self._connections.get(address, 0)
        if self._max_connections and connections > self._max_connections * times:
            return True
        bucket = self._connects.get(address)
        return bucket is not None and bucket.tokens < -bucket.rate * (times - 1)
