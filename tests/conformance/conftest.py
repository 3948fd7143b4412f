"""Options and servers of the conformance suite.

The suite knows nothing of the server but the protocol. Without a target it starts servers with
``--server-command``; with ``--target`` it tests one that runs already, and skips the statements
for which that has no application (``--target-apps``: a TOML file with a table of ``id``, ``key``
and ``secret`` for each name in ``harness/apps.py``, set up as it says there).

With ``--cluster`` two servers share that engine, and connections and API calls are spread over
both of them in turns.

The options exist when this directory is named on the command line (``pytest tests/conformance``);
the environment variables work in every run: ``HERENOW_TARGET``, ``HERENOW_TARGET_APP_ID``,
``HERENOW_TARGET_APP_KEY``, ``HERENOW_TARGET_APP_SECRET``, ``HERENOW_TARGET_APPS``,
``HERENOW_SERVER_COMMAND``, ``HERENOW_LEAVE_GRACE``, ``HERENOW_CLUSTER``. ``HERENOW_PROOF=1`` runs
statements about many connections and long times at full size.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from conformance.harness.api import Api
from conformance.harness.apps import App, catalogue, hooked, read_apps
from conformance.harness.connection import Connection
from conformance.harness.receiver import Receiver
from conformance.harness.server import Server, endpoint, running, together
from conformance.harness.service import Service, eventually

OPTIONS: Final = {
    "--target": ("HERENOW_TARGET", "host:port or URL of a running server"),
    "--app-id": ("HERENOW_TARGET_APP_ID", "its application, with client events on"),
    "--app-key": ("HERENOW_TARGET_APP_KEY", "that application's key"),
    "--app-secret": ("HERENOW_TARGET_APP_SECRET", "that application's secret"),
    "--target-apps": ("HERENOW_TARGET_APPS", "TOML file of its applications by name"),
    "--server-command": ("HERENOW_SERVER_COMMAND", "how to start a server without a target"),
    "--cluster": ("HERENOW_CLUSTER", "URL of an engine that two servers are to share"),
    "--leave-grace": ("HERENOW_LEAVE_GRACE", "leave_grace_seconds of the applications; 0 if unset"),
}

LIVENESS: Final = {"ping_interval_seconds": 0.5, "pong_timeout_seconds": 0.5}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    for option, (variable, text) in OPTIONS.items():
        group.addoption(option, default=None, help=f"{text} (environment: {variable})")


def setting(config: pytest.Config, option: str, default: str) -> str:
    given = config.getoption(option, default=None)
    return str(given) if given is not None else os.environ.get(OPTIONS[option][0], default)


@pytest.fixture(scope="session")
def leave_grace(pytestconfig: pytest.Config) -> float:
    """Seconds for which a lost member of an application without a grace of its own is kept."""
    return float(setting(pytestconfig, "--leave-grace", "0"))


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> str:
    """The engine that two servers share; empty if one server has its own."""
    return setting(pytestconfig, "--cluster", "")


@pytest.fixture(scope="session")
def server_command(pytestconfig: pytest.Config, cluster: str) -> list[str]:
    script = Path(sys.executable).with_name("herenow")
    default = [str(script)] if script.exists() else [sys.executable, "-m", "herenow"]
    given = setting(pytestconfig, "--server-command", "")
    command = shlex.split(given) if given else [*default, "serve"]
    if not cluster:
        return command
    # Whatever an earlier run left in the engine is not of this deployment.
    prefix = f"HERENOW_CLUSTER__PREFIX=conformance-{secrets.token_hex(4)}"
    return ["env", prefix, *command, "--cluster", cluster]


@pytest.fixture(scope="session")
def target(pytestconfig: pytest.Config) -> Server | None:
    """The running server that was named, if one was."""
    address = setting(pytestconfig, "--target", "")
    if not address:
        return None
    apps = {}
    if file := setting(pytestconfig, "--target-apps", ""):
        apps = read_apps(Path(file))
    if app_id := setting(pytestconfig, "--app-id", ""):
        key = setting(pytestconfig, "--app-key", "")
        apps["main"] = App(app_id, key, setting(pytestconfig, "--app-secret", ""))
    return Server(endpoint(address), apps)


@pytest.fixture(scope="session")
def server(
    target: Server | None,
    server_command: list[str],
    cluster: str,
    leave_grace: float,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """One server with every application of the catalogue, for all tests but a few."""
    if target is not None:
        yield target
        return
    apps = catalogue(leave_grace)
    with deployed(server_command, cluster, tmp_path_factory, apps) as deployment:
        yield deployment


@contextlib.contextmanager
def deployed(
    server_command: list[str],
    cluster: str,
    tmp_path_factory: pytest.TempPathFactory,
    apps: Mapping[str, App],
) -> Iterator[Server]:
    """One server with *apps*, or two that share the engine *cluster*."""
    with contextlib.ExitStack() as stack:
        nodes = [
            stack.enter_context(
                running(server_command, tmp_path_factory.mktemp("server"), apps, {})
            )
            for _ in range(2 if cluster else 1)
        ]
        deployment = together(nodes)
        if cluster:
            wait_until_sure(deployment)
        yield deployment


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """The backend that all webhooks of :func:`hooked_server` go to."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def hooked_server(
    target: Server | None,
    server_command: list[str],
    cluster: str,
    leave_grace: float,
    receiver: Receiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server with the applications of :func:`hooked`."""
    if target is not None:
        pytest.skip("needs a server whose webhooks come to this machine")
    command = server_command
    if cluster:
        prefix = f"HERENOW_CLUSTER__PREFIX=conformance-webhooks-{secrets.token_hex(4)}"
        command = ["env", prefix, *server_command[2:]]
    apps = hooked(leave_grace, receiver.url)
    with deployed(command, cluster, tmp_path_factory, apps) as deployment:
        yield deployment


def wait_until_sure(server: Server) -> None:
    """An engine that has only just begun says of its answers that they may be incomplete."""
    for node in server.nodes:
        api = Api(node.endpoint, server.apps["main"])
        eventually(partial(api.get, "channels"), lambda answer: "complete" not in answer.accepted())
        api.close()


@pytest.fixture(scope="session")
def liveness_server(
    target: Server | None, server_command: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that pings twice a second and waits half a second for the answer."""
    if target is not None:
        pytest.skip("needs a server with short ping times")
    apps = {"main": catalogue(0)["main"]}
    directory = tmp_path_factory.mktemp("liveness")
    with running(server_command, directory, apps, LIVENESS) as started:
        yield started


@pytest.fixture
def service(server: Server) -> Iterator[Service]:
    service = Service(server)
    yield service
    service.close()


@pytest.fixture
def liveness(liveness_server: Server) -> Iterator[Service]:
    service = Service(liveness_server)
    yield service
    service.close()


@pytest.fixture
def webhooks(hooked_server: Server) -> Iterator[Service]:
    """Connections to the applications whose webhooks :func:`receiver` gets."""
    service = Service(hooked_server)
    yield service
    service.close()


@pytest.fixture
def connection(service: Service) -> Connection:
    """An established connection of the ``main`` application."""
    return service.connect()
