"""What a join, a leave and a roster cost, by the number of nodes and of members.

``python bench/cluster/cost.py`` starts a Valkey and as many nodes as asked for, each a process of
its own that follows the room, and prints a table; with a file name it writes the figures there as
JSON. CPU is what the processes used, less what they use while nothing happens; the times of
day are of one operation at a time, on loopback.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis
import uvloop

from herenow.cluster.base import (
    Joined,
    Refusal,
    Roster,
    Subject,
    SubjectKind,
    Transition,
    TransitionKind,
)
from herenow.cluster.partitions.ledger import PartitionedLedger
from herenow.cluster.redis.address import parse
from herenow.cluster.redis.engine import RedisEngine

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from cluster.servers import Valkey

NODES: Final = (1, 3, 8)
MEMBERS: Final = (10, 1_000, 10_000)
ROUNDS: Final = 10
GUESTS: Final = 100
MEMBERS_READ: Final = 200_000
IN_FLIGHT: Final = 16
IDLE_SECONDS: Final = 2.0
LEASE_SECONDS: Final = 5.0
TICK_SECONDS: Final = 0.25
ROOM: Final = Subject("1", SubjectKind.PRESENCE, "presence-room")
INFO: Final = b'{"name":"Somebody with a name","role":"member"}'


class LoopClock:
    """Seconds since 1970, and timers of the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._offset = time.time() - self._loop.time()

    def time(self) -> float:
        return self._offset + self._loop.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        return self._loop.call_later(delay, callback)


class Room:
    """Follows the room as a node with subscribers does."""

    def __init__(self) -> None:
        self.leaving: dict[str, asyncio.Future[None]] = {}

    def apply(self, transition: Transition) -> None:
        if transition.kind is TransitionKind.REMOVE and transition.user in self.leaving:
            self.leaving.pop(transition.user).set_result(None)

    def announced(self, app: str, channel: str, subscriptions: int) -> None:
        """Counts are not measured here."""

    def terminate(self, app: str, user: str) -> None:
        """Nobody is terminated here."""


