"""``POST /apps/{id}/users/{user_id}/terminate_connections`` (§15.7)."""

from __future__ import annotations

from herenow.api.calls import ApiError, Call
from herenow.protocol.names import is_legal_user_id


def terminate_connections(call: Call) -> None:
    """Close every connection that signed in as this user, wherever it is."""
    user = call.names[0]
    if not is_legal_user_id(user):
        raise ApiError(400, f"Invalid user id {user}")
    call.spend(1)
    call.hub.bus.terminate(call.app.id, user)
    call.answer({})
