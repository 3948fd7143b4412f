"""Rosters as the engine answers them."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final, NamedTuple

from herenow.cluster.base import Member, Roster
from herenow.cluster.partitions.placement import decode

_HEAD: Final = 4
_NUMBERS: Final = 7


class Listed(NamedTuple):
    """One member: ``stamp`` is when its info was set, ``born`` the number of its addition."""

    user: str
    info: bytes
    stamp: int
    born: int
    connections: int
    since: float


def listed(reply: list[Any]) -> list[Listed]:
    """The members in a reply, in the order in which they joined."""
    users, records = reply[_HEAD::2], reply[_HEAD + 1 :: 2]
    members = [_read(user, record) for user, record in zip(users, records, strict=True)]
    return sorted(members, key=attrgetter("born"))


def _read(user: bytes, record: bytes) -> Listed:
    """A member as ``members.lua`` writes it."""
    connections, _, stamp, born, since, _, _, info = record.split(b" ", _NUMBERS)
    return Listed(decode(user), info, int(stamp), int(born), int(connections), int(since) / 1e6)


def roster(reply: list[Any]) -> Roster:
    members = tuple(
        Member(member.user, member.info, member.connections, member.since)
        for member in listed(reply)
    )
    return Roster(members, reply[2], not reply[3])
