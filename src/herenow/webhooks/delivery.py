"""What is sent to one endpoint: lane by lane, and with patience while it does not answer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Iterable
from operator import itemgetter
from typing import Any, Final

from herenow.apps.base import App
from herenow.log import clean
from herenow.webhooks.bodies import name_of
from herenow.webhooks.endpoints import Endpoint
from herenow.webhooks.envelopes import Envelope, Interrupted
from herenow.webhooks.events import Volatile
from herenow.webhooks.journal import Backlog, Condition, JournalUnavailable
from herenow.webhooks.patience import Patience
from herenow.webhooks.recording import Recording
from herenow.webhooks.sending import FAILED, Outcome
from herenow.webhooks.surroundings import Surroundings
from herenow.webhooks.windows import MAX_IN_LANE, PAGE, Lane, Window

MAX_IN_FLIGHT: Final = 32
MAX_IN_BATCH: Final = 10
GATHER_SECONDS: Final = 0.25
MAX_IN_MEMORY: Final = 5_000
ASK_AGAIN_SECONDS: Final = 1.0
OUTAGE_SECONDS: Final = 10.0
DETACH_SECONDS: Final = 0.5

log = logging.getLogger("herenow.webhooks")


class Delivery:
    """Has at most 32 requests in flight, one of a lane.

    After a failure the endpoint is *failing*: one request is tried after 1, 2, 4 … 60 seconds,
    each time of another lane, until one succeeds. An event that failed for ``retry_seconds``
    while others succeeded is buried. ``volatile`` is how many events of memory it has.
    """

    def __init__(self, endpoint_id: str, around: Surroundings) -> None:
        self.id = endpoint_id
        self.patience = Patience()
        self.volatile = 0
        self._around = around
        self._windows: dict[str | None, Window] = {None: Window(None)}
        self._backlogs: dict[str | None, Backlog] = {}
        self._ready: deque[Lane | Envelope] = deque()
        self._in_flight = 0
        self._probe: Envelope | None = None
        self._gather_until: float | None = None
        self._last_success = 0.0
        self._back_since = 0.0
        # What alone has failed since the endpoint fails; None if several have.
        self._culprit: Envelope | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._tasks: dict[Window, set[asyncio.Task[None]]] = {}
        self._closed = False
        self._interrupted = Interrupted(around.retry_seconds)
        self._recording = Recording(endpoint_id, self._backlogs, self._is_open, self._spawn)

    def attach(self, shard: str, backlog: Backlog) -> None:
        window = self._windows[shard] = Window(shard)
        self._backlogs[shard] = backlog
        self._spawn(window, self._begin(window))

    async def detach(self, shard: str) -> None:
        """Begin nothing of *shard* any more, and wait for what is in flight of it.

        What takes long is given up: an endpoint that hangs is not to keep all others of the shard
        from whoever has it next. He delivers it again, under the same ids.
        """
        window = self._windows.pop(shard, None)
        if window is None:
            return
        self._drop(window.read_again() + self._take_back(window))
        self._read_where_more_is()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DETACH_SECONDS
        while tasks := self._tasks.get(window):
            if loop.time() >= deadline:
                for task in tasks:
                    task.cancel()
            await asyncio.wait(tasks, timeout=max(0.0, deadline - loop.time()) or None)
        self._backlogs.pop(shard, None)
        self._recording.noted.discard(shard)
        self._pump()

    def arrived(self, shard: str) -> None:
        window = self._windows.get(shard)
        if window is not None:
            window.more = True
            self._read(window)

    def reload(self, shard: str) -> None:
        window = self._windows.get(shard)
        if window is None:
            return
        volatile = self._take_back(window) + window.read_again()
        for after, event in sorted(volatile, key=itemgetter(0)):
            self._queue(list(window.park(event, after)))
        self._read(window)

    def hurry(self) -> None:
        """An endpoint that failed is tried now."""
        self.patience.hurry()
        self._pump()

    def withhold(self, shard: str) -> frozenset[int]:
        """Begin nothing of *shard* until :meth:`resume`; answers which positions are under way."""
        window = self._windows.get(shard)
        if window is None:
            return frozenset()
        window.withheld += 1
        self.reload(shard)
        return frozenset(window.taken)

    def resume(self, shard: str) -> None:
        window = self._windows.get(shard)
        if window is not None:
            window.withheld = max(0, window.withheld - 1)
            self.reload(shard)

    def offer(self, event: Volatile, shard: str | None, after: int) -> None:
        window = self._windows.get(shard) or self._windows[None]
        self.volatile += 1
        self._queue(list(window.park(event, after)))

    async def stop(self, grace: float) -> None:
        """Begin nothing any more; what is in flight has *grace* seconds."""
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        # What is answered is recorded, by a task that begins then.
        while left := [task for tasks in self._tasks.values() for task in tasks]:
            await asyncio.wait(left, timeout=max(0.0, deadline - loop.time()))
            if loop.time() >= deadline:
                break
        left = [task for tasks in self._tasks.values() for task in tasks]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for window in self._windows.values():
            self._drop(window.read_again() + self._take_back(window))

    def _spawn(self, window: Window, doing: Coroutine[Any, Any, None]) -> None:
        tasks = self._tasks.setdefault(window, set())
        task = asyncio.get_running_loop().create_task(doing)
        tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not tasks and self._tasks.get(window) is tasks:
                del self._tasks[window]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("a webhook delivery failed unexpectedly", exc_info=error)

        task.add_done_callback(done)

    def _is_open(self, window: Window) -> bool:
        return not self._closed and self._windows.get(window.shard) is window

    async def _begin(self, window: Window) -> None:
        """Go on as whoever delivered before: an endpoint that failed then is tried with care."""
        assert window.shard is not None, "a backlog has a shard"
        window.readings += 1
        while self._is_open(window):
            try:
                condition = await self._backlogs[window.shard].condition(self.id)
            except JournalUnavailable:
                await asyncio.sleep(ASK_AGAIN_SECONDS)
                continue
            if condition.failing_since is not None:
                self._recording.noted.add(window.shard)
                if not self._last_success:
                    self.patience.resume(condition.failing_since, self._around.now())
            break
        window.end_reading()
        self._read(window)

    def _read(self, window: Window) -> None:
        if window.readings or not window.more or not self._may_read(window):
            return
        window.readings += 1
        self._spawn(window, self._read_on(window))

    def _may_read(self, window: Window) -> bool:
        return self._is_open(window) and not window.withheld and not self._is_full

    @property
    def _is_full(self) -> bool:
        return sum(window.size for window in self._windows.values()) >= MAX_IN_MEMORY

    async def _read_on(self, window: Window) -> None:
        try:
            while window.more and self._may_read(window):
                window.more = False
                number = window.number
                try:
                    entries = await self._backlogs[window.shard].read(
                        self.id, window.read_upto, PAGE
                    )
                except JournalUnavailable:
                    window.more = True
                    await asyncio.sleep(ASK_AGAIN_SECONDS)
                    continue
                if number != window.number or not self._is_open(window):
                    window.more = True
                    continue
                window.more = window.more or len(entries) == PAGE
                self._queue(list(window.add(entries)))
        finally:
            window.end_reading()
        self._queue(list(window.release()))

    async def _read_lane(self, lane: Lane) -> None:
        """Go on with a lane that was too full to be read whole. It is busy meanwhile."""
        window, number = lane.window, lane.window.number
        window.readings += 1
        try:
            while not lane.items and lane.unread_after is not None and self._is_open(window):
                upto = window.read_upto
                try:
                    entries = await self._backlogs[window.shard].read(
                        self.id, lane.unread_after, MAX_IN_LANE, lane.name
                    )
                except JournalUnavailable:
                    await asyncio.sleep(ASK_AGAIN_SECONDS)
                    continue
                if number != window.number:
                    break
                all_read = len(entries) < MAX_IN_LANE and window.read_upto == upto
                lane.go_on(entries, upto, all_read=all_read)
        finally:
            lane.busy = False
            window.end_reading()
        self._free(lane)
        self._read_where_more_is()

    def _queue(self, lanes: Iterable[Lane]) -> None:
        for lane in lanes:
            if lane.is_ready and not lane.queued:
                lane.queued = True
                self._ready.append(lane)
        self._pump()

    def _pump(self) -> None:
        while not self._closed:
            app, endpoint = self._target()
            if app is None or endpoint is None or not self._ready or not self._may_send(app):
                return
            envelope = self._next(app, endpoint)
            if envelope is None:
                continue
            now = self._around.now()
            if now - envelope.made >= self._around.retry_seconds:
                envelope.renew(now)
            self._in_flight += 1
            self._around.counters.in_flight += 1
            if self.patience.failing_since is not None:
                self._probe = envelope
            self._spawn(envelope.window, self._attempt(envelope, app, endpoint))

    def _target(self) -> tuple[App | None, Endpoint | None]:
        endpoint = self._around.endpoint_of(self.id)
        return (self._around.app_of(endpoint.app) if endpoint is not None else None), endpoint

    def _may_send(self, app: App) -> bool:
        now = self._around.now()
        if self.patience.failing_since is not None:
            if self._in_flight:
                return False
            if now < self.patience.probe_at:
                self._wake_in(self.patience.probe_at - now)
                return False
            return True
        if self._in_flight >= MAX_IN_FLIGHT:
            return False
        if not app.batch_webhooks or isinstance(self._ready[0], Envelope):
            return True
        if self._waiting() >= MAX_IN_BATCH:
            return True
        if self._gather_until is None:
            self._gather_until = now + GATHER_SECONDS
        if now < self._gather_until:
            self._wake_in(self._gather_until - now)
            return False
        return True

    def _waiting(self) -> int:
        """How many events could leave now, as far as that matters."""
        number = 0
        for work in self._ready:
            if isinstance(work, Lane) and work.is_ready:
                number += len(work.items)
                if number >= MAX_IN_BATCH:
                    break
        return number

    def _wake_in(self, seconds: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._woken)

    def _woken(self) -> None:
        self._alarm = None
        self._pump()

    def _next(self, app: App, endpoint: Endpoint) -> Envelope | None:
        work = self._ready.popleft()
        if isinstance(work, Envelope):
            return work
        work.queued = False
        if not work.is_ready:
            return None
        self._gather_until = None
        singly = work.singly > 0
        items = work.take(MAX_IN_BATCH if app.batch_webhooks else 1)
        if app.batch_webhooks and not singly:
            for other in self._ready:
                if len(items) == MAX_IN_BATCH:
                    break
                if isinstance(other, Envelope) or other.singly:
                    continue
                if other.window is work.window and other.is_ready:
                    items += other.take(MAX_IN_BATCH - len(items))
            if all(item.position is not None for item in items):
                items.sort(key=lambda item: item.position or 0)
        before = self._interrupted.take(work.window, items)
        if before is not None:
            return before
        now, user_info = self._around.now(), endpoint.target.user_info
        return Envelope(work.window, items, now, user_info=user_info)

    async def _attempt(self, envelope: Envelope, app: App, endpoint: Endpoint) -> None:
        try:
            headers, body = envelope.request(app.keys[0])
            outcome = await self._around.sender.send(
                endpoint.target.url, [*headers, *endpoint.target.headers], body
            )
        except asyncio.CancelledError:
            self._drop(envelope.volatile)
            raise
        except Exception as error:
            log.exception("a webhook request could not be made")
            outcome = Outcome(FAILED, type(error).__name__)
        finally:
            self._in_flight -= 1
            self._around.counters.in_flight -= 1
        self._around.counters.attempts[outcome.word] += 1
        if outcome.delivered:
            self._succeeded(envelope, outcome)
        else:
            self._failed(envelope, outcome)
        self._pump()

    def _succeeded(self, envelope: Envelope, outcome: Outcome) -> None:
        now, before = self._around.now(), self._last_success
        self._last_success = now
        self._around.counters.delivered += len(envelope.items)
        self._let_go(len(envelope.volatile))
        if envelope.positions:
            self._recording.delivered(envelope.window, envelope.positions)
        self._release(envelope)
        failing_since = self.patience.failing_since
        # What failed alone after others had succeeded may have been at fault itself.
        was_away = self._culprit is None or self._culprit.since >= before
        outage = now - failing_since if failing_since is not None else -1.0
        if was_away and outage >= self._around.retry_seconds:
            self._back_since = now
        was_failing = self.patience.succeed()
        if outage >= OUTAGE_SECONDS:
            log.info("a webhook endpoint answers again", extra={"endpoint": self.id})
        if was_failing or self._recording.noted:
            noted = list(self._recording.noted)
            self._recording.noted.clear()
            for shard in noted:
                self._note(shard, Condition(None, outcome.answer, now))
            self._around.recovered(self.id)

    def _failed(self, envelope: Envelope, outcome: Outcome) -> None:
        now = self._around.now()
        if self.patience.failing_since is None:
            self._culprit = envelope
            answer = clean(outcome.answer)
            self._around.log.warning(
                f"a webhook endpoint fails ({outcome.word}), its events wait",
                endpoint=self.id,
                answer=answer,
            )
        elif envelope is not self._culprit:
            self._culprit = None
        self.patience.fail(now, probe=envelope is self._probe)
        failing_since = self.patience.failing_since
        assert failing_since is not None, "it has just failed"
        if envelope.window.shard is not None:
            self._recording.noted.add(envelope.window.shard)
        for shard in self._recording.noted:
            self._note(shard, Condition(failing_since, outcome.answer, now))
        if now - failing_since >= self._around.retry_seconds:
            self._drop_volatile()
        self._retry(envelope, now)

    def _retry(self, envelope: Envelope, now: float) -> None:
        window = envelope.window
        if not self._is_open(window) or envelope.number != window.number:
            # Its entries were dropped meanwhile, or others deliver them: the journal knows.
            window.taken.difference_update(envelope.positions)
            self._release(envelope)
            self._drop(envelope.volatile)
            if self._is_open(window):
                self.reload(window.shard or "")
            return
        # An outage of the endpoint is not the event's fault: it counts from when that was over.
        since = max(envelope.since, self._back_since)
        if now - since < self._around.retry_seconds:
            self._ready.append(envelope)
        elif len(envelope.items) > 1:
            self._put_back(envelope)
        elif envelope.volatile:
            self._drop(envelope.volatile)
            self._release(envelope)
        elif self._last_success > since:
            self._around.counters.buried += 1
            self._around.log.warning(
                "a webhook event that was always refused is a dead letter now",
                endpoint=self.id,
                event=envelope.items[0].id,
            )
            self._spawn(window, self._bury(envelope))
        else:
            self._ready.append(envelope)

    async def _bury(self, envelope: Envelope) -> None:
        if await self._recording.bury(envelope.window, envelope.positions):
            self._release(envelope)

    def _put_back(self, envelope: Envelope) -> None:
        """Send each event by itself: one of them may be what the receiver does not take."""
        for item in reversed(envelope.items):
            item.lane.put_back(item)
            item.lane.singly += 1
        self._release(envelope)

    def _release(self, envelope: Envelope) -> None:
        """Let the lanes of *envelope* go on."""
        for lane in dict.fromkeys(item.lane for item in envelope.items):
            lane.busy = False
            self._free(lane)
        self._read_where_more_is()

    def _read_where_more_is(self) -> None:
        """There is room in memory again, for every window."""
        for window in list(self._windows.values()):
            self._read(window)

    def _free(self, lane: Lane) -> None:
        if not self._is_open(lane.window):
            return
        if not lane.items and lane.unread_after is not None:
            lane.busy = True
            self._spawn(lane.window, self._read_lane(lane))
            return
        lane.window.forget(lane)
        self._queue([lane])

    def _take_back(self, window: Window) -> list[tuple[int, Volatile]]:
        """Give up what of *window* waits to be tried again; its entries can be read anew."""
        volatile: list[tuple[int, Volatile]] = []
        kept: deque[Lane | Envelope] = deque()
        for work in self._ready:
            if work.window is not window:
                kept.append(work)
            elif isinstance(work, Envelope):
                window.taken.difference_update(work.positions)
                volatile += work.volatile
                self._interrupted.add(work, self._around.now())
                for item in work.items:
                    item.lane.busy = False
                    window.forget(item.lane)
            else:
                work.queued = False
        self._ready = kept
        return volatile

    def _drop_volatile(self) -> None:
        """An endpoint that is away for long gets what was written down, when it is back."""
        if not self.volatile:
            return
        dropped: list[tuple[int, Volatile]] = []
        for window in self._windows.values():
            dropped += window.take_volatile()
        self._drop(dropped)

    def _drop(self, events: list[tuple[int, Volatile]]) -> None:
        for _, event in events:
            self._around.counters.dropped[name_of(event)] += 1
        self._let_go(len(events))

    def _let_go(self, events: int) -> None:
        self.volatile -= events
        self._around.let_go(events)

    def _note(self, shard: str, condition: Condition) -> None:
        window = self._windows.get(shard)
        if window is not None and not self._closed:
            self._recording.note(window, condition)
