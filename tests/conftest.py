"""What every test may count on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from outbox.configured import leaks_below


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The server runs on asyncio, so its tests do."""
    return "asyncio"


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
