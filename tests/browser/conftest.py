"""Chromium, a real server, and the programs whose pages are tested."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

from browser.program import Program, running_node_chat
from compat.serving import Server, running
from demo.serving import Chat, running_chat
from herenow.demo.pages import Pages

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
SWITCHES: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, or the one that ``CHROMIUM`` names."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: install one or name it in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server as it is without configuration."""
    with running(Server(tmp_path)) as started:
        yield started


@pytest.fixture
def demo_chat(server: Server) -> Iterator[Chat]:
    """The chat of the demo on a free port, beside a server that can be stopped."""
    if not Pages().complete:
        pytest.skip("run scripts/vendor.py first: pusher-js is missing")
    with running_chat(server) as chat:
        yield chat


@pytest.fixture
def node_chat(server: Server) -> Iterator[Program]:
    """The chat of ``examples/node-chat`` on a free port."""
    with running_node_chat(server) as program:
        yield program
