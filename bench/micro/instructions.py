"""Instructions of each function, counted by callgrind: figures that no noise touches.

``python -m bench.micro.instructions DIRECTORY`` prints them; ``… run LIBRARY`` is the program that
is counted.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.micro.subjects import GROUPS, Subject, name_of

TIMES: Final = 200
_WARM_UP: Final = 50
_START: Final = "herenow_start"
_REPEAT: Final = "herenow_repeat"
_SOURCE: Final = Path(__file__).with_name("repeat.c")
_TOTALS: Final = re.compile(r"^totals: (\d+)", re.MULTILINE)
_COUNTED: Final = re.compile(rf"^desc: Trigger: --dump-after={_REPEAT}", re.MULTILINE)


def subjects() -> Iterator[tuple[str, Subject]]:
    for group, members in GROUPS.items():
        for subject in members:
            yield group, subject


def run(library: Path) -> None:
    """Call every function *TIMES* times inside what callgrind counts."""
    repeat = getattr(ctypes.PyDLL(str(library)), _START)
    repeat.argtypes = [ctypes.py_object, ctypes.c_long]
    gc.disable()
    for _, subject in subjects():
        for _ in range(_WARM_UP):
            subject()
        repeat(subject, TIMES)


def count(built: Path) -> list[int]:
    """Instructions of one call of each function, in the order of :func:`subjects`."""
    built.mkdir(parents=True, exist_ok=True)
    library = (built / "repeat.so").resolve()
    subprocess.run(
        [
            "gcc",
            "-O1",
            "-fno-optimize-sibling-calls",
            "-shared",
            "-fPIC",
            "-o",
            str(library),
            str(_SOURCE),
        ],
        check=True,
    )
    with tempfile.TemporaryDirectory() as scratch:
        dump = Path(scratch, "dump")
        command = [
            "valgrind",
            "--quiet",
            "--tool=callgrind",
            f"--callgrind-out-file={dump}",
            "--collect-atstart=no",
            f"--toggle-collect={_REPEAT}",
            f"--dump-after={_REPEAT}",
            *(sys.executable, "-m", "bench.micro.instructions", "run", str(library)),
        ]
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        subprocess.run(command, env=environment, check=True)
        dumps = sorted(Path(scratch).glob("dump.*"), key=lambda file: int(file.suffix[1:]))
        totals = [total for file in dumps if (total := read_total(file.read_text())) is not None]
    return [round(total / TIMES) for total in totals]


def read_total(dump: str) -> int | None:
    """The instructions of a dump that was written after the calls of one function."""
    found = _TOTALS.search(dump)
    return int(found[1]) if found and _COUNTED.search(dump) else None


def main(built: Path) -> None:
    if shutil.which("valgrind") is None or shutil.which("gcc") is None:
        raise SystemExit("counting instructions needs valgrind and gcc")
    counted = count(built)
    result: dict[str, dict[str, int]] = {}
    for (group, subject), instructions in zip(subjects(), counted, strict=True):
        result.setdefault(group, {})[name_of(subject)] = instructions
        print(f"{group:12}{name_of(subject):32}{instructions:>12,}")
    (built / "instructions.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
