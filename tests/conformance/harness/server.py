"""A server process of this test run, or a server that runs elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

from conformance.harness.apps import App, Settings, configuration
from conformance.harness.websocket import Endpoint

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server listens and which applications it has.

    ``others`` are further nodes of the same deployment.
    """

    endpoint: Endpoint
    apps: Mapping[str, App]
    admin: Endpoint | None = None
    process: subprocess.Popen[bytes] | None = None
    others: tuple[Server, ...] = ()

    @property
    def nodes(self) -> tuple[Server, ...]:
        return (self, *self.others)


def together(nodes: Sequence[Server]) -> Server:
    """The deployment that consists of *nodes*."""
    first, *others = nodes
    return replace(first, others=tuple(others))


@contextlib.contextmanager
def running(
    command: Sequence[str], directory: Path, apps: Mapping[str, App], settings: Settings
) -> Iterator[Server]:
    """Start *command* with a configuration in *directory*, and stop it in the end."""
    config, log = directory / "herenow.toml", directory / "stderr.log"
    config.write_text(configuration(apps, settings))
    arguments = ["--config", str(config), "--port", "0", "--admin-port", "0"]
    foreign = ("HERENOW_", "PUSHER_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [*command, *arguments],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = _ready_line(process.stdout, log)
            yield Server(_address(line, "public"), apps, _address(line, "admin"), process)
        finally:
            stop(process)


def _ready_line(stdout: IO[bytes], log: Path) -> str:
    line = b""
    deadline = time.monotonic() + START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            ready = selector.select(deadline - time.monotonic())
            chunk = os.read(stdout.fileno(), 4096) if ready else b""
            assert chunk, f"the server did not get ready:\n{log.read_text()}"
            line += chunk
    return line.decode()


def _address(line: str, name: str) -> Endpoint:
    found = re.search(rf"\b{name}=(\S+)", line)
    assert found, f"no {name} address in {line!r}"
    return endpoint(found[1])


def endpoint(address: str) -> Endpoint:
    """The endpoint of ``host:port`` or of a URL."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    tls = parts.scheme in ("https", "wss")
    assert parts.hostname, f"no host in {address!r}"
    return Endpoint(parts.hostname, parts.port or (443 if tls else 80), tls)


def stop(process: subprocess.Popen[bytes]) -> int:
    """Ask *process* to end, insist if it does not, and tell its exit code."""
    process.terminate()
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
