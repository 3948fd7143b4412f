"""How long each function takes: ``make bench-micro``."""

from __future__ import annotations

from typing import Any

import pytest
from bench.micro.subjects import GROUPS, Subject, name_of

CASES = [
    pytest.param(group, subject, id=name_of(subject))
    for group, subjects in GROUPS.items()
    for subject in subjects
]


@pytest.mark.parametrize(("group", "subject"), CASES)
def test_speed(benchmark: Any, group: str, subject: Subject) -> None:
    benchmark.group = group
    benchmark(subject)
