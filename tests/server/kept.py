"""A journal in memory, for what is asked of one; nothing comes into it by itself."""

from __future__ import annotations

from collections.abc import Sequence

from herenow.webhooks.journal import Condition, Depth, Entry, JournalUnavailable


class KeptJournal:
    """Entries by endpoint. While ``away``, it does not answer."""

    def __init__(self) -> None:
        self.entries: dict[str, list[Entry]] = {}
        self.conditions: dict[str, Condition] = {}
        self.reconciled: list[str] = []
        self.away = False

    def _of(self, endpoint: str) -> list[Entry]:
        if self.away:
            raise JournalUnavailable("the disk is full")
        return self.entries.setdefault(endpoint, [])

    async def depth(self, endpoint: str) -> Depth:
        entries = self._of(endpoint)
        waiting = [entry.made for entry in entries if not entry.buried]
        return Depth(
            len(waiting),
            len(entries) - len(waiting),
            min(waiting, default=None),
            self.conditions.get(endpoint, Condition()),
        )

    async def page(
        self, endpoint: str, cursor: str, most: int, *, buried_only: bool
    ) -> tuple[list[Entry], str]:
        after = int(cursor or "0")
        chosen = [
            entry
            for entry in self._of(endpoint)
            if entry.position > after and (entry.buried or not buried_only)
        ][:most]
        return chosen, str(chosen[-1].position) if len(chosen) == most else ""

    async def revive(self, endpoint: str, ids: Sequence[str] | None) -> int:
        entries = self._of(endpoint)
        revived = 0
        for index, entry in enumerate(entries):
            if entry.buried and (ids is None or entry.id in ids):
                entries[index] = entry._replace(buried=False)
                revived += 1
        return revived

    async def drop(self, endpoint: str, ids: Sequence[str] | None) -> int:
        entries = self._of(endpoint)
        kept = [entry for entry in entries if ids is not None and entry.id not in ids]
        self.entries[endpoint] = kept
        return len(entries) - len(kept)

    async def reconcile(self, endpoint: str) -> int:
        self._of(endpoint)
        self.reconciled.append(endpoint)
        return 5
