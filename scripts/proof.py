"""Run test suites at full size and write docs/proof.md, docs/proof.json and docs/compat.md.

Each suite runs by itself. Arguments name suites, as in ``tests/server``: only these are run then,
and of the others stays what is on record. Every row says of which commit it is.
"""

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
    date: str = ""
    commit: str = ""
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


def on_record() -> dict[str, Suite]:
    """What came of each suite when it was last run."""
    path = DOCS / "proof.json"
    if not path.exists():
        return {}
    record = json.loads(path.read_text(encoding="utf-8"))
    suites = {}
    for item in record["suites"]:
        cases = {name: [Case(**case) for case in item[name]] for name in ("failures", "skipped")}
        suites[item["name"]] = Suite(**{**item, **cases})
    return suites


def render(suites: list[Suite]) -> str:
    lines = [
        "# Proof",
        "",
        "What came of every test suite at full size, written by `make proof` with"
        f" Python {platform.python_version()} on {platform.system()}.",
        "",
        "| suite | passed | failed | skipped | seconds | run at | commit |",
        "|---|---|---|---|---|---|---|",
    ]
    for suite in suites:
        counts = f"{suite.passed} | {len(suite.failures)} | {len(suite.skipped)}"
        row = f"| {suite.name} | {counts} | {suite.seconds} | {suite.date} | {suite.commit[:12]} |"
        lines.append(row)
    for title, cases in (
        ("Failures", [case for suite in suites for case in suite.failures]),
        ("Skipped", [case for suite in suites for case in suite.skipped]),
    ):
        lines += ["", f"## {title}", ""]
        lines += [f"- `{case.name}`: {case.reason}" for case in cases] or ["None."]
    return "\n".join(lines) + "\n"


def main(chosen: list[str]) -> None:
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    revision = commit()
    known = paths_by_suite()
    unknown = [name for name in chosen if name not in known]
    if unknown:
        sys.exit(f"no such suites: {', '.join(unknown)}; there are {', '.join(known)}")
    # The conformance suite mostly waits, as long as the others together take.
    with ThreadPoolExecutor(max_workers=2) as pool:
        names = sorted(chosen or known, key=lambda name: name != LONGEST)
        run = list(pool.map(run_suite, names, [known[name] for name in names]))
    for suite in run:
        suite.date, suite.commit = when, revision
    found = {} if not chosen else on_record()
    found.update((suite.name, suite) for suite in run)
    suites = [found[name] for name in sorted(found) if name in known]
    DOCS.mkdir(exist_ok=True)
    record = {"suites": [asdict(suite) for suite in suites]}
    (DOCS / "proof.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (DOCS / "proof.md").write_text(render(suites), encoding="utf-8")
    print(f"Wrote {DOCS / 'proof.md'}")
    sys.exit(any(suite.failures for suite in run))


if __name__ == "__main__":
    main(sys.argv[1:])
