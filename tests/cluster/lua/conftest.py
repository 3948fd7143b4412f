"""Every rule of the scripts is tested in this process and on a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.lua.fake import FakeServer, Server
from cluster.lua.partition import Partition
from cluster.lua.real import RealServer
from cluster.servers import Valkey


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    process = Valkey(tmp_path_factory.mktemp("valkey"))
    process.start()
    server = RealServer(process.client())
    try:
        yield server
    finally:
        server.close()
        process.kill()


@pytest.fixture
def real(valkey: RealServer) -> RealServer:
    """A real server without data."""
    valkey.flush()
    return valkey


@pytest.fixture(params=["fake", "real"])
def server(request: pytest.FixtureRequest) -> Server:
    if request.param == "fake":
        return FakeServer()
    server = request.getfixturevalue("real")
    assert isinstance(server, RealServer)
    return server


@pytest.fixture
def partition(server: Server) -> Partition:
    return Partition(server)
