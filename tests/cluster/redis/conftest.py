"""A real server for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.servers import Valkey


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server that has just been started, empty."""
    server = Valkey(tmp_path / "valkey").start()
    try:
        yield server
    finally:
        server.kill()
