"""Runs as hypothesis draws them: what is fixed, and then a list of actions that shrinks well."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from cluster.sim.actions import FAULTS, Action, Setting, table

PROOF: Final = os.environ.get("HERENOW_PROOF", "") not in ("", "0")
STEPS: Final = 120


class Run(NamedTuple):
    setting: Setting
    actions: list[Action]
    run_zombies: bool


def faults(among: tuple[str, ...] = FAULTS) -> st.SearchStrategy[tuple[str, ...]]:
    if not among:
        return st.just(())
    return st.lists(st.sampled_from(among), min_size=1, max_size=4, unique=True).map(tuple)


def a_setting(chosen: st.SearchStrategy[tuple[str, ...]]) -> st.SearchStrategy[Setting]:
    return st.builds(
        Setting,
        nodes=st.sampled_from([2, 2, 3]),
        rooms=st.sampled_from([1, 2]),
        users=st.sampled_from([2, 1, 3]),
        seated=st.sampled_from([0, 1, 2, 3, 4, 6]),
        partitions=st.sampled_from([1, 1, 1, 2]),
        limit=st.sampled_from([0, 0, 0, 1, 2]),
        grace=st.sampled_from([0, 0, 4, 8]),
        most_connections=st.sampled_from([0, 0, 0, 3]),
        slow=st.sampled_from([False, False, True]),
        faults=chosen,
    )


def _run(setting: Setting) -> st.SearchStrategy[Run]:
    action = st.sampled_from(table(setting))
    # Long ones find more; the short ones, which come first, are what a long one shrinks to.
    actions = st.one_of(
        st.lists(action, max_size=STEPS), *[st.lists(action, min_size=50, max_size=STEPS)] * 4
    )
    return st.builds(Run, st.just(setting), actions, st.booleans())


def runs(among: tuple[str, ...] = FAULTS) -> st.SearchStrategy[Run]:
    return a_setting(faults(among)).flatmap(_run)


def searching(examples: int) -> settings:
    """Settings of a search that is the same in every run, and of its full size on demand."""
    return settings(
        max_examples=examples * 6 if PROOF else examples,
        derandomize=not PROOF,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def finding(examples: int) -> settings:
    """Settings of a search that is to find something among the same *examples* in every run."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
