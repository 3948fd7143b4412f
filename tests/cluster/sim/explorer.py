"""Random runs beyond what the properties try, and the shortest run that still fails."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cluster.sim.actions import FAULTS, Action, Setting, table
from cluster.sim.ending import check, settle
from cluster.sim.model import Violation
from cluster.sim.server import SimulatedServer
from cluster.sim.world import World, pace

Play = Callable[[Setting, Sequence[Action], bool], None]

STEPS: Final = 120


class Found(NamedTuple):
    """A run that breaks a rule."""

    violation: Violation
    setting: Setting
    actions: list[Action]
    run_zombies: bool

    def __str__(self) -> str:
        return (
            f"{self.violation}\nplay(\n    {self.setting!r},\n    {self.actions!r},\n"
            f"    run_zombies={self.run_zombies},\n)"
        )


def play(
    setting: Setting,
    actions: Sequence[Action],
    *,
    run_zombies: bool = True,
    patiently: bool = False,
    server: SimulatedServer | None = None,
    checks_sequence: bool = True,
) -> World:
    """Do *actions*, then end all faults and check everything. Raises ``Violation``."""
    with pace(setting.slow):
        world = World(setting, server or SimulatedServer(), checks_sequence=checks_sequence)
        for action in actions:
            world.do(action)
        settle(world, run_zombies=run_zombies, patiently=patiently)
        check(world)
    return world


def random_setting(chance: random.Random) -> Setting:
    return Setting(
        nodes=chance.choice((2, 2, 3)),
        rooms=chance.choice((1, 1, 2)),
        users=chance.choice((1, 2, 2, 3)),
        seated=chance.choice((0, 1, 2, 3, 4, 6)),
        partitions=chance.choice((1, 1, 1, 2)),
        limit=chance.choice((0, 0, 0, 1, 2)),
        grace=chance.choice((0, 0, 4, 8)),
        most_connections=chance.choice((0, 0, 0, 3)),
        slow=chance.random() < 0.3,
        faults=tuple(sorted(set(chance.choices(FAULTS, k=chance.choice((0, 1, 2, 2, 3, 4)))))),
    )


def random_run(seed: int, attempt: Play) -> Found | None:
    chance = random.Random(seed)
    setting = random_setting(chance)
    actions = chance.choices(table(setting), k=chance.randint(10, STEPS))
    run_zombies = chance.random() < 0.5
    return _tried(setting, actions, run_zombies, attempt)


def _tried(
    setting: Setting, actions: Sequence[Action], run_zombies: bool, attempt: Play
) -> Found | None:
    try:
        attempt(setting, actions, run_zombies)
    except Violation as violation:
        return Found(violation, setting, list(actions), run_zombies)
    return None


def minimise(found: Found, attempt: Play) -> Found:
    """Leave out what is not needed for a rule of the same number to be broken."""

    def still(setting: Setting, actions: Sequence[Action]) -> Found | None:
        tried = _tried(setting, actions, found.run_zombies, attempt)
        return tried if tried and tried.violation.rule == found.violation.rule else None

    size = len(found.actions) // 2
    while size:
        start = 0
        while start < len(found.actions):
            fewer = found.actions[:start] + found.actions[start + size :]
            if tried := still(found.setting, fewer):
                found = tried
            else:
                start += size
        size //= 2
    for field, simple in Setting._field_defaults.items():
        if getattr(found.setting, field) != simple and field != "faults":
            simpler = found.setting._replace(**{field: simple})
            found = still(simpler, found.actions) or found
    changed = True
    while changed:
        changed = False
        for index in reversed(range(len(found.actions))):
            fewer = found.actions[:index] + found.actions[index + 1 :]
            if tried := still(found.setting, fewer):
                found, changed = tried, True
                break
    return found
