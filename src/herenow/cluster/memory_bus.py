"""The bus of a node that is alone: publishing is delivering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from herenow.cluster.base import Bus, CachedEvent, Clock, Done, Publication, Receiver, Refusal
from herenow.cluster.deadlines import Deadlines


class _Kept(NamedTuple):
    payload: bytes
    data: bytes
    expires: float


class MemoryBus(Bus):
    """Delivers to the one node there is before ``publish`` returns.

    The node itself knows which channels it has subscribers for, so following changes nothing.
    """

    is_local: bool = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._receiver: Receiver | None = None
        self._cached: dict[tuple[str, str], _Kept] = {}
        self._expiries: Deadlines[tuple[str, str]] = Deadlines(clock, self._expire)
        # Until when further misses of a channel are no news; 0 since something was kept.
        self._misses: dict[tuple[str, str], float] = {}
        self._forgetting: Deadlines[tuple[str, str]] = Deadlines(clock, self._forget_miss)

    def attach(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def follow(self, app: str, channel: str, done: Callable[[], None]) -> None:
        done()

    def unfollow(self, app: str, channel: str) -> None:
        pass

    def publish(self, publications: Sequence[Publication], done: Done[bool]) -> None:
        receiver = self._receiver
        for publication in publications:
            if publication.cached:
                self._keep(publication)
            if receiver is not None:
                receiver.deliver(publication)
        done(True)

    def _keep(self, publication: Publication) -> None:
        key = publication.app, publication.channel
        if key in self._misses:
            self._misses[key] = 0.0
        expires = self._clock.time() + publication.ttl
        known = key in self._cached
        self._cached[key] = _Kept(publication.payload, publication.data, expires)
        if not known:
            self._expiries.add(expires, key)

    def cached(self, app: str, channel: str, done: Done[CachedEvent | Refusal | None]) -> None:
        kept = self._cached.get((app, channel))
        seconds_left = kept.expires - self._clock.time() if kept is not None else 0
        if kept is None or seconds_left <= 0:
            done(None)
        else:
            done(CachedEvent(kept.payload, kept.data, seconds_left))

    def first_miss(self, app: str, channel: str, seconds: float, done: Done[bool]) -> None:
        now, key = self._clock.time(), (app, channel)
        is_first = self._misses.get(key, 0.0) <= now
        if is_first:
            if key not in self._misses:
                self._forgetting.add(now + seconds, key)
            self._misses[key] = now + seconds
        done(is_first)

    def change_app(self, app: str, done: Done[bool]) -> None:
        if self._receiver is not None:
            self._receiver.app_changed(app)
        done(True)

    def _expire(self, key: tuple[str, str]) -> None:
        expires = self._cached[key].expires
        if expires > self._clock.time():
            self._expiries.add(expires, key)
        else:
            del self._cached[key]

    def _forget_miss(self, key: tuple[str, str]) -> None:
        until = self._misses[key]
        if until > self._clock.time():
            self._forgetting.add(until, key)
        else:
            del self._misses[key]
