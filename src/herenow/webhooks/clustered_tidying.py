"""What removed endpoints have left in the engine goes, also where no node has any endpoint."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Final

from herenow.webhooks.clustered_shard import Shard
from herenow.webhooks.journal import JournalUnavailable
from herenow.webhooks.trimming import trim_pause

ENTRIES_A_CALL: Final = 500
TURNS_A_LOOK: Final = 60


class Tidying:
    """Tidies up the partitions that nobody reads, for a node that has no endpoint.

    What is older than *keep_seconds* goes: endpoints that no node has known since, and entries of
    the stream. *complete* answers False while this node may have endpoints it does not know yet.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        complete: Callable[[], bool],
        keep_seconds: float,
        lease_seconds: float,
    ) -> None:
        self._shards = shards
        self._complete = complete
        self._keep_seconds = keep_seconds
        # Within two leases a node that has endpoints reads whatever it finds unread.
        self._pause = max(trim_pause(keep_seconds), 2 * lease_seconds)

    async def run(self) -> None:
        """Look at all partitions now and then, and about every minute at those ever read.

        There entries may come as long as somebody is registered who was when there were endpoints.
        """
        used = await self._tidy(self._shards, 0)
        for turn in itertools.count(1):
            await asyncio.sleep(self._pause)
            shards = used if turn % TURNS_A_LOOK else self._shards
            used = await self._tidy(shards, ENTRIES_A_CALL if self._complete() else 0)

    async def _tidy(self, shards: Sequence[Shard], most: int) -> list[Shard]:
        """Those that are to be looked at again."""
        used = await asyncio.gather(*(self._tidy_one(shard, most) for shard in shards))
        return [shard for shard, is_used in zip(shards, used, strict=True) if is_used]

    async def _tidy_one(self, shard: Shard, most: int) -> bool:
        try:
            remains = await shard.remains(self._keep_seconds, most)
            while remains.more:
                remains = await shard.remains(self._keep_seconds, most)
        except JournalUnavailable:
            return True
        return remains.used
