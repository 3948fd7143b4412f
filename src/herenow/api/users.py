"""``POST /apps/{id}/users/{user_id}/terminate_connections`` (§15.7)."""

from __future__ import annotations

from functools import partial

from herenow.api.calls import ApiError, Call, unavailable
from herenow.protocol.names import is_legal_user_id


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
    call.answer({})
