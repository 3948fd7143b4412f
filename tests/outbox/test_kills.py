"""Killed at random moments, a server never leaves its receivers with a wrong picture."""

from __future__ import annotations

import asyncio
import os
import random
import sys

import pytest

from conformance.harness.websocket import Endpoint
from faults.clients import Clients
from faults.deployment import Deployment
from outbox.conftest import Deploy
from outbox.crowd import Crowd
from outbox.endpoints import app, endpoint
from outbox.receiver import Failing, Receiver
from outbox.rest import Judged, at_rest
from outbox.times import DRAINED, GONE, KILLS, LEASE, PAGES, RETURN

SEED = int(os.environ.get("HERENOW_SEED", "1"))
CHANNELS = [f"presence-room-{i}" for i in range(6)] + [f"news-{i}" for i in range(4)]
NEVER_BACK = 0.4


class Trial:
    """Two apps, one of which batches, and a receiver that fails half of its requests."""

    def __init__(self, receiver: Receiver, seed: int) -> None:
        self.random = random.Random(seed)
        self.failing = Failing(0.5, seed)
        receiver.choose = self.failing
        single = app(
            11,
            endpoint(receiver, "/all", user_info=True),
            endpoint(receiver, "/rooms", channel_name_starts_with="presence-"),
        )
        batching = app(12, endpoint(receiver, "/batch"), batch_webhooks=True)
        self.apps = {"single": single, "batching": batching}
        self.judged = [
            Judged(single, receiver, {"/all": "", "/rooms": "presence-"}),
            Judged(batching, receiver, {"/batch": ""}),
        ]

    async def run(
        self, clients: Clients, deployment: Deployment, *, up: float, down: float
    ) -> None:
        """Kill nodes under load, then come to rest and judge.

        A node lives up to *up* seconds and stays away for up to *down*.
        """

        def route() -> Endpoint:
            """A node that serves; the first one while none does."""
            return deployment.next() if deployment.serving else deployment.nodes[0].endpoint

        crowds = [
            Crowd(clients, app, route, PAGES // 2, CHANNELS, SEED + number)
            for number, app in enumerate(self.apps.values())
        ]
        for crowd in crowds:
            crowd.start()
        for _ in range(KILLS):
            await asyncio.sleep(self.random.uniform(0.1, up))
            victim = self.random.choice(deployment.serving)
            for crowd in crowds:
                crowd.lose(NEVER_BACK, victim.endpoint)
            victim.kill()
            await asyncio.sleep(self.random.uniform(0, down))
            await asyncio.to_thread(victim.start)
        await self._end(deployment, crowds)

    async def _end(self, deployment: Deployment, crowds: list[Crowd]) -> None:
        for crowd in crowds:
            await crowd.stop()
        for crowd in crowds:
            await crowd.back(30)
        self.failing.share = 0.0
        await asyncio.sleep(GONE)
        users = {crowd.app.id: crowd.users for crowd in crowds}
        answers = await at_rest(deployment, self.judged, users, DRAINED)
        for each in self.judged:
            each.assert_right()
        for crowd in crowds:
            assert answers[crowd.app.id] == crowd.truth
        accounts = [account for each in self.judged for account in each.accounts.values()]
        assert all(account.distinct for account in accounts)
        sys.stdout.write(
            f"seed {SEED}: {sum(len(a.distinct) for a in accounts)} events in"
            f" {sum(a.requests for a in accounts)} requests,"
            f" {sum(a.repeats for a in accounts)} events came again\n"
        )


@pytest.mark.anyio
async def test_a_server_alone_that_is_killed_again_and_again(
    alone: Deploy, clients: Clients
) -> None:
    """What the events say equals what the API answers, and each fact alternated strictly."""
    with Receiver() as receiver:
        trial = Trial(receiver, SEED)
        with alone(trial.apps) as deployment:
            await trial.run(clients, deployment, up=1.5 * RETURN, down=0.5)


@pytest.mark.anyio
async def test_nodes_that_share_an_engine_and_are_killed_in_turn(
    shared: Deploy, clients: Clients
) -> None:
    """What the events say equals what every node answers; the others take over."""
    with Receiver() as receiver:
        trial = Trial(receiver, SEED)
        with shared(trial.apps) as deployment:
            await trial.run(clients, deployment, up=1.5 * LEASE, down=2 * LEASE)
