"""What breaks, and what ends it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from cluster.sim.times import QUANTUM
from cluster.sim.wires import Request, Wires

if TYPE_CHECKING:
    from cluster.sim.world import World


class Trouble:
    """Each method is an action. A ``zombie`` is what a connection that was given up carried."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._server = world.server

    def freeze(self, index: int) -> bool:
        node = self._world.node(index)
        if node is None or node.frozen:
            return False
        node.frozen = True
        return True

    def thaw(self, index: int) -> bool:
        node = self._world.node(index)
        if node is None or not node.frozen:
            return False
        node.frozen = False
        node.clock.wake(self._world.now)
        return True

    def away(self, index: int, quanta: int) -> bool:
        """A node sleeps for some time."""
        return self.freeze(index) and self._world.time(quanta) and self.thaw(index)

    def cut(self, index: int) -> bool:
        node = self._world.node(index)
        if node is None or node.wires.cut:
            return False
        node.wires.cut = True
        return True

    def heal(self, index: int) -> bool:
        node = self._world.node(index)
        if node is None or not node.wires.cut:
            return False
        node.wires.cut = False
        return True

    def apart(self, index: int, quanta: int) -> bool:
        """A node is cut off for some time."""
        return self.cut(index) and self._world.time(quanta) and self.heal(index)

    def crash(self, index: int) -> bool:
        node = self._world.node(index)
        if node is None:
            return False
        for request in node.wires.up:
            request.given_up = True
        if node.wires.up:
            node.wires.zombies.append(node.wires.up)
        self._server.zombies.extend(node.wires.zombies)
        del self._world.nodes[node.name]
        self._world.model.dies(node.name)
        self._world.health.dies(node.name)
        return True

    def reset(self, index: int) -> bool:
        return self._break(index, lambda wires: wires.give_up(executed=True))

    def mute(self, index: int) -> bool:
        return self._break(index, lambda wires: wires.mute())

    def _break(self, index: int, how: Callable[[Wires], bool]) -> bool:
        node = self._world.node(index)
        if node is None or node.frozen or node.wires.cut or not how(node.wires):
            return False
        self._world.health.breaks(node.name)
        return True

    def hangup(self, index: int) -> bool:
        return self._world.move(index, lambda node: node.wires.hang_up(), node_acts=True)

    def deafen(self, index: int, forever: int) -> bool:
        how = bool(forever)
        return self._world.move(index, lambda node: node.wires.deafen(forever=how), node_acts=False)

    def lose(self, index: int) -> bool:
        return self._world.move(index, lambda node: node.wires.lose(), node_acts=False)

    def repeat(self, index: int) -> bool:
        return self._world.move(index, lambda node: node.wires.repeat(), node_acts=False)

    def zombies(self) -> list[deque[Request]]:
        found = [zombie for wires in self._world.wires() for zombie in wires.zombies]
        return found + self._server.zombies

    def zombie(self, index: int) -> bool:
        """The next call of one is executed."""
        zombies = self.zombies()
        if index >= len(zombies) or not self._server.reachable:
            return False
        self._server.execute(zombies[index].popleft())
        if not zombies[index]:
            self._drop(zombies[index])
        return True

    def forget(self, index: int) -> bool:
        """One is never executed."""
        zombies = self.zombies()
        if index >= len(zombies):
            return False
        self._drop(zombies[index])
        return True

    def _drop(self, zombie: deque[Request]) -> None:
        for owner in (*(wires.zombies for wires in self._world.wires()), self._server.zombies):
            owner[:] = [other for other in owner if other is not zombie]

    def pause(self) -> bool:
        return self._server.pause()

    def resume(self) -> bool:
        if not self._server.resume():
            return False
        self._world.health.resumes()
        return True

    def outage(self, quanta: int) -> bool:
        """The engine does not answer for some time."""
        return self.pause() and self._world.time(quanta) and self.resume()

    def jump(self, quanta: int) -> bool:
        """The engine's clock jumps."""
        self._server.skew += quanta * QUANTUM
        self._world.health.jumps(quanta)
        return True

    def restart(self) -> bool:
        """The engine starts again, with its data."""
        return self._replace()

    def empty(self) -> bool:
        """The engine starts again, without its data."""
        self._server.clear()
        return self._replace()

    def older(self, back: int) -> bool:
        """The engine dies, and one with an older copy takes its place."""
        if not self._server.can_go_back(back):
            return False
        self._server.go_back(back)
        return self._replace()

    def swap(self, back: int) -> bool:
        """The same behind something that keeps the nodes' connections."""
        if not self._server.can_go_back(back):
            return False
        self._server.go_back(back)
        self._server.new_history()
        self._world.model.lost = True
        return True

    def _replace(self) -> bool:
        self._server.new_history()
        self._server.resume()
        self._server.zombies.clear()
        self._world.model.lost = True
        self._world.health.replaced()
        for wires in self._world.wires():
            wires.forget()
        return True
