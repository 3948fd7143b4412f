"""The bus of a node that is alone: publishing is delivering."""

from __future__ import annotations

from typing import NamedTuple

from herenow.cluster.base import Bus, CachedEvent, Clock, Done, Publication, Receiver
from herenow.cluster.deadlines import Deadlines


class _Kept(NamedTuple):
    payload: bytes
    data: bytes
    expires: float


class MemoryBus(Bus):
    """Delivers to the one node there is before ``publish`` returns.

    The node itself knows which channels it has subscribers for, so following changes nothing.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._receiver: Receiver | None = None
        self._cached: dict[tuple[str, str], _Kept] = {}
        self._expiries: Deadlines[tuple[str, str]] = Deadlines(clock, self._expire)

    def attach(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def follow(self, app: str, channel: str) -> None:
        pass

    def unfollow(self, app: str, channel: str) -> None:
        pass

    def publish(self, publication: Publication) -> None:
        if self._receiver is not None:
            self._receiver.deliver(publication)

    def publish_cached(self, publication: Publication, data: bytes, ttl: float) -> None:
        key = publication.app, publication.channel
        expires = self._clock.time() + ttl
        known = key in self._cached
        self._cached[key] = _Kept(publication.payload, data, expires)
        if not known:
            self._expiries.add(expires, key)
        self.publish(publication)

    def cached(self, app: str, channel: str, done: Done[CachedEvent | None]) -> None:
        kept = self._cached.get((app, channel))
        seconds_left = kept.expires - self._clock.time() if kept is not None else 0
        if kept is None or seconds_left <= 0:
            done(None)
        else:
            done(CachedEvent(kept.payload, kept.data, seconds_left))

    def terminate(self, app: str, user: str) -> None:
        if self._receiver is not None:
            self._receiver.terminate(app, user)

    def _expire(self, key: tuple[str, str]) -> None:
        expires = self._cached[key].expires
        if expires > self._clock.time():
            self._expiries.add(expires, key)
        else:
            del self._cached[key]
