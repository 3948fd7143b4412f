"""What came of a benchmark, for people: tables, the page and the plot."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.machine import Machine
from bench.mixed import MOST_ADDED_MS, SUBSCRIBERS, added
from bench.rows import GROWTH_SIZES, ROWS, Better, Row
from bench.runs import OURS, Cell, Ratio, Run, Spread, Summary, summarize

TITLES: Final = {"floor": "C floor", "soketi": "soketi 1.6.1", "peer": "peer"}
_BEGIN: Final = "<!-- Written by make bench, down to the end mark. -->"
_DASH: Final = "\N{EN DASH}"
_END: Final = "<!-- End of what make bench writes. -->"


def title(server: str) -> str:
    return TITLES.get(server, server)


def number(value: float) -> str:
    """Three digits that count, thousands set apart: 212,000, 10.8, 0.64."""
    if value == 0 or value != value or abs(value) == float("inf"):
        return f"{value:g}"
    if abs(value) >= 999.5:
        digits = len(str(round(abs(value)))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:#.3g}".rstrip(".")


def spread(value: Spread) -> str:
    if value.least == value.most:
        return number(value.median)
    return f"{number(value.median)} ({number(value.least)}{_DASH}{number(value.most)})"


def cell(value: Cell | None) -> str:
    """A figure with its range; ``≥`` if the generator was the limit, ``~`` if it is doubtful."""
    if value is None:
        return _DASH
    marks = "~" * value.doubtful + "≥" * value.bound
    return f"{marks} {spread(value.figure)}" if marks else spread(value.figure)


def ratio(value: Ratio | None, better: Better) -> str:
    if value is None:
        return _DASH
    text = f"{value.spread.median:.2f}"
    if value.expected is None:
        return text
    sign = "≥" if better is Better.HIGHER else "≤"
    mark = "" if value.reached else " **missed**"
    return f"{text} ({sign} {value.expected:g}){mark}"


def grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns also stand one below the other."""
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]

    def row(line: Sequence[str]) -> str:
        cells = (
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        return f"| {' | '.join(cells)} |"

    rule = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return "\n".join([row(head), row(rule), *map(row, lines)])


def table(summaries: Sequence[Summary]) -> str:
    servers = list(dict.fromkeys(name for summary in summaries for name in summary.cells))
    others = [name for name in servers if name != OURS]
    head = ["", *map(title, servers), *(f"against {title(name)}" for name in others)]
    lines = [
        [
            f"{summary.row.title}, {summary.row.unit}",
            *(cell(summary.cells.get(name)) for name in servers),
            *(ratio(summary.ratios.get(name), summary.row.better) for name in others),
        ]
        for summary in summaries
    ]
    return grid(head, lines)


def counts(summaries: Sequence[Summary]) -> list[str]:
    """A sentence for each thing a reader must know besides the figures."""
    notes = []
    for server in dict.fromkeys(name for summary in summaries for name in summary.cells):
        cells = [summary.cells[server] for summary in summaries if server in summary.cells]
        runs = sum(c.runs + c.disturbed * (not c.doubtful) for c in cells)
        disturbed = sum(c.disturbed for c in cells)
        notes.append(f"{title(server)}: {runs} runs, {disturbed} of them disturbed.")
    if any(cell.doubtful for summary in summaries for cell in summary.cells.values()):
        notes.append("~ stands where every run was disturbed: do not quote these figures.")
    for summary in summaries:
        for server, faults in summary.faults.items():
            found = ", ".join(f"{name} {count:g}" for name, count in faults.items())
            notes.append(f"{title(server)}, {summary.row.title}: {found}.")
    if not any(summary.faults for summary in summaries):
        notes.append("No delivery was lost, repeated or out of order in any run.")
    return notes


def growth_table(growth: Mapping[str, Mapping[str, float]], rows: Sequence[Row]) -> str:
    """What one unit of work costs with more and more connections."""
    head = ["", *(f"{size:,}" for size in GROWTH_SIZES), "largest to middle"]
    lines = []
    for row in rows:
        costs = growth.get(row.name, {})
        figures = [costs.get(str(size)) for size in GROWTH_SIZES]
        middle, largest = figures[-2:]
        flat = number(largest / middle) if middle and largest is not None else _DASH
        shown = [_DASH if figure is None else number(figure) for figure in figures]
        lines.append([f"{row.title}, {row.cost_unit}", *shown, flat])
    return grid(head, lines)


def memory_table(come_and_go: Mapping[str, Any]) -> str:
    """Resident memory of the server, in MiB, after each time that everybody left."""
    before, after = come_and_go["before_kib"], come_and_go["after_kib"]
    head = ["before", *(str(i) for i in range(1, len(after) + 1))]
    return grid(head, [[f"{kib / 1024:.1f}" for kib in (before, *after)]])


def mixed_table(mixed: Mapping[str, Any]) -> str:
    """Milliseconds that each thing takes, by what goes on beside it: median and p99."""
    head = ["beside it", *next(iter(mixed.values())), "added to p99, at most"]
    over = added(mixed)
    lines = []
    for beside, actions in mixed.items():
        shown = [f"{number(each['p50'])} / {number(each['p99'])}" for each in actions.values()]
        limit = "" if over.get(beside, 0) <= MOST_ADDED_MS else " **missed**"
        more = f"{over[beside]:.1f} (≤ {MOST_ADDED_MS:g}){limit}" if beside in over else _DASH
        lines.append([beside, *shown, more])
    return grid(head, lines)


def machine_line(machine: Machine) -> str:
    changed = ", with changes" if machine.changed else ""
    return (
        f"{machine.date}; {machine.processor}, {machine.cores} cores, {machine.kernel}, "
        f"Python {machine.python}; commit {machine.commit[:12]}{changed}."
    )


_METHOD: Final = """\
Server and load generator have a core each and talk over loopback. The generator speaks the
protocol, counts every delivery and checks the order on every subscriber; events carry 200 bytes.
herenow runs as it does without any setting, metrics on and one webhook endpoint configured; only
for client events are the limits of messages lifted. The C floor is a program that does nothing
but one `send` for each delivery. soketi has metrics and limits off; its JavaScript is unmodified,
its uWebSockets binary is newer than the one it asks for. Each server is started anew for each
run and, except where memory is measured, has served for a second before.

Figures are medians, with the range, over alternating runs; ratios are medians of the ratios
within a round. A run is discarded if anything else used more than 5 % of either core, if the host
took more than 2 % of one away, if the generator waited for its core for more than 5 % of the
time, or if the floor in the same round was more than 15 % off its median. `≥` stands where
the generator was busy all the time and the server was not.
"""


def block(results: Mapping[str, Any], plot: str = "") -> str:
    """The part of the page that is written from measurements."""
    summaries = results["summaries"]
    parts = [_BEGIN, machine_line(results["machine"]), _METHOD.strip()]
    if plot:
        parts.append(f"![Each row as a multiple of the server beside it]({plot})")
    if summaries:
        parts += [table(summaries), "\n".join(f"- {note}" for note in counts(summaries))]
    if growth := results.get("growth"):
        rows = [row for row in results["rows"] if row.name in growth]
        parts += [
            "## As connections grow",
            "What one unit of work costs the server with so many connections. Where the work does "
            "not depend on them, they are idle connections beside it.",
            growth_table(growth, rows),
        ]
    if mixed := results.get("mixed"):
        parts += [
            "## Beside a large fan-out",
            f"How long one client waits for a pong, for its subscription to a presence channel and "
            f"for the answer to a publish, in milliseconds, median / p99, while "
            f"{SUBSCRIBERS:,} others are sent events on one channel.",
            mixed_table(mixed),
        ]
    if come_and_go := results.get("come_and_go"):
        parts += [
            "## Coming and going",
            f"Resident memory in MiB before anybody came, and each time after "
            f"{come_and_go['connections']:,} connections had subscribed and left.",
            memory_table(come_and_go),
        ]
    return "\n\n".join([*parts, _END]) + "\n"


_NEW_PAGE: Final = """\
# Performance

What one process on one core carries, measured by `make bench`.

"""


def write_page(page: Path, text: str) -> None:
    """Put the block into the page, in place of the one that is there."""
    old = page.read_text() if page.exists() else _NEW_PAGE
    before, begun, rest = old.partition(_BEGIN)
    after = rest.partition(_END)[2].lstrip("\n") if begun else ""
    if not begun:
        before = before.rstrip("\n") + "\n\n"
    page.write_text(before + text + (f"\n{after}" if after else ""))


def load_results(directory: Path) -> dict[str, Any]:
    """What the runs of one directory came to, as far as they were made."""
    results: dict[str, Any] = {"rows": ROWS, "summaries": []}
    for name in ("growth", "come_and_go", "mixed", "table"):
        file = directory / f"{name}.json"
        if file.exists():
            content = json.loads(file.read_text())
            results["machine"] = Machine(**content["machine"])
            results[name] = content[name]
    if table_runs := results.pop("table", None):
        results["summaries"] = [
            summarize(row, [Run(**run) for run in table_runs[row.name]["runs"]])
            for row in ROWS
            if row.name in table_runs
        ]
    return results


def main(directory: Path, page: Path | None) -> None:
    """Print the tables of a directory, draw the plot there and bring the page up to date."""
    results = load_results(directory)
    if "machine" not in results:
        raise SystemExit(f"no results in {directory}: run make bench first")
    print(block(results))
    if not results["summaries"]:
        return
    from bench.plot import draw

    draw(results["summaries"], directory / "performance")
    if page is not None:
        images = page.parent / "images"
        images.mkdir(exist_ok=True)
        draw(results["summaries"], images / "performance")
        write_page(page, block(results, "images/performance.svg"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
