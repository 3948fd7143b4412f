"""The server in this process answers, publishes and stores what a real one does."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import pytest

from cluster.lua.fake import FakeServer
from cluster.lua.partition import BASE, DECIDES, HOOKS, LEASE, SECOND, START
from cluster.lua.real import RealServer
from herenow.cluster.partitions.engine import Argument, Reply

SUBJECTS: Final = ("1/p/presence-a", "1/p/presence-b b", "1/u/alice", "2/p/presence-a")
USERS: Final = ("alice", "bob", "c d")
NAMES: Final = ("1/room", "1/presence-a", "2/a/b")
STEPS: Final = 250

Call = tuple[str, list[Argument]]


class Walk:
    """A random walk over all scripts, mostly sound, with tokens and epochs that are not."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.nodes: dict[str, tuple[int, int]] = {}
        self.subscriptions = 0
        self.epoch = 0
        self.seq = 0
        self.made = 0

    def hello(self) -> Call:
        create = self.random.random() < 0.5 or not self.nodes
        old = self.random.choice(["", *self.nodes]) if create else ""
        if create:
            self.made += 1
            name, token, epoch = f"node{self.made}", 1, self.random.choice([0, self.epoch, 7])
        else:
            name = self.random.choice(list(self.nodes))
            token, epoch = self.nodes[name]
            token += self.random.choice([0, 1, 1, 1])
        self.nodes[name] = (token, self.epoch)
        return "hello", [name, token, epoch, int(create), old]

    def session(self) -> list[Argument]:
        name = self.random.choice(list(self.nodes))
        token, epoch = self.nodes[name]
        if self.random.random() < 0.9:
            epoch = self.epoch
        return [name, token, epoch]

    def next(self) -> Call:
        if not self.nodes or self.random.random() < 0.06:
            return self.hello()
        script = self.random.choice(list(_OWN))
        return script, [*(self.session() if script not in _UNFENCED else []), *_OWN[script](self)]

    def subject(self) -> str:
        return self.random.choice(SUBJECTS)

    def subscription(self) -> int:
        return self.random.randint(1, max(1, self.subscriptions))

    def grace(self) -> int:
        return self.random.choice([0, 0, SECOND, 3 * SECOND])

    def info(self) -> str:
        return self.random.choice(["{}", '{"a":1}', "x" * 100])

    def stamp(self) -> int:
        return START + self.random.randint(0, 100)

    def flags(self) -> int:
        return self.random.choice([0, HOOKS, DECIDES, HOOKS | DECIDES])

    def join(self) -> list[Argument]:
        self.subscriptions += 1
        user, limit = self.random.choice(USERS), self.random.choice([0, 1, 2])
        number = self.random.choice([self.subscriptions, self.subscription()])
        return [self.subject(), user, number, self.info(), self.grace(), limit, self.flags() & 1]

    def restore(self) -> list[Argument]:
        mine: list[Argument] = []
        for _ in range(2):
            self.subscriptions += 1
            user, held, flags = self.random.choice(USERS), self.grace(), self.flags() & 1
            mine += [self.subscriptions, user, self.info(), self.stamp(), held, flags]
        known = [self.random.choice(USERS), self.info(), self.stamp(), HOOKS]
        return [self.subject(), self.random.choice([0, 1]), 2, *mine, 1, *known]

    def number(self) -> list[Argument]:
        return [self.random.choice(NAMES), self.random.choice([0, 0, 1, 2, 150]), self.flags()]


_UNFENCED: Final = {"publish", "cached", "miss", "tell", "deploy", "spend"}
_OWN: Final[dict[str, Callable[[Walk], list[Argument]]]] = {
    "beat": lambda w: [w.random.choice(["", "0"]), w.random.choice([0, 5 * SECOND])],
    "join": Walk.join,
    "leave": lambda w: [w.subscription(), w.grace()],
    "roster": lambda w: [w.subject()],
    "restore": Walk.restore,
    "ready": lambda w: [w.random.choice(list(w.nodes))],
    "bye": lambda w: [],
    "count": lambda w: [*w.number(), *w.number(), "1", w.random.randint(0, 3), 0],
    "announce": lambda w: [*w.number(), SECOND, 100],
    "admit": lambda w: ["1", w.random.randint(0, 4), w.random.choice([0, 4])],
    "channel": lambda w: ["1", "room"],
    "channels": lambda w: ["1", w.random.choice(["", "r"])],
    "totals": lambda w: ["1"],
    "online": lambda w: ["1/u/alice", "1/u/bob"],
    "difference": lambda w: [w.subject(), w.random.choice([0, w.seq])],
    "user": lambda w: ["1", w.random.choice(USERS), "0", 100],
    "users": lambda w: ["1", w.random.randint(0, 2), "alice", "bob", "c d"],
    "unsee": lambda w: ["1", w.random.choice(USERS)],
    "terminate": lambda w: ["1/u/alice"],
    "spend": lambda w: [f"app{w.random.random()}", w.random.randint(1, 5), 3],
    "miss": lambda w: [w.random.choice(["1/cache-a", "1/cache-b"]), 3_600_000],
    "publish": lambda w: [f"bus:{BASE}", "1/cache-a", "e 1 -\n{}", 3_600_000, w.info()],
    "tell": lambda w: ["a 1"],
    "probe": lambda w: [],
    "deploy": lambda w: [w.random.choice(["v1", "v2"]), LEASE, 64],
}


@pytest.mark.parametrize("seed", range(6))
def test_the_fake_server_does_what_a_real_one_does(real: RealServer, seed: int) -> None:
    fake, walk = FakeServer(), Walk(seed)
    now, history = START, 1
    for step in range(STEPS):
        script, own = walk.next()
        now += walk.random.choice([0, 0, SECOND // 3, SECOND, 2 * SECOND, -SECOND])
        if walk.random.random() < 0.02:
            now += walk.random.choice([-60, 60]) * SECOND
        if walk.random.random() < 0.02:
            history += 1
        args = [now, f"history-{history}", LEASE, f"bus:{BASE}", "PUBLISH", 10_000, *own]
        expected, answer = real.call(script, [BASE], args), fake.call(script, [BASE], args)
        what = f"step {step}: {script} {own}"
        assert in_order(script, answer) == in_order(script, expected), what
        assert fake.published == real.published, what
        assert known(fake) == known(real), what
        if isinstance(expected, list) and isinstance(expected[1], int) and expected[1]:
            walk.epoch = expected[1]
            if isinstance(expected[2], int) and walk.random.random() < 0.5:
                walk.seq = expected[2]


def in_order(script: str, reply: Reply) -> Reply:
    """A roster comes in whatever order the server keeps its hash."""
    assert isinstance(reply, list)
    if script in ("roster", "restore"):
        head = 4
    elif script == "difference" and reply[4:5] == [1]:
        head = 5
    else:
        return reply
    members = [reply[i : i + 2] for i in range(head, len(reply), 2)]
    return [*reply[:head], *sorted(members, key=repr)]


def known(server: FakeServer | RealServer) -> dict[bytes, object]:
    """Everything but the buckets: each is asked once, as they expire by the server's own clock."""
    return {key: value for key, value in server.dump().items() if b":r:" not in key}
