"""All that is sent: one delivery for each endpoint, none of which waits for another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from herenow.apps.base import App
from herenow.cluster.base import Clock
from herenow.log import RateLimitedLog
from herenow.webhooks.bodies import name_of
from herenow.webhooks.counters import DeliveryCounters
from herenow.webhooks.delivery import Delivery
from herenow.webhooks.endpoints import Changes, Endpoint, Endpoints
from herenow.webhooks.events import Volatile
from herenow.webhooks.journal import Backlog
from herenow.webhooks.sending import Sender
from herenow.webhooks.surroundings import Surroundings

MAX_VOLATILE: Final = 10_000

log = logging.getLogger("herenow.webhooks")


class Deliveries:
    """Sends what waits in the shards that are attached, and volatile events from memory.

    ``recovered`` is called with the id of an endpoint that failed and answers again. *app_of*
    gives the application whose key signs.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        app_of: Callable[[str], App | None],
        sender: Sender,
        retry_seconds: float,
        clock: Clock,
        counters: DeliveryCounters,
    ) -> None:
        self.recovered: Callable[[str], None] = lambda endpoint: None
        self.counters = counters
        self._endpoints = endpoints
        self._sender = sender
        self._volatile = 0
        self._shards: dict[str, Backlog] = {}
        self._by_endpoint: dict[str, Delivery] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._around = Surroundings(
            endpoints.get,
            app_of,
            sender,
            retry_seconds,
            clock.time,
            counters,
            self._let_go,
            lambda endpoint: self.recovered(endpoint),
            RateLimitedLog(log, per_second=1, window_seconds=60),
        )

    def attach(self, shard: str, backlog: Backlog) -> None:
        """Deliver what waits in *shard*, and what comes."""
        self._shards[shard] = backlog
        for endpoint in self._endpoints.all():
            known = self._by_endpoint.get(endpoint.id)
            if known is None:
                self._delivery(endpoint)
            else:
                known.attach(shard, backlog)

    async def detach(self, shard: str) -> None:
        """Deliver nothing of *shard* any more; returns when nothing of it is in flight."""
        self._shards.pop(shard, None)
        await asyncio.gather(
            *(delivery.detach(shard) for delivery in list(self._by_endpoint.values()))
        )

    def arrived(self, shard: str, endpoints: Iterable[str]) -> None:
        """There may be more in *shard* for these endpoints."""
        for name in endpoints:
            endpoint = self._endpoints.get(name)
            if endpoint is not None:
                self._delivery(endpoint).arrived(shard)

    def reload(self, shard: str, endpoint: str) -> None:
        """Entries were changed behind the back of whoever delivers: read them again."""
        known = self._by_endpoint.get(endpoint)
        if known is not None:
            known.reload(shard)

    def hurry(self, endpoint: str) -> None:
        """Try *endpoint* now, however long it has been failing."""
        delivery = self._by_endpoint.get(endpoint)
        if delivery is not None:
            delivery.hurry()

    def withhold(self, shard: str, endpoint: str) -> frozenset[int]:
        """Begin nothing of *shard* for *endpoint*, whose entries may be dropped, until
        :meth:`resume`; answers the positions that are under way or delivered, which must stay.
        """
        known = self._by_endpoint.get(endpoint)
        return known.withhold(shard) if known is not None else frozenset()

    def resume(self, shard: str, endpoint: str) -> None:
        """Read again what is left of *shard* for *endpoint*."""
        known = self._by_endpoint.get(endpoint)
        if known is not None:
            known.resume(shard)

    def offer(self, event: Volatile, shard: str | None = None, after: int = 0) -> None:
        """Send *event* to those who want it, behind the entries of its lane up to *after*."""
        name = name_of(event)
        for endpoint in self._endpoints.of(event.app):
            if not endpoint.wants(name, event.channel):
                continue
            delivery = self._delivery(endpoint)
            # So an endpoint that hangs always leaves room for the others.
            if delivery.volatile >= MAX_VOLATILE - self._volatile:
                self.counters.dropped[name] += 1
                continue
            self._volatile += 1
            delivery.offer(event, shard, after)

    def endpoints_changed(self, changes: Changes) -> None:
        """Send nothing more to those that are gone, and what waits to those that came."""
        for endpoint_id in changes.gone:
            known = self._by_endpoint.pop(endpoint_id, None)
            if known is not None:
                task = asyncio.get_running_loop().create_task(known.stop(0))
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
        for endpoint in changes.changed:
            self._delivery(endpoint)

    def failing_since(self, endpoint: str) -> float | None:
        """Since when *endpoint* does not answer, as far as this process knows."""
        known = self._by_endpoint.get(endpoint)
        return known.patience.failing_since if known is not None else None

    async def stop(self, grace: float) -> None:
        """Finish what is in flight, for at most *grace* seconds."""
        await asyncio.gather(
            *(delivery.stop(grace) for delivery in self._by_endpoint.values()), *self._ending
        )
        self._by_endpoint.clear()
        await self._sender.close()

    def _delivery(self, endpoint: Endpoint) -> Delivery:
        delivery = self._by_endpoint.get(endpoint.id)
        if delivery is None:
            delivery = self._by_endpoint[endpoint.id] = Delivery(endpoint.id, self._around)
            for shard, backlog in self._shards.items():
                delivery.attach(shard, backlog)
        return delivery

    def _let_go(self, events: int) -> None:
        self._volatile -= events
