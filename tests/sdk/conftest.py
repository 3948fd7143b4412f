"""Both clients, a server that records, and a real one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from compat.scripts import SCRIPTS
from conformance.harness.apps import App
from conformance.harness.server import Server, running
from conformance.harness.service import Service
from herenow import AsyncChannels, Channels
from sdk.callers import APP_ID, KEY, MASTER_KEY, SECRET, Caller, Client
from sdk.recorder import Recorder, recording

Connect = Callable[..., Caller]


@pytest.fixture(params=[Channels, AsyncChannels])
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.param
    return found


@pytest.fixture
def call(client: Client) -> Caller:
    """A client of which nothing may be asked of a server: there is none."""
    return Caller(client, port=1, encryption_master_key_base64=MASTER_KEY)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as started:
        yield started


@pytest.fixture
def recorded(client: Client, recorder: Recorder) -> Connect:
    """Makes a client of *recorder*."""

    def connect(**settings: Any) -> Caller:
        given = {"host": recorder.host, "encryption_master_key_base64": MASTER_KEY}
        return Caller(client, port=recorder.port, **given | settings)

    return connect


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server with the sample application and one that counts subscriptions."""
    script = Path(sys.executable).with_name("herenow")
    apps = {
        "main": App(APP_ID, KEY, SECRET, {"client_events": True, "leave_grace_seconds": 0}),
        "counted": App("4712", "counted-key", "counted-secret", {"subscription_count": True}),
        "disabled": App("4713", "disabled-key", "disabled-secret", {"enabled": False}),
        "large": App("4714", "large-key", "large-secret", {"limits": {"max_event_bytes": 20_000}}),
    }
    with running([str(script), "serve"], tmp_path_factory.mktemp("sdk"), apps, {}) as started:
        yield started


@pytest.fixture
def service(server: Server) -> Iterator[Service]:
    """Opens WebSocket connections, which end with the test."""
    opened = Service(server)
    yield opened
    opened.close()


@pytest.fixture
def backend(client: Client, server: Server) -> Connect:
    """Makes a client of one of the real server's applications, by default ``main``."""

    def connect(name: str = "main", **settings: Any) -> Caller:
        app, endpoint = server.apps[name], server.endpoint
        keys = {"app_id": app.id, "key": app.key, "secret": app.secret}
        keys |= {"encryption_master_key_base64": MASTER_KEY}
        return Caller(client, host=endpoint.host, port=endpoint.port, **keys | settings)

    return connect


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the packages of ``tests/compat``."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    if not (SCRIPTS.parent / "node_modules").is_dir():
        pytest.skip("run npm ci in tests/compat first")
    return found
