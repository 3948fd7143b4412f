"""Webhooks of a server that is alone, as a process: what a receiver hears of those on it."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from conformance.harness.apps import App, configuration
from conformance.harness.server import Server, running, stop
from conformance.harness.service import Service
from outbox.receiver import Receiver

SERVE: Final = (str(Path(sys.executable).with_name("herenow")), "serve")
EVENTS: Final = [
    "channel_occupied",
    "channel_vacated",
    "member_added",
    "member_removed",
    "client_event",
    "user_online",
    "user_offline",
]
HOLD: Final = 0.3
RETURN: Final = 1.5
ROOM: Final = "presence-room"
DEADLINE: Final = 20.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


def app(receiver: Receiver, **settings: object) -> App:
    webhook = {"url": receiver.url("/hook"), "events": EVENTS}
    defaults = {"leave_grace_seconds": 0, "client_events": True, "webhooks": [webhook]}
    return App("7", "app-key", "app-secret", defaults | settings)


@contextlib.contextmanager
def serving(directory: Path, app: App, **environment: object) -> Iterator[Server]:
    """A server with short times, in *directory*, where its outbox stays."""
    settings = {"WEBHOOKS__HOLD_SECONDS": HOLD, "CLUSTER__RETURN_SECONDS": RETURN, **environment}
    variables = [f"HERENOW_{name}={value}" for name, value in settings.items()]
    with running(["env", *variables, *SERVE], directory, {"main": app}, {}) as started:
        yield started


def heard(receiver: Receiver) -> list[dict[str, Any]]:
    """Every event once, in the order of its first arrival."""
    events: dict[str, dict[str, Any]] = {}
    for request in list(receiver.requests):
        ids = request.header("X-Herenow-Event-Ids").split(",")
        for name, event in zip(ids, json.loads(request.body)["events"], strict=True):
            events.setdefault(name, event)
    return list(events.values())


def named(receiver: Receiver) -> list[tuple[str, str]]:
    """What was heard: the event and whom it is about."""
    return [(event["name"], event.get("user_id", event["channel"])) for event in heard(receiver)]


def until(condition: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def expect(receiver: Receiver, *events: tuple[str, str]) -> None:
    """Wait until so many events were heard; they are these, in this order."""
    until(lambda: len(named(receiver)) >= len(events), lambda: named(receiver))
    assert named(receiver) == list(events)


def test_who_comes_and_goes_is_told_in_order(tmp_path: Path, receiver: Receiver) -> None:
    """Occupied, added, the client's event in its place, removed, vacated."""
    with serving(tmp_path, app(receiver)) as server:
        service = Service(server)
        connection = service.connect()
        connection.join(ROOM, "anna")
        connection.send("client-typing", {"draft": True}, ROOM)
        connection.unsubscribe(ROOM)
        expect(
            receiver,
            ("channel_occupied", ROOM),
            ("member_added", "anna"),
            ("client_event", "anna"),
            ("member_removed", "anna"),
            ("channel_vacated", ROOM),
        )
        service.close()
    assert (tmp_path / "herenow.db").stat().st_mode & 0o777 == 0o600


def test_a_return_within_the_hold_is_not_heard(tmp_path: Path, receiver: Receiver) -> None:
    """Who reloads a page was never away."""
    with serving(tmp_path, app(receiver), WEBHOOKS__HOLD_SECONDS=2) as server:
        service = Service(server)
        first = service.connect()
        first.join(ROOM, "anna")
        first.close()
        again = service.connect()
        again.join(ROOM, "anna")
        again.sign_in("ben")
        until(lambda: ("user_online", "ben") in named(receiver), lambda: named(receiver))
        time.sleep(2)  # By now the removals would have left.
        until(lambda: len(named(receiver)) >= 3, lambda: named(receiver))
        assert [name for name in named(receiver) if name[0] != "user_online"] == [
            ("channel_occupied", ROOM),
            ("member_added", "anna"),
        ]
        service.close()


