"""Events that leave in one request, as often as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from herenow.apps.base import Key
from herenow.webhooks import bodies
from herenow.webhooks.events import Volatile
from herenow.webhooks.windows import Item, Window

MAX_INTERRUPTED: Final = 1_000


class Envelope:
    """``since`` is its first attempt, ``made`` that of the bytes which are sent now.

    Times in seconds since 1970. Whatever is sent within the retry time is the same to the byte.
    """

    __slots__ = ("_body", "_user_info", "attempts", "items", "made", "number", "since", "window")

    def __init__(
        self, window: Window, items: Sequence[Item], now: float, *, user_info: bool
    ) -> None:
        self.window = window
        self.number = window.number
        self.items = tuple(items)
        self.attempts = 0
        self.since = now
        self._user_info = user_info
        self.renew(now)

    @property
    def volatile(self) -> list[tuple[int, Volatile]]:
        """Its events of memory, each with the position that it comes after."""
        return [(item.after, item.event) for item in self.items if item.event is not None]

    @property
    def positions(self) -> list[int]:
        return [item.position for item in self.items if item.position is not None]

    def renew(self, now: float) -> None:
        """Make it a new delivery of the same events."""
        self.made = now
        self._body = bodies.envelope(
            round(now * 1000),
            [item.written(user_info=self._user_info) for item in self.items],
        )

    def request(self, key: Key) -> tuple[list[tuple[str, str]], bytes]:
        """The next attempt: its headers and its body."""
        self.attempts += 1
        headers = bodies.headers(
            key,
            round(self.made * 1000),
            [item.id for item in self.items],
            [item.sequence for item in self.items],
            self.attempts,
            self._body,
        )
        return headers, self._body


class Interrupted:
    """Envelopes whose events are read again: what is tried again stays the same to the byte."""

    def __init__(self, retry_seconds: float) -> None:
        self._retry_seconds = retry_seconds
        self._known: dict[tuple[Window, tuple[int, ...]], Envelope] = {}

    def add(self, envelope: Envelope, now: float) -> None:
        for key, known in list(self._known.items()):
            if now - known.made >= self._retry_seconds or len(self._known) >= MAX_INTERRUPTED:
                del self._known[key]
        if not envelope.volatile:
            self._known[envelope.window, tuple(envelope.positions)] = envelope

    def take(self, window: Window, items: Sequence[Item]) -> Envelope | None:
        """The envelope that carried exactly these events, to go on where it was."""
        positions = tuple(item.position for item in items if item.position is not None)
        envelope = self._known.pop((window, positions), None)
        if envelope is None or len(positions) != len(items):
            return None
        envelope.items, envelope.number = tuple(items), window.number
        return envelope
