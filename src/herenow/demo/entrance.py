"""Signing in and out, and what the page needs to know at first."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from herenow.demo.access import Access, removed
from herenow.demo.bodies import Refusal, read_object
from herenow.demo.conversation import MAX_TEXT_LENGTH
from herenow.demo.moderation import MAX_REASON_LENGTH
from herenow.demo.people import MAX_NAME_LENGTH, PEOPLE, BadName, Person, guest_called
from herenow.demo.rooms import ROOMS
from herenow.demo.sessions import COOKIE, LIFETIME_SECONDS

_LIMITS: Final = {
    "name": MAX_NAME_LENGTH,
    "text": MAX_TEXT_LENGTH,
    "reason": MAX_REASON_LENGTH,
}


class Entrance:
    """*connection* is what the page's pusher-js needs: ``{"key":…,"host":…,"port":…}``."""

    def __init__(self, access: Access, connection: dict[str, Any]) -> None:
        self._access = access
        self._connection = connection

    async def show(self, request: Request) -> JSONResponse:
        session = self._access.session(request)
        if session is None:
            return JSONResponse({"me": None, "people": _pictures(PEOPLE), "limits": _LIMITS})
        person = session.person
        me = _picture(person)
        removal = self._access.removal(session)
        if removal is not None:
            return JSONResponse({"me": me, "removal": removal.notice})
        rooms = [
            {
                "channel": room.channel,
                "title": room.title,
                "business": room.business,
                "admin": person.id in room.admins,
            }
            for room in ROOMS.values()
        ]
        friends = friends_of(person)
        return JSONResponse(
            {
                "me": me,
                "removal": None,
                "rooms": rooms,
                "friends": _pictures(friends),
                "limits": _LIMITS,
                "pusher": self._connection,
            }
        )

    async def sign_in(self, request: Request) -> Response:
        """``{"person":"emily"}`` picks one, ``{"name":"Zoe"}`` makes a guest."""
        fields = await read_object(request)
        self._access.check_sign_in(request)
        self._access.check_not_removed(self._access.session(request))
        person = _person_in(fields)
        removal = self._access.removals.of(person.id)
        if removal is not None:
            raise removed(removal)
        response = Response(status_code=204)
        response.set_cookie(
            COOKIE,
            self._access.sessions.issue(person),
            max_age=LIFETIME_SECONDS,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return response

    async def sign_out(self, request: Request) -> Response:
        self._access.check_sign_in(request)
        session = self._access.session(request)
        self._access.check_not_removed(session)
        if session is not None:
            self._access.sessions.end(session)
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, httponly=True, samesite="lax")
        return response


def friends_of(person: Person) -> dict[str, Person]:
    """Whose coming and going a person is told: here, everybody to pick from."""
    return {other.id: other for other in PEOPLE.values() if other != person}


def _person_in(fields: dict[str, Any]) -> Person:
    chosen, name = fields.get("person"), fields.get("name")
    if isinstance(name, str) and chosen is None:
        try:
            return guest_called(name)
        except BadName as error:
            raise Refusal(400, str(error)) from None
    person = PEOPLE.get(chosen) if isinstance(chosen, str) else None
    if person is None:
        raise Refusal(400, "Pick a person of the list, or type a name.")
    return person


def _picture(person: Person) -> dict[str, Any]:
    return {"id": person.id, **person.user_info}


def _pictures(people: dict[str, Person]) -> list[dict[str, Any]]:
    return [_picture(person) for person in people.values()]
