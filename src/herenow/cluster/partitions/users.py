"""What the engine answers about users, and how a roster changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from herenow.cluster.base import (
    Difference,
    Done,
    Member,
    Refusal,
    UserPresence,
    Users,
    UserState,
)
from herenow.cluster.histories import Touched, difference, whole
from herenow.cluster.partitions.engine import Argument
from herenow.cluster.partitions.partition import Partition
from herenow.cluster.partitions.placement import decode, encode
from herenow.cluster.partitions.rosters import Listed, listed_from, member_from

NOBODY = UserState(None, 0, None)
CHANNELS_A_CALL: Final = 500
_BEGIN: Final = b"0"


class _Page(NamedTuple):
    presence: UserPresence
    cursor: bytes


def ask_about_user(
    partition: Partition, app: str, user: str, done: Done[UserPresence | Refusal]
) -> None:
    """Ask a partition what it knows of a user, some channels at a time: no script runs long."""
    pages: list[UserPresence] = []

    def ask(cursor: bytes) -> None:
        arguments: list[Argument] = [app, encode(user), cursor, CHANNELS_A_CALL]
        partition.ask("user", lambda: arguments, _page, answered)

    def answered(page: _Page | Refusal) -> None:
        if isinstance(page, Refusal):
            done(page)
            return
        pages.append(page.presence)
        if page.cursor != _BEGIN:
            ask(page.cursor)
            return
        channels = sorted({name for presence in pages for name in presence.channels})
        is_complete = all(presence.complete for presence in pages)
        done(UserPresence(pages[-1].state, tuple(channels), is_complete))

    ask(_BEGIN)


def _page(reply: list[Any]) -> _Page:
    now, record, seen, cursor = reply[4:8]
    state = _state(record, seen, now / 1e6)
    return _Page(UserPresence(state, tuple(map(decode, reply[8:])), not reply[3]), cursor)


def all_of_one(answers: Sequence[UserPresence], *, complete: bool) -> UserPresence:
    """What all partitions together know of a user."""
    state = NOBODY
    for answer in answers:
        state = _later(state, answer.state)
    channels = sorted(name for answer in answers for name in answer.channels)
    return UserPresence(
        state, tuple(channels), complete and all(answer.complete for answer in answers)
    )


def users_from(reply: list[Any], asked: Sequence[str], at_home: int) -> Users:
    """The reply about the users *asked* for, the first *at_home* of whom are of its partition."""
    now, records, seen = reply[4] / 1e6, reply[5 : 5 + at_home], reply[5 + at_home :]
    records += [b""] * (len(asked) - at_home)
    states = {
        user: _state(record, at, now) for user, record, at in zip(asked, records, seen, strict=True)
    }
    return Users(states, not reply[3])


def all_of_many(answers: Sequence[Users], asked: Sequence[str], *, complete: bool) -> Users:
    """What all partitions together know of many users."""
    states = dict.fromkeys(asked, NOBODY)
    for answer in answers:
        for user, state in answer.states.items():
            states[user] = _later(states[user], state)
    return Users(states, complete and all(answer.complete for answer in answers))


def _state(record: bytes, seen: bytes, now: float) -> UserState:
    at = int(seen) / 1e6 if seen else None
    if not record:
        return UserState(None, 0, at)
    member = member_from(b"", record)
    last_seen = now if member.connections else max(member.left, at or 0)
    return UserState(member.since, member.connections, last_seen)


def _later(one: UserState, other: UserState) -> UserState:
    """Two partitions' knowledge of one user: one of them at most knows whether he is signed in."""
    seen = [state.last_seen for state in (one, other) if state.last_seen is not None]
    signed_in = one if one.since is not None else other
    return signed_in._replace(last_seen=max(seen, default=None))


def roster_difference(reply: list[Any]) -> Difference:
    revision, complete, rest = reply[2], not reply[3], reply[5:]
    if reply[4]:
        return whole(map(_shown, listed_from(rest)), revision, complete=complete)
    touched = [
        Touched(decode(user), bool(was_there))
        for user, was_there in zip(rest[::3], rest[1::3], strict=True)
    ]
    records = zip(rest[::3], rest[2::3], strict=True)
    present = [member_from(user, record) for user, record in records if record]
    members = {member.user: _shown(member) for member in present}
    return difference(touched, members, revision, complete=complete)


def _shown(member: Listed) -> Member:
    return Member(member.user, member.info, member.connections, member.since)
