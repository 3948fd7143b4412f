"""Which nodes are well: what nobody can expect of a node that was away for too long.

A node beats every third of its lease. It may be disturbed for some time between two beats and
must not lose its lease; beyond that it may, until everything of it is registered again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cluster.sim.times import QUANTUM

if TYPE_CHECKING:
    from cluster.sim.world import World

ENDURED: Final = 5
"""For how many quanta of a lease of twelve a node must endure to be disturbed."""

RECONNECTING: Final = 3
"""How many quanta it takes at most to be connected again."""

HALF_LEASE: Final = 6


class Health:
    """``_strain``: quanta of disturbance since the last beat that was executed, per partition."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._strain: dict[str, dict[int, int]] = {}
        self._paused = 0

    def boots(self, node: str) -> None:
        self._strain[node] = dict.fromkeys(range(self._world.setting.partitions), 0)

    def dies(self, node: str) -> None:
        del self._strain[node]
        self._world.model.recovers(node)

    def renewed(self, node: str, partition: int) -> None:
        if node in self._strain:
            self._strain[node][partition] = 0

    def breaks(self, node: str) -> None:
        self._add(node, RECONNECTING)

    def jumps(self, quanta: int) -> None:
        if 0 < quanta <= HALF_LEASE:
            self._world.model.hurried += quanta * QUANTUM
            for node in self._strain:
                self._add(node, quanta)

    def replaced(self) -> None:
        """The engine is another one: every lease begins anew, every connection too."""
        self._paused = 0
        for node in self._strain:
            self._strain[node] = dict.fromkeys(self._strain[node], 0)
            self._add(node, RECONNECTING)

    def resumes(self) -> None:
        """A long outage of the engine was no time for anybody, a short one was."""
        quanta = self._paused if self._paused <= HALF_LEASE else 0
        self._paused = 0
        for node in self._strain:
            self._add(node, quanta + RECONNECTING)

    def pass_time(self) -> None:
        """A quantum passes."""
        world = self._world
        if not world.server.reachable:
            self._paused += 1
            return
        for name, other in world.nodes.items():
            wires = other.wires
            if other.frozen or wires.cut or wires.muted or not wires.connected:
                self._add(name, 1)

    def _add(self, node: str, quanta: int) -> None:
        for partition in self._strain[node]:
            self._strain[node][partition] += quanta
            if self._strain[node][partition] >= ENDURED:
                self._world.model.falls_ill(node)

    def look(self) -> None:
        """Who is registered again is well again."""
        world = self._world
        for name in sorted(world.model.sick):
            node = world.nodes.get(name)
            if node is None or node.frozen or node.wires.cut or not node.wires.connected:
                continue
            if node.wires.muted or max(self._strain[name].values()) >= ENDURED:
                continue
            if world.server.reachable and world.server.has_registered(name, node.live()):
                world.model.recovers(name)
