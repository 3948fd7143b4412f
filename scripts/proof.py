"""Run every test suite by itself and write docs/proof.md, docs/proof.json and docs/compat.md."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
DOCS: Final = ROOT / "docs"
LONGEST: Final = "tests/conformance"
COMPAT: Final = "tests/compat"


@dataclass
class Case:
    """A test that did not pass, and why."""

    name: str
    reason: str


@dataclass
class Suite:
    """What came of the tests in one directory."""

    name: str
    passed: int = 0
    seconds: float = 0
    failures: list[Case] = field(default_factory=list)
    skipped: list[Case] = field(default_factory=list)


def paths_by_suite() -> dict[str, list[str]]:
    """What pytest is to run: each directory of tests, and the files beside them."""
    tests = ROOT / "tests"
    suites = {"tests": sorted(str(path.relative_to(ROOT)) for path in tests.glob("test_*.py"))}
    for directory in sorted(path for path in tests.iterdir() if path.is_dir()):
        if any(directory.glob("**/test_*.py")):
            name = str(directory.relative_to(ROOT))
            suites[name] = [name]
    return {name: paths for name, paths in suites.items() if paths}


def run_suite(name: str, paths: list[str]) -> Suite:
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.xml")
        matrix = Path(scratch, "compat.json")
        environment = os.environ | (
            {"HERENOW_COMPAT_REPORT": str(matrix)} if name == COMPAT else {}
        )
        command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *paths]
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        suite = read_report(name, report) if report.exists() else Suite(name)
        if matrix.exists() and not write_compat_page(matrix):
            suite.failures.append(Case(name, "a library has no test of some feature"))
    if code and not suite.failures:
        suite.failures.append(Case(name, f"pytest ended with exit code {code}"))
    return suite


def write_compat_page(matrix: Path) -> bool:
    """Whether every library has a test of every feature."""
    command = [sys.executable, "scripts/compat.py", str(matrix)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def read_report(name: str, report: Path) -> Suite:
    suite = Suite(name)
    for case in ET.parse(report).getroot().iter("testcase"):
        suite.seconds += float(case.get("time", "0"))
        test = f"{case.get('classname')}::{case.get('name')}"
        broken = case.find("failure")
        if broken is None:
            broken = case.find("error")
        skipped = case.find("skipped")
        if broken is not None:
            suite.failures.append(Case(test, _first_line(broken)))
        elif skipped is not None:
            suite.skipped.append(Case(test, _first_line(skipped)))
        else:
            suite.passed += 1
    suite.seconds = round(suite.seconds, 1)
    return suite


def _first_line(outcome: ET.Element) -> str:
    text = (outcome.get("message") or outcome.text or "").strip().partition("\n")[0]
    return text.replace(f"{ROOT}/", "")[:300]


def commit() -> str:
    """The commit that was tested, and whether files differed from it."""
    try:
        revision = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--", "src", "tests")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{revision} with changes" if changed else revision


def _git(*arguments: str) -> str:
    result = subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return result.stdout.strip()


def render(when: str, revision: str, suites: list[Suite]) -> str:
    lines = [
        "# Proof",
        "",
        "What came of every test suite at full size, written by `make proof`.",
        "",
        f"{when}, commit {revision}, Python {platform.python_version()} on {platform.system()}.",
        "",
        "| suite | passed | failed | skipped | seconds |",
        "|---|---|---|---|---|",
    ]
    for suite in suites:
        counts = f"{suite.passed} | {len(suite.failures)} | {len(suite.skipped)}"
        lines.append(f"| {suite.name} | {counts} | {suite.seconds} |")
    for title, cases in (
        ("Failures", [case for suite in suites for case in suite.failures]),
        ("Skipped", [case for suite in suites for case in suite.skipped]),
    ):
        lines += ["", f"## {title}", ""]
        lines += [f"- `{case.name}`: {case.reason}" for case in cases] or ["None."]
    return "\n".join(lines) + "\n"


def main() -> None:
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    revision = commit()
    # The conformance suite mostly waits, as long as the others together take.
    with ThreadPoolExecutor(max_workers=2) as pool:
        paths = dict(sorted(paths_by_suite().items(), key=lambda item: item[0] != LONGEST))
        suites = sorted(pool.map(run_suite, paths, paths.values()), key=lambda suite: suite.name)
    DOCS.mkdir(exist_ok=True)
    record = {"date": when, "commit": revision, "suites": [asdict(suite) for suite in suites]}
    (DOCS / "proof.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (DOCS / "proof.md").write_text(render(when, revision, suites), encoding="utf-8")
    print(f"Wrote {DOCS / 'proof.md'}")
    sys.exit(any(suite.failures for suite in suites))


if __name__ == "__main__":
    main()
