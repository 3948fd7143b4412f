"""Runs as data: what was read, what was wrong with it, and what stands when all are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, NamedTuple

from bench.machine import Moment
from bench.rows import Reading, Row

# Shares of a core, or of a figure, beyond which a run says more about its surroundings.
OTHER_LOAD: Final = 0.05
STOLEN: Final = 0.02
WAITED: Final = 0.05
FLOOR_OFF: Final = 0.15
GENERATOR_FULL: Final = 0.97
SERVER_IDLE: Final = 0.9

# How long the generator waits for what is still under way when a run is over.
DRAIN_SECONDS: Final = 5

YARDSTICK: Final = "floor"

_FAULTS: Final = (
    "lost",
    "dup",
    "dup_adjacent",
    "reordered",
    "stalls",
    "http_bad",
    "bogus",
    "errors",
    "unexpected_closes",
    "sub_errors",
    "view_mismatches",
    "churn_view_mismatches",
)
_COUNTED_TWICE: Final = (
    ("conns", "established"),
    ("member_added_expected", "member_added_received"),
    ("observer_added_expected", "observer_added_received"),
    ("observer_removed_expected", "observer_removed_received"),
)


@dataclass(frozen=True)
class Run:
    """One run of the generator against one server, in one round of all servers."""

    server: str
    round: int
    reading: Reading
    disturbed: tuple[str, ...] = ()
    faults: Mapping[str, float] = field(default_factory=dict)


def faults_of(reading: Reading) -> dict[str, float]:
    """What was lost, repeated, out of order or refused, by kind; nothing if all is well.

    The generator counts what is lost of the events between warm-up and end; of all the others it
    says whether everything arrived before it gave up waiting.
    """
    faults = {name: reading[name] for name in _FAULTS if reading.get(name)}
    if reading.get("drain_s", 0) >= DRAIN_SECONDS:
        faults["never_complete"] = 1
    if reading.get("loop") == "closed-delivered" and not reading["events"]:
        faults["nothing_delivered"] = 1
    for expected, received in _COUNTED_TWICE:
        if expected in reading and received in reading:
            missing = reading[expected] - reading[received]
            if missing:
                faults[received] = -missing
    return faults


def disturbances(
    before: Moment, after: Moment, own: Mapping[int, float], reading: Reading
) -> tuple[str, ...]:
    """What else happened on the cores of a run.

    *own* has for each core the CPU seconds of the processes that belong there.
    """
    seconds = after.at - before.at
    found = []
    for core, expected in own.items():
        other = (after.cores[core].busy - before.cores[core].busy - expected) / seconds
        if other > OTHER_LOAD:
            found.append(f"other load on core {core}: {other:.0%}")
        stolen = (after.cores[core].stolen - before.cores[core].stolen) / seconds
        if stolen > STOLEN:
            found.append(f"core {core} stolen: {stolen:.0%}")
    waited = reading.get("gen_wait_pct", 0) / 100
    if waited > WAITED:
        found.append(f"generator waited for its core: {waited:.0%}")
    return tuple(found)


def is_generator_bound(reading: Reading) -> bool:
    """Whether the server had time left while the generator had none."""
    return bool(
        reading["gen_cpu_pct"] >= 100 * GENERATOR_FULL
        and reading["server_cpu_pct"] < 100 * SERVER_IDLE
    )


class Standing(NamedTuple):
    """The runs of a row that count, and how many of each server were disturbed, with reasons.

    ``doubtful`` are the servers of which nothing better than disturbed runs is there.
    """

    kept: list[Run]
    disturbed: dict[str, int]
    doubtful: set[str]
    reasons: list[str]


def sift(row: Row, runs: Iterable[Run]) -> Standing:
    """Discard disturbed runs, and every run of a round in which the floor was far off its median.

    If nothing would be left of a server, its disturbed runs stay: a figure that is to be doubted
    is better than none.
    """
    runs = [run for run in runs if run.reading]
    off = _rounds_off(row, [run for run in runs if not run.disturbed])
    reasons: list[str] = []
    kept: list[Run] = []
    disturbed: dict[str, int] = {}
    doubtful: set[str] = set()
    for server in dict.fromkeys(run.server for run in runs):
        of_server = [run for run in runs if run.server == server]
        clean = [run for run in of_server if not run.disturbed and run.round not in off]
        kept += clean or of_server
        disturbed[server] = len(of_server) - len(clean)
        if not clean:
            doubtful.add(server)
        for run in of_server:
            reasons += [f"{server}, round {run.round}: {reason}" for reason in run.disturbed]
    reasons += [f"round {number}: the floor was {by:+.0%} off" for number, by in off.items()]
    return Standing(kept, disturbed, doubtful, reasons)


def _rounds_off(row: Row, runs: list[Run]) -> dict[int, float]:
    figures = {run.round: row.figure(run.reading) for run in runs if run.server == YARDSTICK}
    if len(figures) < 3:
        return {}
    middle = median(figures.values())
    offs = {number: figure / middle - 1 for number, figure in figures.items()} if middle else {}
    return {number: off for number, off in offs.items() if abs(off) > FLOOR_OFF}


class Spread(NamedTuple):
    """A median and the range around it."""

    median: float
    least: float
    most: float

    @staticmethod
    def of(values: Iterable[float]) -> Spread:
        ordered = sorted(values)
        return Spread(median(ordered), ordered[0], ordered[-1])


@dataclass(frozen=True)
class Cell:
    """What one server did in a row.

    ``bound``: the generator was the limit, the server may do more. ``doubtful``: every run was
    disturbed.
    """

    figure: Spread
    runs: int
    disturbed: int
    bound: bool
    doubtful: bool


@dataclass(frozen=True)
class Ratio:
    """herenow's figure to another's of the same round; ``reached`` if something is expected."""

    spread: Spread
    expected: float | None
    reached: bool | None


@dataclass(frozen=True)
class Summary:
    """A line of the table."""

    row: Row
    cells: dict[str, Cell]
    ratios: dict[str, Ratio]
    faults: dict[str, dict[str, float]]
    reasons: list[str]

    def as_json(self) -> dict[str, Any]:
        return {
            "row": self.row.name,
            "unit": self.row.unit,
            "better": self.row.better.value,
            "servers": {
                name: {
                    **cell.figure._asdict(),
                    "runs": cell.runs,
                    "disturbed": cell.disturbed,
                    "generator_bound": cell.bound,
                    "doubtful": cell.doubtful,
                }
                for name, cell in self.cells.items()
            },
            "ratios": {
                name: {
                    **ratio.spread._asdict(),
                    "expected": ratio.expected,
                    "reached": ratio.reached,
                }
                for name, ratio in self.ratios.items()
            },
            "faults": self.faults,
            "disturbances": self.reasons,
        }


OURS: Final = "herenow"


def summarize(row: Row, runs: Iterable[Run]) -> Summary:
    runs = list(runs)
    standing = sift(row, runs)
    by_server: dict[str, dict[int, Run]] = {}
    for run in standing.kept:
        by_server.setdefault(run.server, {})[run.round] = run
    cells = {
        server: Cell(
            Spread.of(row.figure(run.reading) for run in rounds.values()),
            runs=len(rounds),
            disturbed=standing.disturbed[server],
            bound=row.rate and _mostly(is_generator_bound(r.reading) for r in rounds.values()),
            doubtful=server in standing.doubtful,
        )
        for server, rounds in by_server.items()
    }
    ratios = {
        server: ratio
        for server, rounds in by_server.items()
        if server != OURS and (ratio := _ratio(row, server, by_server.get(OURS, {}), rounds))
    }
    faults: dict[str, dict[str, float]] = {}
    for run in runs:
        for name, count in run.faults.items():
            of_server = faults.setdefault(run.server, {})
            of_server[name] = of_server.get(name, 0) + count
    return Summary(row, cells, ratios, faults, standing.reasons)


def _mostly(answers: Iterable[bool]) -> bool:
    given = list(answers)
    return 2 * sum(given) > len(given)


def _ratio(
    row: Row, server: str, ours: Mapping[int, Run], theirs: Mapping[int, Run]
) -> Ratio | None:
    """Round by round, so that what slows the whole machine for a while cancels out."""
    ratios = [
        row.figure(run.reading) / figure
        for number, run in ours.items()
        if number in theirs and (figure := row.figure(theirs[number].reading))
    ]
    if not ratios:
        return None
    spread = Spread.of(ratios)
    return Ratio(spread, row.against.get(server), row.meets(server, spread.median))
