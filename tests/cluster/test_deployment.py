"""Servers that share a real engine: how they start, what they tell of it, how they end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from admin.reader import Reader
from cluster.servers import Valkey, free_port
from conformance.harness.api import Api
from conformance.harness.apps import App
from conformance.harness.server import Server, running
from conformance.harness.service import Service, eventually

ROOT: Final = Path(__file__).resolve().parents[2]
SERVE: Final = [sys.executable, "-c", "from herenow.cli import main; main()", "serve"]
FULL_SIZE: Final = os.environ.get("HERENOW_PROOF") == "1"
LEASE_SECONDS: Final = 2.0
APPS: Final = {
    "main": App("1", "key-of-main", "secret-of-main", {"leave_grace_seconds": 0}),
}
# What many nodes could get wrong; the rest of the suite is about one connection.
STATEMENTS: Final = (
    "test_presence or test_departures or test_signin or test_watchlist or test_cache"
    " or test_subscription_count or test_isolation"
)


def environment(**settings: object) -> list[str]:
    """What runs a command with *settings* of the section ``cluster``."""
    names = {f"HERENOW_CLUSTER__{name.upper()}": value for name, value in settings.items()}
    return ["env", *(f"{name}={value}" for name, value in names.items())]


def node(
    directory: Path, valkey: Valkey, **settings: object
) -> contextlib.AbstractContextManager[Server]:
    directory.mkdir(exist_ok=True)
    settings = {"lease_seconds": LEASE_SECONDS, "url": valkey.url, **settings}
    return running([*environment(**settings), *SERVE], directory, APPS, {})


def refused(valkey: Valkey, **settings: object) -> str:
    """What a node says that does not start."""
    settings = {"lease_seconds": LEASE_SECONDS, "url": valkey.url, **settings}
    command = [*environment(**settings), *SERVE, "--port", "0", "--admin-port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (1, ""), result
    assert "Traceback" not in result.stderr
    return result.stderr


def test_two_nodes_conform_as_one(valkey: Valkey, tmp_path: Path) -> None:
    """Connections and calls are spread over both, and nobody notices."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    scope = [] if FULL_SIZE else ["-k", STATEMENTS]
    run = subprocess.run(
        [
            *command,
            "tests/conformance",
            "--cluster",
            valkey.url,
            f"--basetemp={tmp_path}/t",
            *scope,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1_800,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4_000:] + run.stderr[-2_000:]
    passed = re.search(r"\b(\d+) passed\b", run.stdout)
    assert passed is not None
    assert int(passed[1]) > 100


def test_the_engine_is_told_of_while_it_is_away_and_when_it_is_back(
    valkey: Valkey, tmp_path: Path
) -> None:
    with node(tmp_path / "a", valkey) as server:
        reader, service = Reader(server), Service(server)
        api = service.api()
        watcher = service.connect()
        watcher.subscribe("news")
        assert reader.ask("/health/ready").status == 200
        up = reader.metrics()
        assert up["herenow_cluster_up"] == 1
        assert up["herenow_cluster_lapses_total"] == up["herenow_cluster_epochs_total"] == 0

        valkey.pause()
        ready = eventually(lambda: reader.ask("/health/ready"), lambda answer: answer.status != 200)
        assert (ready.status, ready.text) == (503, "the cluster's engine does not answer\n")
        assert reader.ask("/health/live").status == 200
        away = reader.metrics()
        assert away["herenow_cluster_up"] == 0
        assert away["herenow_cluster_connections_lost_total"] > 0
        answer = api.post("events", {"name": "e", "channel": "news", "data": "lost"})
        answer.refused(503)
        assert answer.headers["retry-after"] == "1"

        valkey.resume()
        eventually(lambda: reader.ask("/health/ready"), lambda answer: answer.status == 200)
        assert reader.metrics()["herenow_cluster_up"] == 1
        eventually(
            lambda: api.post("events", {"name": "e", "channel": "news", "data": "found"}),
            lambda answer: answer.status == 200,
        )
        watcher.expect_event("e", "news", "found")
        service.close()


def test_a_node_with_another_setting_is_refused_with_both_values(
    valkey: Valkey, tmp_path: Path
) -> None:
    with node(tmp_path / "a", valkey):
        said = refused(valkey, lease_seconds=7)
        assert f"herenow: the engine at {valkey.address} is in use with" in said
        assert "a lease of 2 s, here 7 s" in said
        assert "partitions: 64, here 16" in refused(valkey, partitions=16)
        with node(tmp_path / "b", valkey, partitions=16, prefix="another"):
            pass


def test_a_stopped_node_leaves_nobody_behind(valkey: Valkey, tmp_path: Path) -> None:
    """Its members go with the grace of a drain, not when the lease runs out."""
    with node(tmp_path / "a", valkey) as first, node(tmp_path / "b", valkey) as second:
        service, reader = Service(first), Reader(second)
        service.connect().join("presence-room", "anna")
        service.connect().subscribe("news")
        assert [each["connections"] for each in members(reader)] == [1]

        assert first.process is not None
        first.process.terminate()
        assert first.process.wait(20) == 0

        assert [each["connections"] for each in members(reader)] == [0]
        assert reader.read(APPS["main"], "stats")["connections"] == 0
        api = Api(second.endpoint, APPS["main"])
        assert not api.occupied("news")
        api.close()
        service.close()


def members(reader: Reader) -> list[dict[str, object]]:
    found: list[dict[str, object]] = reader.members(APPS["main"], "presence-room")["members"]
    return found


def test_a_node_that_waits_for_its_engine_can_be_stopped(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    command = [*SERVE, "--port", "0", "--admin-port", "0", "--cluster", url]
    log = tmp_path / "log"
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        deadline = time.monotonic() + 20
        while "engine lost" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert "Traceback" not in log.read_text()


def test_a_node_with_an_engine_of_its_own_tells_of_no_cluster(tmp_path: Path) -> None:
    with running(SERVE, tmp_path, APPS, {}) as server:
        names = Reader(server).metrics()
        assert not [name for name in names if name.startswith("herenow_cluster")]
