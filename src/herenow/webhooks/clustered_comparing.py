"""What receivers were told is made to agree with a partition of the ledger, step by step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from herenow.webhooks.clustered_shard import Shard
from herenow.webhooks.endpoints import Endpoint
from herenow.webhooks.facts import Happening, change_for, channel_lane, concerns, user_lane
from herenow.webhooks.journal import Change, Fact

FACTS_A_STEP: Final = 200
_BEGIN: Final = b"0"
_ROOM: Final = "presence-"
_UNSEEN: Final = "#"


async def additions(shard: Shard, endpoint: Endpoint) -> AsyncIterator[list[Change]]:
    """What holds, a channel before its members.

    Each list is to be settled before anything that came into the stream meanwhile.
    """
    async for names in _names(shard, "c", endpoint.app):
        channels = [name for name in names if not name.startswith((_ROOM, _UNSEEN))]
        yield _changes(endpoint, [(Fact(channel_lane(name)), b"") for name in channels])
    async for names in _names(shard, "u", endpoint.app):
        yield _changes(endpoint, [(Fact(user_lane(name)), b"") for name in names])
    async for names in _names(shard, "p", endpoint.app):
        async for facts in _rooms(shard, endpoint.app, names):
            yield _changes(endpoint, facts)


async def _names(shard: Shard, kind: str, app: str) -> AsyncIterator[list[str]]:
    cursor = _BEGIN
    while True:
        cursor, names = await shard.names(kind, app, cursor, FACTS_A_STEP)
        yield names
        if cursor == _BEGIN:
            return


async def _rooms(
    shard: Shard, app: str, channels: Sequence[str]
) -> AsyncIterator[list[tuple[Fact, bytes]]]:
    occupants = await shard.occupants(app, channels, FACTS_A_STEP)
    facts: list[tuple[Fact, bytes]] = []
    large: list[str] = []
    for channel, members in zip(channels, occupants, strict=True):
        if members is None:
            large.append(channel)
        elif members:
            facts += _room(channel, members)
    yield facts
    for channel in large:
        cursor = _BEGIN
        while True:
            cursor, members = await shard.members(app, channel, cursor, FACTS_A_STEP)
            if members:
                yield _room(channel, members)
            if cursor == _BEGIN:
                break


def _room(channel: str, members: Sequence[tuple[str, bytes]]) -> list[tuple[Fact, bytes]]:
    lane = channel_lane(channel)
    return [(Fact(lane), b""), *((Fact(lane, user), info) for user, info in members)]


def _changes(endpoint: Endpoint, facts: Sequence[tuple[Fact, bytes]]) -> list[Change]:
    changes = (
        change_for(endpoint, Happening(endpoint.app, fact, True, info)) for fact, info in facts
    )
    return [change for change in changes if change is not None]


async def removals(
    shard: Shard,
    endpoint: Endpoint,
    is_held: Callable[[str, Fact], bool],
    catch_up: Callable[[], Awaitable[None]],
) -> AsyncIterator[list[Change] | None]:
    """What *endpoint* was told and no longer holds, members before their channels.

    None: somebody may not have registered yet, so nothing can be said now. What waits for a
    return, as *is_held* knows, is told rightly; *catch_up* lets it know of all that came so far.
    """
    for is_of_member in (True, False):
        cursor = _BEGIN
        while True:
            certain, cursor, told = await shard.told(
                endpoint.app, endpoint.id, cursor, FACTS_A_STEP
            )
            if not certain:
                yield None
                return
            # Whoever left since then has his removal in the stream, where it waits for a return.
            await catch_up()
            changes: list[Change] = []
            for fact, holds, info in told:
                if (fact.member is not None) != is_of_member:
                    continue
                if not concerns(endpoint, fact):
                    changes.append(Change(endpoint.id, fact, False, silent=True))
                elif not holds and not is_held(endpoint.app, fact):
                    change = change_for(endpoint, Happening(endpoint.app, fact, False, info))
                    if change is not None:
                        changes.append(change)
            yield changes
            if cursor == _BEGIN:
                break
