"""A deployment of each kind: one node alone, and nodes that share an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from cluster.servers import Valkey
from conformance.harness.apps import App, Settings
from faults.clients import Clients
from faults.deployment import Deployment, Setup
from outbox.times import ALONE, SHARED, WEBHOOKS

Deploy = Callable[..., AbstractContextManager[Deployment]]


@pytest.fixture
async def clients(anyio_backend: str) -> AsyncIterator[Clients]:
    """Makes clients. That no stream was invalid is part of every test."""
    clients = Clients()
    yield clients
    await clients.close()
    clients.assert_valid()


@pytest.fixture
def alone(tmp_path: Path) -> Deploy:
    """One node, with the outbox in a file beside it."""

    @contextmanager
    def deploy(
        apps: Mapping[str, App], webhooks: Settings = WEBHOOKS, server: Settings | None = None
    ) -> Iterator[Deployment]:
        setup = Setup(apps, ALONE, server or {}, sections={"webhooks": webhooks})
        with Deployment(tmp_path / "nodes", setup, "memory://", count=1) as deployment:
            yield deployment

    return deploy


@pytest.fixture
def shared(tmp_path: Path, valkey: Valkey) -> Deploy:
    """Nodes that share an engine, with the outbox in it."""

    @contextmanager
    def deploy(
        apps: Mapping[str, App],
        webhooks: Settings = WEBHOOKS,
        server: Settings | None = None,
        count: int = 3,
    ) -> Iterator[Deployment]:
        setup = Setup(apps, SHARED, server or {}, sections={"webhooks": webhooks})
        with Deployment(tmp_path / "nodes", setup, valkey.url, count=count) as deployment:
            yield deployment

    return deploy


@pytest.fixture(params=["alone", "shared"])
def deploy(request: pytest.FixtureRequest) -> Deploy:
    """Either of them."""
    found: Deploy = request.getfixturevalue(request.param)
    return found
