"""A program that serves pages and says where."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from compat.inbox import DEADLINE
from compat.serving import Server, first_line

NODE_CHAT: Final = Path(__file__).resolve().parents[2] / "examples" / "node-chat"


@dataclass(frozen=True, slots=True)
class Program:
    url: str


@contextmanager
def running_program(
    command: Sequence[str], directory: Path, settings: Mapping[str, str]
) -> Iterator[Program]:
    """Run *command* in *directory*; it is ready when it prints a line with its address."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        cwd=directory,
        env={**os.environ, **settings},
    )
    assert process.stdout is not None
    try:
        line = first_line(process)
        address = re.search(r"http://\S+", line)
        assert address is not None, f"not ready but {line!r}"
        yield Program(address[0])
    finally:
        process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@contextmanager
def running_node_chat(server: Server) -> Iterator[Program]:
    """The chat of ``examples/node-chat`` on a free port; skips the test if it cannot run."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (NODE_CHAT / "node_modules").is_dir():
        pytest.skip("run npm ci in examples/node-chat first")
    settings = {"PUSHER_HOST": server.host, "PUSHER_PORT": str(server.port), "PORT": "0"}
    with running_program([node, "server.js"], NODE_CHAT, settings) as program:
        yield program
