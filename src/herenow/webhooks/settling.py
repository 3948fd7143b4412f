"""From what waits in the intake to entries in the journal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from herenow.log import RateLimitedLog
from herenow.webhooks.events import Volatile
from herenow.webhooks.facts import Happening, changes_for
from herenow.webhooks.intake import SHARD, Fed, Intake, Waiting
from herenow.webhooks.journal import Change, JournalUnavailable

if TYPE_CHECKING:
    from herenow.webhooks.deliveries import Deliveries
    from herenow.webhooks.endpoints import Endpoints
    from herenow.webhooks.sqlite import SqliteJournal

BATCH: Final = 2_000
CHANGES: Final = 2_000
FIRST_RETRY_SECONDS: Final = 0.1
LONGEST_RETRY_SECONDS: Final = 5.0

log = logging.getLogger("herenow.webhooks")


@dataclass
class _Step:
    """What is settled in one transaction; numbers are of the changes before what stands there."""

    changes: list[Change] = field(default_factory=list)
    volatile: list[tuple[int, Volatile]] = field(default_factory=list)
    fed: list[tuple[int, Fed]] = field(default_factory=list)


class Settling:
    """Settles batch after batch, and tells *deliveries* that there is more.

    *appended* is told how many entries came. *overflowed* is called when happenings were dropped
    for want of room, once there is room again.
    """

    def __init__(
        self,
        intake: Intake,
        journal: SqliteJournal,
        endpoints: Endpoints,
        deliveries: Deliveries,
        *,
        appended: Callable[[int], None],
        overflowed: Callable[[], None],
    ) -> None:
        self._intake = intake
        self._journal = journal
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._appended = appended
        self._overflowed = overflowed
        self._last = 0
        self._log = RateLimitedLog(log, per_second=1, window_seconds=60)

    async def run(self) -> None:
        """Settle what comes, for ever."""
        while True:
            await self._intake.wait()
            while batch := self._intake.batch(BATCH):
                await self._settle(batch)
            if self._intake.make_good():
                self._log.warning("webhook events came faster than the disk takes them")
                self._overflowed()

    async def _settle(self, batch: list[Waiting]) -> None:
        """Settle *batch* in steps of about ``CHANGES``, since one holds up who else writes."""
        step = _Step()
        for waiting in batch:
            self._add(step, waiting)
            if len(step.changes) >= CHANGES:
                await self._take(step)
                step = _Step()
        await self._take(step)

    def _add(self, step: _Step, waiting: Waiting) -> None:
        if isinstance(waiting, Happening):
            try:
                step.changes += self._changes(waiting)
            except Exception as error:
                self._complain(error)
        elif isinstance(waiting, Fed):
            step.fed.append((len(step.changes), waiting))
            step.changes += waiting.changes
        else:
            step.volatile.append((len(step.changes), waiting))

    async def _take(self, step: _Step) -> None:
        try:
            changes = step.changes
            ends = await self._settled(changes, step.volatile) if changes else [self._last]
            for begin, item in step.fed:
                if not item.events.done():
                    item.events.set_result(ends[begin + len(item.changes)] - ends[begin])
            for before, event in step.volatile:
                self._deliveries.offer(event, SHARD, ends[before])
        except Exception as error:
            self._complain(error)
        finally:
            for _, item in step.fed:
                if not item.events.done():
                    item.events.set_exception(JournalUnavailable("it could not be settled"))

    def _complain(self, error: Exception) -> None:
        self._log.warning(
            "something of a webhook could not be settled", error=f"{type(error).__name__}: {error}"
        )

    def _changes(self, happening: Happening) -> list[Change]:
        return changes_for(self._endpoints.of(happening.app), happening)

    async def _settled(
        self, changes: list[Change], volatile: list[tuple[int, Volatile]]
    ) -> list[int]:
        """The last position after each number of changes; one that fails goes without the others.

        While the disk does not take them it is tried again, and *volatile* events go without them.
        """
        try:
            return await self._written(changes, volatile)
        except Exception as error:
            self._complain(error)
        ends = [self._last]
        for change in changes:
            try:
                ends.append((await self._written([change], volatile))[-1])
            except Exception as error:
                self._complain(error)
                ends.append(ends[-1])
        return ends

    async def _written(
        self, changes: list[Change], volatile: list[tuple[int, Volatile]]
    ) -> list[int]:
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                settled = await self._journal.settle(changes)
                break
            except JournalUnavailable as error:
                self._log.warning("the webhook outbox cannot be written", error=str(error))
            for _, event in volatile:
                self._deliveries.offer(event)
            volatile.clear()
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_RETRY_SECONDS)
        self._last = settled.ends[-1]
        if settled.refused:
            self._log.warning("a webhook event has a name that cannot be kept, and is not sent")
        self._appended(settled.events)
        self._deliveries.arrived(SHARD, settled.endpoints)
        return settled.ends
