"""What pusher-js asks before it signs in or enters a room."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from herenow import AsyncChannels, InvalidArgument
from herenow.demo.access import Access
from herenow.demo.bodies import Refusal, read_form
from herenow.demo.entrance import friends_of
from herenow.demo.rooms import ROOMS


class Authorization:
    """Both answers are for the person of the session, whatever else the form says."""

    def __init__(self, access: Access, channels: AsyncChannels) -> None:
        self._access = access
        self._channels = channels

    async def user(self, request: Request) -> JSONResponse:
        """``POST /pusher/user-auth`` with ``socket_id``: who this connection is."""
        form = await read_form(request)
        person = self._access.authorized(request).person
        user = {
            "id": person.id,
            "user_info": person.user_info,
            "watchlist": list(friends_of(person)),
        }
        try:
            answer = self._channels.authenticate_user(form.get("socket_id", ""), user)
        except InvalidArgument as error:
            raise Refusal(400, f"{error}.") from None
        return JSONResponse(answer)

    async def channel(self, request: Request) -> JSONResponse:
        """``POST /pusher/auth`` with ``socket_id`` and ``channel_name``: a way into a room.

        Only the names of rooms are signed. For a hobby room that is all, so that the member is the
        user who signed in; a business room gets its own picture of the person.
        """
        form = await read_form(request)
        person = self._access.authorized(request).person
        room = ROOMS.get(form.get("channel_name", ""))
        if room is None:
            raise Refusal(403, "There is no such room.")
        try:
            answer = self._channels.authorize_channel(
                form.get("socket_id", ""), room.channel, room.member(person)
            )
        except InvalidArgument as error:
            raise Refusal(400, f"{error}.") from None
        return JSONResponse(answer)
