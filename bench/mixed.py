"""What a fan-out to very many costs everybody else: a ping, a join, a publish beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any, Final

from bench.measure import Generator, GeneratorFailed
from bench.rows import Load
from bench.servers import Place, Server, running

SUBSCRIBERS: Final = 10_000
MOST_ADDED_MS: Final = 5.0
_LEAD_SECONDS: Final = 3.0


@dataclass(frozen=True)
class Company:
    """What goes on beside: so many events a second to all subscribers; ``None``: without pause."""

    title: str
    rate: float | None

    @property
    def load(self) -> Load:
        # One a minute keeps the subscribers there, and otherwise quiet.
        return Load("fanout", conns=SUBSCRIBERS, publishers=1, inflight=256, rate=self.rate or 0)


COMPANY: Final = (
    Company("nothing", 1 / 60),
    Company("5 events/s", 5),
    Company("events without pause", None),
)


def measure_beside(
    company: Company, server: Server, place: Place, seconds: float
) -> dict[str, list[float]]:
    """Milliseconds of each ping, join and publish while *company* goes on."""
    with running(server, place, company.load) as target:
        generator = Generator(place.built, target)
        failed: list[GeneratorFailed] = []

        def generate() -> None:
            try:
                generator.run(company.load.arguments(seconds + 2 * _LEAD_SECONDS))
            except GeneratorFailed as failure:
                failed.append(failure)

        thread = threading.Thread(target=generate)
        thread.start()
        try:
            generator.await_descriptors(SUBSCRIBERS)
            time.sleep(_LEAD_SECONDS)
            probe = [sys.executable, "-m", "bench.probe", str(target.port), str(seconds)]
            done = subprocess.run(probe, stdout=subprocess.PIPE, check=True, text=True)
        finally:
            thread.join()
        if failed:
            raise failed[0]
        times: dict[str, list[float]] = json.loads(done.stdout)
        return times


def percentiles(times: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Median and 99th percentile of each, in milliseconds, and how many there were."""
    content: dict[str, dict[str, float]] = {}
    for name, values in times.items():
        cuts = quantiles(values, n=100)
        content[name] = {"p50": cuts[49], "p99": cuts[98], "count": len(values)}
    return content


def added(content: Mapping[str, Any]) -> dict[str, float]:
    """By how much the 99th percentile of the worst action is above that with nothing beside."""
    alone = content[COMPANY[0].title]
    return {
        title: max(each["p99"] - alone[name]["p99"] for name, each in beside.items())
        for title, beside in content.items()
        if title != COMPANY[0].title
    }
