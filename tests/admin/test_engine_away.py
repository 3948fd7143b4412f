"""What the admin port answers while the engine is away, or cannot say everything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from starlette.types import Message

from herenow.admin.app import make_app
from herenow.admin.cluster import Connections
from herenow.config import load_config
from server.late_engine import LateLedger, Lateness
from server.serving import APP, Answer, Serving, serving

BASE = f"/api/apps/{APP.id}"
READS = [f"{BASE}/stats", f"{BASE}/channels", f"{BASE}/channels/presence-a/members"]

pytestmark = pytest.mark.anyio


class Away(LateLedger):
    """A ledger that says itself whether its engine is there."""

    ready = True


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def lateness() -> Lateness:
    return Lateness()


@pytest.fixture
async def late(lateness: Lateness) -> AsyncIterator[Serving]:
    async with serving(make_ledger=partial(Away, lateness)) as started:
        yield started
        lateness.unavailable = False


class Unheard:
    """Connections to an engine that does what it is asked, while nothing is heard of it."""

    is_connected = False
    losses = 0
    outstanding = 0


async def ask(late: Serving, path: str, connections: Connections | None = None) -> Answer:
    """The answer of the admin port of *late*."""
    assert isinstance(late.ledger, Away)
    app = make_app(late.node, late.ledger, load_config(), connections)
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1),
    }
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    head, *parts = sent
    headers = {name.decode(): value.decode() for name, value in head["headers"]}
    return Answer(head["status"], headers, b"".join(part["body"] for part in parts))


@pytest.mark.parametrize("path", READS)
async def test_a_read_that_is_not_answered_is_refused(
    late: Serving, lateness: Lateness, path: str
) -> None:
    lateness.unavailable = True
    answer = await ask(late, path)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert json.loads(answer.body) == {"error": "the cluster's engine does not answer"}
    lateness.unavailable = False
    assert (await ask(late, path)).status == 200


@pytest.mark.parametrize("path", READS)
async def test_an_answer_that_may_be_partial_says_so(
    late: Serving, lateness: Lateness, path: str
) -> None:
    assert json.loads((await ask(late, path)).body)["complete"] is True
    lateness.complete = False
    assert json.loads((await ask(late, path)).body)["complete"] is False


async def test_a_node_without_its_engine_is_live_but_not_ready(late: Serving) -> None:
    assert isinstance(late.ledger, Away)
    late.ledger.ready = False
    answer = await ask(late, "/health/ready")
    assert (answer.status, answer.text) == (503, "the cluster's engine does not answer\n")
    assert (await ask(late, "/health/live")).status == 200


async def test_a_node_that_hears_nothing_of_its_engine_is_not_ready(late: Serving) -> None:
    """Its clients would get no events, though everything else works."""
    connections = Unheard()
    answer = await ask(late, "/health/ready", connections)
    assert (answer.status, answer.text) == (503, "the cluster's engine does not answer\n")
    connections.is_connected = True
    assert (await ask(late, "/health/ready", connections)).status == 200


async def test_metrics_leave_out_what_is_not_known(late: Serving, lateness: Lateness) -> None:
    """What the node itself counts is there all the same."""
    known = f'herenow_connections{{app="{APP.id}"}}'
    assert known in (await ask(late, "/metrics")).text
    lateness.unavailable = True
    text = (await ask(late, "/metrics")).text
    assert known not in text
    assert "herenow_connections_opened_total" in text
