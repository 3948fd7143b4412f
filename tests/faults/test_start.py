"""Nodes that must not start: without an engine, or with other rules than those that run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cluster.servers import HOST, Valkey, free_port
from conformance.harness.websocket import Endpoint
from faults.apps import APPS
from faults.deployment import Deployment, Node, Setup
from faults.source import with_scripts
from faults.times import CLUSTER, LEASE

CONNECT_SECONDS = 1.5


def refusal(node: Node) -> str:
    """What *node*, which must not start, says."""
    node.launch()
    assert node.wait() == 1
    return node.log_tail()


def test_an_engine_that_is_not_there_is_tried_for_a_while(tmp_path: Path) -> None:
    port = free_port()
    setup = Setup(APPS, {**CLUSTER, "connect_seconds": CONNECT_SECONDS})
    node = Node("alone", tmp_path, setup, f"redis://{HOST}:{port}", None)
    began = time.monotonic()
    said = refusal(node)
    took = time.monotonic() - began
    assert CONNECT_SECONDS <= took < CONNECT_SECONDS + 10
    assert f"{HOST}:{port}" in said
    assert "refused" in said.lower()
    assert "Traceback" not in said


def test_an_engine_that_comes_in_time_is_used(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path / "valkey")
    setup = Setup(APPS, {**CLUSTER, "connect_seconds": 30})
    node = Node("early", tmp_path, setup, f"redis://{HOST}:{valkey.port}", None)
    process = node.launch()
    try:
        time.sleep(CONNECT_SECONDS)
        assert process.poll() is None
        valkey.start()
        assert process.stdout is not None
        assert process.stdout.readline().startswith("herenow ready ")
    finally:
        node.kill()
        valkey.kill()


def test_an_engine_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """It takes the connection and says nothing."""
    valkey = Valkey(tmp_path / "valkey")
    valkey.start()
    valkey.pause()
    setup = Setup(APPS, {**CLUSTER, "connect_seconds": CONNECT_SECONDS})
    node = Node("patient", tmp_path, setup, valkey.url, None)
    try:
        began = time.monotonic()
        said = refusal(node)
        assert time.monotonic() - began < CONNECT_SECONDS + 10
        assert f"{HOST}:{valkey.port}" in said
    finally:
        valkey.kill()


@pytest.mark.parametrize(
    ("setting", "other", "shown"),
    [
        ("lease_seconds", LEASE + 1, (f"{LEASE:g} s", f"{LEASE + 1:g} s")),
        ("partitions", 7, (f"{CLUSTER['partitions']}", "7")),
    ],
)
def test_another_setting_than_the_nodes_that_run_is_refused(
    shared_deployment: Deployment, setting: str, other: float, shown: tuple[str, str]
) -> None:
    said = refusal(shared_deployment.node(**{setting: other}))
    for value in shown:
        assert value in said


def test_other_scripts_than_those_of_the_nodes_that_run_are_refused(
    shared_deployment: Deployment, valkey: Valkey, tmp_path: Path
) -> None:
    setup = with_scripts(shared_deployment.setup, tmp_path / "src", "-- Changed.\n{}".format)
    said = refusal(Node("other", tmp_path, setup, valkey.url, None))
    stored = bytes(valkey.command("HGET", "herenow:{0}:deployment", "version")).decode()
    assert stored in said
    assert "version" in said


def test_a_database_of_its_own_is_a_deployment_of_its_own(
    shared_deployment: Deployment, valkey: Valkey, tmp_path: Path
) -> None:
    setup = Setup(APPS, {**CLUSTER, "lease_seconds": LEASE + 1})
    url = f"redis://{HOST}:{valkey.port}/5"
    with Deployment(tmp_path, setup, url, count=1) as other:
        assert other.serving
    with Deployment(tmp_path, setup, Endpoint(HOST, valkey.port), count=0) as prefixed:
        node = prefixed.node(prefix="another")
        node.start()
