"""``herenow demo``: what it prints, when it ends, and with which exit code."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import httpx2
import pytest

from compat.inbox import DEADLINE
from herenow import Channels

COMMAND: Final = (sys.executable, "-m", "herenow.cli", "demo")
FREE_PORTS: Final = ("--port", "0", "--app-port", "0", "--admin-port", "0")


class Demo:
    """A running demo, once it has said that it is ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        ready = re.fullmatch(r"herenow ready public=(\S+) admin=(\S+)\n", process.stdout.readline())
        assert ready is not None
        self.server, self.admin = ready[1], ready[2]
        chat = re.fullmatch(r"herenow demo (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())
        assert chat is not None
        self.chat = chat[1]

    def server_answers(self) -> bool:
        parts = urlsplit(self.server)
        assert parts.hostname is not None
        assert parts.port is not None
        with Channels(
            "1", "herenow-key", "herenow-secret", host=parts.hostname, port=parts.port
        ) as channels:
            return channels.channels() == {"channels": {}}


@contextmanager
def running_demo(**environ: str) -> Iterator[Demo]:
    process = subprocess.Popen(
        [*COMMAND, *FREE_PORTS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environ,
    )
    with process:
        # One that never says that it is ready ends the test here.
        watchdog = threading.Timer(4 * DEADLINE, process.kill)
        watchdog.start()
        try:
            yield Demo(process)
        finally:
            watchdog.cancel()
            process.terminate()


def listens(address: str) -> bool:
    parts = urlsplit(address)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def child_of(process: subprocess.Popen[str]) -> int:
    """The process that runs the server."""
    try:
        listed = subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("there is no pgrep to find the server's process with")
    (child,) = listed.stdout.split()
    return int(child)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_it_is_told_to_stop(number: signal.Signals) -> None:
    with running_demo() as demo:
        assert httpx2.get(demo.chat, trust_env=False).status_code == 200
        assert httpx2.get(f"{demo.admin}/health/ready", trust_env=False).status_code == 200
        assert demo.server_answers()

        demo.process.send_signal(number)

        output, _ = demo.process.communicate(timeout=60)
        assert (demo.process.returncode, output) == (0, "")
        assert not any(map(listens, (demo.server, demo.admin, demo.chat)))


def test_the_server_is_started_again_on_its_port_when_it_dies() -> None:
    with running_demo() as demo:
        assert demo.process.stderr is not None
        os.kill(child_of(demo.process), signal.SIGKILL)

        told = demo.process.stderr.readline()
        while told and "the server is back" not in told:
            told = demo.process.stderr.readline()

        assert told
        assert demo.server_answers()
        demo.process.terminate()
        demo.process.communicate(timeout=60)
        assert demo.process.returncode == 0
        assert not listens(demo.server)


def test_what_configures_another_server_does_not_reach_the_one_of_the_demo() -> None:
    other = {"PUSHER_APP_ID": "7", "PUSHER_APP_KEY": "other", "PUSHER_APP_SECRET": "secret"}
    with running_demo(HERENOW_SERVER__PATH_PREFIX="/ws", **other) as demo:
        assert demo.server_answers()


@pytest.mark.parametrize("option", ["--port", "--app-port", "--admin-port"])
def test_a_port_in_use_is_named_with_the_way_out(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]
        result = demo(*FREE_PORTS, option, str(port))

    assert (result.returncode, result.stdout) == (1, "")
    assert f"port {port}" in result.stderr
    assert option in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [("--port", "x"), ("--app-port", "65536"), ("--nothing",)])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    result = demo(*FREE_PORTS, *arguments)

    assert (result.returncode, result.stdout) == (2, "")
    assert "Usage:" in result.stderr


def test_the_help_names_every_port_with_its_default() -> None:
    result = demo("--help")

    assert result.returncode == 0
    for option, default in (("--port", 6001), ("--app-port", 8000), ("--admin-port", 9601)):
        assert option in result.stdout
        assert f"Default: {default}" in " ".join(result.stdout.split())
