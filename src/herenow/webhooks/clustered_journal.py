"""What waits in all partitions, as an operator sees it from any node."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from herenow.webhooks.clustered_shard import Shard
from herenow.webhooks.journal import Condition, Depth, Entry

T = TypeVar("T")

EVENTS_A_CALL: Final = 200
PARTITIONS_AT_ONCE: Final = 8
_BEGIN: Final = b"0"


class ClusteredJournal:
    """Implements ``journal.Journal`` over *shards*; what it changes the readers are told of.

    *drop* has the reader of a shard drop entries of an endpoint: those with ids, or without any so
    many.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        drop: Callable[[Shard, str, Sequence[str], int], Awaitable[int]],
    ) -> None:
        self._shards = shards
        self._drop = drop

    async def depth(self, endpoint: str) -> Depth:
        depths = await self._each(lambda shard: shard.depth(endpoint))
        return Depth(
            sum(depth.waiting for depth in depths),
            sum(depth.buried for depth in depths),
            min((depth.oldest for depth in depths if depth.oldest is not None), default=None),
            _latest([depth.condition for depth in depths]),
        )

    async def page(
        self, endpoint: str, cursor: str, most: int, *, buried_only: bool
    ) -> tuple[list[Entry], str]:
        """Entries partition by partition; ValueError for a cursor that is none."""
        index, after = _read_cursor(cursor, len(self._shards))
        entries: list[Entry] = []
        while index < len(self._shards):
            wanted = min(most - len(entries), EVENTS_A_CALL)
            found = await self._shards[index].events(
                endpoint, after, wanted, buried_only=buried_only
            )
            entries += found
            if len(found) < wanted:
                index, after = index + 1, 0
                continue
            after = found[-1].position
            if len(entries) == most:
                return entries, f"{index}:{after}"
        return entries, ""

    async def revive(self, endpoint: str, ids: Sequence[str] | None) -> int:
        return await self._change(Shard.revive, endpoint, ids)

    async def drop(self, endpoint: str, ids: Sequence[str] | None) -> int:
        return await self._change(self._drop, endpoint, ids)

    async def reconcile(self, endpoint: str) -> int:
        """Answers how many additions are told once more; the readers add what differs."""

        async def tell_again(shard: Shard) -> int:
            events, cursor = await shard.again(endpoint, _BEGIN, EVENTS_A_CALL)
            while cursor != _BEGIN:
                more, cursor = await shard.again(endpoint, cursor, EVENTS_A_CALL)
                events += more
            return events

        return sum(await self._each(tell_again))

    async def _change(
        self,
        change: Callable[[Shard, str, Sequence[str], int], Awaitable[int]],
        endpoint: str,
        ids: Sequence[str] | None,
    ) -> int:
        if ids is not None:
            changed = 0
            for shard, ids_of_it in self._by_shard(ids):
                for start in range(0, len(ids_of_it), EVENTS_A_CALL):
                    part = ids_of_it[start : start + EVENTS_A_CALL]
                    changed += await change(shard, endpoint, part, 0)
            return changed

        async def change_all(shard: Shard) -> int:
            # No more than there is now: what was dropped may have to be told in another way.
            depth = await shard.depth(endpoint)
            left = depth.waiting + depth.buried
            changed = 0
            while left > 0:
                most = min(left, EVENTS_A_CALL)
                last = await change(shard, endpoint, (), most)
                changed += last
                left = left - last if last >= most else 0
            return changed

        return sum(await self._each(change_all))

    def _by_shard(self, ids: Sequence[str]) -> list[tuple[Shard, list[str]]]:
        """Ids begin with the partition that made them; others are of no entry."""
        groups: dict[int, list[str]] = defaultdict(list)
        for id_ in ids:
            index = id_.partition("-")[0]
            if index.isascii() and index.isdigit() and int(index) < len(self._shards):
                groups[int(index)].append(id_)
        return [(self._shards[index], group) for index, group in groups.items()]

    async def _each(self, ask: Callable[[Shard], Awaitable[T]]) -> list[T]:
        """The answers of all partitions, a few of which are asked at the same time."""
        room = asyncio.Semaphore(PARTITIONS_AT_ONCE)

        async def ask_one(shard: Shard) -> T:
            async with room:
                return await ask(shard)

        return list(await asyncio.gather(*(ask_one(shard) for shard in self._shards)))


def _latest(conditions: Sequence[Condition]) -> Condition:
    """How an endpoint does, as its partitions have it: what was noted last counts."""
    latest = max(conditions, key=lambda condition: condition.attempted or 0.0)
    return latest._replace(adrift=any(condition.adrift for condition in conditions))


def _read_cursor(cursor: str, shards: int) -> tuple[int, int]:
    if not cursor:
        return 0, 0
    index, _, after = cursor.partition(":")
    if not (cursor.isascii() and index.isdigit() and after.isdigit()) or int(index) >= shards:
        raise ValueError(f"expected a cursor that an answer gave, got {cursor[:80]!r}")
    return int(index), int(after)
