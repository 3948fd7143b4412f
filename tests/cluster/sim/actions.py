"""What can happen in a run, as plain tuples, and which of it in which run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

Action: TypeAlias = tuple[str | int, ...]

FAULTS: Final = (
    "freeze",
    "cut",
    "crash",
    "reset",
    "mute",
    "hangup",
    "deafen",
    "lose",
    "repeat",
    "pause",
    "jump",
    "restart",
    "empty",
    "older",
    "swap",
)
"""Kinds of faults, as the methods of ``Trouble`` do them; a run has some of them."""

ENDS: Final = {"freeze": ("thaw", "away"), "cut": ("heal", "apart"), "crash": ("boot", "")}
WEIGHT_OF_A_FAULT: Final = 16

USERS: Final = 3
ROOMS: Final = 2
INFOS: Final = 2


class Setting(NamedTuple):
    """What is fixed for a run. ``seated`` clients are in rooms from the beginning.

    ``slow``: a node registers again one subscription after the other.
    """

    nodes: int = 2
    rooms: int = 1
    users: int = 2
    seated: int = 0
    partitions: int = 1
    limit: int = 0
    grace: int = 0
    most_connections: int = 0
    slow: bool = False
    faults: tuple[str, ...] = ()


def table(setting: Setting) -> list[Action]:
    """Every action of a run, as often as its weight says, the simplest first."""
    nodes = range(setting.nodes)
    rooms, users = range(setting.rooms), range(setting.users)
    actions: list[Action] = []

    def add(weight: int, *some: Action) -> None:
        for action in some:
            actions.extend([action] * weight)

    add(12, ("time", 1))
    add(3, ("time", 3))
    add(2, ("time", 8))
    add(10, ("flush",))
    joins = [
        ("join", n, u, r, i) for n in nodes for u in users for r in rooms for i in range(INFOS)
    ]
    add(max(1, 24 // len(joins)), *joins)
    add(1, *(("sign", n, u) for n in nodes for u in users))
    add(1, *(("watch", n, u) for n in nodes for u in users))
    add(2, *(("reload", client, n) for client in range(3) for n in nodes))
    add(2, *(("close", client) for client in range(6)))
    add(1, *(("unsubscribe", client) for client in range(3)))
    add(1, *(("subscribe", client, r) for client in range(3) for r in rooms))
    add(1, *(("news", client) for client in range(2)))
    add(1, *(("ask", n, what) for n in nodes for what in range(6)))
    add(1, *(("terminate", n, u) for n in nodes for u in users))
    for kind in ("exec", "reply", "subexec", "feed", "inbox"):
        add(4 if kind != "subexec" else 1, *((kind, n) for n in nodes))
    faults = set(setting.faults)
    if faults & {"reset", "mute", "cut", "pause", "crash", "freeze", "swap"}:
        add(5, ("zombie", 0))
        add(2, ("zombie", 1), ("forget", 0))
    for kind in setting.faults:
        some = _fault(kind, setting.nodes)
        add(-(-WEIGHT_OF_A_FAULT // len(some)), *some)
    return actions


def _fault(kind: str, nodes: int) -> list[Action]:
    """What a kind of fault may do, and what ends it."""
    everywhere = [(kind, node) for node in range(nodes)]
    if kind in ENDS:
        return everywhere + [(name, *rest) for name, *rest in _ends(kind, nodes)]
    if kind == "pause":
        outages: list[Action] = [("outage", quanta) for quanta in (5, 14, 20, 30)]
        return [("pause",), ("resume",), *outages]
    if kind == "deafen":
        return [(kind, node, how) for node in range(nodes) for how in (0, 1)]
    if kind == "jump":
        return [("jump", quanta) for quanta in (3, 40, -40)]
    if kind in ("restart", "empty"):
        return [(kind,)]
    if kind in ("older", "swap"):
        return [(kind, back) for back in range(8)]
    return [*everywhere]


def _ends(kind: str, nodes: int) -> Iterator[Action]:
    end, at_once = ENDS[kind]
    for node in range(nodes):
        yield (end, node)
        if at_once:
            for quanta in (3, 8, 16):
                yield (at_once, node, quanta)