@pytest.mark.parametrize("end", [subprocess.Popen.kill, subprocess.Popen.terminate])
def test_after_an_end_those_who_stay_away_are_told_to_be_gone(
    tmp_path: Path, receiver: Receiver, end: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    """Once clients had time to come back; those who are back are not announced again."""
    with serving(tmp_path, app(receiver)) as server:
        service = Service(server)
        for name in ("anna", "ben"):
            connection = service.connect()
            connection.sign_in(name)
            connection.join(ROOM, name)
        alone = service.connect()
        alone.subscribe("lobby")
        until(lambda: len(named(receiver)) == 6, lambda: named(receiver))
        assert server.process is not None
        end(server.process)
        server.process.wait(DEADLINE)
        service.close()
    with serving(tmp_path, app(receiver)) as server:
        service = Service(server)
        connection = service.connect()
        connection.sign_in("anna")
        connection.join(ROOM, "anna")
        until(lambda: len(named(receiver)) >= 9, lambda: named(receiver))
        time.sleep(2 * HOLD)  # Nothing more comes.
        assert sorted(named(receiver)[6:]) == [
            ("channel_vacated", "lobby"),
            ("member_removed", "ben"),
            ("user_offline", "ben"),
        ]
        service.close()


def test_events_that_nobody_took_survive_a_kill(tmp_path: Path, receiver: Receiver) -> None:
    """They are delivered by the next start, in order and under their ids."""
    with serving(tmp_path, app(receiver)) as server, receiver.away():
        service = Service(server)
        connection = service.connect()
        connection.join(ROOM, "anna")
        api = service.api()
        until(
            lambda: api.get("webhooks").accepted()["endpoints"][0]["waiting"] == 2,
            lambda: api.get("webhooks").accepted(),
        )
        assert server.process is not None
        server.process.kill()
        server.process.wait(DEADLINE)
        service.close()
    with serving(tmp_path, app(receiver)):
        expect(
            receiver,
            ("channel_occupied", ROOM),
            ("member_added", "anna"),
            ("member_removed", "anna"),
            ("channel_vacated", ROOM),
        )


def test_a_reconcile_call_repeats_what_holds_under_its_old_ids(
    tmp_path: Path, receiver: Receiver
) -> None:
    """A receiver that knows them discards them; one that lost its state has it again."""
    with serving(tmp_path, app(receiver)) as server:
        service = Service(server)
        service.connect().join(ROOM, "anna")
        until(lambda: len(receiver.requests) == 2, lambda: named(receiver))
        assert service.api().post("webhooks/reconcile", {}).accepted() == {"events": 2}
        until(lambda: len(receiver.requests) == 4, lambda: named(receiver))
        for name in ("X-Herenow-Event-Ids", "X-Herenow-Sequences"):
            values = [request.header(name) for request in receiver.requests]
            assert values[:2] == values[2:]
        service.close()


def test_a_server_without_webhooks_makes_no_file(tmp_path: Path, receiver: Receiver) -> None:
    """The file appears when something is kept in it."""
    with serving(tmp_path, app(receiver, webhooks=[])) as server:
        service = Service(server)
        service.connect().join(ROOM, "anna")
        service.close()
    assert list(tmp_path.glob("herenow.db*")) == []


def test_a_second_server_with_the_same_outbox_does_not_start(
    tmp_path: Path, receiver: Receiver
) -> None:
    """It says that the file is used, and names both ways out."""
    with serving(tmp_path, app(receiver)):
        config = tmp_path / "second.toml"
        config.write_text(configuration({"main": app(receiver)}, {"port": 0}))
        second = subprocess.run(
            [*SERVE, "--config", str(config), "--admin-port", "0"],
            cwd=tmp_path,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
            text=True,
        )
    assert second.returncode == 1
    assert "store.outbox" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_server_with_a_full_backlog_ends_in_time(tmp_path: Path, receiver: Receiver) -> None:
    """A receiver that is away does not hold up the end of the server."""
    with serving(tmp_path, app(receiver)) as server, receiver.away():
        service = Service(server)
        service.connect().join(ROOM, "anna")
        service.close()
        assert server.process is not None
        started = time.monotonic()
        assert stop(server.process) == 0
        assert time.monotonic() - started < 15


def test_metrics_show_what_waits(tmp_path: Path, receiver: Receiver) -> None:
    """How many events are not delivered, how old the oldest is, and how attempts end."""
    with serving(tmp_path, app(receiver)) as server, receiver.away():
        service = Service(server)
        service.connect().join(ROOM, "anna")
        assert server.admin is not None
        url = f"http://{server.admin.host}:{server.admin.port}/metrics"

        def shown() -> str:
            with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
                text: str = answer.read().decode()
            return text

        until(lambda: 'herenow_webhook_attempts_total{outcome="failed"}' in shown(), shown)
        text = shown()
        assert 'herenow_webhook_backlog{app="7",state="waiting"} 2.0' in text
        assert 'herenow_webhook_endpoints_failing{app="7"} 1.0' in text
        assert re.search(r'herenow_webhook_oldest_seconds\{app="7"\} [0-9.]*[1-9]', text)
        assert "herenow_webhook_outbox_up 1.0" in text
        service.close()
