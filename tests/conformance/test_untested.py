"""Statements that this suite cannot test, with the reason, and the proof that none is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

STATEMENTS: Final = range(1, 158)

_SDK: Final = "covered in tests/compat with the real SDK"

UNTESTED: Final = {
    77: _SDK,
    93: "a setting of a running server cannot be changed in a way that all servers share",
    150: f"{_SDK}s; those for PHP and Ruby do not run here",
    151: f"{_SDK}s; those of Swift and .NET do not run here",
    152: _SDK,
    153: f"{_SDK}, Laravel Echo; Laravel itself does not run here",
    154: _SDK,
    155: f"{_SDK}s; those for .NET, PHP, Ruby and Swift do not run here",
    156: f"{_SDK} in a browser",
    157: "xhr transports are not offered",
}


@pytest.mark.parametrize("statement", UNTESTED)
def test_untested_statement(statement: int) -> None:
    pytest.skip(f"statement {statement}: {UNTESTED[statement]}")


def test_every_statement_is_accounted_for() -> None:
    tested = {
        int(number)
        for module in Path(__file__).parent.glob("test_*.py")
        for number in re.findall(r"^def test_(\d{3})_", module.read_text("utf-8"), re.MULTILINE)
    }
    assert tested.isdisjoint(UNTESTED)
    assert sorted(tested | set(UNTESTED)) == list(STATEMENTS)
