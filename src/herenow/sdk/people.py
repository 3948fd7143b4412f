"""What may be asked of a herenow server about users, wherever they are: requests and answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NotRequired, TypedDict
from urllib.parse import quote

from herenow.sdk import answers, checks
from herenow.sdk.address import Application
from herenow.sdk.errors import InvalidArgument
from herenow.sdk.requests import Request, segment

MAX_USERS: Final = 1_000
MAX_ID_LENGTH: Final = 1_024

_ATTRIBUTES: Final = "user_info,joined_at"
_PLAIN: Final = "=@,;"


class UserStatus(TypedDict):
    """Whether a user is signed in (``online``), ``since`` when, by how many ``connections``.

    For a few seconds after the last connection went he is online with none. ``last_seen`` is now
    while there is any, else when the last one went, signed in or in a presence channel; ``None``
    if that is not known. Times are seconds since 1970.
    """

    online: bool
    since: float | None
    last_seen: float | None
    connections: int


class UserAnswer(UserStatus):
    """One user; ``channels`` are the presence channels that he is a member of by this id.

    Not ``complete``: the server cannot know everything at the moment.
    """

    user_id: str
    channels: list[str]
    complete: bool


class UserStatuses(TypedDict):
    """``{"users":{"emily":{"online":true,…}},"complete":true}``: every user asked about."""

    users: dict[str, UserStatus]
    complete: bool


class Member(TypedDict):
    """A member of a presence channel, his info and since when he is there (seconds since 1970)."""

    id: str
    user_info: Any
    joined_at: float


class RemovedMember(TypedDict):
    """Somebody who is no member any more."""

    id: str


class Roster(TypedDict):
    """``{"users":[{"id":"emily","user_info":{…},"joined_at":1760000000.5}],"revision":7,…}``."""

    users: list[Member]
    revision: int
    complete: bool


class RosterChanges(TypedDict):
    """What became of a roster since a revision, up to ``revision``; members as they are now.

    ``full``: that is not known, and ``added`` is the whole roster: forget what was known before.
    """

    added: list[Member]
    updated: list[Member]
    removed: list[RemovedMember]
    revision: int
    full: bool
    complete: bool


class _Difference(TypedDict):
    users: NotRequired[list[Member]]
    added: NotRequired[list[Member]]
    updated: NotRequired[list[Member]]
    removed: NotRequired[list[RemovedMember]]
    revision: int
    full: bool
    complete: bool


def user(application: Application, user_id: object) -> Request[UserAnswer]:
    path = _user_path(application, user_id)
    return Request("GET", path, answers.reading(UserAnswer))


def statuses(application: Application, ids: object) -> Request[UserStatuses]:
    if not isinstance(ids, Sequence) or isinstance(ids, str | bytes | bytearray):
        raise InvalidArgument("ids", f"expected a list of user ids, got {type(ids).__name__}")
    if len(ids) > MAX_USERS:
        raise InvalidArgument("ids", f"expected up to {MAX_USERS} user ids, got {len(ids)}")
    asked = [_id(f"ids[{index}]", item) for index, item in enumerate(ids)]
    body = checks.json_text({"ids": asked}, "ids").encode()
    path = f"/apps/{application.id}/users/status"
    return Request("POST", path, answers.reading(UserStatuses), (), {}, body)


def forget(application: Application, user_id: object) -> Request[None]:
    path = f"{_user_path(application, user_id)}/forget"
    return Request("POST", path, answers.read_nothing, (), {}, b"{}")


def roster(application: Application, channel: object) -> Request[Roster]:
    name = checks.presence_channel(channel, application.limits)
    parameters = {"info": _ATTRIBUTES}
    read = answers.reading(Roster)
    return Request("GET", _roster_path(application, name), read, (name,), parameters)


def roster_changes(
    application: Application, channel: object, since: object
) -> Request[RosterChanges]:
    name = checks.presence_channel(channel, application.limits)
    if isinstance(since, bool) or not isinstance(since, int) or not 0 <= since < 2**63:
        raise InvalidArgument("since", "expected the revision of an earlier answer, or 0")
    parameters = {"info": _ATTRIBUTES, "since": str(since)}
    return Request("GET", _roster_path(application, name), _read_changes, (name,), parameters)


def _read_changes(body: bytes) -> RosterChanges:
    answer = answers.reading(_Difference)(body)
    added = answer.get("users") if answer["full"] else answer.get("added")
    if added is None:
        raise answers.UnexpectedBody("expected users of a full answer, or added")
    return {
        "added": added,
        "updated": answer.get("updated", []),
        "removed": answer.get("removed", []),
        "revision": answer["revision"],
        "full": answer["full"],
        "complete": answer["complete"],
    }


def _roster_path(application: Application, channel: str) -> str:
    return f"/apps/{application.id}/channels/{segment(channel)}/users"


def _user_path(application: Application, user_id: object) -> str:
    written = segment(quote(_id("user_id", user_id), _PLAIN))
    return f"/apps/{application.id}/users/{written}"


def _id(argument: str, value: object) -> str:
    """Any text: members of presence channels may have ids that cannot sign in."""
    identifier = checks.text(argument, value)
    if not 0 < len(identifier) <= MAX_ID_LENGTH:
        raise InvalidArgument(
            argument, f"expected 1 to {MAX_ID_LENGTH} characters, got {len(identifier)}"
        )
    try:
        identifier.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(argument, "expected Unicode text, got a surrogate") from None
    return identifier
