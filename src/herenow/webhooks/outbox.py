"""The outbox of a server that is alone: from what comes about to what is delivered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from herenow.cluster.base import Clock
from herenow.webhooks.events import Event
from herenow.webhooks.intake import SHARD, Intake
from herenow.webhooks.journal import (
    Bounds,
    Depth,
    Entry,
    JournalUnavailable,
    JournalUnusable,
)

if TYPE_CHECKING:
    from herenow.webhooks.deliveries import Deliveries
    from herenow.webhooks.endpoints import Endpoints
    from herenow.webhooks.reconciling import Reconciling
    from herenow.webhooks.sqlite import SqliteJournal
    from herenow.webhooks.sqlite_dropping import Dropped
    from herenow.webhooks.trimming import Trimming
    from herenow.webhooks.truth import Truth

FIRST_OPENING_PAUSE_SECONDS: Final = 1.0
LONGEST_OPENING_PAUSE_SECONDS: Final = 30.0

log = logging.getLogger("herenow.webhooks")


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """``path`` is the file. ``return_seconds`` after a start clients had time to come back."""

    path: Path
    hold_seconds: float
    return_seconds: float
    bounds: Bounds


class _Work(NamedTuple):
    """What goes on while the file is open."""

    journal: SqliteJournal
    reconciling: Reconciling
    trimming: Trimming


class EmbeddedOutbox:
    """Takes events (a :class:`Sink`), keeps them in SQLite, and has them delivered.

    It is the operator's :class:`Journal`, too. The file is opened when there is an endpoint.
    ``problem`` says why it could not be; ``dropped`` counts entries that are never delivered.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        deliveries: Deliveries,
        truth: Truth,
        settings: OutboxSettings,
        clock: Clock,
    ) -> None:
        self.problem = ""
        self.dropped = 0
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._settings = settings
        self._clock = clock
        self._intake = Intake(settings.hold_seconds, clock)
        self._truth = truth
        self._work: _Work | None = None
        self._started = False
        self._opening = asyncio.Lock()
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        deliveries.recovered = self._recovered

    def emit(self, event: Event) -> None:
        # What comes before the file is open waits for it: who is heard first is told first.
        if self._endpoints.of(event.app):
            self._intake.emit(event)

    @property
    def changes_dropped(self) -> int:
        """How many changes found no room while the disk was waited for: comparing makes good."""
        return self._intake.dropped

    async def start(self) -> None:
        """Open the file if there is an endpoint; :class:`JournalUnusable` if that cannot be."""
        self._started = True
        if self._endpoints:
            await self._open()

    def app_changed(self, app: str) -> None:
        """An application was made, changed or deleted."""
        changes = self._endpoints.app_changed(app)
        self._deliveries.endpoints_changed(changes)
        if self._work is not None:
            self._work.reconciling.soon(changes.changed)
        elif self._endpoints and self._started:
            self._spawn(self._open_late())

    def drain(self) -> None:
        """The server ends: who goes from now on is looked for after the next start.

        Until then receivers believe what they were told.
        """
        self._intake.drain()
        if self._work is not None:
            self._work.reconciling.end()

    async def stop(self, grace: float) -> None:
        """Settle what came about, finish what is being delivered for *grace* seconds, and close."""
        work = self._work
        if work is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._intake.feed(())
        self._work = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._deliveries.stop(grace)
        if work is not None:
            await work.journal.close()

    async def depth(self, endpoint: str) -> Depth:
        return await self._opened().journal.depth(endpoint)

    async def page(
        self, endpoint: str, cursor: str, most: int, *, buried_only: bool
    ) -> tuple[list[Entry], str]:
        journal = self._opened().journal
        return await journal.page(endpoint, cursor, most, buried_only=buried_only)

    async def revive(self, endpoint: str, ids: Sequence[str] | None) -> int:
        revived = await self._opened().journal.revive(endpoint, ids)
        self._deliveries.reload(SHARD, endpoint)
        self._deliveries.hurry(endpoint)
        return revived

    async def drop(self, endpoint: str, ids: Sequence[str] | None) -> int:
        journal = self._opened().journal
        async with self._lock:
            under_way = self._deliveries.withhold(SHARD, endpoint)
            try:
                dropped = await journal.drop(endpoint, ids, under_way)
            finally:
                self._deliveries.resume(SHARD, endpoint)
        self._are_gone(dropped)
        return sum(dropped.numbers.values())

    async def reconcile(self, endpoint: str) -> int:
        reconciling, known = self._opened().reconciling, self._endpoints.get(endpoint)
        if known is None:
            return 0
        events = await reconciling.compare(known)
        events += await reconciling.repeat(known)
        self._deliveries.arrived(SHARD, [endpoint])
        return events

    def _opened(self) -> _Work:
        if self._work is None:
            raise JournalUnavailable(self.problem or "no application has webhooks")
        return self._work

    def _all_known(self) -> list[str] | None:
        if not self._endpoints.complete:
            return None
        return [endpoint.id for endpoint in self._endpoints.all()]

    async def _open_late(self) -> None:
        """Open the file for endpoints that came at run time, and tell them what holds."""
        pause = FIRST_OPENING_PAUSE_SECONDS
        while self._work is None and self._endpoints:
            try:
                await self._open()
            except (JournalUnusable, JournalUnavailable) as error:
                if str(error) != self.problem:
                    log.error("webhooks are not delivered: %s", error)
                self.problem = str(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_OPENING_PAUSE_SECONDS)
        if self._work is not None:
            self._work.reconciling.soon(self._endpoints.all())

    async def _open(self) -> None:
        async with self._opening:
            if self._work is None:
                # Imported late: a server without webhooks needs nothing of it.
                from herenow.webhooks.sqlite import SqliteJournal

                journal = await SqliteJournal.open(self._settings.path, self._clock.time)
                # Asked first: from then on more is told.
                self._begin(journal, told=await self._was_told_something(journal))
                self.problem = ""

    def _begin(self, journal: SqliteJournal, *, told: bool) -> None:
        from herenow.webhooks.reconciling import Comparing, Reconciling
        from herenow.webhooks.settling import Settling
        from herenow.webhooks.trimming import Trimming

        comparing = Comparing(self._truth, self._intake.is_held, self._intake.feed)
        reconciling = Reconciling(journal, comparing, self._lock)
        bounds = self._settings.bounds
        trimming = Trimming(
            journal, self._deliveries, bounds, self._lock, self._all_known, self._are_gone
        )
        settling = Settling(
            self._intake,
            journal,
            self._endpoints,
            self._deliveries,
            appended=trimming.count,
            overflowed=lambda: reconciling.soon(self._endpoints.all()),
        )
        self._work = _Work(journal, reconciling, trimming)
        self._deliveries.attach(SHARD, journal)
        for work in (
            settling.run(),
            reconciling.run(),
            trimming.run(),
            self._wait_for_returns(told),
        ):
            self._spawn(work)

    async def _wait_for_returns(self, told: bool) -> None:
        """Compare everything when those who were *told* to be here had time to come back."""
        work = self._opened()
        if told:
            await asyncio.sleep(self._settings.return_seconds)
        work.reconciling.everybody_had_time()
        work.reconciling.soon(self._endpoints.all())
        await work.reconciling.done()
        self._intake.pass_vacancies()

    async def _was_told_something(self, journal: SqliteJournal) -> bool:
        """Whether a receiver believes that somebody is here, who may be coming back."""
        try:
            pages = [await journal.told(one.id, most=1) for one in self._endpoints.all()]
        except JournalUnavailable:
            return True
        return any(page.facts for page in pages)

    def _recovered(self, endpoint: str) -> None:
        """It answers again: if events were dropped meanwhile, it is told what holds."""
        self._spawn(self._compare_if_adrift(endpoint))

    def _are_gone(self, dropped: Dropped) -> None:
        """Entries were dropped: who is adrift is compared, when it answers again."""
        self.dropped += sum(dropped.numbers.values())
        for endpoint in dropped.adrift:
            self._spawn(self._compare_if_adrift(endpoint))

    async def _compare_if_adrift(self, endpoint: str) -> None:
        known, work = self._endpoints.get(endpoint), self._work
        if known is None or work is None:
            return
        with contextlib.suppress(JournalUnavailable):
            adrift = (await work.journal.condition(endpoint)).adrift
            # The journal may not know yet what deliveries know.
            if adrift and self._deliveries.failing_since(endpoint) is None:
                work.reconciling.soon([known])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the webhook outbox failed", exc_info=error)
