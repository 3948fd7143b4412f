"""Questions about users, wherever they are, and the end of their connections (§15.7)."""

from __future__ import annotations

from functools import partial
from typing import Final

from herenow.api.calls import ApiError, Call, unavailable
from herenow.cluster.base import UserPresence, Users, UserState
from herenow.protocol.names import is_legal_user_id

MOST_USERS: Final = 1_000
MAX_MEMBER_ID_LENGTH: Final = 1_024


def terminate_connections(call: Call) -> None:
    """Close every connection that signed in as this user, wherever it is."""
    user = call.names[0]
    if not is_legal_user_id(user):
        raise ApiError(400, f"Invalid user id {user}")
    answer = partial(_answer, call)
    call.spend(1, lambda: call.hub.ledger.terminate(call.app.id, user, call.then(answer)))


def _answer(call: Call, told: bool) -> None:
    if not told:
        raise unavailable()
    call.done()


def show_user(call: Call) -> None:
    """``GET /apps/{id}/users/{user}``: whether he is online, since when, and in which channels."""
    user = _user_id(call.names[0])
    answer = partial(_answer_user, call, user)
    call.spend(1, lambda: call.hub.ledger.user(call.app.id, user, call.then(answer)))


def _answer_user(call: Call, user: str, presence: UserPresence) -> None:
    call.answer(
        {
            "user_id": user,
            **_status(presence.state),
            "channels": sorted(presence.channels),
            "complete": presence.complete,
        }
    )


def show_statuses(call: Call) -> None:
    """``POST /apps/{id}/users/status`` with ``{"ids":[…]}``: who of them is online."""
    ids = call.body_object().get("ids")
    if not isinstance(ids, list) or len(ids) > MOST_USERS:
        got = f"{len(ids)} of them" if isinstance(ids, list) else "something else"
        raise ApiError(
            400, f"Invalid body: expected ids, a list of up to {MOST_USERS} user ids, got {got}"
        )
    users = tuple(dict.fromkeys(_listed_id(user, index) for index, user in enumerate(ids)))
    answer = partial(_answer_statuses, call)
    call.spend(1, lambda: call.hub.ledger.users(call.app.id, users, call.then(answer)))


def _listed_id(user: object, index: int) -> str:
    if not isinstance(user, str):
        raise ApiError(400, f"Invalid body: expected a string as ids[{index}]")
    return _user_id(user)


def _answer_statuses(call: Call, users: Users) -> None:
    statuses = {user: _status(state) for user, state in users.states.items()}
    call.answer({"users": statuses, "complete": users.complete})


def forget(call: Call) -> None:
    """``POST /apps/{id}/users/{user}/forget``: erase when he was last seen."""
    user = _user_id(call.names[0])
    answer = partial(_answer_forgotten, call)
    call.spend(1, lambda: call.hub.ledger.forget(call.app.id, user, call.then(answer)))


def _answer_forgotten(call: Call, forgotten: bool) -> None:
    if not forgotten:
        raise unavailable()
    call.answer({"complete": True})


def _status(state: UserState) -> dict[str, object]:
    return {
        "online": state.since is not None,
        "since": state.since,
        "last_seen": state.last_seen,
        "connections": state.connections,
    }


def _user_id(user: str) -> str:
    """Members of presence channels may have ids that cannot sign in, so any text is one."""
    if not 0 < len(user) <= MAX_MEMBER_ID_LENGTH:
        raise ApiError(
            400,
            f"Invalid user id: expected 1 to {MAX_MEMBER_ID_LENGTH} characters, got {len(user)}",
        )
    return user
