"""A server as it is without configuration, which is what the pages speak of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat.serving import Server, running
from docs.running import NODE_MODULES, Member, channels_of, connected
from herenow import Channels


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Server(tmp_path_factory.mktemp("server"))) as started:
        yield started


@pytest.fixture
def channels(server: Server) -> Iterator[Channels]:
    """The default application, as a backend sees it."""
    with channels_of(server) as channels:
        yield channels


@pytest.fixture
def member(server: Server) -> Iterator[Member]:
    with connected(server) as member:
        yield member


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    if not NODE_MODULES.is_dir():
        pytest.skip("run npm ci in tests/compat first")
    return found


@pytest.fixture(scope="session")
def java() -> str:
    """Java with the libraries of the tests."""
    found = shutil.which("java")
    if found is None:
        pytest.skip("java is not installed")
    if not (NODE_MODULES.parent / "java" / "target" / "dependency").is_dir():
        pytest.skip("the Java libraries are not installed")
    return found


@pytest.fixture(scope="session")
def go() -> str:
    """Go with the library of the tests."""
    found = shutil.which("go")
    if found is None:
        pytest.skip("go is not installed")
    if not (NODE_MODULES.parent / "go" / "build" / "backend").is_file():
        pytest.skip("the Go library is not installed")
    return found


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a snippet runs."""
    return tmp_path
