"""What holds now, as the ledger of a server that is alone knows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from herenow.cluster.memory import MemoryLedger
from herenow.webhooks.facts import channel_lane, channel_of, user_lane
from herenow.webhooks.journal import Fact


class Truth(Protocol):
    """What holds now. It never contradicts what was emitted."""

    def look(self, app: str, fact: Fact) -> bytes | None:
        """None if *fact* does not hold; else what is known of the member, as compact JSON."""

    def facts(self, app: str) -> Iterator[Fact]:
        """What holds, a channel before its members; what changes meanwhile may be missing."""


class MemoryTruth:
    """What the ledger of a node that is alone knows."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    def look(self, app: str, fact: Fact) -> bytes | None:
        usage = self._ledger.usage(app)
        if usage is None:
            return None
        name = fact.lane[1:]
        if channel_of(fact) is None:
            return b"" if name in usage.users else None
        presence = usage.channels.get(name)
        if fact.member is None:
            return b"" if presence is not None or name in usage.counts[0] else None
        member = presence.members.get(fact.member) if presence is not None else None
        return member.info if member is not None else None

    def facts(self, app: str) -> Iterator[Fact]:
        usage = self._ledger.usage(app)
        if usage is None:
            return
        users, channels, rooms = list(usage.users), list(usage.counts[0]), list(usage.channels)
        yield from (Fact(user_lane(user)) for user in users)
        yield from (Fact(channel_lane(channel)) for channel in channels)
        for room in rooms:
            yield Fact(channel_lane(room))
            presence = usage.channels.get(room)
            for member in list(presence.members) if presence is not None else ():
                yield Fact(channel_lane(room), member)
