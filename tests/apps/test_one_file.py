"""Applications and the webhook outbox in one file, which a server and the command both write."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from apps.live import Deployment, configure, deployed, established, in_force, status
from herenow.apps.base import App, Key
from herenow.store.sealing import new_key

pytestmark = pytest.mark.anyio

HOOKED = """
[[apps]]
id = "7"
key = "static-key"
secret = "static-secret-of-the-tests"
[[apps.webhooks]]
url = "http://127.0.0.1:9/"
events = ["channel_occupied"]
"""
HOOKED_APP = App("7", (Key("static-key", "static-secret-of-the-tests"),))


def deleted_files(deployment: Deployment) -> list[str]:
    """What the server has open that nobody else can open any more."""
    process = deployment.servers[0].process
    assert process is not None
    found = []
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(entry.readlink()))
    return [name for name in found if "herenow.db" in name and name.endswith("(deleted)")]


def occupied(path: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return {lane[1:] for (lane,) in connection.execute("SELECT lane FROM webhooks_entries")}


async def is_occupied(path: Path, channel: str) -> bool:
    return channel in occupied(path)


async def has_status(port: int, app: App, expected: int) -> bool:
    return await status(port, app) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_the_command_does_not_take_the_log_of_the_file_from_a_server(tmp_path: Path) -> None:
    """Changes arrive one after another, and whoever opens the outbox sees what came meanwhile."""
    path = tmp_path / "herenow.db"
    configure(tmp_path, f"sqlite:///{path}", [new_key()], HOOKED)
    async with deployed(tmp_path, servers=1) as deployment:
        (port,) = deployment.ports
        client = await established(port, HOOKED_APP)
        made = deployment.create()
        await in_force(partial(has_status, port, made, 200), time.monotonic())
        for number, enabled in enumerate(("false", "true", "false")):
            await asyncio.to_thread(deployment.apps, "set", made.id, f"enabled={enabled}")
            expected = 200 if enabled == "true" else 403
            await in_force(partial(has_status, port, made, expected), time.monotonic())
            assert deleted_files(deployment) == []
            await client.subscribe(f"room-{number}")
            await in_force(partial(is_occupied, path, f"room-{number}"), time.monotonic())
        client.close()
        assert occupied(path) == {"room-0", "room-1", "room-2"}
