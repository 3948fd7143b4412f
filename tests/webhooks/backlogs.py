"""A backlog in memory and a receiver that does as it is told, for tests of deliveries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from herenow.apps.base import App, Key, WebhookEndpoint
from herenow.apps.static import StaticApps
from herenow.webhooks.counters import DeliveryCounters
from herenow.webhooks.deliveries import Deliveries
from herenow.webhooks.endpoints import Changes, Endpoints
from herenow.webhooks.journal import Condition, Entry, Fact, JournalUnavailable
from herenow.webhooks.sending import DELIVERED, REFUSED, Outcome

EVERY_EVENT = ("channel_occupied", "channel_vacated", "client_event")
OK = Outcome(DELIVERED, "200")
NO = Outcome(REFUSED, "500 not now")


class Time:
    """Seconds since 1970 that pass as the loop's do."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return 1_760_000_000 + self.ahead + asyncio.get_running_loop().time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        return asyncio.get_running_loop().call_later(delay, callback)


class MemoryBacklog:
    """Entries in a list. While ``away``, nothing can be asked."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.buried: list[int] = []
        self.conditions: dict[str, Condition] = {}
        self.away = False
        self.largest = 0
        self._position = 0

    def append(self, endpoint: str, lane: str, *, holds: bool = True) -> Entry:
        self._position += 1
        number = self._position
        entry = Entry(number, endpoint, Fact(lane), holds, b"", f"id-{number}", number, 0.0)
        self.entries.append(entry)
        return entry

    async def read(
        self, endpoint: str, after: int, most: int, lane: str | None = None
    ) -> list[Entry]:
        await self._answer()
        found = [
            entry
            for entry in self.entries
            if entry.endpoint == endpoint
            and entry.position > after
            and entry.position not in self.buried
            and lane in (None, entry.fact.lane)
        ]
        self.largest = max(self.largest, len(found[:most]))
        return found[:most]

    async def delivered(self, endpoint: str, positions: Sequence[int]) -> None:
        await self._answer()
        gone = set(positions)
        self.entries = [entry for entry in self.entries if entry.position not in gone]

    async def bury(self, endpoint: str, positions: Sequence[int]) -> None:
        await self._answer()
        self.buried.extend(positions)

    async def condition(self, endpoint: str) -> Condition:
        await self._answer()
        return self.conditions.get(endpoint, Condition())

    async def note(self, endpoint: str, condition: Condition) -> None:
        await self._answer()
        self.conditions[endpoint] = condition

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise JournalUnavailable("away")


@dataclass
class Sent:
    """One request as it arrived."""

    url: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def channels(self) -> list[str]:
        return [event["channel"] for event in json.loads(self.body)["events"]]

    @property
    def ids(self) -> list[str]:
        return self.headers["X-Herenow-Event-Ids"].split(",")


@dataclass
class ScriptedSender:
    """Answers with what ``answer`` gives, once ``open`` is set for the channel or for all."""

    answer: Callable[[Sent], Outcome] = lambda sent: OK
    sent: list[Sent] = field(default_factory=list)
    hung: set[str] = field(default_factory=set)
    in_flight: int = 0
    most_in_flight: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Outcome:
        sent = Sent(url, dict(headers), body, asyncio.get_running_loop().time())
        self.sent.append(sent)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0)
            while self.hung.intersection((url, *sent.channels)):
                self._changed.clear()
                await self._changed.wait()
            return self.answer(sent)
        finally:
            self.in_flight -= 1

    def let_go(self) -> None:
        self.hung.clear()
        self._changed.set()

    async def close(self) -> None: ...

    @property
    def ids(self) -> list[str]:
        return [name for sent in self.sent for name in sent.ids]


@dataclass
class Service:
    """Deliveries of two applications, each with one endpoint: ``a`` and ``b``."""

    deliveries: Deliveries
    backlog: MemoryBacklog
    sender: ScriptedSender
    counters: DeliveryCounters
    time: Time
    apps: dict[str, App]
    endpoints: Endpoints

    def endpoint(self, app: str = "a") -> str:
        return self.endpoints.of(app)[0].id

    def append(self, lane: str, *, app: str = "a", holds: bool = True) -> Entry:
        return self.backlog.append(self.endpoint(app), lane, holds=holds)

    def comes(self) -> None:
        """The first endpoint appeared, perhaps again."""
        self.deliveries.endpoints_changed(Changes(frozenset(), self.endpoints.of("a")))

    def goes(self) -> None:
        self.deliveries.endpoints_changed(Changes(frozenset({self.endpoint()}), ()))

    def arrived(self) -> None:
        self.deliveries.arrived("shard", [self.endpoint(app) for app in self.apps])


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


@asynccontextmanager
async def delivering(
    *, batch: bool = False, retry_seconds: float = 300, attach: bool = True
) -> AsyncIterator[Service]:
    apps = {
        name: App(
            name,
            (Key(f"key-{name}", f"secret-{name}"),),
            batch_webhooks=batch,
            webhooks=(WebhookEndpoint(f"http://{name}.example/", EVERY_EVENT),),
        )
        for name in ("a", "b")
    }
    time, sender, counters = Time(), ScriptedSender(), DeliveryCounters()
    endpoints = Endpoints(StaticApps(apps.values()))
    deliveries = Deliveries(endpoints, apps.get, sender, retry_seconds, time, counters)
    service = Service(deliveries, MemoryBacklog(), sender, counters, time, apps, endpoints)
    if attach:
        deliveries.attach("shard", service.backlog)
    try:
        yield service
    finally:
        sender.let_go()
        await deliveries.stop(1)
