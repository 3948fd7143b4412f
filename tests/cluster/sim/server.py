"""The engine of a simulation: the product's scripts, and what the judge sees of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final, cast

from cluster.lua.fake import FakeServer, Snapshot
from cluster.sim.model import Stored, Violation
from cluster.sim.times import LEASE, QUANTUM
from cluster.sim.wires import Published, Request
from herenow.cluster.partitions.engine import Answer, Argument
from herenow.cluster.partitions.feed import CHANNEL, Delta, parse

if TYPE_CHECKING:
    from cluster.sim.world import World

KINDS: Final = {b"a": "add", b"r": "remove", b"i": "info"}
OUTBOX: Final = {b"a": "add", b"r": "remove", b"o": "occupied", b"v": "vacated"}
RECENT: Final = 4
KEPT: Final = 1_000_000


class SimulatedServer:
    """Runs scripts for all nodes of a world, in *fake*.

    With *published_by_node* what a script publishes leaves with its answer, from the node.
    """

    def __init__(self, fake: FakeServer | None = None, *, published_by_node: bool = False) -> None:
        self.fake = FakeServer() if fake is None else fake
        self.published_by_node = published_by_node

    def begin(self, world: World, partitions: int) -> None:
        """Be empty, for another run."""
        self.world = world
        self.partitions = partitions
        self.fake.flush()
        self.fake.published.clear()
        self.skew = 0.0
        self.paused = False
        self.zombies: list[deque[Request]] = []
        self._history = 1
        self._joins = 0
        self._executed = 0
        self._recent: deque[Snapshot] = deque(maxlen=RECENT)
        self._copies: deque[Snapshot] = deque(maxlen=RECENT)
        self._copied_at = 0.0
        self._keeps_copies = bool({"older", "swap"} & set(world.setting.faults))
        self._ids: dict[tuple[str, int], bytes] = {}

    @property
    def reachable(self) -> bool:
        return not self.paused

    @property
    def history(self) -> bytes:
        return sha1(b"%d" % self._history).hexdigest().encode()

    def base(self, partition: int) -> str:
        return f"herenow:{{{partition}}}"

    # What happens to it.

    def pause(self) -> bool:
        was, self.paused = self.paused, True
        return not was

    def resume(self) -> bool:
        was, self.paused = self.paused, False
        return was

    def clear(self) -> None:
        self.fake.flush()
        self._recent.clear()

    def can_go_back(self, back: int) -> bool:
        return self._copy(back) is not None

    def go_back(self, back: int) -> None:
        """Have the data of *back* + 1 scripts ago; above that, of a few moments ago."""
        copy = self._copy(back)
        assert copy is not None
        self.fake.restore(copy)
        self._recent.clear()

    def _copy(self, back: int) -> Snapshot | None:
        copies, index = (self._recent, back) if back < RECENT else (self._copies, back - RECENT)
        return copies[-1 - index] if index < len(copies) else None

    def _keep_copy(self) -> None:
        copy = self.fake.snapshot()
        self._recent.append(copy)
        if self.world.now >= self._copied_at + 2 * QUANTUM:
            self._copied_at = self.world.now
            self._copies.append(copy)

    def new_history(self) -> None:
        self._history += 1

    # What it executes.

    def execute(self, request: Request) -> Answer:
        """Run a script, show the judge what it did, and send what it published."""
        # No two scripts run in the same microsecond.
        self._executed += 1
        now = round((self.world.now + self.skew) * 1_000_000) + self._executed % 1000
        self.fake.time = now
        if self._keeps_copies and request.script not in ("roster", "online"):
            self._keep_copy()
        keys = [self.base(partition) for partition, _ in request.items]
        partition = request.items[0][0]
        head: list[Argument] = [now, self.history, round(LEASE * 1e6), keys[0], "PUBLISH", KEPT]
        arguments = [argument for _, args in request.items for argument in args]
        before = self._before(request.script, partition, arguments)
        answer: Any = self.fake.call(request.script, keys, [*head, *arguments])
        messages = [_addressed(*message) for message in self.fake.published]
        self.fake.published.clear()
        self._judge(request.script, messages)
        self._see(request, partition, arguments, before, answer)
        if self.published_by_node:
            request.unpublished = messages
        else:
            self.publish(messages)
        return cast("Answer", answer)

    def publish(self, messages: Sequence[Published]) -> None:
        for message in messages:
            if (delta := _delta(message)) is not None:
                self.world.model.published(message.partition, delta.epoch, delta.seq)
            for wires in self.world.wires():
                wires.hear(message)

    def _before(self, script: str, partition: int, args: Sequence[Any]) -> bytes | None:
        """The entry that a leave ends or a join makes, as it is before."""
        if script not in ("leave", "join"):
            return None
        subscription = args[3] if script == "leave" else args[5]
        return self._hash(partition, b"e:" + args[0]).get(b"%d" % subscription)

    def _judge(self, script: str, messages: Sequence[Published]) -> None:
        """Tell the judge the transitions."""
        for message in messages:
            if (delta := _delta(message)) is not None:
                self.world.model.decided(
                    message.partition,
                    delta.subject.decode(),
                    KINDS.get(delta.kind, delta.kind.decode()),
                    delta.user.decode(),
                    epoch=delta.epoch,
                    seq=delta.seq,
                    now=self.world.now,
                    makes_room=script == "join",
                )

    def _see(
        self,
        request: Request,
        partition: int,
        args: Sequence[Any],
        before: bytes | None,
        answer: Any,
    ) -> None:
        status, epoch = answer[:2]
        model, world = self.world.model, self.world
        if status in (b"new", b"ok") and not request.given_up:
            self._ids[request.node, partition] = bytes(args[0])
        if status in (b"new", b"ok", b"beat"):
            # A zombie renews the lease as well, but is not to be counted on.
            if not request.given_up:
                world.health.renewed(request.node, partition)
        elif status == b"lapsed":
            if not request.given_up and args[2] == epoch:
                model.loses_lease(request.node)
        elif status == b"joined":
            if before is None:
                self._joins += 1
                model.entered(
                    args[3].decode(), args[4].decode(), args[5], args[6].decode(), self._joins
                )
        elif status == b"left":
            model.ended(args[3])
            if before is not None and args[4]:
                subject, user = _entry(before)
                model.left(subject, user, world.now + args[4] / 1e6, epoch)
        elif request.script == "restore" and status != b"fenced":
            entries = args[6 : 6 + 6 * args[5]]
            for subscription, user in zip(entries[::6], entries[1::6], strict=True):
                if model.has_ended(subscription):
                    raise Violation(7, f"subscription {subscription} had ended, and is restored")
                model.registers(args[3].decode(), user.decode(), subscription)

    # What it has.

    def _hash(self, partition: int, name: bytes) -> dict[bytes, bytes]:
        value: Any = self.fake.keys.get(self.base(partition).encode() + b":" + name)
        return {} if value is None else dict(value)

    def _names(self, partition: int, kind: bytes) -> list[bytes]:
        head = self.base(partition).encode() + b":" + kind + b":"
        return [key[len(head) :] for key in self.fake.keys if key.startswith(head)]

    def has_registered(self, node: str, live: Iterable[tuple[str, int]]) -> bool:
        """Whether *node* has a lease in every partition, and all of its subscriptions an entry."""
        found: set[tuple[str, int]] = set()
        for partition in range(self.partitions):
            own = self._ids.get((node, partition))
            state = self._hash(partition, b"state")
            if own is None or own not in self._hash(partition, b"token"):
                return False
            leases: Any = self._hash(partition, b"lease")
            if leases.get(own, 0) <= int(state[b"clock"]):
                return False
            if own in self._hash(partition, b"heir").values():
                return False
            for subscription, entry in self._hash(partition, b"e:" + own).items():
                found.add((_entry(entry)[0], int(subscription)))
        return found >= set(live)

    def ids(self, nodes: Iterable[str]) -> set[str]:
        living = set(nodes)
        return {own.decode() for (node, _), own in self._ids.items() if node in living}

    def is_quiet(self, nodes: Iterable[str]) -> bool:
        """Whether no departure, return or lost lease is waited for."""
        living = self.ids(nodes)
        for partition in range(self.partitions):
            state = self._hash(partition, b"state")
            if state.get(b"history") != self.history:
                return False
            leases: Any = self._hash(partition, b"lease")
            clock = int(state[b"clock"])
            if clock < int(state[b"recover"]) or self._hash(partition, b"due"):
                return False
            if self._hash(partition, b"heir") or min(leases.values(), default=0) <= clock:
                return False
            if {node.decode() for node in leases} - living:
                return False
        return True

    def stored(self) -> Stored:
        stored = Stored({}, {}, [], {}, set())
        for partition in range(self.partitions):
            self._read(partition, stored)
        return stored

    def _read(self, partition: int, stored: Stored) -> None:
        for subject in self._names(partition, b"m"):
            members = stored.members.setdefault(subject.decode(), {})
            for user, record in self._hash(partition, b"m:" + subject).items():
                connections, *_, info = record.split(b" ", 7)
                members[user.decode()] = (int(connections), info.decode())
        for node in self._names(partition, b"e"):
            for subscription, entry in self._hash(partition, b"e:" + node).items():
                subject_name, who = _entry(entry)
                if (subject_name, int(subscription)) in stored.entries:
                    raise Violation(6, f"subscription {int(subscription)} has two entries")
                stored.entries[subject_name, int(subscription)] = who
        for app in self._names(partition, b"c"):
            for channel, number in self._hash(partition, b"c:" + app).items():
                stored.counts[channel.decode()] = int(number)
        for kind in (b"lease", b"token"):
            stored.nodes.update(node.decode() for node in self._hash(partition, kind))
        heirs = self._hash(partition, b"heir")
        stored.nodes.update(node.decode() for node in (*heirs, *heirs.values()))
        for kind in (b"e", b"n"):
            stored.nodes.update(node.decode() for node in self._names(partition, kind))
        if left := [*self._names(partition, b"g"), *self._hash(partition, b"due")]:
            raise Violation(6, f"departures remain: {left!r}")
        outbox: Any = self.fake.keys.get(self.base(partition).encode() + b":out") or ()
        for fields in outbox:
            told = dict(zip(fields[::2], fields[1::2], strict=True))
            stored.outbox.append((OUTBOX[told[b"k"]], told[b"s"].decode(), told[b"u"].decode()))


def _addressed(channel: bytes, payload: bytes) -> Published:
    """``herenow:{0}:feed`` is the feed of partition 0."""
    _, number, name = channel.decode().split(":", 2)
    return Published(int(number.strip("{}")), name, payload)


def _delta(message: Published) -> Delta | None:
    parsed = parse(message.payload) if message.channel == CHANNEL else None
    return parsed if isinstance(parsed, Delta) else None


def _entry(entry: bytes) -> tuple[str, str]:
    """The subject and the user of an entry."""
    _, _, _, length, rest = entry.split(b" ", 4)
    return rest[: int(length)].decode(), rest[int(length) :].decode()
