"""A receiver that is away for long: nothing is lost, and the server stays small."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from cluster.servers import free_port
from conformance.harness.apps import App
from conformance.harness.proof import PROOF
from faults.clients import until
from faults.deployment import Node
from outbox.account import Account
from outbox.answers import endpoints
from outbox.conftest import Deploy
from outbox.endpoints import app, endpoint
from outbox.receiver import Receiver
from outbox.times import WEBHOOKS
from outbox.turnstile import turn

TRANSITIONS = 100_000 if PROOF else 2_000
OUTAGE_SECONDS = 600.0 if PROOF else 4.0
RETRY_SECONDS = 300.0 if PROOF else 2.0
CHANNELS = [f"channel-{i}" for i in range(100)]
ANSWER_SECONDS = 0.05
AT_ONCE = 32
SETTINGS = {**WEBHOOKS, "hold_seconds": 0, "retry_seconds": RETRY_SECONDS}

GROWTH_BYTES = (48 if PROOF else 12) << 20
"""However long the outage: SQLite has two caches of 16 MiB, which a large backlog fills; besides
them there are the 5,000 entries that are read ahead, and the HTTP client."""


async def watched_memory(node: Node, stop: asyncio.Event) -> int:
    """The most that *node* had until *stop*."""
    most = 0
    while not stop.is_set():
        most = max(most, node.resident_bytes)
        await asyncio.sleep(0.1)
    return most


def state(node: Node, app: App) -> dict[str, object]:
    (found,) = endpoints(node, app)
    return found


def is_waiting(state: dict[str, object], number: int) -> bool:
    """Whether that many events are not delivered, as waiting or, after long, as dead letters."""
    return number in (state["waiting"], state["dead"])


def is_empty(state: dict[str, object]) -> bool:
    """Whether everything is delivered; as one answer, for what waits becomes dead and back."""
    return state["waiting"] == 0 == state["dead"]


@pytest.mark.anyio
@pytest.mark.parametrize("batching", [False, True] if PROOF else [False])
async def test_a_long_outage_of_a_receiver(alone: Deploy, *, batching: bool) -> None:
    """Memory is bounded, order kept, the age shown, and the backlog goes at the receiver's pace."""
    with Receiver(delay=ANSWER_SECONDS, port=free_port()) as receiver:
        one = app(
            41,
            endpoint(receiver, "/", ["channel_occupied", "channel_vacated"]),
            batch_webhooks=batching,
            limits={"messages_per_second": 0},
        )
        with alone({"one": one}, SETTINGS) as deployment:
            (node,) = deployment.serving
            warm = await turn(node.endpoint, one, CHANNELS, 400, 0)
            account = Account(one, RETRY_SECONDS)
            await until(lambda: len(receiver.requests) >= warm // (10 if batching else 1), "warm")
            await until(lambda: state(node, one)["waiting"] == 0, "nothing waits")
            before = node.resident_bytes
            stop = asyncio.Event()
            watching = asyncio.create_task(watched_memory(node, stop))

            began = time.monotonic()
            with receiver.away():
                done = await turn(node.endpoint, one, CHANNELS, TRANSITIONS, OUTAGE_SECONDS)
                away = time.monotonic() - began
                await until(lambda: is_waiting(state(node, one), done), "all wait", 10)
                shown = await asyncio.to_thread(state, node, one)
                age = await asyncio.to_thread(node.metric, "herenow_webhook_oldest_seconds")
                at_rest = node.resident_bytes
            back = time.monotonic()
            receiver.most_at_once = 0
            heard_before = len(receiver.requests)

            assert away - 2 < float(str(shown["oldest_seconds"])) < away + 2
            assert away - 2 < age < away + 2
            assert shown["failing_since"] is not None

            await until(lambda: len(receiver.requests) > heard_before, "it is tried again", 90)
            first = time.monotonic()
            ideal = done / (10 if batching else 1) * ANSWER_SECONDS / AT_ONCE
            await until(
                lambda: is_empty(state(node, one)),
                "the backlog is delivered",
                60 + 4 * ideal,
                lambda: state(node, one),
            )
            drained = time.monotonic() - first
            stop.set()
            most = await watching

            account.take(receiver.requests)
            account.assert_right()
            assert account.never_accepted == []
            assert len(account.distinct) == warm + done
            assert account.picture.occupied == frozenset()
            assert 1 < receiver.most_at_once <= AT_ONCE
            sys.stdout.write(
                f"{done} transitions in {away:.0f} s away; tried again {first - back:.1f} s after"
                f" the return, drained in {drained:.1f} s (the receiver's pace: {ideal:.1f} s);"
                f" memory {before >> 20} MiB before, {at_rest >> 20} MiB at the end of the outage,"
                f" {most >> 20} MiB at most\n"
            )
            assert most - before < GROWTH_BYTES
