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
    left: float


def listed(reply: list[Any]) -> list[Listed]:
    """The members in a reply, in the order in which they joined."""
    return listed_from(reply[_HEAD:])


def listed_from(pairs: list[Any]) -> list[Listed]:
    """The members of *pairs*, each a user and its record, in the order in which they joined."""
    members = [
        member_from(user, record) for user, record in zip(pairs[::2], pairs[1::2], strict=True)
    ]
    return sorted(members, key=attrgetter("born"))


def member_from(user: bytes, record: bytes) -> Listed:
    """A member as ``members.lua`` writes it."""
    connections, _, stamp, born, since, left, _, info = record.split(b" ", _NUMBERS)
    return Listed(
        decode(user),
        info,
        int(stamp),
        int(born),
        int(connections),
        int(since) / 1e6,
        int(left) / 1e6,
    )


def roster(reply: list[Any]) -> Roster:
    members = tuple(
        Member(member.user, member.info, member.connections, member.since)
        for member in listed(reply)
    )
    return Roster(members, reply[2], not reply[3])
