"""A presence channel's roster with what is known of its members, and how it changed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

from herenow.api.calls import ApiError, Call
from herenow.cluster.base import Difference, Member, Roster, Subject
from herenow.protocol.messages import InvalidJSON, decode_json

PARAMETERS: Final = ("info", "since")
_ATTRIBUTES: Final = ("user_info", "joined_at")
_MOST_DIGITS: Final = 20


def show(call: Call, subject: Subject) -> None:
    """``GET …/users`` with ``info``, ``since`` or both.

    ``{"users":[{"id":"emily","user_info":{…},"joined_at":1760000000.5}],"revision":7,…}``, or with
    ``since`` ``{"added":[…],"updated":[…],"removed":[{"id":"emily"}],"revision":7,"full":false}``.
    """
    info = call.info()
    for attribute in info:
        if attribute not in _ATTRIBUTES:
            raise ApiError(
                400, f"Unknown info attribute {attribute}: expected user_info or joined_at"
            )
    if "since" in call.parameters:
        since = _revision(call.parameter("since"))
        changed = partial(_answer_difference, call, info)
        call.spend(1, lambda: call.hub.ledger.difference(subject, since, call.then(changed)))
    else:
        answer = partial(_answer_roster, call, info)
        call.spend(1, lambda: call.hub.ledger.roster(subject, call.then(answer)))


def _revision(text: str | None) -> int:
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ApiError(400, "Invalid since: expected the revision of an earlier answer")
    return int(text)


def _answer_roster(call: Call, info: tuple[str, ...], roster: Roster) -> None:
    call.answer(
        {
            "users": _users(roster.members, info),
            "revision": roster.revision,
            "complete": roster.complete,
        }
    )


def _answer_difference(call: Call, info: tuple[str, ...], difference: Difference) -> None:
    if difference.full:
        answer: dict[str, object] = {"users": _users(difference.added, info)}
    else:
        answer = {
            "added": _users(difference.added, info),
            "updated": _users(difference.updated, info),
            "removed": [{"id": user} for user in difference.removed],
        }
    answer["revision"] = difference.revision
    answer["full"] = difference.full
    answer["complete"] = difference.complete
    call.answer(answer)


def _users(members: Iterable[Member], info: tuple[str, ...]) -> list[dict[str, object]]:
    return [_user(member, info) for member in members]


def _user(member: Member, info: tuple[str, ...]) -> dict[str, object]:
    user: dict[str, object] = {"id": member.user}
    if "user_info" in info:
        user["user_info"] = _value(member.info)
    if "joined_at" in info:
        user["joined_at"] = member.since
    return user


def _value(info: bytes) -> object:
    """The JSON value that a member's endpoint gave; None if it gave none."""
    try:
        return decode_json(info)
    except InvalidJSON:
        return None
