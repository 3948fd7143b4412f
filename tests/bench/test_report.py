"""What a reader gets: figures, tables and the page."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from bench.machine import Machine
from bench.rows import ROWS, Better, select
from bench.runs import Cell, Ratio, Run, Spread, summarize

from bench import report

MACHINE = Machine("EPYC", 2, "Linux 6.18", "3.11.7", "0123456789abcdef", True, "2026-01-02")
(FANOUT,) = select("fanout")


def run(server: str, number: int, deliveries: float, lost: int = 0) -> Run:
    reading = {"deliveries_per_s": deliveries, "gen_cpu_pct": 50, "server_cpu_pct": 100}
    return Run(server, number, reading, (), {"lost": lost} if lost else {})


RUNS = [run("herenow", 1, 190_000), run("floor", 1, 200_000), run("soketi", 1, 100_000)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (212_345, "212,000"),
        (1_234, "1,230"),
        (999.6, "1,000"),
        (10.84, "10.8"),
        (0.6449, "0.645"),
        (0, "0"),
    ],
)
def test_three_digits_of_a_number_are_shown(value: float, text: str) -> None:
    assert report.number(value) == text


def test_a_range_stands_behind_its_median() -> None:
    assert report.spread(Spread(105, 100, 110)) == "105 (100\N{EN DASH}110)"
    assert report.spread(Spread(105, 105, 105)) == "105"


def test_marks_say_what_a_figure_is_worth() -> None:
    spread = Spread(5, 5, 5)
    assert report.cell(Cell(spread, 5, 0, bound=True, doubtful=False)) == "≥ 5.00"
    assert report.cell(Cell(spread, 5, 5, bound=False, doubtful=True)) == "~ 5.00"


def test_a_ratio_names_what_was_expected_and_whether_it_was_missed() -> None:
    spread = Spread(1.9, 1.8, 2)
    assert report.ratio(Ratio(spread, 2, False), Better.HIGHER) == "1.90 (≥ 2) **missed**"
    assert report.ratio(Ratio(spread, 2, True), Better.LOWER) == "1.90 (≤ 2)"
    assert report.ratio(Ratio(spread, None, None), Better.LOWER) == "1.90"


def test_the_table_has_a_line_for_each_row() -> None:
    table = report.table([summarize(FANOUT, RUNS)]).splitlines()
    assert len(table) == 3
    cells = [cell.strip() for cell in table[2].strip("|").split("|")]
    assert cells == [
        "fan-out to 1,000 subscribers of one channel, deliveries/s",
        "190,000",
        "200,000",
        "100,000",
        "0.95 (≥ 0.85)",
        "1.90 (≥ 2) **missed**",
    ]


def test_losses_are_told_beside_the_table() -> None:
    sound = report.counts([summarize(FANOUT, RUNS)])
    lossy = report.counts([summarize(FANOUT, [*RUNS, run("soketi", 2, 5, lost=7)])])
    assert "No delivery was lost, repeated or out of order in any run." in sound
    assert f"soketi 1.6.1, {FANOUT.title}: lost 7." in lossy


def test_growth_is_compared_between_its_largest_sizes() -> None:
    text = report.growth_table({"fanout": {"100": 5, "1000": 4, "10000": 6}}, [FANOUT])
    cells = [cell.strip() for cell in text.splitlines()[2].strip("|").split("|")]
    assert cells[1:] == ["5.00", "4.00", "6.00", "1.50"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    runs = [asdict(run) for run in RUNS]
    document = {"machine": asdict(MACHINE), "table": {"fanout": {"runs": runs}}}
    (tmp_path / "table.json").write_text(json.dumps(document))
    return tmp_path


def test_results_are_read_back_as_they_were_written(results: Path) -> None:
    loaded = report.load_results(results)
    assert loaded["machine"] == MACHINE
    assert loaded["rows"] == ROWS
    assert loaded["summaries"] == [summarize(FANOUT, RUNS)]


def test_the_block_names_machine_and_commit(results: Path) -> None:
    block = report.block(report.load_results(results))
    assert "EPYC, 2 cores, Linux 6.18, Python 3.11.7; commit 0123456789ab, with changes." in block


def test_memory_is_shown_if_connections_came_and_went(results: Path) -> None:
    content = {"connections": 10_000, "before_kib": 40_960, "after_kib": [51_200, 51_200]}
    document = {"machine": asdict(MACHINE), "come_and_go": content}
    (results / "come_and_go.json").write_text(json.dumps(document))
    block = report.block(report.load_results(results))
    assert "10,000 connections" in block
    assert "| 40.0   | 50.0 | 50.0 |" in block


def test_a_page_keeps_what_was_written_around_the_block(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    results = {"machine": MACHINE, "rows": ROWS, "summaries": [summarize(FANOUT, RUNS)]}
    report.write_page(page, report.block(results))
    page.write_text(page.read_text().replace("# Performance", "# Speed") + "\nBelow.\n")

    report.write_page(page, report.block({**results, "summaries": []}))

    text = page.read_text()
    assert text.startswith("# Speed\n")
    assert text.endswith("\n\nBelow.\n")
    assert "190,000" not in text
    assert text.count("EPYC") == 1
