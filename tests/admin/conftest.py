"""A real server, clients that are on it, and somebody who reads its admin port."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

from admin.reader import Reader
from conformance.harness.apps import App
from conformance.harness.server import Server, running
from conformance.harness.service import Service

PASSWORD: Final = "päss:wörd"

APPS: Final = {
    "main": App("1", "key-of-main", "secret-of-main", {"leave_grace_seconds": 0}),
    "other": App("other-app", "key-of-other", "secret-of-other", {"leave_grace_seconds": 0}),
    "patient": App("3", "key-of-patient", "secret-of-patient", {"leave_grace_seconds": 60}),
    "disabled": App("4", "key-of-disabled", "secret-of-disabled", {"enabled": False}),
}

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")


def running_server(
    directory: Path, environment: Mapping[str, str] | None = None
) -> AbstractContextManager[Server]:
    """A ``herenow serve`` with ``APPS`` and with *environment* besides the configuration."""
    script = Path(sys.executable).with_name("herenow")
    settings = [f"{name}={value}" for name, value in (environment or {}).items()]
    return running(["env", *settings, str(script), "serve"], directory, APPS, {})


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without a password, on loopback."""
    with running_server(tmp_path_factory.mktemp("admin")) as started:
        yield started


@pytest.fixture(scope="session")
def locked_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose admin port asks for ``PASSWORD``."""
    directory = tmp_path_factory.mktemp("locked")
    with running_server(directory, {"HERENOW_ADMIN__PASSWORD": PASSWORD}) as started:
        yield started


@pytest.fixture
def service(server: Server) -> Iterator[Service]:
    """Opens connections, which end with the test; the next finds the applications empty."""
    service, reader = Service(server), Reader(server)
    yield service
    service.close()
    for app in APPS.values():
        reader.expect_stats(app, connections=0)


@pytest.fixture
def reader(server: Server) -> Reader:
    return Reader(server)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, or the one that ``CHROMIUM`` names."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium: install one or name it in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        yield browser
        browser.close()
