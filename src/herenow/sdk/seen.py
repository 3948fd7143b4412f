"""Events that come more than once are taken once: who remembers them, and how that is undone."""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from herenow.sdk import checks
from herenow.sdk.errors import InvalidArgument, WebhookInProgress
from herenow.sdk.webhooks import WebhookEvent

REMEMBERED: Final = 100_000


class SeenEvents(Protocol):
    """Remembers which events were taken: best in the transaction that what they cause is in.

    Then either both are kept or neither, and an event whose work failed is taken when it comes
    again.
    """

    def remember(self, event_id: str) -> bool:
        """Remember *event_id*; False if it was remembered already."""


class AsyncSeenEvents(Protocol):
    """:class:`SeenEvents` whose answer may have to be awaited."""

    def remember(self, event_id: str) -> bool | Awaitable[bool]: ...


class EventMemory:
    """Remembers events in this process alone: the last 100,000, or as many as *most* says.

    Serves all threads and tasks of the process. What a second process took, or this one before it
    was started again, it does not know.
    """

    def __init__(self, most: int = REMEMBERED) -> None:
        if most < 1:
            raise InvalidArgument("most", f"expected 1 or more, got {checks.shown(str(most))}")
        self._most = most
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._taking: set[str] = set()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"EventMemory(most={self._most})"

    @contextmanager
    def transaction(self) -> Iterator[MemoryTransaction]:
        """What is taken in the block is remembered when it ends, unless it ends by an exception."""
        transaction = MemoryTransaction(self)
        try:
            yield transaction
        except BaseException:
            self._end(transaction, keep=False)
            raise
        self._end(transaction, keep=True)

    def _take(self, event_id: str) -> bool:
        with self._lock:
            if event_id in self._seen:
                self._seen.move_to_end(event_id)
                return False
            if event_id in self._taking:
                raise WebhookInProgress(event_id)
            self._taking.add(event_id)
            return True

    def _end(self, transaction: MemoryTransaction, *, keep: bool) -> None:
        with self._lock:
            self._taking.difference_update(transaction.taken)
            if not keep:
                return
            self._seen.update(dict.fromkeys(transaction.taken))
            while len(self._seen) > self._most:
                self._seen.popitem(last=False)


class MemoryTransaction:
    """The events that one block takes."""

    def __init__(self, memory: EventMemory) -> None:
        self._memory = memory
        self.taken: list[str] = []

    def remember(self, event_id: str) -> bool:
        """False if it was taken before; :class:`WebhookInProgress` if another block is at it."""
        if event_id in self.taken or not self._memory._take(event_id):
            return False
        self.taken.append(event_id)
        return True


def _check(seen: object) -> None:
    if isinstance(seen, EventMemory):
        raise InvalidArgument("seen", "expected what memory.transaction() gives, not the memory")


def unseen(events: Iterable[WebhookEvent], seen: SeenEvents) -> Iterator[WebhookEvent]:
    """The events of a webhook that were not taken before; each is remembered as it is yielded."""
    _check(seen)
    for event in events:
        if seen.remember(event["id"]):
            yield event


async def unseen_async(
    events: Iterable[WebhookEvent], seen: AsyncSeenEvents
) -> AsyncIterator[WebhookEvent]:
    """:func:`unseen`, where remembering may have to be awaited."""
    _check(seen)
    for event in events:
        remembered = seen.remember(event["id"])
        if await remembered if inspect.isawaitable(remembered) else remembered:
            yield event
