"""A receiver that hangs holds up nobody but itself."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from functools import partial

import pytest

from conformance.harness.apps import App
from conformance.harness.proof import PROOF
from faults.client import Client
from faults.clients import Clients, until
from outbox.conftest import Deploy
from outbox.endpoints import app, endpoint
from outbox.receiver import Outcome, Receiver
from outbox.times import WEBHOOKS

EVENTS = ["channel_occupied"]
AT_ONCE = 32
MEASURED = 200 if PROOF else 30
HANGS = {**WEBHOOKS, "timeout_seconds": 30.0 if PROOF else 6.0}
"""Longer than the measurement takes."""

LOUD = re.compile(rb'"loud-\d+"')
SLOWER = 3.0
SLACK_SECONDS = 0.25


def silent(path: str, body: bytes) -> Outcome:
    return Outcome.SILENT


async def delays(client: Client, receiver: Receiver, path: str, prefix: str) -> list[float]:
    """How long it takes from a subscription until *receiver* hears of the occupied channel."""
    found = []
    for number in range(MEASURED):
        channel = f"{prefix}-{number}"
        began = time.monotonic()
        await client.ask(channel)
        name = f'"{channel}"'.encode()
        await until(partial(_is_heard, receiver, path, name), f"{path} hears of {channel}")
        heard = _heard(receiver, path, name)
        found.append(heard[0] - began)
    return found


def _heard(receiver: Receiver, path: str, name: bytes) -> list[float]:
    """When requests with *name* in the body came to *path*."""
    return [request.at for request in receiver.to(path) if name in request.body]


def _is_heard(receiver: Receiver, path: str, name: bytes) -> bool:
    return bool(_heard(receiver, path, name))


async def hang(clients: Clients, where: Client, loud: App, hanging: Receiver) -> None:
    """Let as many requests to *hanging* be under way as there may be."""
    crowd = await clients.join(
        where.route, loud, "loud", *(f"loud-{i}" for i in range(3 * AT_ONCE))
    )
    assert crowd.is_connected
    await until(
        lambda: hanging.most_at_once >= AT_ONCE or len(hanging.requests) >= AT_ONCE,
        "all requests hang",
    )


def assert_not_delayed(normal: list[float], beside: list[float]) -> None:
    """*beside* one that hangs, it takes about as long as without."""
    assert statistics.median(beside) < SLOWER * statistics.median(normal) + SLACK_SECONDS, beside
    assert max(beside) < SLOWER * max(normal) + 4 * SLACK_SECONDS, beside


@pytest.mark.anyio
async def test_a_receiver_that_never_answers_delays_no_other_app(
    deploy: Deploy, clients: Clients
) -> None:
    """Nor another endpoint of the same app."""
    with Receiver() as quiet_receiver, Receiver(silent) as hanging:
        quiet = app(21, endpoint(quiet_receiver, "/quiet", EVENTS))
        loud = app(
            22, endpoint(hanging, "/loud", EVENTS), endpoint(quiet_receiver, "/beside", EVENTS)
        )
        with deploy({"quiet": quiet, "loud": loud}, HANGS) as deployment:
            place = deployment.serving[0]
            pages = [await clients.join(place, each, "page") for each in (quiet, loud)]
            normal = await delays(pages[0], quiet_receiver, "/quiet", "before")
            await hang(clients, pages[1], loud, hanging)
            other_app = await delays(pages[0], quiet_receiver, "/quiet", "meanwhile")
            # Whoever hands a partition over gives up what hangs there, and it is sent again.
            sent = {name for each in hanging.requests for name in LOUD.findall(each.body)}
            assert len(sent) <= AT_ONCE * len(deployment.serving), "some were given up"
            other_endpoint = await delays(pages[1], quiet_receiver, "/beside", "meanwhile")
            assert_not_delayed(normal, other_app)
            assert_not_delayed(normal, other_endpoint)
            await asyncio.gather(*(page.close() for page in pages))


@pytest.mark.anyio
async def test_an_event_that_never_succeeds_holds_up_its_own_channel_only(
    deploy: Deploy, clients: Clients
) -> None:
    """Those of other channels reach the same endpoint all the same."""

    def poisonous(path: str, body: bytes) -> Outcome:
        return Outcome.REFUSED if b'"poison"' in body else Outcome.ACCEPTED

    with Receiver(poisonous) as receiver:
        one = app(23, endpoint(receiver, "/", EVENTS))
        with deploy({"one": one}) as deployment:
            page = await clients.join(deployment.serving[0], one, "page", "poison")
            await until(lambda: len(receiver.requests) >= 2, "the event is tried again")
            names = [f"well-{i}" for i in range(50)]
            await page.subscribe(*names)

            def accepted() -> set[bytes]:
                return {
                    name.encode()
                    for request in receiver.to("/")
                    for name in names
                    if request.outcome is Outcome.ACCEPTED and f'"{name}"'.encode() in request.body
                }

            await until(lambda: len(accepted()) == len(names), "the others arrive", 60, accepted)
