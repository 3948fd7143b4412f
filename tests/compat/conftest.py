"""Clients and server libraries that others wrote, against a real server process."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from compat.listener import Listener, listening
from compat.scripts import SCRIPTS, Backend, Client
from compat.serving import COUNTED, PLAIN, App, Server, running


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the packages of ``package-lock.json``."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    if not (SCRIPTS.parent / "node_modules").is_dir():
        pytest.skip("run npm ci in tests/compat first")
    return found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with the applications ``PLAIN`` and ``COUNTED`` for nearly all tests."""
    directory = tmp_path_factory.mktemp("server")
    with running(Server(directory, [PLAIN, COUNTED])) as started:
        yield started


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server for a test that stops it."""
    with running(Server(tmp_path, [PLAIN])) as started:
        yield started


@pytest.fixture
def unique() -> str:
    """A part of names that no other test uses."""
    return uuid.uuid4().hex[:12]


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    """Closes what a test opened, last first."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def client(node: str, server: Server, clients: ExitStack) -> Callable[..., Client]:
    """Connects a pusher-js client, by default to the application ``PLAIN``."""

    def connect(app: App = PLAIN, **settings: Any) -> Client:
        started = Client(node, server, app, **settings)
        clients.callback(started.close)
        started.connected()
        return started

    return connect


@pytest.fixture(scope="session")
def node_backend(node: str, server: Server) -> Iterator[Backend]:
    """The ``pusher`` package of npm, for the application ``PLAIN``."""
    backend = Backend(node, server, PLAIN)
    yield backend
    backend.close()


@pytest.fixture
def listener(server: Server, clients: ExitStack) -> Callable[..., Listener]:
    """Connects a Pysher client, by default to the application ``PLAIN``."""

    def connect(app: App = PLAIN, **settings: Any) -> Listener:
        return clients.enter_context(listening(server, app, **settings))

    return connect
