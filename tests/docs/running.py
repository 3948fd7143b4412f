"""Programs made of what a page says, and a client that hears what they publish."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from websockets.sync.client import ClientConnection, connect

from compat.inbox import DEADLINE, Inbox
from compat.serving import DEFAULT_APP, Server
from docs.pages import ROOT
from herenow import Channels

NODE_MODULES: Final = ROOT / "tests" / "compat" / "node_modules"
DEFAULT_PORT: Final = "6001"


def channels_of(server: Server) -> Channels:
    app = DEFAULT_APP
    return Channels(app.id, app.key, app.secret, host=server.host, port=server.port)


def with_port(text: str, server: Server) -> str:
    """*text* for *server*, which does not listen on the port that the pages name."""
    assert DEFAULT_PORT in text
    return text.replace(DEFAULT_PORT, str(server.port))


def write_module(directory: Path, text: str) -> Path:
    """*text* as a module for Node.js that finds the packages of the tests."""
    (directory / "node_modules").symlink_to(NODE_MODULES)
    module = directory / "snippet.mjs"
    module.write_text(text, encoding="utf-8")
    return module


def output_of(command: Sequence[str], directory: Path) -> str:
    """Standard output of a program that ends by itself, with success."""
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def printing(command: Sequence[str], directory: Path, **settings: str) -> Iterator[Inbox]:
    """The lines that a program prints while it runs, with *settings* in its environment."""
    lines = Inbox(command[0])
    process = subprocess.Popen(
        command,
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **settings},
    )
    assert process.stdout is not None
    reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        yield lines
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()


def _read(stdout: IO[str], lines: Inbox) -> None:
    for line in stdout:
        sys.stdout.write(line)  # Shown when the test fails.
        lines.put({"line": line.rstrip("\n")})


def expect_line(lines: Inbox, part: str) -> str:
    """Wait for a line with *part* in it."""
    while True:
        line = str(lines.expect()["line"])
        if part in line:
            return line


class Member:
    """A connection that knows no more than the protocol."""

    def __init__(self, connection: ClientConnection, channels: Channels) -> None:
        self._connection = connection
        self._channels = channels
        established = self.hear("pusher:connection_established")
        self.socket_id: str = established["socket_id"]

    def hear(self, event: str) -> Any:
        """The decoded data of the next event, which must be this one."""
        frame = json.loads(self._connection.recv(DEADLINE))
        assert frame["event"] == event, frame
        return json.loads(frame["data"])

    def join(self, channel: str, user: str | None = None) -> None:
        data: dict[str, object] = {"channel": channel}
        if user is not None:
            member = {"user_id": user}
            data |= self._channels.authorize_channel(self.socket_id, channel, member)
        self._connection.send(json.dumps({"event": "pusher:subscribe", "data": data}))
        self.hear("pusher_internal:subscription_succeeded")


@contextmanager
def connected(server: Server) -> Iterator[Member]:
    url = f"ws://{server.host}:{server.port}/app/{DEFAULT_APP.key}?protocol=7"
    with connect(url, proxy=None) as connection, channels_of(server) as channels:
        yield Member(connection, channels)
