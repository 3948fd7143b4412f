"""A real ``herenow serve`` process."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from compat.inbox import DEADLINE, Inbox

READY: Final = re.compile(r"herenow ready public=(http://\S+) admin=http://\S+\n")


@dataclass(frozen=True, slots=True)
class App:
    """One application as a server is configured with it."""

    id: str
    key: str
    secret: str = field(repr=False)
    settings: Mapping[str, object] = field(default_factory=dict)


DEFAULT_APP: Final = App("1", "herenow-key", "herenow-secret")
"""What a server without configured applications has."""

PLAIN: Final = App(
    "4711",
    "a1b2c3d4e5f60718293a",
    "0f1e2d3c4b5a69788796",
    {"client_events": True, "leave_grace_seconds": 0},
)
COUNTED: Final = App(
    "4712",
    "b2c3d4e5f60718293a4b",
    "1e2d3c4b5a697887960f",
    {"subscription_count": True, "leave_grace_seconds": 0},
)


class Address(Protocol):
    """Where clients find a server."""

    host: str
    port: int


class Server:
    """One server; started again, it listens on the same port."""

    def __init__(self, directory: Path, apps: Sequence[App] = ()) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self._config = directory / "herenow.toml"
        self._errors = directory / "stderr.txt"
        self._config.write_text(_configuration(apps))
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [*serve_command(), "--config", str(self._config), "--host", self.host]
        command += ["--port", str(self.port), "--admin-port", "0"]
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=self._config.parent,
                env=_environment(),
            )
        line = first_line(self._process)
        ready = READY.fullmatch(line)
        if ready is None:
            self.kill()
            raise AssertionError(f"not ready but {line!r}: {self._errors.read_text()[-2000:]}")
        port = urlsplit(ready[1]).port
        assert port is not None
        self.port = port

    def stop(self) -> None:
        """Ask the server to end as an operator would; clients are told to reconnect."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {DEADLINE} s after SIGTERM") from None
        status = self._process.returncode
        self._close()
        assert status == 0, self._errors.read_text()[-2000:]

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close()

    def _close(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None


@contextmanager
def running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
        server.stop()
    finally:
        server.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    """The line with which a program says that it is ready; empty if it does not in time."""
    assert process.stdout is not None
    lines = Inbox("the program")
    stdout = process.stdout
    reader = threading.Thread(target=lambda: lines.put({"line": stdout.readline()}), daemon=True)
    reader.start()
    reader.join(DEADLINE)
    if reader.is_alive():
        process.kill()
        reader.join()
    return str(lines.expect()["line"])


def serve_command() -> list[str]:
    """How ``herenow serve`` is started."""
    given = os.environ.get("HERENOW_SERVER_COMMAND")
    if given:
        return shlex.split(given)
    script = Path(sys.executable).with_name("herenow")
    return [*([str(script)] if script.exists() else [sys.executable, "-m", "herenow"]), "serve"]


def _environment() -> dict[str, str]:
    """This process's environment without what would configure the server."""
    ours = ("HERENOW_", "PUSHER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _configuration(apps: Sequence[App]) -> str:
    lines = []
    for app in apps:
        table = {"id": app.id, "key": app.key, "secret": app.secret, **app.settings}
        lines += ["[[apps]]", *_members(table)]
    return "\n".join([*lines, ""])


def _members(table: Mapping[str, object]) -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, bool):
            yield f"{name} = {str(value).lower()}"
        elif isinstance(value, str):
            yield f'{name} = "{value}"'
        else:
            yield f"{name} = {value}"
