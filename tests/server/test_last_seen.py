"""What the HTTP API says of users after a restart of the server, which is a process of its own."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.service import Service, eventually
from server.processes import process


@contextmanager
def service(directory: Path) -> Iterator[Service]:
    with process(directory) as server:
        service = Service(server)
        try:
            yield service
        finally:
            service.close()


def ask(service: Service, user: str) -> Any:
    return service.api().get(f"users/{user}").accepted()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The store at its default place, in which something is kept already."""
    path = tmp_path / "herenow.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE others (id TEXT)")
    connection.commit()
    connection.close()
    return tmp_path


def test_when_users_were_last_seen_outlives_a_restart(store: Path) -> None:
    """Who left before, and who was there until the server ended."""
    with service(store) as before:
        anna, bert = before.connect(), before.connect()
        anna.sign_in("anna")
        bert.join("presence-a", "bert")
        anna.close()
        left = eventually(lambda: ask(before, "anna"), lambda answer: not answer["online"])
        ended = time.time()
    with service(store) as after:
        anna_seen = ask(after, "anna")
        assert anna_seen["last_seen"] == left["last_seen"]
        assert (anna_seen["online"], anna_seen["connections"]) == (False, 0)
        assert ended - 1 <= ask(after, "bert")["last_seen"] <= time.time() + 1
        assert after.api().post("users/anna/forget", {}).accepted() == {"complete": True}
    with service(store) as again:
        assert ask(again, "anna")["last_seen"] is None
        assert ask(again, "bert")["last_seen"] is not None


def test_nobody_is_said_to_be_forgotten_while_the_store_cannot_be_opened(store: Path) -> None:
    """The call is refused until it can be."""
    path = store / "herenow.db"
    kept = path.read_bytes()
    path.write_bytes(b"not a database" * 100)
    with service(store) as server:
        server.api().post("users/anna/forget", {}).refused(503)
        path.write_bytes(kept)
        forgotten = eventually(
            lambda: server.api().post("users/anna/forget", {}), lambda answer: answer.status == 200
        )
        assert forgotten.accepted() == {"complete": True}


def test_a_server_without_a_store_makes_none(tmp_path: Path) -> None:
    """It remembers in memory, and leaves no file behind."""
    with service(tmp_path) as before:
        connection = before.connect()
        connection.sign_in("anna")
        connection.close()
        eventually(lambda: ask(before, "anna"), lambda answer: not answer["online"])
        assert ask(before, "anna")["last_seen"] is not None
    assert not (tmp_path / "herenow.db").exists()
    with service(tmp_path) as after:
        assert ask(after, "anna")["last_seen"] is None
