"""Who may do what: every endpoint asks here once it has read the request.

What is allowed now need not be after the next ``await``: whoever holds back the rest of a body may
be removed meanwhile. So nothing is awaited between the question and what it is asked for.
"""

from __future__ import annotations

import math
import time
from typing import Any

from starlette.requests import Request

from herenow.demo.bodies import Refusal
from herenow.demo.people import Guests, Person
from herenow.demo.rates import Rate
from herenow.demo.removals import Removal, Removals
from herenow.demo.rooms import ROOMS, Room
from herenow.demo.sessions import COOKIE, Session, Sessions


class Access:
    """Sessions, removals and rates. What is not allowed is raised as :class:`Refusal`."""

    def __init__(self, secret: bytes) -> None:
        self.sessions = Sessions(secret, time.time)
        self.removals = Removals()
        self.guests = Guests()
        self._sign_ins = Rate(at_once=40, per_second=2, now=time.monotonic)
        self._authorizations = Rate(at_once=80, per_second=8, now=time.monotonic)
        self._actions = Rate(at_once=12, per_second=2, now=time.monotonic)

    def session(self, request: Request) -> Session | None:
        session = self.sessions.read(request.cookies.get(COOKIE))
        if session is not None:
            self.guests.remember(session.person)
        return session

    def removal(self, session: Session) -> Removal | None:
        return self.removals.of(session.person.id)

    def check_not_removed(self, session: Session | None) -> None:
        removal = self.removal(session) if session is not None else None
        if removal is not None:
            raise removed(removal)

    def check_sign_in(self, request: Request) -> None:
        """Signing in and out, by address: whoever does has no session yet, or could have many."""
        _check(self._sign_ins, request.client.host if request.client else "")

    def authorized(self, request: Request) -> Session:
        """For the two endpoints that pusher-js asks, which it does with every reconnection."""
        session = self.admitted(request)
        _check(self._authorizations, session.id)
        return session

    def acting(self, request: Request) -> Session:
        """For what a person does."""
        session = self.admitted(request)
        _check(self._actions, session.id)
        return session

    def admitted(self, request: Request) -> Session:
        """Asked once more, apart from the rate, by whoever had to wait before acting."""
        session = self.session(request)
        if session is None:
            raise Refusal(401, "Pick a person first.")
        self.check_not_removed(session)
        return session


def removed(removal: Removal) -> Refusal:
    who = removal.person.name
    return Refusal(403, f"{removal.by.name} removed {who} from the chat: {removal.reason}")


def room_named(value: Any) -> Room:
    room = ROOMS.get(value) if isinstance(value, str) else None
    if room is None:
        raise Refusal(400, "There is no such room.")
    return room


def check_admin(person: Person, room: Room) -> None:
    """Whatever the page shows: the list of the room decides."""
    if person.id not in room.admins:
        raise Refusal(403, f"Only an admin of {room.title} may do that.")


def _check(rate: Rate, key: str) -> None:
    wait = rate.seconds_to_wait(key)
    if wait:
        headers = {"Retry-After": str(math.ceil(wait))}
        raise Refusal(429, "That is too fast: wait a moment.", headers)
