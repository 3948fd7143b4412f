"""Calls of scripts as nobody should make them, and as nodes do, from a few small numbers each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from herenow.cluster.partitions.engine import Argument, Reply

SECOND: Final = 1_000_000
LEASE: Final = 3 * SECOND
START: Final = 1_700_000_000 * SECOND
BASE: Final = "herenow:{0}"

SUBJECTS: Final = (
    b"1/p/presence-a",
    b"1/p/presence- b\n",
    b"1/u/an%na",
    b"/p//",
    b"2/p/presence-a",
)
USERS: Final = (b"anna", b"b e\nr t", b"\xed\xa0\x80", b"")
INFOS: Final = (b'{"n":1}', b"", b'{"n":" 2 \\u0000"}', b"x" * 200)
NAMES: Final = (b"1/news", b"1/presence-a", b"2/a/b", b"1/", b"1")
GRACES: Final = (0, SECOND, LEASE)
STEPS: Final = (0, 1, SECOND, LEASE // 2, LEASE // 2 + 1, 2 * LEASE, -SECOND, 60 * SECOND)

Numbers: TypeAlias = tuple[int, int, int, int, int]
Make: TypeAlias = Callable[["Caller", Numbers], list[Argument]]


class Call(NamedTuple):
    """A script, when after the call before, and what its arguments are made of."""

    script: str
    step: int
    numbers: Numbers


class Caller:
    """Makes arguments: of two nodes, with tokens and epochs that are right, mostly."""

    def __init__(self) -> None:
        self.now = START
        self.history = 1
        self.epoch = 0
        self.tokens: dict[int, int] = {}

    def arguments(self, call: Call) -> list[Argument]:
        self.now += STEPS[call.step]
        make = SCRIPTS[call.script]
        head: list[Argument] = [
            *(self.now, f"history{self.history}", LEASE, f"bus:{BASE}", "PUBLISH", 1000)
        ]
        return [*head, *make(self, call.numbers)]

    def answered(self, call: Call, reply: Reply) -> None:
        if isinstance(reply, list) and isinstance(reply[1], int) and reply[1]:
            self.epoch = reply[1]
        if call.numbers[4] == 12:
            self.history += 1

    def session(self, numbers: Numbers) -> list[Argument]:
        node, odd = numbers[0] % 2, numbers[4]
        token = self.tokens.get(node, 1) - (odd == 10)
        return [f"node{node}", token, self.epoch - (odd == 11)]

    def hello(self, numbers: Numbers) -> list[Argument]:
        node, create, old, known, odd = numbers
        node %= 2
        self.tokens[node] = self.tokens.get(node, 0) + (odd != 10)
        epoch = (self.epoch, 0, 7)[known % 3]
        olds = ("", f"node{1 - node}", "nobody")
        return [f"node{node}", self.tokens[node], epoch, create % 2, olds[old % 3]]

    def join(self, numbers: Numbers) -> list[Argument]:
        _, subject, user, info, rest = numbers
        number = subject + 3 * user
        made: list[Argument] = [pick(SUBJECTS, subject), pick(USERS, user), number]
        return [
            *self.session(numbers),
            *made,
            pick(INFOS, info),
            pick(GRACES, rest),
            info % 3,
            rest % 2,
        ]

    def restore(self, numbers: Numbers) -> list[Argument]:
        _, subject, user, info, rest = numbers
        stamp = START + SECOND * info
        mine: list[Argument] = [
            user,
            pick(USERS, user),
            pick(INFOS, info),
            stamp,
            pick(GRACES, rest),
            1,
        ]
        known: list[Argument] = [pick(USERS, user + 1), pick(INFOS, info), stamp, 1]
        entries = [1, *mine] if rest % 2 else [0]
        others = [1, *known] if info % 2 else [0]
        return [*self.session(numbers), pick(SUBJECTS, subject), info % 2, *entries, *others]

    def number(self, numbers: Numbers) -> list[Argument]:
        return [pick(NAMES, numbers[1]), numbers[2] * (1 + 40 * (numbers[3] % 2)), numbers[3] % 4]


def pick(among: Sequence[bytes | int], index: int) -> bytes | int:
    return among[index % len(among)]


def _own(
    *make: Callable[[Caller, Numbers], list[Argument]],
) -> Callable[[Caller, Numbers], list[Argument]]:
    def made(caller: Caller, numbers: Numbers) -> list[Argument]:
        return [argument for part in make for argument in part(caller, numbers)]

    return made


SCRIPTS: Final[dict[str, Make]] = {
    "hello": Caller.hello,
    "beat": _own(
        Caller.session, lambda c, n: ["" if n[1] % 2 else c.epoch, 5 * SECOND * (n[2] % 3)]
    ),
    "join": Caller.join,
    "leave": _own(Caller.session, lambda c, n: [n[1] + 3 * n[2], pick(GRACES, n[3])]),
    "roster": _own(Caller.session, lambda c, n: [pick(SUBJECTS, n[1])]),
    "restore": Caller.restore,
    "ready": _own(Caller.session, lambda c, n: [f"node{n[1] % 3}"]),
    "bye": _own(Caller.session),
    "count": _own(Caller.session, Caller.number),
    "announce": _own(
        Caller.session,
        lambda c, n: [pick(NAMES[:4], n[1]), n[2], n[3] % 4, 5 * SECOND, n[3] * 3],
    ),
    "admit": _own(Caller.session, lambda c, n: ["1", n[1], n[2] % 4]),
    "channel": _own(Caller.session, lambda c, n: ["1", ("news", "presence-a")[n[1] % 2]]),
    "channels": _own(Caller.session, lambda c, n: ["1", ("", "p", "%")[n[1] % 3]]),
    "totals": _own(Caller.session, lambda c, n: [("1", "2")[n[1] % 2]]),
    "online": _own(Caller.session, lambda c, n: [*SUBJECTS[n[1] % 3 :]]),
    "difference": _own(Caller.session, lambda c, n: [pick(SUBJECTS, n[1]), c.epoch + n[2]]),
    "user": _own(Caller.session, lambda c, n: ["1", pick(USERS, n[1]), "0", 100]),
    "users": _own(Caller.session, lambda c, n: ["1", n[1] % 3, *USERS]),
    "unsee": _own(Caller.session, lambda c, n: ["1", pick(USERS, n[1])]),
    "terminate": _own(Caller.session, lambda c, n: [pick(SUBJECTS, n[1])]),
    "tell": lambda c, n: [f"a {n[1]}"],
    "probe": lambda c, n: [],
    "deploy": lambda c, n: [f"v{n[1] % 2}", LEASE, 64],
    "publish": lambda c, n: [
        f"bus:{BASE}",
        pick(NAMES[:3], n[1]),
        b"e 1 -\n{}",
        60_000 * (n[2] % 2),
        b"{}",
    ],
}
