"""Real nodes on a real engine, and what they logged when a test fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest

from cluster.servers import HOST, Valkey
from conformance.harness.websocket import Endpoint
from faults.apps import APPS
from faults.clients import Clients, until
from faults.deployment import NODES, Deployment, Node, Setup
from faults.times import CLUSTER


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        arguments: dict[str, Any] = getattr(item, "funcargs", {})
        for deployment in [d for d in arguments.values() if isinstance(d, Deployment)]:
            report.sections += deployment.stories()
    return report


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """The engine of a module's deployment."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def shared_deployment(
    request: pytest.FixtureRequest, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A module's own; its ``SERVER`` and ``ENGINE`` are further settings."""
    server = getattr(request.module, "SERVER", {})
    setup = Setup(APPS, {**CLUSTER, **getattr(request.module, "ENGINE", {})}, server)
    engine = Endpoint(HOST, valkey.port)
    with Deployment(tmp_path_factory.mktemp("nodes"), setup, engine) as deployment:
        yield deployment


@pytest.fixture
async def deployment(
    anyio_backend: str, valkey: Valkey, shared_deployment: Deployment
) -> Deployment:
    """Three nodes that serve, whatever the test before did to them."""
    if not valkey.is_running:
        valkey.start()
    valkey.resume()
    await restore(shared_deployment)
    return shared_deployment


@pytest.fixture
async def clients(anyio_backend: str) -> AsyncIterator[Clients]:
    """Makes clients. That no stream was invalid is part of every test."""
    clients = Clients()
    yield clients
    await clients.close()
    clients.assert_valid()


async def restore(deployment: Deployment) -> None:
    """Have three nodes that are ready."""
    for node in deployment.nodes:
        if node.link is not None:
            node.link.slow(0)
            node.link.heal()
        if node.frozen:
            node.thaw()
    running = [node for node in deployment.nodes if node.is_running]
    stopped = [node for node in deployment.nodes if not node.is_running]
    while len(running) < NODES:
        node = stopped.pop() if stopped else deployment.node()
        node.start()
        running.append(node)
    await until(lambda: all(map(is_ready, running)), "the nodes are ready")


def is_ready(node: Node) -> bool:
    return node.admin("/health/ready").status == 200
