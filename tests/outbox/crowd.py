"""Pages that come, go, move between channels, lose their connections and come back, or never do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Final

from conformance.harness.apps import App
from conformance.harness.websocket import Endpoint
from faults.client import Client, Route
from faults.clients import Clients, until
from outbox.account import Picture

BACK_OFF: Final = 0.2
_STEP_SECONDS: Final = 0.3


class Crowd:
    """*size* pages of *app*, each of which does something at random a few times a second.

    One that leaves for good is replaced by a page of a new user, or of one who has been here.
    ``users`` are all who ever came.
    """

    def __init__(
        self,
        clients: Clients,
        app: App,
        route: Route,
        size: int,
        channels: Sequence[str],
        seed: int,
    ) -> None:
        self.app = app
        self.users: list[str] = []
        self.pages: list[Client] = []
        self._clients = clients
        self._route = route
        self._size = size
        self._channels = channels
        self._random = random.Random(seed)
        self._numbers = count()
        self._places: dict[Client, Endpoint] = {}
        self._tasks: dict[Client, asyncio.Task[None]] = {}
        self._moving = False

    def start(self) -> None:
        self._moving = True
        for _ in range(self._size):
            self._enter()

    async def stop(self) -> None:
        """Nobody moves from now on; whoever has not left comes back."""
        self._moving = False
        await asyncio.gather(*self._tasks.values())
        self._tasks.clear()

    def lose(self, share: float, place: Endpoint) -> None:
        """Let a *share* of the pages at *place*, which is about to end, never come back."""
        for page in list(self.pages):
            if self._places.get(page) == place and self._random.random() < share:
                page.wanted = False
                self.pages.remove(page)
                if self._moving:
                    self._enter()

    async def back(self, seconds: float) -> None:
        """Wait until every page is where it wants to be."""

        def missing() -> list[str]:
            return [p.user for p in self.pages if not _is_whole(p)]

        await until(lambda: not missing(), "every page is back", seconds, missing)

    @property
    def truth(self) -> Picture:
        """What the pages themselves know of their connections."""
        here = [page for page in self.pages if page.is_connected]
        on = [(name, page.user) for page in here for name in page.subscriptions]
        return Picture(
            frozenset(name for name, _ in on),
            frozenset((name, user) for name, user in on if name.startswith("presence-")),
            frozenset(page.user for page in here if page.stream.signed_in),
        )

    def _enter(self) -> None:
        known = self.users and self._random.random() < 0.3
        user = (
            self._random.choice(self.users) if known else f"u-{self.app.id}-{next(self._numbers)}"
        )
        if not known:
            self.users.append(user)
        info = {"name": user}
        page = self._clients.new(self._route, self.app, user, info=info, back_off=BACK_OFF)
        page.route = partial(self._place, page)
        self.pages.append(page)
        self._tasks[page] = asyncio.create_task(self._wander(page))

    def _place(self, page: Client) -> Endpoint:
        """Where *page* connects next."""
        self._places[page] = place = self._route()
        return place

    async def _wander(self, page: Client) -> None:
        page.begin()
        if self._random.random() < 0.7:
            await page.ask_to_sign_in()
        while self._moving and page in self.pages:
            await self._step(page)
            await asyncio.sleep(self._random.uniform(0, 2 * _STEP_SECONDS))

    async def _step(self, page: Client) -> None:
        choice = self._random.random()
        if choice < 0.5:
            await self._subscribe(page)
        elif choice < 0.8:
            if page.subscriptions:
                await page.unsubscribe(self._random.choice(page.subscriptions))
        elif choice < 0.95:
            page.drop()
        elif page.is_connected:
            self.pages.remove(page)
            await (page.close() if self._random.random() < 0.5 else page.reset())
            self._enter()

    async def _subscribe(self, page: Client) -> None:
        free = [name for name in self._channels if name not in page.subscriptions]
        if free:
            await page.ask(self._random.choice(free))


def _is_whole(page: Client) -> bool:
    if not page.is_connected or not page.has(*page.subscriptions):
        return False
    return page.stream.signed_in or not page.signs_in
