"""The servers that are measured: how each is started on its core, and stopped."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from bench.rows import Load

SERVER_CORE: Final = 0
GENERATOR_CORE: Final = 1
APP_ID, APP_KEY, APP_SECRET = "app-id", "app-key", "app-secret"

_START_SECONDS: Final = 30
_STOP_SECONDS: Final = 15
_WEBHOOKS: Final = ["channel_occupied", "channel_vacated", "member_added", "member_removed"]
_READY: Final = re.compile(r"herenow ready public=http://127\.0\.0\.1:(\d+) ")


class Place(NamedTuple):
    """Where programs are (``built``) and where configurations and logs go (``scratch``)."""

    built: Path
    scratch: Path


class Running(NamedTuple):
    pid: int
    port: int


@dataclass(frozen=True)
class Server:
    """A server by name; ``command`` gives how it is started on a port for a load.

    ``ready`` finds the port in the first line that the server prints, for one that chooses it.
    """

    name: str
    command: Callable[[Place, int, Load], Start]
    ready: re.Pattern[str] | None = None


class Start(NamedTuple):
    command: list[str]
    environment: Mapping[str, str] = {}


class DidNotStart(Exception):
    def __init__(self, name: str, log: str) -> None:
        super().__init__(f"{name} did not start:\n{log}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def pinned(core: int, command: list[str]) -> list[str]:
    return ["taskset", "-c", str(core), *command]


@contextmanager
def running(server: Server, place: Place, load: Load) -> Iterator[Running]:
    """The server on its core, ready for the load."""
    port = 0 if server.ready else free_port()
    start = server.command(place, port, load)
    log = place.scratch / f"{server.name}.log"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HERENOW_", "PUSHER_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(SERVER_CORE, start.command),
            env=environment | dict(start.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if server.ready else output,
            stderr=output,
            start_new_session=True,
        )
    try:
        ready = _announced(process, server.ready) if server.ready else _listening(process, port)
        if not ready:
            raise DidNotStart(server.name, log.read_text(errors="replace")[-2_000:])
        yield Running(process.pid, ready)
    finally:
        _stop(process)


def _announced(process: subprocess.Popen[bytes], ready: re.Pattern[str]) -> int:
    assert process.stdout is not None
    found = ready.match(process.stdout.readline().decode())
    return int(found[1]) if found else 0


def _listening(process: subprocess.Popen[bytes], port: int) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    return 0


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_STOP_SECONDS)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def herenow(sink_port: int) -> Server:
    """herenow as it is without any setting, with one webhook endpoint, on the core."""

    def command(place: Place, port: int, load: Load) -> Start:
        file = place.scratch / "herenow.toml"
        store = place.scratch / "herenow.db"
        for left in place.scratch.glob(f"{store.name}*"):
            left.unlink()
        file.write_text(configuration(sink_port, load) + f'[store]\nurl = "sqlite:///{store}"\n')
        options = ["--config", str(file), "--port", str(port), "--admin-port", "0"]
        return Start([sys.executable, "-m", "herenow.cli", "serve", *options])

    return Server("herenow", command, _READY)


def configuration(sink_port: int, load: Load) -> str:
    """The configuration file of herenow: defaults, except for the limits that the load names."""
    lines = [
        "[[apps]]",
        f'id = "{APP_ID}"',
        f'key = "{APP_KEY}"',
        f'secret = "{APP_SECRET}"',
        "client_events = true",
        *(f"limits.{name} = {value}" for name, value in load.limits),
        "[[apps.webhooks]]",
        f'url = "http://127.0.0.1:{sink_port}/"',
        f"events = {json.dumps(_WEBHOOKS)}",
    ]
    return "\n".join(lines) + "\n"


def floor() -> Server:
    """The bare C server."""

    def command(place: Place, port: int, load: Load) -> Start:
        return Start([str(place.built / "load" / "cfloor"), str(port)])

    return Server("floor", command)


def soketi() -> Server:
    """soketi with everything off that it can do without, and no limits."""

    def command(place: Place, port: int, load: Load) -> Start:
        home = (place.built / "soketi").resolve()
        script = home / "node_modules/@soketi/soketi/bin/server.js"
        environment = _soketi_environment(port)
        if (shim := home / "isoc23.so").exists():
            environment["LD_PRELOAD"] = str(shim)
        options = ["--max-old-space-size=8192", str(script), "start"]
        return Start(["node", *options, f"--config={home / 'config.json'}"], environment)

    return Server("soketi", command)


def _soketi_environment(port: int) -> dict[str, str]:
    settings = {
        "HOST": "127.0.0.1",
        "PORT": port,
        "METRICS_HOST": "127.0.0.1",
        "METRICS_SERVER_PORT": free_port(),
        "METRICS_ENABLED": 0,
        "CLUSTER_HOST": "127.0.0.1",
        "CLUSTER_UNICAST_ADDRESSES": "127.0.0.1",
        "CLUSTER_PORT": free_port(),
        "DEFAULT_APP_ID": APP_ID,
        "DEFAULT_APP_KEY": APP_KEY,
        "DEFAULT_APP_SECRET": APP_SECRET,
        "DEFAULT_APP_ENABLE_CLIENT_MESSAGES": "true",
        "DEFAULT_APP_MAX_CONNS": -1,
        "DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SEC": -1,
        "DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SEC": -1,
        "DEFAULT_APP_MAX_READ_REQ_PER_SEC": -1,
        "PRESENCE_MAX_MEMBERS": 1_000_000,
        "PRESENCE_MAX_MEMBER_SIZE": 10,
        "EVENT_MAX_BATCH_SIZE": 10,
    }
    return {"NODE_ENV": "production"} | {f"SOKETI_{k}": str(v) for k, v in settings.items()}


def peer(template: str) -> Server:
    """Any other server: a command in which ``{port}`` stands for the port it is to listen on.

    It serves the application ``app-id`` with key ``app-key`` and secret ``app-secret``.
    """

    def command(place: Place, port: int, load: Load) -> Start:
        return Start([part.replace("{port}", str(port)) for part in shlex.split(template)])

    return Server("peer", command)


@contextmanager
def sink(place: Place, port: int) -> Iterator[int]:
    """Where webhooks go, beside the generator; gives its process id."""
    command = pinned(GENERATOR_CORE, [str(place.built / "load" / "sink"), str(port)])
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()
