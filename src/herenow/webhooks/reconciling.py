"""What receivers were told is made to agree with the ledger."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from herenow.log import RateLimitedLog
from herenow.webhooks.facts import Happening, change_for, concerns
from herenow.webhooks.journal import Change, Fact, JournalUnavailable
from herenow.webhooks.sqlite_reading import FIRST_FACT

if TYPE_CHECKING:
    from herenow.webhooks.endpoints import Endpoint
    from herenow.webhooks.sqlite import SqliteJournal
    from herenow.webhooks.truth import Truth

FACTS_A_SLICE: Final = 500
RETRY_SECONDS: Final = 5.0

log = logging.getLogger("herenow.webhooks")


class Comparing:
    """Compares an endpoint's told facts with *truth*, in slices, and feeds what differs.

    *feed* takes changes in at once, behind everything that was emitted before, and answers how
    many events they became when they are settled. *is_held* says of a fact whether its removal
    waits: then it is still told, and rightly so. While ``removals`` is false, nobody is told to be
    gone: those who were here before a start may still be on their way back.
    """

    removals = False

    def __init__(
        self,
        truth: Truth,
        is_held: Callable[[str, Fact], bool],
        feed: Callable[[Sequence[Change]], Awaitable[int]],
    ) -> None:
        self._truth = truth
        self._is_held = is_held
        self._feed = feed

    async def compare(self, journal: SqliteJournal, endpoint: Endpoint) -> int:
        """Answers how many events it made."""
        events = 0
        after: Fact | None = FIRST_FACT
        while after is not None:
            facts, after = await journal.told(endpoint.id, after)
            events += await self._feed(self._untrue(endpoint, facts))
        holding = self._truth.facts(endpoint.app)
        while facts := list(islice(holding, FACTS_A_SLICE)):
            events += await self._feed(self._true(endpoint, facts))
        return events

    def _untrue(self, endpoint: Endpoint, facts: list[Fact]) -> list[Change]:
        # Nothing is awaited between these answers and feeding them.
        changes = []
        for fact in facts:
            if not concerns(endpoint, fact):
                changes.append(Change(endpoint.id, fact, False, silent=True))
            elif self.removals and self._truth.look(endpoint.app, fact) is None:
                change = change_for(endpoint, Happening(endpoint.app, fact, False))
                if change is not None and not self._is_held(endpoint.app, fact):
                    changes.append(change)
        return changes

    def _true(self, endpoint: Endpoint, facts: list[Fact]) -> list[Change]:
        changes = []
        for fact in facts:
            info = self._truth.look(endpoint.app, fact)
            if info is None:
                continue
            change = change_for(endpoint, Happening(endpoint.app, fact, True, info))
            if change is not None:
                changes.append(change)
        return changes


class Reconciling:
    """Compares endpoints with the ledger one after the other, as they become due.

    Nobody is told to be gone until :meth:`everybody_had_time`. *lock* keeps what is compared and
    what drops entries apart, so that an endpoint that becomes adrift stays so.
    """

    def __init__(self, journal: SqliteJournal, comparing: Comparing, lock: asyncio.Lock) -> None:
        self._journal = journal
        self._comparing = comparing
        self._lock = lock
        self._due: dict[str, Endpoint] = {}
        self._are_due = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ends = False
        self._log = RateLimitedLog(log, per_second=1, window_seconds=60)

    def soon(self, endpoints: Iterable[Endpoint]) -> None:
        self._due.update((endpoint.id, endpoint) for endpoint in endpoints)
        if self._due:
            self._idle.clear()
            self._are_due.set()

    def everybody_had_time(self) -> None:
        """From now on whoever is not here is gone."""
        self._comparing.removals = not self._ends

    def end(self) -> None:
        """Clients are sent away: who is not here may come back to the next start."""
        self._ends = True
        self._comparing.removals = False

    async def done(self) -> None:
        """Return when nothing is due."""
        await self._idle.wait()

    async def compare(self, endpoint: Endpoint) -> int:
        """Answers how many events it made."""
        async with self._lock:
            complete = self._comparing.removals
            events = await self._comparing.compare(self._journal, endpoint)
            if complete and not self._ends:
                await self._journal.clear_adrift(endpoint.id)
            return events

    async def repeat(self, endpoint: Endpoint) -> int:
        """Tell every addition once more; answers how many entries that makes."""
        entries = 0
        after: str | None = ""
        async with self._lock:
            while after is not None:
                repeated, after = await self._journal.repeat(endpoint.id, after)
                entries += repeated
        return entries

    async def run(self) -> None:
        """Compare what is due, for ever."""
        while True:
            await self._are_due.wait()
            self._are_due.clear()
            while self._due:
                endpoint = self._due.pop(next(iter(self._due)))
                try:
                    await self.compare(endpoint)
                except JournalUnavailable as error:
                    self._log.warning("the webhook outbox cannot be read", error=str(error))
                    self._due.setdefault(endpoint.id, endpoint)
                    await asyncio.sleep(RETRY_SECONDS)
                except Exception as error:
                    # The others do not wait for this one.
                    self._log.warning(
                        "a webhook could not be compared with what holds",
                        error=f"{type(error).__name__}: {error}",
                    )
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self.soon, [endpoint])
            self._idle.set()
