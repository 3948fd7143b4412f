"""What every test may count on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from outbox.configured import leaks_below

if TYPE_CHECKING:
    from cluster.servers import Valkey


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The server runs on asyncio, so its tests do."""
    return "asyncio"


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server that has just been started, empty, for the test that asks for one."""
    from cluster.servers import Valkey

    server = Valkey(tmp_path / "valkey").start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session", autouse=True)
def no_secret_is_written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever servers wrote during the tests, none of their secrets is in it.

    A test's files stand in a directory of its own, together with the configurations it made.
    """
    yield
    base = tmp_path_factory.getbasetemp()
    directories = [path for path in base.iterdir() if path.is_dir() and not path.is_symlink()]
    leaks = [leak for directory in directories for leak in leaks_below(directory)]
    assert not leaks, f"{len(leaks)} secrets were written: {leaks[:10]}"
