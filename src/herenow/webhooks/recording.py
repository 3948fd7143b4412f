"""What became of deliveries, written down in the journal they came from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from herenow.webhooks.journal import Backlog, Condition, JournalUnavailable
from herenow.webhooks.windows import Window

AGAIN_SECONDS: Final = 1.0


class Recording:
    """Records until the journal takes it, or the window is no longer open.

    ``noted`` are the shards that are to hear when the endpoint answers again.
    """

    def __init__(
        self,
        endpoint_id: str,
        backlogs: Mapping[str | None, Backlog],
        is_open: Callable[[Window], bool],
        spawn: Callable[[Window, Coroutine[Any, Any, None]], None],
    ) -> None:
        self.noted: set[str] = set()
        self._id = endpoint_id
        self._backlogs = backlogs
        self._is_open = is_open
        self._spawn = spawn
        self._waiting: dict[Window, list[int]] = {}

    def delivered(self, window: Window, positions: list[int]) -> None:
        waiting = self._waiting.get(window)
        if waiting is not None:
            waiting += positions
            return
        self._waiting[window] = positions
        self._spawn(window, self._record(window))

    async def _record(self, window: Window) -> None:
        backlog = self._backlogs[window.shard]
        while positions := self._waiting[window]:
            self._waiting[window] = []
            while True:
                try:
                    await backlog.delivered(self._id, positions)
                    break
                except JournalUnavailable:
                    if not self._is_open(window):
                        break
                    await asyncio.sleep(AGAIN_SECONDS)
            window.record(positions)
        del self._waiting[window]

    async def bury(self, window: Window, positions: Sequence[int]) -> bool:
        """False if others have the window now."""
        while True:
            try:
                await self._backlogs[window.shard].bury(self._id, positions)
                break
            except JournalUnavailable:
                if not self._is_open(window):
                    return False
                await asyncio.sleep(AGAIN_SECONDS)
        window.record(positions)
        return True

    def note(self, window: Window, condition: Condition) -> None:
        """How the endpoint does; what cannot be noted is noted with the next attempt."""
        assert window.shard is not None, "a backlog has a shard"
        self._spawn(window, self._note(window.shard, self._backlogs[window.shard], condition))

    async def _note(self, shard: str, backlog: Backlog, condition: Condition) -> None:
        try:
            await backlog.note(self._id, condition)
        except JournalUnavailable:
            self.noted.add(shard)
