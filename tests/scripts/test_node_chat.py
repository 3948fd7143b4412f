"""``scripts/node_chat.py``, which ``make node-chat`` ends in."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2
import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
SCRIPT: Final = ROOT / "scripts/node_chat.py"
FREE_PORTS: Final = ("--port", "0", "--server-port", "0", "--admin-port", "0")


@pytest.fixture
def chat() -> Iterator[subprocess.Popen[str]]:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not (ROOT / "examples/node-chat/node_modules").is_dir():
        pytest.skip("run npm ci in examples/node-chat first")
    command = [sys.executable, str(SCRIPT), *FREE_PORTS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.terminate()


def listens(address: str) -> bool:
    parts = urlsplit(address)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0


def addresses(process: subprocess.Popen[str]) -> dict[str, str]:
    """What the script says when both run: an address for each of its programs."""
    found: dict[str, str] = {}
    assert process.stdout is not None
    for line in process.stdout:
        if named := re.match(r"\s+(herenow|chat)\s+(http://[^\s,]+)", line):
            found[named[1]] = named[2]
        if "Ctrl-C" in line:
            break
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_a_server_and_the_chat_until_it_is_told_to_stop(
    chat: subprocess.Popen[str], number: signal.Signals
) -> None:
    running = addresses(chat)
    page = httpx2.get(running["chat"], trust_env=False)
    assert page.status_code == 200
    assert listens(running["herenow"])

    chat.send_signal(number)

    assert chat.wait(timeout=60) == 0
    assert not listens(running["herenow"])
    assert not listens(running["chat"])


@pytest.mark.parametrize(
    ("option", "variable"),
    [("--port", "PORT"), ("--server-port", "SERVER_PORT"), ("--admin-port", "ADMIN_PORT")],
)
def test_a_port_in_use_is_named_with_the_way_out(option: str, variable: str) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]
        command = [sys.executable, str(SCRIPT), *FREE_PORTS, option, str(port)]

        result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout) == (1, "")
    assert f"Port {port} cannot be used" in result.stderr
    assert f"make node-chat {variable}=" in result.stderr


def test_without_node_it_is_said_what_is_missing(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, SCRIPT, *FREE_PORTS],
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stdout) == (1, "")
    assert "Node.js" in result.stderr
