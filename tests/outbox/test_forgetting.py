"""A server that forgot what it had told would be found out."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cluster.servers import Valkey
from conformance.harness.proof import PROOF
from faults.clients import Clients, until
from faults.deployment import Deployment, Node
from outbox.conftest import Deploy
from outbox.endpoints import app, endpoint
from outbox.receiver import Receiver
from outbox.rest import Judged, at_rest
from outbox.times import GONE

ROOM = "presence-room"
STAYING, LEAVING = 3, 3
FORGETS = [False, True] if PROOF else [True]
"""That one which does not forget is found right is shown elsewhere, too."""

Forget = Callable[[], None]


def forget_in_file(directory: Path) -> None:
    """Empty what was told in the outbox of a node alone."""
    (file,) = directory.glob("*.db")
    with closing(sqlite3.connect(file)) as database, database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]
        (told,) = [name for name in tables if name.endswith("told")]
        assert database.execute(f"DELETE FROM {told}").rowcount > 0


def forget_in_engine(valkey: Valkey) -> None:
    """Remove what was told from the engine."""
    keys = [key for key in valkey.command("KEYS", "*") if b":told" in key]
    assert keys
    assert valkey.command("DEL", *keys) == len(keys)


async def left_behind(
    clients: Clients, deployment: Deployment, receiver: Receiver, judged: Judged, forget: Forget
) -> list[str]:
    """What is found wrong after a node was killed, some of whose pages never come back."""
    victim: Node = deployment.serving[0]
    others = deployment.serving[1:]
    pages = [
        await clients.join(victim, judged.app, f"page-{i}", ROOM) for i in range(STAYING + LEAVING)
    ]
    await until(
        lambda: (
            bool(judged.read() or True) and len(judged.accounts["/"].picture.members) == len(pages)
        ),
        "all are told",
    )
    for page in pages[STAYING:]:
        page.wanted = False
    victim.kill()
    forget()
    if others:
        for page in pages:
            page.route = lambda: others[0].endpoint
    await asyncio.to_thread(victim.start)
    await asyncio.gather(*(page.back(ROOM) for page in pages[:STAYING]))
    await asyncio.sleep(GONE)
    judged.read()
    if judged.accounts["/"].wrong:
        return judged.accounts["/"].wrong
    users = {judged.app.id: [page.user for page in pages]}
    try:
        await at_rest(deployment, [judged], users, GONE)
    except AssertionError:
        return [*judged.accounts["/"].wrong, "the picture is wrong"]
    return judged.accounts["/"].wrong


@pytest.mark.anyio
@pytest.mark.parametrize("forgets", FORGETS)
async def test_a_server_alone_must_remember_what_it_told(
    alone: Deploy, clients: Clients, tmp_path: Path, *, forgets: bool
) -> None:
    """With what was told wiped between kill and start, the judge finds it wrong."""
    with Receiver() as receiver:
        one = app(31, endpoint(receiver, "/"))
        judged = Judged(one, receiver, {"/": ""})
        with alone({"one": one}) as deployment:
            forget = (lambda: forget_in_file(tmp_path / "nodes")) if forgets else (lambda: None)
            found = await left_behind(clients, deployment, receiver, judged, forget)
    assert bool(found) is forgets, found


@pytest.mark.anyio
@pytest.mark.parametrize("forgets", FORGETS)
async def test_nodes_must_remember_what_was_told(
    shared: Deploy, valkey: Valkey, clients: Clients, *, forgets: bool
) -> None:
    """With what was told wiped from the engine when a node dies, the judge finds it wrong."""
    with Receiver() as receiver:
        one = app(31, endpoint(receiver, "/"))
        judged = Judged(one, receiver, {"/": ""})
        with shared({"one": one}, count=2) as deployment:
            forget = (lambda: forget_in_engine(valkey)) if forgets else (lambda: None)
            found = await left_behind(clients, deployment, receiver, judged, forget)
    assert bool(found) is forgets, found
