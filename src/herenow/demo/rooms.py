"""The rooms, who is an admin in which, and how a person appears there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from herenow.demo.people import Person


@dataclass(frozen=True, slots=True)
class Room:
    """A presence channel.

    In a hobby room everybody is as they signed in. A business room has a picture of its own of
    each person: the job, and whether that person is an admin there.
    """

    channel: str
    title: str
    business: bool = False
    admins: frozenset[str] = frozenset()
    jobs: Mapping[str, str] = field(default_factory=dict)

    def member(self, person: Person) -> dict[str, Any] | None:
        """What the authorization endpoint says of *person* here; ``None``: as signed in."""
        if not self.business:
            return None
        info = {
            "name": person.name,
            "job": self.jobs.get(person.id, "Visitor"),
            "admin": person.id in self.admins,
            "guest": person.guest,
        }
        return {"user_id": person.id, "user_info": info}


ROOMS: Final = {
    room.channel: room
    for room in (
        Room(
            "presence-business-sales",
            "Sales",
            business=True,
            admins=frozenset({"emily"}),
            jobs={
                "emily": "Head of sales",
                "john": "Key accounts",
                "ada": "Analyst",
                "kenji": "Sales engineer",
                "lucia": "Field sales",
                "noor": "Partnerships",
            },
        ),
        Room(
            "presence-business-support",
            "Support",
            business=True,
            admins=frozenset({"emily", "kenji"}),
            jobs={
                "emily": "Escalations",
                "john": "First line",
                "ada": "Data requests",
                "kenji": "Head of support",
                "lucia": "Spanish desk",
                "noor": "Night shift",
            },
        ),
        Room("presence-gaming", "Gaming"),
        Room("presence-music", "Music"),
    )
}
