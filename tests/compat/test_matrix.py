"""What a run of tests comes to in the tables of docs/compat.md."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

TESTS = """
import pytest
from compat.matrix import each
from compat.sdks import PUSHER_JS, PYSHER

@pytest.fixture
def broken():
    yield
    assert False, "left open"

@each(PUSHER_JS, PYSHER)
@pytest.mark.feature("connect", "public channel")
def test_both(sdk):
    assert sdk.name == "pusher-js", "Pysher does not"

@each(PYSHER)
@pytest.mark.feature("connect", "private channel")
def test_good(sdk):
    pass

@each(PYSHER)
@pytest.mark.not_offered("sign-in", "it has no signin")
def test_lacking(sdk):
    pass

@each(PYSHER)
@pytest.mark.not_offered("watchlist", "it has no user")
def test_no_longer_lacking(sdk):
    assert False, "it has a user"

@each(PYSHER)
@pytest.mark.feature("cache channel")
def test_not_here(sdk):
    pytest.skip("nothing to run it with")

@each(PYSHER)
@pytest.mark.feature("client event")
def test_teardown(sdk, broken):
    pass
"""


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("matrix")
    tests, report = directory / "test_matrix.py", directory / "report.json"
    tests.write_text(TESTS)
    environment = {"PYTHONPATH": str(ROOT / "tests"), "HERENOW_COMPAT_REPORT": str(report)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "compat.matrix",
        "-p",
        "no:cacheprovider",
    ]
    subprocess.run(
        [*command, "--rootdir", str(directory), str(tests)],
        cwd=directory,
        env=os.environ | environment,
        check=False,
        capture_output=True,
    )
    return json.loads(report.read_text())


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "compat.py"))


@pytest.mark.parametrize(
    ("sdk", "feature", "outcome", "reason"),
    [
        ("pusher-js", "connect", "passed", ""),
        ("Pysher", "connect", "failed", "Pysher does not"),
        ("Pysher", "public channel", "failed", "Pysher does not"),
        ("Pysher", "private channel", "passed", ""),
        ("Pysher", "sign-in", "not offered", "it has no signin"),
        ("Pysher", "watchlist", "failed", "it has a user"),
        ("Pysher", "cache channel", "skipped", "nothing to run it with"),
        ("Pysher", "client event", "failed", "left open"),
        ("pusher-js", "watchlist", "untested", ""),
    ],
)
def test_a_cell_is_the_worst_that_a_test_said(
    record: Any, script: dict[str, Any], sdk: str, feature: str, outcome: str, reason: str
) -> None:
    cell = script["cell_of"](record, sdk, feature)
    assert cell.outcome == outcome
    assert reason in "".join(cell.reasons)


def test_the_page_has_a_row_for_each_feature(record: Any, script: dict[str, Any]) -> None:
    page = script["render"](record, "today")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for features in record["features"].values():
        for feature in features:
            assert any(row.startswith(f"| {feature} |") for row in rows)
    assert "- Pysher, connect, public channel: AssertionError: Pysher does not" in page
    assert "- Pysher, sign-in: it has no signin" in page
    assert "- Pysher, cache channel: nothing to run it with" in page


def test_a_cell_without_a_test_is_named(record: Any, script: dict[str, Any]) -> None:
    missing = script["untested"](record)
    assert "pusher-js: watchlist" in missing
    assert "Pysher: watchlist" not in missing
