"""What an admin of a room can do to the people in it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from herenow import AsyncChannels
from herenow.demo.access import Access, check_admin, room_named
from herenow.demo.bodies import Refusal, read_object, text_of
from herenow.demo.conversation import MAX_TEXT_LENGTH, message, published
from herenow.demo.people import Person
from herenow.demo.removals import Removal
from herenow.demo.rooms import ROOMS, Room

MAX_REASON_LENGTH: Final = 200
LEAVING_SECONDS: Final = 5
LOOK_SECONDS: Final = 0.5


class Moderation:
    def __init__(self, access: Access, channels: AsyncChannels) -> None:
        self._access = access
        self._channels = channels

    async def message(self, request: Request) -> Response:
        """``{"room":…,"user":"john","text":"hello"}`` reaches every tab of that person only."""
        admin, room, fields = await self._acting_admin(request)
        text = text_of(fields, "text", MAX_TEXT_LENGTH, "A message")
        person = await self._member(room, fields.get("user"))
        self._access.admitted(request)
        sender = {"id": admin.id, "name": admin.name, "room": room.title}
        await published(
            self._channels.send_to_user(person.id, "direct-message", message(sender, text)),
            "The message could not be sent: the server does not answer. Try again.",
        )
        return Response(status_code=204)

    async def remove(self, request: Request) -> Response:
        """``{"room":…,"user":"john","reason":"spam"}`` removes that person from the chat."""
        admin, room, fields = await self._acting_admin(request)
        reason = text_of(fields, "reason", MAX_REASON_LENGTH, "A reason")
        person = await self._member(room, fields.get("user"))
        self._access.admitted(request)
        if person.id in room.admins:
            raise Refusal(403, f"An admin of {room.title} cannot be removed.")
        removal = Removal(person, admin, room, reason)
        # First of all, so that no page of the person gets a new signature meanwhile.
        self._access.removals.add(removal)
        await published(
            self._send_away(removal),
            f"{person.name} gets in no more, but may still be here: the server does not answer. "
            "Remove again.",
        )
        return Response(status_code=204)

    async def let_in(self, request: Request) -> Response:
        """``{"room":…,"user":"john"}`` ends a removal that was decided in that room."""
        admin, room, fields = await self._acting_admin(request)
        user = fields.get("user")
        removal = self._access.removals.of(user) if isinstance(user, str) else None
        if removal is None or removal.room != room:
            raise Refusal(400, f"Nobody by that name is kept out by {room.title}.")
        self._access.removals.lift(removal)
        await published(
            self._tell_room(room, "let-in", removal.person, admin),
            f"{removal.person.name} may come in again, but the room could not be told.",
        )
        return Response(status_code=204)

    async def removals(self, request: Request) -> Response:
        """Whom the room of ``?room=`` keeps out, for its admins."""
        person = self._access.acting(request).person
        room = room_named(request.query_params.get("room"))
        check_admin(person, room)
        removals = [
            {"id": removal.person.id, "name": removal.person.name, **removal.notice}
            for removal in self._access.removals.decided_in(room)
        ]
        return JSONResponse({"removals": removals})

    async def _acting_admin(self, request: Request) -> tuple[Person, Room, dict[str, Any]]:
        fields = await read_object(request)
        person = self._access.acting(request).person
        room = room_named(fields.get("room"))
        check_admin(person, room)
        return person, room, fields

    async def _member(self, room: Room, user: Any) -> Person:
        """The person with the id *user*, who is in *room* at this moment."""
        present = await published(
            self._present(room), "That did not work: the server does not answer. Try again."
        )
        person = self._access.guests.find(user) if isinstance(user, str) else None
        if person is None or person.id not in present:
            raise Refusal(400, f"Nobody by that name is in {room.title}.")
        return person

    async def _present(self, room: Room) -> set[str]:
        answer = await self._channels.users(room.channel)
        return {member["id"] for member in answer["users"]}

    async def _send_away(self, removal: Removal) -> None:
        """Tell the person why, and only then close the connections; then tell the room."""
        person, channels = removal.person, self._channels
        await channels.send_to_user(person.id, "removed", removal.notice)
        await channels.terminate_user_connections(person.id)
        await self._tell_room(removal.room, "removed", person, removal.by)
        # Only what has signed in can be terminated, and a page of the person's own making need not.
        if not await self._goes(person):
            raise Refusal(
                409,
                f"{person.name} gets in no more, but is still here with a connection that has not "
                "signed in. It ends with the page, or when the server starts again.",
            )

    async def _goes(self, person: Person) -> bool:
        """Whether *person* leaves every room; a page closed just before takes a moment for it."""
        for _ in range(round(LEAVING_SECONDS / LOOK_SECONDS)):
            present = await asyncio.gather(*map(self._present, ROOMS.values()))
            if person.id not in set().union(*present):
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False

    async def _tell_room(self, room: Room, what: str, person: Person, admin: Person) -> None:
        told = {"what": what, "name": person.name, "by": admin.name}
        await self._channels.trigger(room.channel, "moderation", told)
