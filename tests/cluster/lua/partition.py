"""One partition as tests speak of it: nodes that call scripts, and what came of it."""

from __future__ import annotations

from typing import Final, NamedTuple

from cluster.lua.fake import Server
from herenow.cluster.partitions.engine import Argument, Reply

BASE: Final = "herenow:{3}"
LEASE: Final = 5_000_000
SECOND: Final = 1_000_000
START: Final = 1_700_000_000_000_000
ROOM: Final = "1/p/presence-room"
HOOKS: Final = 1
DECIDES: Final = 2
KEEP: Final = 3_600 * SECOND


class Member(NamedTuple):
    info: bytes
    stamp: int
    born: int
    connections: int
    since: int


class Partition:
    """A partition with a clock to turn. ``answers`` of scripts are told without epoch and seq."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.time = START
        self.history = "history-1"
        self.epoch = self.seq = 0
        self.publish = "PUBLISH"
        self.outbox_length = 1000

    def ask(self, script: str, *args: Argument) -> list[Reply]:
        head: list[Argument] = [self.time, self.history, LEASE, f"bus:{BASE}", self.publish]
        reply = self.server.call(script, [BASE], [*head, self.outbox_length, *args])
        assert isinstance(reply, list)
        status, epoch, seq, *rest = reply
        assert isinstance(epoch, int)
        assert isinstance(seq, int)
        if epoch:
            self.epoch, self.seq = epoch, seq
        return [status, *rest]

    def node(self, name: str, epoch: int = 0, old: str = "") -> Node:
        """A node that says hello for the first time."""
        node = Node(self, name)
        assert self.ask("hello", name, 1, epoch, 1, old) == [b"new"]
        node.epoch = self.epoch
        return node

    def settled(self, name: str = "observer") -> Node:
        """A node, when the first epoch is young no more."""
        node = self.node(name)
        self.wait(2.5)
        assert node.beat() == [b"beat", 0]
        self.heard()
        return node

    def wait(self, seconds: float) -> None:
        self.time += round(seconds * SECOND)

    def heard(self) -> list[str]:
        """What was published since the last time, without epoch, numbers and calls of readers."""
        messages = [
            _plain(channel, payload)
            for channel, payload in self.server.published
            if not channel.endswith(b":out")
        ]
        self.server.published.clear()
        return messages

    def feed(self) -> list[bytes]:
        """What was published on the feed since the last time, as it was."""
        messages = [m for channel, m in self.server.published if channel.endswith(b":feed")]
        self.server.published.clear()
        return messages

    def key(self, name: str) -> object:
        """The value of ``B:<name>``, or None."""
        kind_and_value = self.server.dump().get(f"{BASE}:{name}".encode())
        return kind_and_value[1] if isinstance(kind_and_value, tuple) else None

    def outbox(self) -> list[str]:
        """``<kind> <subject or name> <user>`` of each entry."""
        entries = self.key("out") or []
        assert isinstance(entries, list)
        return [(b"%b %b %b" % (e[b"k"], e[b"s"], e[b"u"])).decode().strip() for e in entries]

    def outbox_times(self) -> list[int]:
        """Seconds after the start of what each entry is about."""
        entries = self.key("out") or []
        assert isinstance(entries, list)
        return [(int(e[b"t"]) - START) // SECOND for e in entries]

    def names(self) -> set[str]:
        """Which keys there are, without those that each partition has always."""
        names = {key.decode().removeprefix(f"{BASE}:") for key in self.server.dump()}
        return names - {"state", "lease", "token", "out", "seen"}


class Node:
    """One node. Subscriptions are numbered by the test."""

    def __init__(self, partition: Partition, name: str) -> None:
        self.partition = partition
        self.name = name
        self.token = 1
        self.epoch = 0

    def ask(self, script: str, *args: Argument) -> list[Reply]:
        return self.partition.ask(script, self.name, self.token, self.epoch, *args)

    def hello(self, token: int, create: int = 0, old: str = "") -> Reply:
        """A new command connection."""
        (status,) = self.partition.ask("hello", self.name, token, self.epoch, create, old)
        if status in (b"ok", b"new"):
            self.token, self.epoch = token, self.partition.epoch
        return status

    def beat(self, since: int | str = "") -> list[Reply]:
        return self.ask("beat", since, KEEP)

    def join(
        self,
        user: str,
        subscription: int,
        info: str = "{}",
        *,
        subject: str = ROOM,
        grace: float = 3,
        limit: int = 0,
        flags: int = HOOKS,
    ) -> list[Reply]:
        held = round(grace * SECOND)
        return self.ask("join", subject, user, subscription, info, held, limit, flags)

    def leave(self, subscription: int, grace: float = 0) -> list[Reply]:
        return self.ask("leave", subscription, round(grace * SECOND))

    def roster(self, subject: str = ROOM) -> dict[str, Member]:
        status, _, *members = self.ask("roster", subject)
        assert status == b"roster"
        return read_members(members)

    def users(self, subject: str = ROOM) -> list[str]:
        return sorted(self.roster(subject))

    def restore(
        self,
        *mine: tuple[int, str, str, int],
        known: tuple[tuple[str, str, int], ...] = (),
        roster: int = 1,
        subject: str = ROOM,
    ) -> list[Reply]:
        """*mine*: subscription, user, info, stamp; *known*: user, info, stamp."""
        entries = [part for entry in mine for part in (*entry, 3 * SECOND, HOOKS)]
        others = [part for other in known for part in (*other, HOOKS)]
        return self.ask("restore", subject, roster, len(mine), *entries, len(known), *others)

    def count(self, name: str, number: int, flags: int = HOOKS | DECIDES) -> list[Reply]:
        return self.ask("count", name, number, flags)

    def channel(self, channel: str) -> list[Reply]:
        """Subscriptions and users."""
        return self.ask("channel", "1", channel)[2:]

    def totals(self) -> list[Reply]:
        """Connections, channels, users, members."""
        return self.ask("totals", "1")[2:]

    def is_uncertain(self) -> bool:
        return self.ask("totals", "1")[1] == 1


def read_members(flat: list[Reply]) -> dict[str, Member]:
    """The members of a roster by user."""
    members = {}
    for user, record in zip(flat[::2], flat[1::2], strict=True):
        assert isinstance(user, bytes)
        assert isinstance(record, bytes)
        *numbers, info = record.split(b" ", 7)
        connections, _, stamp, born, since, _, _ = map(int, numbers)
        members[user.decode()] = Member(info, stamp, born, connections, since)
    return members


def _plain(channel: bytes, payload: bytes) -> str:
    name = channel.removeprefix(f"bus:{BASE}:".encode()).decode()
    if name != "feed":
        return f"{name}: {payload.decode()}"
    head, _, body = payload.partition(b"\n")
    kind, *numbers = head.split(b" ")
    if kind == b"t":
        return "tick"
    subject, user = int(numbers[-2]), int(numbers[-1])
    parts = (numbers[2], body[:subject], body[subject:][:user], body[subject + user :])
    return " ".join(part.decode() for part in parts).strip()
