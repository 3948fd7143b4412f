"""Run the tests with libraries that others wrote and write docs/compat.md from what they saw.

With the path of a report that such a run has left, only write the page.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "compat.md"

TITLES: Final = {
    "client": "Client libraries",
    "server": "Server libraries",
}
WORDS: Final = {
    "passed": "passed",
    "failed": "**failed**",
    "not offered": "not offered",
    "skipped": "not run",
    "untested": "**no test**",
}
WORST_FIRST: Final = ("failed", "passed", "not offered", "skipped")

INTRODUCTION: Final = """\
# Libraries that work

What official client and server libraries, and others in wide use, did against a live server.
`make compat` runs them and writes this page: every cell is the outcome of a test in
`tests/compat`.

That a library does not offer a feature is tested too: such a test fails once a version does. "Not
run" is what the machine lacked something for."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What all tests of one feature with one library came to."""

    outcome: str
    reasons: tuple[str, ...] = ()


def record_run(report: Path) -> int:
    """Run every case at full size; the exit code of pytest."""
    environment = {**os.environ, "HERENOW_PROOF": "1", "HERENOW_COMPAT_REPORT": str(report)}
    command = [sys.executable, "-m", "pytest", "tests/compat"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def cell_of(record: dict[str, Any], sdk: str, feature: str) -> Cell:
    said = [cell for cell in record["cells"] if cell["sdk"] == sdk and cell["feature"] == feature]
    for outcome in WORST_FIRST:
        reasons = [cell["reason"] for cell in said if cell["outcome"] == outcome]
        if reasons:
            return Cell(outcome, tuple(dict.fromkeys(filter(None, reasons))))
    return Cell("untested")


def render(record: dict[str, Any], when: str) -> str:
    environment = f"Python {platform.python_version()} on {platform.system()}"
    lines = [INTRODUCTION, "", f"{when}, {environment}."]
    for kind, title in TITLES.items():
        lines += ["", f"## {title}", "", *_table(record, kind)]
    for outcome, title in (("failed", "Failed"), ("not offered", "Not offered")):
        if reasons := list(_reasons(record, outcome)):
            lines += ["", f"## {title}", "", *reasons]
    not_run = [f"- {name}: {why}" for name, why in record["not_run"].items()]
    not_run += _reasons(record, "skipped")
    lines += ["", "## Not run here", "", *not_run]
    return "\n".join(lines) + "\n"


def _table(record: dict[str, Any], kind: str) -> Iterator[str]:
    sdks = [sdk for sdk in record["sdks"] if sdk["kind"] == kind]
    columns = [f"{sdk['name']}<br>{sdk['version']}" for sdk in sdks]
    yield f"| | {' | '.join(columns)} |"
    yield "|---" * (len(sdks) + 1) + "|"
    for feature in record["features"][kind]:
        cells = [WORDS[cell_of(record, sdk["name"], feature).outcome] for sdk in sdks]
        yield f"| {feature} | {' | '.join(cells)} |"


def _reasons(record: dict[str, Any], outcome: str) -> Iterator[str]:
    """One line for each library and reason, with the features that it is the reason for."""
    for sdk in record["sdks"]:
        features: dict[str, list[str]] = {}
        for feature in record["features"][sdk["kind"]]:
            cell = cell_of(record, sdk["name"], feature)
            if cell.outcome == outcome:
                features.setdefault("; ".join(cell.reasons), []).append(feature)
        for reason, names in features.items():
            yield f"- {sdk['name']}, {', '.join(names)}: {reason}"


def untested(record: dict[str, Any]) -> list[str]:
    """The cells that no test speaks of."""
    return [
        f"{sdk['name']}: {feature}"
        for sdk in record["sdks"]
        for feature in record["features"][sdk["kind"]]
        if cell_of(record, sdk["name"], feature).outcome == "untested"
    ]


def write_page(report: Path) -> bool:
    """Write the page; whether every cell has a test."""
    record = json.loads(report.read_text(encoding="utf-8"))
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    PAGE.write_text(render(record, when), encoding="utf-8")
    print(f"Wrote {PAGE}")
    missing = untested(record)
    for cell in missing:
        print(f"No test for {cell}", file=sys.stderr)
    return not missing


def main() -> None:
    if len(sys.argv) > 1:
        sys.exit(not write_page(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "compat.json")
        code = record_run(report)
        if not report.exists():
            sys.exit(code or 1)
        complete = write_page(report)
    sys.exit(code or not complete)


if __name__ == "__main__":
    main()
