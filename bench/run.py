"""Run the benchmark: ``make bench``, or ``python -m bench.run --help``."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.machine import Machine, resident_kib
from bench.measure import Generator, measure
from bench.mixed import COMPANY, measure_beside, percentiles
from bench.rows import GROWTH_SIZES, Load, Row, select
from bench.runs import OURS, Run, sift, summarize
from bench.servers import Place, Server, floor, free_port, herenow, peer, running, sink, soketi

from bench import report

COME_AND_GO_CONNECTIONS: Final = 10_000
COME_AND_GO_TIMES: Final = 10
_SETTLE_SECONDS: Final = 3
_MOST_ROUNDS: Final = 2  # times the rounds asked for, until enough are undisturbed


class Bench:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.out: Path = options.out
        self.place = Place(options.built, self.out / "logs")
        self.place.scratch.mkdir(parents=True, exist_ok=True)
        self.rows = select(options.rows)
        self.machine = Machine.here()
        self.failures: list[str] = []

    def servers(self, sink_port: int) -> list[Server]:
        known = {"herenow": herenow(sink_port), "floor": floor(), "soketi": soketi()}
        names = [name for name in self.options.servers.split(",") if name]
        if self.options.peer:
            known["peer"] = peer(self.options.peer)
            names.append("peer")
        if unknown := [name for name in names if name not in known]:
            raise ValueError(
                f"no server is named {', '.join(unknown)}; there are {', '.join(known)}"
            )
        return [known[name] for name in names]

    def write(self, name: str, content: Any) -> None:
        document = {"machine": asdict(self.machine), name: content}
        (self.out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")

    def judge(self, row: str, run: Run) -> None:
        if run.server == OURS and run.faults:
            found = ", ".join(f"{name} {count:g}" for name, count in run.faults.items())
            self.failures.append(f"{row}, round {run.round}: {found}")

    def run_table(self, servers: Sequence[Server], sink_pid: int) -> None:
        """Every row against every server in alternation."""
        content: dict[str, Any] = {}
        for load in dict.fromkeys(row.load for row in self.rows):
            rows = [row for row in self.rows if row.load == load]
            runs = self.run_rounds(rows, load, servers, sink_pid)
            for row in rows:
                summary = summarize(row, runs)
                content[row.name] = {
                    "summary": summary.as_json(),
                    "runs": [asdict(run) for run in runs],
                }
            self.write("table", content)

    def run_rounds(
        self, rows: Sequence[Row], load: Load, servers: Sequence[Server], sink_pid: int
    ) -> list[Run]:
        runs: list[Run] = []
        wanted = self.options.runs
        for number in range(1, (self.options.rounds or _MOST_ROUNDS * wanted) + 1):
            first = (number - 1) % len(servers)
            for server in (*servers[first:], *servers[:first]):
                run = measure(server, load, self.place, sink_pid, self.options.seconds, number)
                runs.append(run)
                self.judge(rows[0].name, run)
                for row in rows:
                    tell(row, run)
            if number >= wanted and all(
                _clean_runs(row, runs, server) >= wanted for row in rows for server in servers
            ):
                break
        return runs

    def run_growth(self, servers: Sequence[Server], sink_pid: int) -> None:
        """What a unit of each row's work costs herenow with more and more connections."""
        (ours,) = (server for server in servers if server.name == OURS)
        content: dict[str, dict[str, float]] = {row.name: {} for row in self.rows}
        for load in dict.fromkeys(row.load for row in self.rows):
            rows = [row for row in self.rows if row.load == load]
            for size in GROWTH_SIZES:
                grown = load.grown(size)
                seconds = self.options.seconds
                runs = [
                    measure(ours, grown, self.place, sink_pid, seconds, number)
                    for number in range(1, self.options.runs + 1)
                ]
                for run in runs:
                    self.judge(f"{rows[0].name} with {size:,} connections", run)
                for row in rows:
                    kept = sift(row, runs).kept
                    if kept:
                        costs = sorted(row.cost(run.reading) for run in kept)
                        content[row.name][str(size)] = costs[len(costs) // 2]
                        cost = report.number(content[row.name][str(size)])
                        say(f"{row.name:18} {size:>6,} connections {cost} {row.cost_unit}")
            self.write("growth", content)

    def run_mixed(self, servers: Sequence[Server]) -> None:
        """How long others wait beside a fan-out to very many."""
        (ours,) = (server for server in servers if server.name == OURS)
        content: dict[str, Any] = {}
        for company in COMPANY:
            times = measure_beside(company, ours, self.place, self.options.seconds)
            content[company.title] = percentiles(times)
            for name, each in content[company.title].items():
                say(f"{company.title:21} {name:8} p50 {each['p50']:.2f} p99 {each['p99']:.2f} ms")
        self.write("mixed", content)

    def run_come_and_go(self, servers: Sequence[Server]) -> None:
        """Memory after many connections have subscribed and left, again and again."""
        (ours,) = (server for server in servers if server.name == OURS)
        load = Load(
            "fanout",
            conns=COME_AND_GO_CONNECTIONS,
            channels=100,
            publishers=1,
            inflight=128,
            rate=1,
        )
        after = []
        with running(ours, self.place, load) as target:
            generator = Generator(self.place.built, target)
            generator.run(load.warm_up())
            time.sleep(_SETTLE_SECONDS)
            before = resident_kib(target.pid)
            for _ in range(COME_AND_GO_TIMES):
                generator.run(load.arguments(1))
                time.sleep(_SETTLE_SECONDS)
                after.append(resident_kib(target.pid))
                say(f"{len(after)}: {after[-1] / 1024:.1f} MiB")
        content = {
            "connections": COME_AND_GO_CONNECTIONS,
            "before_kib": before,
            "after_kib": after,
        }
        self.write("come_and_go", content)


def _clean_runs(row: Row, runs: Sequence[Run], server: Server) -> int:
    standing = sift(row, runs)
    of_server = [run for run in runs if run.server == server.name]
    return len(of_server) - standing.disturbed.get(server.name, len(of_server))


def tell(row: Row, run: Run) -> None:
    """One line about a run, while the rest goes on."""
    figure = report.number(row.figure(run.reading)) if run.reading else "?"
    remarks = "; ".join((*run.disturbed, *(f"{k} {v:g}" for k, v in run.faults.items())))
    say(f"{row.name:18} {run.round:>2} {run.server:8} {figure:>9} {row.unit:14} {remarks}".rstrip())


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    option = parser.add_argument
    option("--rows", default="", help="names of rows, with commas; default: all")
    option("--runs", type=int, default=5, help="undisturbed runs of each server; default: 5")
    option("--rounds", type=int, default=0, help="rounds at most; default: twice the runs")
    option("--seconds", type=float, default=10, help="length of a run; default: 10")
    option("--servers", default="herenow,floor,soketi", help="default: herenow,floor,soketi")
    option("--peer", default="", help="start command of another server, with {port} in it")
    option("--built", type=Path, default=Path("build/bench"), help="where programs are built")
    option("--out", type=Path, default=Path("build/bench/results"), help="where results go")
    option("--page", type=Path, help="page that gets the tables and the plot")
    option("--growth", action="store_true", help="cost at 100, 1,000 and 10,000 connections")
    option("--churn", action="store_true", help="memory after connections come and go")
    option("--mixed", action="store_true", help="latency beside a fan-out to 10,000")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        bench = Bench(options)
        sink_port = free_port()
        servers = bench.servers(sink_port)
    except ValueError as error:
        say(f"bench: {error}")
        return 2
    with sink(bench.place, sink_port) as sink_pid:
        if options.growth:
            bench.run_growth(servers, sink_pid)
        if options.churn:
            bench.run_come_and_go(servers)
        if options.mixed:
            bench.run_mixed(servers)
        if not (options.growth or options.churn or options.mixed):
            bench.run_table(servers, sink_pid)
    report.main(options.out, options.page)
    for failure in bench.failures:
        say(f"FAILED {failure}")
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
