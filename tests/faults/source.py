"""A copy of the server with other scripts."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import herenow
from faults.deployment import Setup

_FENCE: Final = re.compile(r"^local function fenced\(\)$.*?^end$", re.MULTILINE | re.DOTALL)


def with_scripts(setup: Setup, directory: Path, edit: Callable[[str], str]) -> Setup:
    """*setup* with a server of its own in *directory*, each of whose scripts was edited."""
    package = Path(str(herenow.__file__)).parent
    ignored = shutil.ignore_patterns("__pycache__", "static")
    shutil.copytree(package, directory / "herenow", ignore=ignored)
    changed = 0
    for script in (directory / "herenow" / "cluster" / "lua").glob("*.lua"):
        before = script.read_text()
        script.write_text(after := edit(before))
        changed += before != after
    assert changed, "no script was changed"
    return replace(
        setup,
        command=(sys.executable, "-m", "herenow.cli", "serve"),
        environment={"PYTHONPATH": str(directory)},
    )


def without_fence(script: str) -> str:
    """*script* taking everybody for a registered node."""
    found = _FENCE.search(script)
    if found is None:
        return script
    assert found[0].count("return true") == 2, found[0]
    return script.replace(found[0], found[0].replace("return true", "return false"))
