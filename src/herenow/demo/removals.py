"""Who was removed from the chat, and is kept out until an admin relents.

Kept out means: nothing is signed any more. A signature from before is still good on the connection
it was made for, if that connection has not signed in, so that the server cannot find it. Hence the
server of the demo soon closes connections that show nobody. One that was in a room without signing
in and left it stays open, and can come back with such a signature until it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from herenow.demo.people import Person
from herenow.demo.rooms import Room


@dataclass(frozen=True, slots=True)
class Removal:
    """``room`` is where it was decided: an admin of it can let the person in again."""

    person: Person
    by: Person
    room: Room
    reason: str

    @property
    def notice(self) -> dict[str, Any]:
        """What the person is told."""
        return {"by": self.by.name, "room": self.room.title, "reason": self.reason}


class Removals:
    """By user id, so that another browser of the same person is kept out as well."""

    def __init__(self) -> None:
        self._removals: dict[str, Removal] = {}

    def add(self, removal: Removal) -> None:
        self._removals[removal.person.id] = removal

    def of(self, user_id: str) -> Removal | None:
        return self._removals.get(user_id)

    def decided_in(self, room: Room) -> list[Removal]:
        return [removal for removal in self._removals.values() if removal.room == room]

    def lift(self, removal: Removal) -> None:
        self._removals.pop(removal.person.id, None)
