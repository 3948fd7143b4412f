"""The machine that is measured on, and what else happens on it."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True)
class Machine:
    """Where and when, and which commit of herenow; ``changed``: files differ from the commit."""

    processor: str
    cores: int
    kernel: str
    python: str
    commit: str
    changed: bool
    date: str

    @staticmethod
    def here() -> Machine:
        commit, changed = _commit()
        return Machine(
            processor=_processor(Path("/proc/cpuinfo").read_text()),
            cores=os.cpu_count() or 1,
            kernel=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            commit=commit,
            changed=changed,
            date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        )


def _processor(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _commit() -> tuple[str, bool]:
    """The commit of the herenow that is run, which may be in another directory than this file."""
    found = importlib.util.find_spec("herenow")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        return ended.stdout.strip()

    return git("rev-parse", "HEAD") or "unknown", bool(git("status", "--porcelain", "--", "."))


class Core(NamedTuple):
    """Seconds since the start of the machine: at work, and taken away by the host."""

    busy: float
    stolen: float


class Moment(NamedTuple):
    """What the cores and some processes had done by then."""

    at: float
    cores: dict[int, Core]
    processes: dict[int, float]


def moment(*pids: int) -> Moment:
    """Now, with the CPU time of the process trees given."""
    tick = os.sysconf("SC_CLK_TCK")
    return Moment(
        time.monotonic(),
        read_cores(Path("/proc/stat").read_text(), tick),
        {pid: sum(map(_cpu_seconds, _tree(pid))) for pid in pids},
    )


def read_cores(text: str, tick: int) -> dict[int, Core]:
    """The cores in a ``/proc/stat``."""
    cores: dict[int, Core] = {}
    for line in text.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
            busy = user + nice + system + irq + softirq
            cores[int(name[3:])] = Core(busy / tick, steal / tick)
    return cores


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        if fields := _stat(int(process.name)):
            children.setdefault(int(fields[1]), []).append(int(process.name))
    tree = [root]
    for pid in tree:
        tree.extend(children.get(pid, ()))
    return tree


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/{pid}/stat`` from the state on; none when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def resident_kib(pid: int) -> int:
    """Memory of a process tree."""
    total = 0
    for member in _tree(pid):
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                total += int(line.split()[1])
    return total
