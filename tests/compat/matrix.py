"""What each test says about a library, gathered from a run for the tables of docs/compat.md.

With ``HERENOW_COMPAT_REPORT=FILE`` the run writes there::

    {"features": {"client": ["connect", ...], "server": [...]},
     "sdks": [{"name": "pusher-js", "kind": "client", "version": "8.6.0"}, ...],
     "cells": [{"sdk": "pusher-js", "feature": "connect", "test": "test_...",
                "outcome": "passed", "reason": ""}, ...],
     "not_run": {"pusher-http-php": "needs PHP with Composer", ...}}

An outcome is ``passed``, ``failed``, ``skipped`` or ``not offered``: the last is that of a passed
test which shows that the library has no such thing, and its reason is what the test showed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from compat.sdks import FEATURES, NOT_RUN, SDKS, Sdk

FULL_SIZE: Final = os.environ.get("HERENOW_PROOF") == "1"
"""Whether every case runs; else older versions of a library run a short one."""

MARKERS: Final = (
    "sdk(sdk): the library that the test runs",
    "feature(*names): what the test shows that the library can do",
    "not_offered(feature, why): the test shows that the library cannot do it",
)


@dataclass(slots=True)
class Cell:
    """What one test says about one feature of one library."""

    sdk: str
    feature: str
    test: str
    outcome: str
    reason: str


_CELLS: Final = pytest.StashKey[dict[tuple[str, str], Cell]]()


def each(*sdks: Sdk) -> pytest.MarkDecorator:
    """Run a test with each of *sdks*, as its argument ``sdk``."""
    parameters = [pytest.param(sdk, id=sdk.name, marks=pytest.mark.sdk(sdk)) for sdk in sdks]
    return pytest.mark.parametrize("sdk", parameters)


def first_of(*sdks: Sdk) -> pytest.MarkDecorator:
    """Run a test with each of *sdks* at full size, otherwise with the first."""
    return each(*(sdks if FULL_SIZE else sdks[:1]))


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    config.stash[_CELLS] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    marker = item.get_closest_marker("sdk")
    if marker is None:
        return report
    sdk: Sdk = marker.args[0]
    cells = item.config.stash[_CELLS]
    for feature, outcome, reason in _said(item, sdk, report):
        known = cells.get((item.nodeid, feature))
        if known is None or _worse(outcome, known.outcome):
            cells[item.nodeid, feature] = Cell(sdk.name, feature, item.nodeid, outcome, reason)
    return report


def _said(
    item: pytest.Item, sdk: Sdk, report: pytest.TestReport
) -> Generator[tuple[str, str, str]]:
    if report.passed and report.when != "call":
        return
    reason = "" if report.passed else _reason(report)
    features = [name for marker in item.iter_markers("feature") for name in marker.args]
    lacking = {marker.args[0]: marker.args[1] for marker in item.iter_markers("not_offered")}
    unknown = {*features, *lacking} - set(FEATURES[sdk.kind])
    assert not unknown, f"no row of the table: {unknown}"
    for name in features:
        yield name, report.outcome, reason
    for name, why in lacking.items():
        yield (name, "not offered", why) if report.passed else (name, report.outcome, reason)


def _worse(outcome: str, known: str) -> bool:
    """A teardown may fail after the test passed."""
    return outcome == "failed" != known


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longreprtext).partition("\n")[0]


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = os.environ.get("HERENOW_COMPAT_REPORT")
    if path is None:
        return
    record: dict[str, Any] = {
        "features": FEATURES,
        "sdks": [
            {"name": sdk.name, "kind": sdk.kind, "version": sdk.version() or ""} for sdk in SDKS
        ],
        "cells": [asdict(cell) for cell in session.config.stash[_CELLS].values()],
        "not_run": NOT_RUN,
    }
    Path(path).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
