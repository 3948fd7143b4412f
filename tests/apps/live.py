"""Two real servers on one store, and the command that changes it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from conformance.harness.server import Server, stop
from conformance.harness.server import _address as address_in
from conformance.harness.server import _ready_line as ready_line
from herenow.apps.base import App, Key
from server.client import Client, Closed
from server.serving import Answer, request, sign

IN_FORCE_SECONDS: Final = 2.0
HERENOW: Final = (sys.executable, "-m", "herenow.cli")
STATIC: Final = """
[[apps]]
id = "7"
key = "static-key"
secret = "static-secret-of-the-tests"
"""


@dataclass
class Deployment:
    """Servers on one store, in a directory whose configuration the command line reads too."""

    directory: Path
    servers: list[Server]

    def apps(self, *arguments: str, code: int = 0) -> str:
        """What ``herenow apps`` with *arguments* prints."""
        done = run_apps(self.directory, *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def create(self, *arguments: str) -> App:
        """An application as its owner knows it."""
        made = json.loads(self.apps("create", "--json", *arguments))
        return App(made["id"], (Key(made["key"], made["secret"]),))

    def rotate(self, app: App) -> App:
        made = json.loads(self.apps("rotate", app.id, "--json"))
        return App(app.id, (Key(made["key"], made["secret"]),))

    @property
    def ports(self) -> list[int]:
        return [server.endpoint.port for server in self.servers]

    def log(self) -> str:
        return "".join(path.read_text() for path in sorted(self.directory.glob("stderr-*.log")))


def run_apps(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command, *rest = arguments
    given = [] if command == "key" else ["--config", "herenow.toml"]
    return subprocess.run(
        [*HERENOW, "apps", command, *given, *rest],
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment() -> dict[str, str]:
    foreign = ("HERENOW_", "PUSHER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def configure(directory: Path, url: str, keys: Sequence[str], more: str = STATIC) -> None:
    """Write the configuration that servers and command share."""
    text = f"[store]\nurl = {json.dumps(url)}\nsecret_key = {json.dumps(list(keys))}\n{more}"
    (directory / "herenow.toml").write_text(text)


@contextlib.asynccontextmanager
async def deployed(directory: Path, servers: int = 2) -> AsyncIterator[Deployment]:
    """Servers that run with the configuration in *directory*."""
    with contextlib.ExitStack() as stack:
        started = [_start(directory, number, stack) for number in range(servers)]
        yield Deployment(directory, started)


def _start(directory: Path, number: int, stack: contextlib.ExitStack) -> Server:
    log = directory / f"stderr-{number}.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*HERENOW, "serve", "--config", "herenow.toml", "--port", "0", "--admin-port", "0"],
            cwd=directory,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    stack.callback(_end, process)
    assert process.stdout is not None
    line = ready_line(process.stdout, log)
    return Server(address_in(line, "public"), {}, address_in(line, "admin"), process)


def _end(process: subprocess.Popen[bytes]) -> None:
    stop(process)
    assert process.stdout is not None
    process.stdout.close()


async def connect(port: int, app: App) -> Client:
    client = Client(app)
    await client.open(port, f"/app/{app.keys[0].key}?protocol=7")
    return client


async def established(port: int, app: App) -> Client:
    client = await connect(port, app)
    await client.expect_established()
    return client


async def status(port: int, app: App) -> int:
    """How a signed call of *app* is answered."""
    return (await call(port, app)).status


async def call(port: int, app: App) -> Answer:
    path = f"/apps/{app.id}/channels"
    return await request(port, "GET", f"{path}?{sign(app, 'GET', path, '', b'')}")


async def in_force(condition: Callable[[], Any], changed: float) -> None:
    """Ask until the awaited *condition* holds, which it must within two seconds of *changed*."""
    while not await condition():
        assert time.monotonic() < changed + IN_FORCE_SECONDS, "not in force within two seconds"
        await asyncio.sleep(0.02)


async def closed_with(client: Client) -> int | None:
    """The code with which the server closes *client*."""
    last = (await client.read_until_closed())[-1]
    assert isinstance(last, Closed)
    client.close()
    return last.code
