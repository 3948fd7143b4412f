"""What webhooks cost the engine: a join and a leave with and without them, and settling them.

``python bench/cluster/webhooks.py`` starts a Valkey, has one session call the scripts in turns
(first without, then with webhooks, several times over) and prints the engine's CPU for each call.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import uvloop

from herenow.cluster.partitions.engine import Argument
from herenow.cluster.redis.address import parse
from herenow.cluster.redis.engine import RedisEngine

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from cluster.servers import Valkey

ROUNDS: Final = 7
CALLS: Final = 4_000
A_SETTLE: Final = 100
PARTITION: Final = 1
SUBJECT: Final = "1/p/presence-room"
INFO: Final = b'{"name":"Somebody with a name","role":"member"}'
ENDPOINT: Final = "00ff00ff00ff00ff"


class Session:
    """One node's session with one partition."""

    def __init__(self, engine: RedisEngine, valkey: Valkey) -> None:
        self._engine = engine
        self._valkey = valkey
        self._epoch: Argument = 0

    async def hello(self) -> None:
        (reply,) = await self._all("hello", [["node", 1, 0, 1, ""]])
        self._epoch = reply[1]

    async def call(self, script: str, calls: Sequence[Sequence[Argument]]) -> list[Any]:
        return await self._all(script, [["node", 1, self._epoch, *call] for call in calls])

    async def cost(self, script: str, calls: Sequence[Sequence[Argument]]) -> float:
        """The engine's CPU in µs for each of *calls*."""
        before = self._cpu()
        await self.call(script, calls)
        return (self._cpu() - before) / len(calls) * 1e6

    async def _all(self, script: str, calls: Sequence[Sequence[Argument]]) -> list[Any]:
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[Any]] = []
        for call in calls:
            answers.append(loop.create_future())
            self._engine.call(script, PARTITION, call, answers[-1].set_result)
        found = [await answer for answer in answers]
        assert all(reply[0] not in (b"fenced", b"elsewhere") for reply in found)
        return found

    def _cpu(self) -> float:
        found = self._valkey.info("cpu")
        return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


async def measure(valkey: Valkey) -> dict[str, float]:
    engine = RedisEngine(parse(valkey.url), prefix="bench", partitions=4, lease_seconds=60)
    await engine.start(10)
    session = Session(engine, valkey)
    await session.hello()
    await session.call("claim", [["take"]])
    await session.call("known", [[1, "1", ENDPOINT]])
    costs: dict[str, list[float]] = {}
    for turn in range(ROUNDS):
        for flags, name in ((0, "without"), (1, "with")):
            await session.call("known", [[flags, *["1"] * flags]])
            first = (2 * turn + flags) * CALLS
            users = range(first, first + CALLS)
            joins: list[list[Argument]] = [
                [SUBJECT, f"u{user}", user, INFO, 3_000_000, 0, flags] for user in users
            ]
            costs.setdefault(f"join {name}", []).append(await session.cost("join", joins))
            leaves: list[list[Argument]] = [[user, 0] for user in users]
            costs.setdefault(f"leave {name}", []).append(await session.cost("leave", leaves))
        entries = (await session.call("arrivals", [["0-1", 2 * CALLS + 2]]))[0][5:]
        items = [
            [entries[i], 1, ENDPOINT, "cpresence-room", b"m" + entries[i + 3], kind, 0, INFO]
            for i in range(0, len(entries), 6)
            if (kind := {b"a": 1, b"r": 0}.get(entries[i + 1], 2)) != 2
        ]
        calls = [
            [0, *(part for item in items[i : i + A_SETTLE] for part in item)]
            for i in range(0, len(items), A_SETTLE)
        ]
        settled = await session.cost("settle", calls)
        costs.setdefault("settle one", []).append(settled / A_SETTLE)
        (page,) = await session.call("waiting", [[ENDPOINT, 0, 2 * CALLS, ""]])
        positions = page[3::3]
        batches = [[ENDPOINT, *positions[i : i + 20]] for i in range(0, len(positions), 20)]
        delivered = await session.cost("delivered", batches)
        costs.setdefault("delivered one, of 20", []).append(delivered / 20)
        leftover = [entries[i] for i in range(0, len(entries), 6) if entries[i + 1] in b"ov"]
        await session.call("settle", [[len(leftover), *leftover]])
    await engine.stop()
    return {name: statistics.median(found) for name, found in costs.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        valkey = Valkey(Path(directory)).start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                for name, cost in runner.run(measure(valkey)).items():
                    print(f"{name:22} {cost:6.1f} µs")
        finally:
            valkey.kill()


if __name__ == "__main__":
    main()
