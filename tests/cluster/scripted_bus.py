"""A bus for the contract: the real scripts, in this process, without faults."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.engines import BusEngine
from cluster.partitions.direct import LEASE, DirectEngine
from herenow.cluster.base import Bus
from herenow.cluster.partitions.engine import Answer, Answered, Argument
from herenow.cluster.redis.bus import RedisBus


class _Engine(DirectEngine):
    def call_all(
        self, script: str, items: Sequence[tuple[int, Sequence[Argument]]], done: Answered
    ) -> None:
        items = [(partition, tuple(args)) for partition, args in items]
        self._work.append(lambda: done(self._run_all(script, items)))

    def _run_all(self, script: str, items: Sequence[tuple[int, Sequence[Argument]]]) -> Answer:
        now = round(self._time() * 1e6)
        self._turn_to(now)
        head: list[Argument] = [now, "history", round(LEASE * 1e6), "", "PUBLISH", 0]
        rest = [argument for partition, args in items for argument in (_bus(partition), *args)]
        keys = [f"herenow:{{{partition}}}" for partition, _ in items]
        answer = self.server.call(script, keys, [*head, *rest])
        self.deliver()
        assert isinstance(answer, list)
        return answer


def _bus(partition: int) -> str:
    return f"bus:{{{partition}}}"


class RedisBusEngine(BusEngine):
    def start(self) -> Bus:
        self.engine = _Engine(self.clock.time)
        return RedisBus(self.engine, self.clock, lambda app, channel, number: None)

    def settle(self) -> None:
        while self.engine.work():
            self.engine.deliver()
