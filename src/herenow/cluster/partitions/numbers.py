"""The numbers of this node in one partition: subscriptions of channels, connections of apps.

Whether there are any is told at once, and what else is said to be urgent; other changes are told
at most once a second and together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from herenow.cluster.partitions.engine import Argument
from herenow.cluster.partitions.placement import decode
from herenow.cluster.partitions.session import Operation
from herenow.protocol.names import channel_kind

NUMBERS_A_CALL: Final = 500
INTERVAL_SECONDS: Final = 1.0

WEBHOOKS: Final = 1
DECIDES: Final = 2
AGAIN: Final = 4


class Numbers:
    """``<app>/<channel>`` and ``<app>`` by number, without zeros, and which of them are untold."""

    def __init__(
        self,
        send: Callable[[Operation], None],
        flags_of: Callable[[str], int],
    ) -> None:
        self._send = send
        self._flags_of = flags_of
        self._numbers: dict[bytes, int] = {}
        self._untold: dict[bytes, None] = {}
        self._urgent = False
        self._next_flush = 0.0

    @property
    def is_settled(self) -> bool:
        return not self._untold

    @property
    def is_urgent(self) -> bool:
        return self._urgent

    def get(self, name: bytes) -> int:
        return self._numbers.get(name, 0)

    def set(self, name: bytes, number: int, *, at_once: bool = False) -> None:
        before = self._numbers.get(name, 0)
        if number == before:
            return
        self._put(name, number)
        self._untold[name] = None
        if at_once or not number or not before:
            self._urgent = True

    def carried(self, name: bytes) -> None:
        """An operation of its own, sent now, tells the present number."""
        self._untold.pop(name, None)

    def doubt(self, name: bytes) -> None:
        """Tell the present number again, the engine may have another."""
        self._untold[name] = None

    def flags(self, name: bytes) -> int:
        app, slash, channel = decode(name).partition("/")
        if not slash:
            return 0
        webhooks = WEBHOOKS if self._flags_of(app) & WEBHOOKS else 0
        return webhooks | (DECIDES if channel_kind(channel).counted else 0)

    def flush(self, now: float) -> None:
        """Tell what is untold if it may be told now."""
        if self._untold and (self._urgent or now >= self._next_flush):
            self._next_flush = now + INTERVAL_SECONDS
            names, self._untold = list(self._untold), {}
            self._tell(names)
        self._urgent = False

    def register(self) -> None:
        """Tell everything under a new lease, which knows only what operations carried already."""
        names = [*self._numbers, *(name for name in self._untold if name not in self._numbers)]
        self._untold = {}
        self._urgent = False
        self._tell(names, AGAIN)

    def _put(self, name: bytes, number: int) -> None:
        if number:
            self._numbers[name] = number
        else:
            self._numbers.pop(name, None)

    def _tell(self, names: Sequence[bytes], why: int = 0) -> None:
        for start in range(0, len(names), NUMBERS_A_CALL):
            self._tell_some(names[start : start + NUMBERS_A_CALL], why)

    def _tell_some(self, names: Sequence[bytes], why: int) -> None:
        def arguments() -> list[Argument]:
            triples = ((name, self.get(name), self.flags(name) | why) for name in names)
            return [argument for triple in triples for argument in triple]

        def answered(_: list[Any]) -> None: ...

        self._send(Operation("count", arguments, answered))
