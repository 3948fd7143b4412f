"""The codec against the Autobahn test suite, the conformance suite of WebSocket servers.

The suite runs on Python 2.7 only. Where one with pip is found, the suite is installed into
``.cache/autobahn`` the first time.

Its cases about compression, 12 and 13, send a thousand messages of each of 18 sizes: two of the
sizes are sent in every run, all of them with ``HERENOW_PROOF=1``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SUITE = "autobahntestsuite==0.8.2"
PROJECT = Path(__file__).parents[2]
CACHE = PROJECT / ".cache" / "autobahn"
ECHO_SERVER = Path(__file__).with_name("echo_server.py")

FULL_SIZE = os.environ.get("HERENOW_PROOF") == "1"
WITHOUT_COMPRESSION = [f"{group}.*" for group in (1, 2, 3, 4, 5, 6, 7, 9, 10)]
# 1 KiB, and 8 KiB in fragments.
SIZES = [4, 11]
CASES = (
    ["*"]
    if FULL_SIZE
    else [*WITHOUT_COMPRESSION, *(f"{group}.*.{size}$" for group in (12, 13) for size in SIZES)]
)
MIN_CASES = 301 + 12 * (18 if FULL_SIZE else len(SIZES))
SECONDS = 3_600 if FULL_SIZE else 600

# INFORMATIONAL are cases without a required behaviour: 7.1.6 (a large message just before a
# close) and 7.13 (close codes above 4999). NON-STRICT, a late refusal of bad UTF-8 in the main,
# is not good enough.
PASSED = {"OK", "INFORMATIONAL"}

# What steers Python 3 must not reach Python 2.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(*command: str, timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout, check=False
    )


def find_python2() -> str:
    candidates = [found] if (found := shutil.which("python2.7")) else []
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += map(str, sorted(pyenv.glob("versions/2.7.*/bin/python2.7")))
    for candidate in candidates:
        # A shim may be on the path without an interpreter behind it.
        if run(candidate, "-m", "pip", "--version", timeout=60).returncode == 0:
            return candidate
    pytest.skip("the Autobahn test suite needs Python 2.7 with pip, and none was found")


def install_suite(python2: str) -> Path:
    """The folder that the suite is installed in, filled at the first call."""
    folder = CACHE / SUITE
    if folder.exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        made = Path(scratch) / "made"
        pip = [python2, "-m", "pip", "install", "--disable-pip-version-check", "--target"]
        result = run(*pip, str(made), SUITE, timeout=300)
        if result.returncode:
            pytest.skip(f"{SUITE} could not be installed: {result.stderr.strip()[-500:]}")
        made.rename(folder)
    return folder


@contextmanager
def echo_server() -> Iterator[int]:
    """A running echo server; its port."""
    with subprocess.Popen([sys.executable, ECHO_SERVER], stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        try:
            yield int(it.stdout.readline())
        finally:
            it.terminate()


def run_suite(python2: str, suite: Path, port: int, folder: Path) -> dict[str, dict[str, str]]:
    """Run every case against the server on *port*: what became of each, by its number."""
    spec = {
        "outdir": str(folder),
        "servers": [{"agent": "herenow", "url": f"ws://127.0.0.1:{port}"}],
        "cases": CASES,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    spec_file = folder / "spec.json"
    spec_file.write_text(json.dumps(spec))
    # addsitedir, since namespace packages of that time need their .pth files read.
    program = (
        f"import site; site.addsitedir({str(suite)!r});"
        "from autobahntestsuite.wstest import run; run()"
    )
    command = [python2, "-c", program, "-m", "fuzzingclient", "-s", str(spec_file)]
    result = run(*command, timeout=SECONDS)
    index = folder / "index.json"
    assert index.exists(), result.stdout + result.stderr
    outcomes: dict[str, dict[str, str]] = json.loads(index.read_text())["herenow"]
    return outcomes


def test_every_case_of_the_autobahn_suite_passes(tmp_path: Path) -> None:
    python2 = find_python2()
    suite = install_suite(python2)

    with echo_server() as port:
        outcomes = run_suite(python2, suite, port, tmp_path)

    failed = {
        case: (outcome["behavior"], outcome["behaviorClose"])
        for case, outcome in outcomes.items()
        if not {outcome["behavior"], outcome["behaviorClose"]} <= PASSED
    }
    assert failed == {}
    assert len(outcomes) >= MIN_CASES
