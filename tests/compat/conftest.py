"""Clients and server libraries that others wrote, against a real server process."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from compat.deployment import Deployment, deploying
from compat.listener import Listener, listening
from compat.matrix import (
    pytest_configure,
    pytest_runtest_makereport,
    pytest_sessionfinish,
)
from compat.scripts import Backend, Client
from compat.sdks import JARS, NODE_MODULES
from compat.serving import COUNTED, PLAIN, App, Server, running

__all__ = ("pytest_configure", "pytest_runtest_makereport", "pytest_sessionfinish")


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the packages of ``package-lock.json``."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    if not NODE_MODULES.is_dir():
        pytest.skip("run npm ci in tests/compat first")
    return found


@pytest.fixture(scope="session")
def java() -> list[str]:
    """Java, with the packages of ``pom.xml``: runs the source file that is its argument."""
    found = shutil.which("java")
    if found is None:
        pytest.skip("java is not installed")
    if not JARS.is_dir():
        pytest.skip(
            "run mvn dependency:copy-dependencies -DoutputDirectory=target/dependency "
            "in tests/compat/java first"
        )
    return [found, "-cp", str(JARS / "*")]


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
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """A server behind an address, for a test that replaces the server."""
    with deploying(tmp_path) as deployment:
        yield deployment


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


@pytest.fixture(scope="session")
def counting_backend(node: str, server: Server) -> Iterator[Backend]:
    """The ``pusher`` package of npm, for the application ``COUNTED``."""
    backend = Backend(node, server, COUNTED)
    yield backend
    backend.close()


@pytest.fixture
def listener(server: Server, clients: ExitStack) -> Callable[..., Listener]:
    """Connects a Pysher client, by default to the application ``PLAIN``."""

    def connect(app: App = PLAIN, **settings: Any) -> Listener:
        return clients.enter_context(listening(server, app, **settings))

    return connect
