"""The whole: nodes, clients and the engine, where nothing happens unless an action says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, Final

from cluster.sim.actions import Action, Setting
from cluster.sim.clock import NodeClock
from cluster.sim.health import Health
from cluster.sim.model import Model, Violation
from cluster.sim.node import Node
from cluster.sim.people import People
from cluster.sim.server import SimulatedServer
from cluster.sim.times import HOLD, LEASE, QUANTUM, START
from cluster.sim.trouble import Trouble
from cluster.sim.wires import Wires
from herenow.cluster.partitions import registration
from herenow.cluster.partitions.ledger import PartitionedLedger

WEBHOOKS: Final = 1
NODES: Final = "ABC"
PACE: Final = {name: getattr(registration, name) for name in ("CALLS_UNDER_WAY", "ENTRIES_A_CALL")}


@contextmanager
def pace(slow: bool) -> Iterator[None]:
    """Have nodes register one thing at a time if they are to be *slow*."""
    vars(registration).update(dict.fromkeys(PACE, 1) if slow else PACE)
    try:
        yield
    finally:
        vars(registration).update(PACE)


class World:
    """One run. ``do`` takes an action and says whether it was possible.

    The actions are the methods of this, of ``people`` and of ``trouble`` that answer with a bool.
    """

    def __init__(
        self, setting: Setting, server: SimulatedServer, *, checks_sequence: bool = True
    ) -> None:
        self.setting = setting
        self.now = START
        self.model = Model(checks_sequence=checks_sequence)
        self.server = server
        server.begin(self, setting.partitions)
        self.nodes: dict[str, Node] = {}
        self.health = Health(self)
        self.people = People(self)
        self.trouble = Trouble(self)
        self._lives = count(1)
        self._subscriptions = count(1)
        for index in range(setting.nodes):
            self.boot(index)
        for _ in range(3):
            self.flush()
            self.time(1)
        for seat in range(setting.seated):
            room = seat // setting.nodes % setting.rooms
            self.people.join(seat % setting.nodes, seat % setting.users, room, seat % 2)
        self.flush()

    @property
    def grace(self) -> float:
        return self.setting.grace * QUANTUM

    def do(self, action: Action) -> bool:
        kind, *arguments = action
        for owner in (self, self.people, self.trouble):
            if hasattr(owner, str(kind)):
                done: bool = getattr(owner, str(kind))(*arguments)
                for node in self.nodes.values():
                    node.wires.settle()
                return done
        raise ValueError(f"unknown action {action}")

    def boot(self, index: int) -> bool:
        """A node starts, which has not run or has crashed."""
        name = NODES[index]
        if name in self.nodes:
            return False
        wires = Wires(name, self.server, self.setting.partitions, LEASE, lambda: self.now)
        clock = NodeClock(self.now)
        ledger = PartitionedLedger(
            wires,
            clock,
            node=f"{name}{next(self._lives)}",
            lease_seconds=LEASE,
            hold_seconds=HOLD,
            flags_of=lambda _: WEBHOOKS,
        )
        self.nodes[name] = Node(
            name,
            self.model,
            wires,
            clock,
            ledger,
            self._subscriptions,
            limit=self.setting.limit,
            grace=self.grace,
        )
        self.health.boots(name)
        wires.settle()
        return True

    def node(self, index: int) -> Node | None:
        return self.nodes.get(NODES[index])

    def wires(self) -> Sequence[Wires]:
        return [node.wires for node in self.nodes.values()]

    def tell(self, name: str, what: Callable[[Node], None]) -> None:
        """Have a client's message reach its node, at once if nothing is in front of it."""
        node = self.nodes.get(name)
        if node is not None:
            node.inbox.append(partial(what, node))
            if len(node.inbox) == 1:
                self._read_inbox(node)

    def _read_inbox(self, node: Node) -> bool:
        if node.frozen or not node.inbox:
            return False
        node.inbox.pop(0)()
        node.wires.settle()
        return True

    def move(self, index: int, move: Callable[[Node], bool], *, node_acts: bool) -> bool:
        node = self.node(index)
        return node is not None and not (node_acts and node.frozen) and move(node)

    def exec(self, index: int) -> bool:
        """The engine executes the next call of a node."""
        return self.move(index, lambda node: node.wires.execute(), node_acts=False)

    def reply(self, index: int) -> bool:
        """The next answer reaches a node."""
        return self.move(index, lambda node: node.wires.reply(), node_acts=True)

    def subexec(self, index: int) -> bool:
        """The engine executes the next subscribe or unsubscribe of a node."""
        return self.move(index, lambda node: node.wires.execute_feed(), node_acts=False)

    def feed(self, index: int) -> bool:
        """The next message reaches a node."""
        return self.move(index, lambda node: node.wires.feed(), node_acts=True)

    def inbox(self, index: int) -> bool:
        """What a client has sent reaches a node."""
        return self.move(index, self._read_inbox, node_acts=True)

    def flush(self) -> bool:
        """Move everything, and what comes of it, as far as it goes."""
        self._deliver_before(self.now + QUANTUM)
        return True

    def time(self, quanta: int) -> bool:
        """Time passes once nothing that a healthy path carries is older than a quantum."""
        for _ in range(quanta):
            self._deliver_before(self.now)
            self.now += QUANTUM
            self.health.pass_time()
            for node in list(self.nodes.values()):
                if not node.frozen:
                    node.clock.advance(self.now)
                    node.wires.pass_time()
                    node.wires.settle()
                    node.ledger.tick()
                    node.wires.settle()
            self.health.look()
        return True

    def _deliver_before(self, moment: float) -> None:
        for _ in range(1000):
            moved = [self._deliver(node, moment) for node in list(self.nodes.values())]
            if not any(moved):
                return
        raise Violation(9, "messages go to and fro without an end")

    def _deliver(self, node: Node, before: float) -> bool:
        """Move what was sent before that time."""
        wires, moved = node.wires, False
        lines: list[tuple[Any, Callable[[], bool]]] = [
            (wires.up, wires.execute),
            (wires.feed_up, wires.execute_feed),
        ]
        if not node.frozen:
            lines += [(wires.down, wires.reply), (wires.feed_down, wires.feed)]
        for queue, move in lines:
            while queue and queue[0].sent < before and move():
                wires.settle()
                moved = True
        while self._read_inbox(node):
            moved = True
        return moved
