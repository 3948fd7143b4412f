"""Where a store may be: in a file, in PostgreSQL, in MariaDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from store.servers import DatabaseServer, MariaDb, Postgres, mariadb_binary, postgres_binaries

SERVED: Final = ("postgres", "mariadb")
KINDS: Final = ("sqlite", *SERVED)
TABLES: Final = ("herenow_apps", "herenow_app_keys", "herenow_apps_state")


class Place:
    """A store of one kind; ``server`` is what runs there, if something does."""

    def __init__(self, url: str, server: DatabaseServer | None = None) -> None:
        self.url = url
        self.server = server

    def empty(self) -> None:
        if self.server is not None:
            for table in TABLES:
                self.server.execute(f"DROP TABLE IF EXISTS {table}")


class Servers:
    """Starts each server once, when it is first needed."""

    def __init__(self) -> None:
        self._started: dict[str, DatabaseServer] = {}

    def server(self, kind: str) -> DatabaseServer:
        if kind not in self._started:
            installed = {"postgres": postgres_binaries, "mariadb": mariadb_binary}
            makes: dict[str, Callable[[], DatabaseServer]]
            makes = {"postgres": Postgres, "mariadb": MariaDb}
            if installed[kind]() is None:
                pytest.skip(f"{kind} is not installed: make databases installs it")
            self._started[kind] = makes[kind]().start()
        return self._started[kind]

    def place(self, kind: str, directory: Path) -> Place:
        """An empty store of *kind*."""
        if kind == "sqlite":
            return Place(f"sqlite:///{directory / 'store.db'}")
        server = self.server(kind)
        place = Place(server.url, server)
        place.empty()
        return place

    def remove(self) -> None:
        for server in self._started.values():
            server.remove()


@pytest.fixture(scope="session")
def database_servers() -> Iterator[Servers]:
    servers = Servers()
    try:
        yield servers
    finally:
        servers.remove()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, database_servers: Servers, tmp_path: Path) -> Place:
    """An empty store of each kind."""
    return database_servers.place(request.param, tmp_path)


@pytest.fixture(params=SERVED)
def served_place(
    request: pytest.FixtureRequest, database_servers: Servers, tmp_path: Path
) -> Place:
    """An empty store on each kind of server."""
    return database_servers.place(request.param, tmp_path)
