"""What is too old or too much for the journal goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from herenow.log import RateLimitedLog
from herenow.webhooks.intake import SHARD
from herenow.webhooks.journal import Bounds, JournalUnavailable

if TYPE_CHECKING:
    from herenow.webhooks.deliveries import Deliveries
    from herenow.webhooks.sqlite import SqliteJournal
    from herenow.webhooks.sqlite_dropping import Dropped

LONGEST_PAUSE_SECONDS: Final = 60.0
SHORTEST_PAUSE_SECONDS: Final = 0.5
PAUSES_A_KEEPING: Final = 10
RETRY_SECONDS: Final = 5.0

log = logging.getLogger("herenow.webhooks")


def trim_pause(keep_seconds: float) -> float:
    """Seconds between two trims: fewer where events are kept for a short time."""
    return min(LONGEST_PAUSE_SECONDS, max(SHORTEST_PAUSE_SECONDS, keep_seconds / PAUSES_A_KEEPING))


class Trimming:
    """Drops entries beyond *bounds* and forgets endpoints long unknown and lanes long unused.

    *known* answers the ids of the endpoints that there are, None while there may be more;
    *dropped* is told what went.
    """

    def __init__(
        self,
        journal: SqliteJournal,
        deliveries: Deliveries,
        bounds: Bounds,
        lock: asyncio.Lock,
        known: Callable[[], Iterable[str] | None],
        dropped: Callable[[Dropped], None],
    ) -> None:
        self._journal = journal
        self._deliveries = deliveries
        self._bounds = bounds
        self._lock = lock
        self._known = known
        self._dropped = dropped
        self._entries = 0
        self._full = asyncio.Event()
        self._log = RateLimitedLog(log, per_second=1, window_seconds=60)

    async def run(self) -> None:
        """Trim about once a minute, for ever; sooner where entries are kept for a short time."""
        pause = trim_pause(self._bounds.keep_seconds)
        while True:
            self._full.clear()
            try:
                await self._trim()
            except JournalUnavailable as error:
                self._log.warning("the webhook outbox cannot be trimmed", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:
                self._log.warning(
                    "the webhook outbox could not be trimmed",
                    error=f"{type(error).__name__}: {error}",
                )
                await asyncio.sleep(RETRY_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._full.wait()

    def count(self, appended: int) -> None:
        """So many entries came; what was delivered since is not known here."""
        self._entries += appended
        if self._bounds.max_backlog and self._entries > self._bounds.max_backlog:
            self._full.set()

    async def _trim(self) -> None:
        while await self._trim_some():
            pass
        self._entries = await self._journal.number()
        known = self._known()
        if known is not None:
            async with self._lock:
                await self._journal.forget_unused(known, self._bounds.keep_seconds)

    async def _trim_some(self) -> bool:
        """Whether something went; one step at a time, and what is compared waits for no more."""
        async with self._lock:
            gone = False
            for endpoint, positions in (await self._journal.too_many(self._bounds)).items():
                under_way = self._deliveries.withhold(SHARD, endpoint)
                try:
                    dropped = await self._journal.drop_at(set(positions) - under_way)
                finally:
                    self._deliveries.resume(SHARD, endpoint)
                self._dropped(dropped)
                gone = gone or bool(dropped.numbers)
            return gone
