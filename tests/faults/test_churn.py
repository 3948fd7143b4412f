"""Everybody comes and goes everywhere, in every way, and in the end the truth is shown."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import pytest

from cluster.servers import Valkey
from conformance.harness.proof import PROOF
from faults.apps import MAIN
from faults.audit import assert_consistent
from faults.client import Client
from faults.clients import Clients, answers_equal_the_truth, settled
from faults.deployment import Deployment
from faults.times import BACK, LEASE, NOTICED_LOST

SEED = 20_240
USERS = 150 if PROOF else 36
ROUNDS = 5 if PROOF else 1
SECONDS = 20.0 if PROOF else 5.0
ROOMS = ("presence-kitchen", "presence-garden", "presence-cellar")
PAUSE = 1.0


class Crowd:
    """Pages of many users, two of some, that do by chance whatever a page can do."""

    def __init__(self, deployment: Deployment, clients: Clients) -> None:
        self._deployment = deployment
        self._clients = clients
        self._chance = random.Random(SEED)
        self._pages: list[Client] = []

    async def come_and_go(self, going_on: Callable[[], bool]) -> None:
        """As long as *going_on*."""
        users = [f"user-{number % (USERS * 2 // 3)}" for number in range(USERS)]
        await asyncio.gather(*(self._user(user, going_on) for user in users))

    async def rest(self) -> None:
        """Wait until every page has what it asked for."""
        staying = [page for page in self._pages if page.wanted]
        await asyncio.gather(*(page.subscribed(*page.subscriptions) for page in staying))

    async def _user(self, user: str, going_on: Callable[[], bool]) -> None:
        page: Client | None = None
        while going_on():
            await asyncio.sleep(self._chance.random() * PAUSE)
            if page is None:
                page = self._clients.new(self._deployment.next, MAIN, user, back_off=0.2)
                self._pages.append(page)
                await page.connect()
            away = [room for room in ROOMS if room not in page.subscriptions]
            match self._chance.choice(["join", "join", "join", "leave", "drop", "close", "reset"]):
                case "join" if away:
                    await page.ask(self._chance.choice(away))
                case "leave" if page.subscriptions:
                    await page.unsubscribe(self._chance.choice(page.subscriptions))
                case "drop":
                    page.drop()
                case "close":
                    await page.close()
                    page = None
                case "reset":
                    await page.reset()
                    page = None


async def assert_truth(deployment: Deployment, clients: Clients, valkey: Valkey) -> None:
    """No ghost, nobody missing, no invalid stream; every node answers the same."""
    await settled(clients, ROOMS, NOTICED_LOST + BACK)
    await answers_equal_the_truth(deployment, clients, MAIN, ROOMS, BACK)
    clients.assert_valid()
    assert_consistent(valkey.url)


@pytest.mark.anyio
async def test_after_churn_every_roster_is_the_truth(
    deployment: Deployment, valkey: Valkey, clients: Clients
) -> None:
    """Closes, resets, lost connections that come back, unsubscribes, two connections of a user."""
    observers = await clients.witnesses(deployment.serving, MAIN, *ROOMS)
    crowd = Crowd(deployment, clients)
    end = time.monotonic() + SECONDS
    await crowd.come_and_go(lambda: time.monotonic() < end)
    await crowd.rest()
    await assert_truth(deployment, clients, valkey)
    assert all(len(seen.member_events(ROOMS[0])) > USERS // 2 for seen in observers)


@pytest.mark.anyio
async def test_after_churn_amid_faults_every_roster_is_the_truth(
    deployment: Deployment, valkey: Valkey, clients: Clients
) -> None:
    """Nodes freeze, are cut off and killed, the engine restarts: no stream is ever invalid."""
    first, second, third = deployment.serving
    assert first.link is not None
    assert second.link is not None
    await clients.witnesses([first, second], MAIN, *ROOMS)
    crowd = Crowd(deployment, clients)
    churning = asyncio.create_task(crowd.come_and_go(lambda: not over))
    over = False
    for _ in range(ROUNDS):
        await asyncio.sleep(LEASE / 2)
        first.link.reset()
        await asyncio.to_thread(valkey.restart, data=False)
        await asyncio.sleep(LEASE / 2)
        first.freeze()
        second.link.cut()
        await asyncio.sleep(LEASE * 1.5)
        second.link.heal()
        first.thaw()
        await asyncio.to_thread(valkey.restart, data=True)
        third.kill()
        await asyncio.sleep(LEASE)
        await asyncio.to_thread(third.start)
    over = True
    await churning
    await crowd.rest()
    await assert_truth(deployment, clients, valkey)
