"""``herenow webhooks``: what it prints about a running server, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from compat.serving import serve_command
from conformance.harness.apps import App, configuration
from conformance.harness.receiver import Receiver
from conformance.harness.server import running
from conformance.harness.service import Service
from herenow.cli.webhooks import _print_endpoint

COMMAND: Final = (sys.executable, "-m", "herenow.cli", "webhooks")
DEADLINE: Final = 20.0
ROOM: Final = "presence-room"
EVENTS: Final = ["channel_occupied", "member_added", "member_removed"]
SECRET: Final = "0f1e2d3c4b5a69788796"
TOKEN: Final = "token-of-the-receiver"
PATH: Final = f"/hook?token={TOKEN}"


class Deployment(NamedTuple):
    """A running server, its configuration file, and the backend that refuses its webhooks."""

    config: Path
    address: str
    receiver: Receiver

    def run(self, *arguments: str, server: str | None = None) -> subprocess.CompletedProcess[str]:
        places = ["--config", str(self.config), "--server", server or self.address]
        return subprocess.run(
            [*COMMAND, *arguments, *places],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )

    def ask(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def endpoint(self) -> Any:
        (endpoint,) = self.ask("list")["endpoints"]
        return endpoint

    def sent(self) -> list[str]:
        """The id of the event in each request so far."""
        deliveries = self.receiver.deliveries(PATH)
        return [delivery.header("X-Herenow-Event-Ids") for delivery in deliveries]

    def wait(self, *, failing: bool = False, **wanted: object) -> Any:
        """The endpoint, once it is as *wanted*, and known to fail if that is wanted, too."""
        deadline = time.monotonic() + DEADLINE
        while True:
            endpoint = self.endpoint()
            is_ready = not failing or endpoint["failing_since"] is not None
            if is_ready and all(endpoint[name] == value for name, value in wanted.items()):
                return endpoint
            assert time.monotonic() < deadline, f"wanted {wanted}, still {endpoint}"
            time.sleep(0.1)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """A room with one member, of which the backend refuses to hear."""
    with Receiver() as receiver:
        receiver.will_refuse(ROOM)
        webhook = {"url": receiver.url(PATH), "events": EVENTS}
        settings = {"webhooks": [webhook], "leave_grace_seconds": 0}
        apps = {"main": App("1", "a1b2c3d4e5f60718293a", SECRET, settings)}
        with running(serve_command(), tmp_path, apps, {}) as server:
            service = Service(server)
            service.connect().join(ROOM, "ann")
            config = tmp_path / "asked.toml"
            config.write_text(configuration(apps, {}))
            yield Deployment(config, f"http://{server.endpoint.authority}", receiver)
            service.close()


def test_what_waits_is_listed_and_shown(deployment: Deployment) -> None:
    """An operator sees the endpoint, how it does, and each event that it does not have."""
    endpoint = deployment.wait(waiting=2, failing=True)
    assert endpoint["failing_since"] is not None
    assert endpoint["events"] == EVENTS
    listed = deployment.run("list")
    assert listed.returncode == 0
    assert listed.stdout.startswith(f"{endpoint['id']}  http://127.0.0.1:")
    assert "  2 events wait, the oldest for " in listed.stdout
    assert " s; no dead letters\n" in listed.stdout
    assert "failing since " in listed.stdout
    shown = deployment.run("show", endpoint["id"])
    occupied, added = shown.stdout.splitlines()
    assert occupied.endswith(f"  channel_occupied  {ROOM}")
    assert added.endswith(f"  member_added  {ROOM}  ann")


def test_no_secret_is_printed(deployment: Deployment) -> None:
    """Neither the application's secret nor what a receiver's URL hides in its query."""
    endpoint = deployment.wait(waiting=2)
    for arguments in (("list",), ("list", "--json"), ("show", endpoint["id"], "--json")):
        done = deployment.run(*arguments)
        assert SECRET not in done.stdout + done.stderr
        assert TOKEN not in done.stdout + done.stderr


def test_show_goes_on_where_it_ended(deployment: Deployment) -> None:
    """A long backlog is read page by page."""
    endpoint = deployment.wait(waiting=2)
    first = deployment.ask("show", endpoint["id"], "--limit", "1")
    (event,) = first["events"]
    assert event["name"] == "channel_occupied"
    second = deployment.ask("show", endpoint["id"], "--limit", "1", "--cursor", first["cursor"])
    (event,) = second["events"]
    assert (event["name"], event["user_id"], event["dead"]) == ("member_added", "ann", False)


def test_events_are_dropped_by_their_ids(deployment: Deployment) -> None:
    """What is dropped does not wait any more; what is not there ends with 1."""
    endpoint = deployment.wait(waiting=2)
    ids = [event["id"] for event in deployment.ask("show", endpoint["id"])["events"]]
    assert deployment.run("drop", endpoint["id"], *ids).stdout == "2 events are dropped\n"
    deployment.wait(waiting=0)
    again = deployment.run("drop", endpoint["id"], *ids)
    assert (again.returncode, again.stdout) == (1, "no events are dropped\n")
    assert again.stderr.startswith(
        f"herenow: none of these 2 events waits for {endpoint['id']}: an id is unknown, or "
    )


def test_an_id_that_is_unknown_is_said_to_be(deployment: Deployment) -> None:
    """With exit code 1, also beside one that is dropped, and by retry as well."""
    endpoint = deployment.wait(waiting=2)["id"]
    for command, told in (("drop", "waits for"), ("retry", "is a dead letter of")):
        done = deployment.run(command, endpoint, "no-such-1")
        assert done.returncode == 1
        assert f"no event no-such-1 {told} {endpoint}" in done.stderr
        assert f"{endpoint} says w" in done.stderr
    added = deployment.ask("show", endpoint)["events"][-1]["id"]
    done = deployment.run("drop", endpoint, added, "no-such-1")
    assert (done.returncode, done.stdout) == (1, "1 event is dropped\n")
    assert f"not every event waits for {endpoint}" in done.stderr


def test_one_is_not_spoken_of_as_many(deployment: Deployment) -> None:
    """Nor is nothing."""
    endpoint = deployment.wait(waiting=2)["id"]
    added = deployment.ask("show", endpoint)["events"][-1]["id"]
    assert deployment.run("drop", endpoint, added).stdout == "1 event is dropped\n"
    assert "  1 event waits, for " in deployment.run("list").stdout
    told = "no dead letters to deliver; what waits is tried at once\n"
    assert deployment.run("retry", endpoint).stdout == told
    assert deployment.run("show", endpoint, "--dead").stdout == "no dead letters\n"
    assert deployment.run("drop", endpoint, "--all", "--yes").stdout == "1 event is dropped\n"
    assert "  no events wait; no dead letters\n" in deployment.run("list").stdout
    assert deployment.run("show", endpoint).stdout == "no events wait\n"


@pytest.mark.parametrize(
    ("waiting", "dead", "oldest", "told"),
    [
        (0, 0, None, "no events wait; no dead letters"),
        (1, 0, 2.0, "1 event waits, for 2.0 s; no dead letters"),
        (2, 1, 2.0, "2 events wait, the oldest for 2.0 s; 1 dead letter"),
        (0, 1, 2.0, "no events wait; 1 dead letter, for 2.0 s"),
        (0, 3, 2.0, "no events wait; 3 dead letters, the oldest for 2.0 s"),
        (0, 3, None, "no events wait; 3 dead letters"),
    ],
)
def test_what_waits_in_words(
    capsys: pytest.CaptureFixture[str], waiting: int, dead: int, oldest: float | None, told: str
) -> None:
    """Numbers and words agree, and an age is that of something."""
    _print_endpoint(
        {
            "id": "0" * 16,
            "url": "http://127.0.0.1/",
            "events": EVENTS,
            "waiting": waiting,
            "dead": dead,
            "oldest_seconds": oldest,
            "failing_since": None,
            "last_answer": "",
            "last_attempt": None,
        }
    )
    assert capsys.readouterr().out.splitlines()[2:] == [f"  {told}", "  no attempt has failed"]


def test_to_drop_all_is_asked_about(deployment: Deployment) -> None:
    """Nobody answers, so nothing is dropped; with --yes everything is."""
    endpoint = deployment.wait(waiting=2)
    asked = deployment.run("drop", endpoint["id"], "--all")
    assert (asked.returncode, asked.stdout) == (2, "")
    assert asked.stderr.endswith("herenow: nobody answers: say --yes\n")
    assert deployment.ask("drop", endpoint["id"], "--all", "--yes") == {"dropped": 2}


def test_reconciling_tells_what_holds_once_more(deployment: Deployment) -> None:
    """What was told comes again with its ids, and the command says how many events that makes."""
    deployment.receiver.will_accept(ROOM)
    endpoint = deployment.wait(waiting=0, failing_since=None)
    tried = deployment.sent()
    assert deployment.ask("reconcile", endpoint["id"]) == {"events": 2}
    deadline = time.monotonic() + DEADLINE
    while len(deployment.sent()) < len(tried) + 2:
        assert not deployment.receiver.wait(deadline), deployment.sent()
    again = deployment.sent()[len(tried) :]
    assert sorted(again) == sorted(set(tried))
    assert deployment.ask("reconcile") == {"events": 2}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("show", "nonsense"), "expected 16 hex digits"),
        (("drop", "0" * 16), "expected the ids of events, or --all"),
        (("retry", "0" * 16, "not/an/id"), "expected event ids"),
    ],
)
def test_wrong_usage_exits_with_2(
    deployment: Deployment, arguments: tuple[str, ...], problem: str
) -> None:
    """The sentence names what was expected."""
    done = deployment.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_endpoint_exits_with_1(deployment: Deployment) -> None:
    """The server's answer says where the ids are."""
    done = deployment.run("show", "0" * 16)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Unknown webhook endpoint" in done.stderr


def test_a_server_that_is_not_there_exits_with_1(deployment: Deployment) -> None:
    """The address is named, and what to start."""
    done = deployment.run("list", server="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (1, "")
    assert "127.0.0.1:9" in done.stderr
    assert "start the server with herenow serve, or name another with --server URL" in done.stderr
    assert SECRET not in done.stderr


def test_one_of_several_applications_has_to_be_named(tmp_path: Path) -> None:
    """Which there are is said."""
    config = tmp_path / "herenow.toml"
    apps = {name: App(name, f"key-{name}", "s") for name in ("one", "two")}
    config.write_text(configuration(apps, {}))
    done = subprocess.run(
        [*COMMAND, "list", "--config", str(config)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "say which application is meant with --app ID: one, two" in done.stderr