class Node:
    """A node without a public port: an engine, a ledger, a room that is followed."""

    def __init__(self, url: str) -> None:
        self.engine = RedisEngine(
            parse(url), prefix="herenow", partitions=64, lease_seconds=LEASE_SECONDS
        )
        self.ledger = PartitionedLedger(
            self.engine,
            LoopClock(),
            node=secrets.token_hex(8),
            lease_seconds=LEASE_SECONDS,
            hold_seconds=20,
            flags_of=lambda app: 0,
        )
        self.room = Room()
        self.ledger.attach(self.room)
        self._ids = count(1)
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.engine.start(10)
        self._ticking = asyncio.create_task(self._tick())
        while not self.ledger.ready:
            await asyncio.sleep(0.01)
        self.ledger.follow(ROOM)

    async def _tick(self) -> None:
        while True:
            self.ledger.tick()
            await asyncio.sleep(TICK_SECONDS)

    async def stop(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        await self.engine.stop()

    async def join(self, user: str) -> int:
        subscription = next(self._ids)
        answer: asyncio.Future[Joined | Refusal] = asyncio.get_running_loop().create_future()
        self.ledger.join(ROOM, user, subscription, INFO, 0, 3, answer.set_result)
        assert isinstance(await answer, Joined)
        return subscription

    async def leave(self, subscription: int, user: str) -> None:
        gone = self.room.leaving[user] = asyncio.get_running_loop().create_future()
        self.ledger.leave(ROOM, subscription, 0)
        await gone

    async def roster(self) -> None:
        answer: asyncio.Future[Roster | Refusal] = asyncio.get_running_loop().create_future()
        self.ledger.roster(ROOM, answer.set_result)
        assert isinstance(await answer, Roster)


class Usage(NamedTuple):
    """CPU seconds used so far by this node, by the others together, by the engine; its calls."""

    here: float
    others: float
    engine: float
    commands: float

    def since(self, before: Usage) -> Usage:
        return Usage(*(now - then for now, then in zip(self, before, strict=True)))


class Figures(NamedTuple):
    """What one operation costs: µs of CPU, commands of the engine, and ms until it is done."""

    nodes: int
    members: int
    operation: str
    engine_us: float
    commands: float
    here_us: float
    other_us: float
    latency_ms: float


def measure_usage(client: redis.Redis, others: list[subprocess.Popen[bytes]]) -> Usage:
    cpu: Any = client.info("cpu")
    statistics_of: Any = client.info("commandstats")
    own = ("info", "config")
    commands = sum(
        value["calls"]
        for name, value in statistics_of.items()
        if not name.removeprefix("cmdstat_").startswith(own)
    )
    return Usage(
        time.process_time(),
        sum(_cpu_of(process.pid) for process in others),
        cpu["used_cpu_user"] + cpu["used_cpu_sys"],
        commands,
    )


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def repeat(times: int, operation: Callable[[int], Awaitable[object]], at_once: int) -> None:
    numbers = iter(range(times))

    async def work() -> None:
        for number in numbers:
            await operation(number)

    await asyncio.gather(*(work() for _ in range(at_once)))


async def timed(times: int, operation: Callable[[int], Awaitable[object]]) -> float:
    """The median of *times* operations, one at a time, in ms."""
    taken = []
    for number in range(times):
        began = time.perf_counter()
        await operation(number)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1_000


async def measure(nodes: int, members: int, url: str) -> list[Figures]:
    client = redis.Redis.from_url(url)
    client.flushall()
    others = [
        subprocess.Popen([sys.executable, __file__, "--follow", url], stdout=subprocess.PIPE)
        for _ in range(nodes - 1)
    ]
    node = Node(url)
    try:
        await node.start()
        for process in others:
            assert process.stdout is not None
            await asyncio.to_thread(process.stdout.readline)
        await repeat(members, lambda number: node.join(f"member-{number}"), 64)
        await asyncio.sleep(IDLE_SECONDS)
        idle_before = measure_usage(client, others)
        began = time.monotonic()
        await asyncio.sleep(IDLE_SECONDS)
        idle_usage = measure_usage(client, others).since(idle_before)
        idle_seconds = time.monotonic() - began
        subscriptions: dict[int, int] = {}

        async def join(number: int) -> None:
            subscriptions[number] = await node.join(f"guest-{number}")

        async def leave(number: int) -> None:
            await node.leave(subscriptions.pop(number), f"guest-{number}")

        async def roster(number: int) -> None:
            await node.roster()

        async def used_by(times: int, operation: Callable[[int], Awaitable[object]]) -> list[float]:
            before = measure_usage(client, others)
            began = time.monotonic()
            await repeat(times, operation, IN_FLIGHT)
            await asyncio.sleep(0.2)
            share = (time.monotonic() - began) / idle_seconds
            used = measure_usage(client, others).since(before)
            return [value - idle * share for value, idle in zip(used, idle_usage, strict=True)]

        rosters = min(2_000, MEMBERS_READ // members)
        used = {"roster": await used_by(rosters, roster), "join": [0.0] * 4, "leave": [0.0] * 4}
        for _ in range(ROUNDS):
            for name, operation in (("join", join), ("leave", leave)):
                more = await used_by(GUESTS, operation)
                used[name] = [a + b for a, b in zip(used[name], more, strict=True)]
        latency = {"roster": await timed(20, roster)}
        latency["join"] = await timed(GUESTS, join)
        latency["leave"] = await timed(GUESTS, leave)
        found = []
        for name, (here, other, engine, commands) in used.items():
            times = rosters if name == "roster" else ROUNDS * GUESTS
            found.append(
                Figures(
                    nodes,
                    members,
                    name,
                    engine / times * 1e6,
                    commands / times,
                    here / times * 1e6,
                    other / max(1, nodes - 1) / times * 1e6,
                    latency[name],
                )
            )
        return found
    finally:
        await node.stop()
        for process in others:
            process.kill()
            process.wait()


async def follow(url: str) -> None:
    """One of the other nodes: follows the room until it is killed."""
    node = Node(url)
    await node.start()
    print("following", flush=True)
    await asyncio.Event().wait()


def table(figures: list[Figures]) -> str:
    lines = [
        "| | nodes | members | engine, µs CPU | commands | this node, µs CPU |"
        " each other node, µs CPU | done after, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {item.operation} | {item.nodes} | {item.members:,} | {item.engine_us:.0f} |"
        f" {item.commands:.1f} | {item.here_us:.0f} | "
        + (f"{item.other_us:.0f}" if item.nodes > 1 else "")
        + f" | {item.latency_ms:.2f} |"
        for item in sorted(figures, key=lambda item: (item.operation, item.members, item.nodes))
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--follow"]:
        uvloop.run(follow(arguments[1]))
        return
    figures: list[Figures] = []
    with tempfile.TemporaryDirectory() as directory:
        server = Valkey(Path(directory)).start()
        try:
            for nodes in NODES:
                for members in MEMBERS:
                    figures += uvloop.run(measure(nodes, members, server.url))
                    print(table(figures[-3:]), flush=True)
        finally:
            server.kill()
    print(table(figures))
    if arguments:
        Path(arguments[0]).write_text(
            json.dumps([item._asdict() for item in figures], indent=1) + "\n"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
