"""The official pusher-js while the engine is away."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from cluster.servers import Valkey
from compat.scripts import Script
from compat.sdks import NODE_MODULES
from conformance.harness.proof import PROOF
from faults.apps import MAIN
from faults.clients import Clients, answers_equal_the_truth, settled
from faults.deployment import Deployment
from faults.times import HOLD

PAGES: Final = 50
SUBSCRIBED_WITHIN: Final = 5.0
OUTAGES: Final = (10.0, 40.0) if PROOF else (HOLD / 2, HOLD * 1.7)


@pytest.fixture(scope="module")
def node() -> str:
    """Node.js, with the packages of ``tests/compat``."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    if not NODE_MODULES.is_dir():
        pytest.skip("run npm ci in tests/compat first")
    return found


@contextmanager
def crowd(node: str, deployment: Deployment, name: str) -> Iterator[Script]:
    """``PAGES`` pages, each on a node of its turn."""
    settings = {
        "id": MAIN.id,
        "key": MAIN.key,
        "secret": MAIN.secret,
        "name": name,
        "host": "127.0.0.1",
        "ports": [deployment.next().port for _ in range(PAGES)],
    }
    pages = Script([node, str(Path(__file__).with_name("crowd.mjs"))], settings)
    try:
        yield pages
    finally:
        pages.close()


@pytest.mark.anyio
@pytest.mark.parametrize("outage", OUTAGES, ids=["shorter than the hold", "longer than the hold"])
async def test_all_are_subscribed_soon_after_the_engine_is_back(
    deployment: Deployment, valkey: Valkey, clients: Clients, node: str, outage: float
) -> None:
    """Fifty pages join while it is away; none has to be loaded again."""
    name = f"page-{outage:g}"
    room = f"presence-{name}"
    observers = await clients.witnesses(deployment.serving, MAIN, room)
    with crowd(node, deployment, name) as pages:

        def join_meanwhile() -> float:
            for page in range(PAGES):
                pages.reports.expect(page=page, state="connected")
            valkey.save()
            valkey.kill()
            gone = time.monotonic()
            pages.tell("subscribe", channel=room)
            time.sleep(max(0.0, gone + outage - time.monotonic()))
            assert not [r for r in pages.reports.waiting() if "subscribed" in r]
            valkey.start()
            back = time.monotonic()
            for page in range(PAGES):
                left = back + SUBSCRIBED_WITHIN + 20 - time.monotonic()
                while "subscribed" not in pages.reports.expect(left, page=page):
                    left = back + SUBSCRIBED_WITHIN + 20 - time.monotonic()
            return time.monotonic() - back

        took = await asyncio.to_thread(join_meanwhile)
        assert took <= SUBSCRIBED_WITHIN, f"the last one only after {took:.1f} s"
        everybody = {f"{name}-{page}" for page in range(PAGES)} | clients.truth(room)
        for observer in observers:
            await observer.sees(room, everybody)
            assert observer.closes == []

        def all_pages_show_everybody() -> bool:
            shown = pages.ask("members", channel=room)
            return all(set(members) == everybody for members in shown)

        deadline = time.monotonic() + SUBSCRIBED_WITHIN
        while not await asyncio.to_thread(all_pages_show_everybody):
            assert time.monotonic() < deadline, json.dumps(pages.ask("members", channel=room))
    await settled(clients, [room])
    await answers_equal_the_truth(deployment, clients, MAIN, [room])
