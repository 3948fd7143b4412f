"""One run of the load generator against one server, with an eye on the machine."""

from __future__ import annotations

import json
import resource
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.machine import moment
from bench.rows import Load
from bench.runs import DRAIN_SECONDS, Run, disturbances, faults_of
from bench.servers import (
    APP_ID,
    APP_KEY,
    APP_SECRET,
    GENERATOR_CORE,
    SERVER_CORE,
    DidNotStart,
    Place,
    Running,
    Server,
    pinned,
    running,
)

_CREDENTIALS: Final = ["--app-id", APP_ID, "--key", APP_KEY, "--secret", APP_SECRET]
_LONGEST_SECONDS: Final = 900
_SET_UP_SECONDS: Final = 600
_QUIET_LOAD: Final = 0.04
_QUIET_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 20
# Longer than the grace in which a member of the warm-up would not be announced again.
_LEAVING_SECONDS: Final = 4


class GeneratorFailed(Exception):
    """The load generator gave up; its last words say why."""


class Generator:
    """The load generator, aimed at one server."""

    def __init__(self, built: Path, target: Running) -> None:
        self._program = str(built / "load" / "wsload")
        self._target = target

    def _command(self, arguments: Sequence[str]) -> list[str]:
        aim = ["--port", str(self._target.port), "--pid", str(self._target.pid)]
        limits = ["--timeout", str(_SET_UP_SECONDS), "--drain", str(DRAIN_SECONDS)]
        options = [*limits, *_CREDENTIALS, *aim]
        return pinned(GENERATOR_CORE, [self._program, *arguments, *options])

    def run(self, arguments: Sequence[str]) -> dict[str, Any]:
        """What one run read."""
        with subprocess.Popen(
            self._command(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                output, errors = process.communicate(timeout=_LONGEST_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise GeneratorFailed(f"no end after {_LONGEST_SECONDS} s") from None
        last = output.splitlines()[-1:]
        if process.returncode or not last or not last[0].startswith("{"):
            said = errors.strip() or (last[0] if last else "")
            raise GeneratorFailed(said or f"exit code {process.returncode}")
        reading: dict[str, Any] = json.loads(last[0])
        return reading

    @contextmanager
    def crowd(self, connections: int) -> Iterator[None]:
        """So many idle connections, for as long as the context is open."""
        if not connections:
            yield
            return
        arguments = ["connect", "--conns", str(connections), "--hold", str(_LONGEST_SECONDS)]
        with subprocess.Popen(self._command(arguments), stdout=subprocess.DEVNULL) as process:
            try:
                self.await_descriptors(connections)
                yield
            finally:
                process.terminate()

    def await_descriptors(self, connections: int) -> None:
        """Wait until the server has so many files open."""
        deadline = time.monotonic() + _SET_UP_SECONDS
        open_files = Path(f"/proc/{self._target.pid}/fd")
        while sum(1 for _ in open_files.iterdir()) < connections:
            if time.monotonic() > deadline:
                raise GeneratorFailed(f"no {connections} idle connections could be made")
            time.sleep(0.1)
        time.sleep(0.5)


def measure(
    server: Server, load: Load, place: Place, sink: int, seconds: float, number: int
) -> Run:
    """Start the server, put the load on it, stop it; *number* is that of the round."""
    try:
        with running(server, place, load) as target:
            generator = Generator(place.built, target)
            if not load.cold:
                generator.run(load.warm_up())
                if load.mode == "presence":
                    time.sleep(_LEAVING_SECONDS)
            with generator.crowd(load.crowd):
                wait_until_quiet()
                before, generated = moment(target.pid, sink), _cpu_of_ended_children()
                reading = generator.run(load.arguments(seconds))
                after, generated = moment(target.pid, sink), _cpu_of_ended_children() - generated
    except (DidNotStart, GeneratorFailed) as failure:
        return Run(server.name, number, {}, (), {str(failure): 1})
    own = {
        SERVER_CORE: after.processes[target.pid] - before.processes[target.pid],
        GENERATOR_CORE: after.processes[sink] - before.processes[sink] + generated,
    }
    disturbed = disturbances(before, after, own, reading)
    return Run(server.name, number, reading, disturbed, faults_of(reading))


def _cpu_of_ended_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def wait_until_quiet() -> None:
    """Wait for a moment in which nothing else runs, though not for ever."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        before = moment()
        time.sleep(_QUIET_SECONDS)
        after = moment()
        load = max(
            (after.cores[core].busy - before.cores[core].busy) / (after.at - before.at)
            for core in (SERVER_CORE, GENERATOR_CORE)
        )
        if load <= _QUIET_LOAD:
            return
