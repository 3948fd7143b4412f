"""Who can sign in: people to pick from, and guests who type a name."""

from __future__ import annotations

import secrets
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

MAX_NAME_LENGTH: Final = 32
MAX_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Person:
    """``likes`` is what a person shows in hobby rooms; a guest has nothing but a name."""

    id: str
    name: str
    likes: str = ""
    guest: bool = False

    @property
    def user_info(self) -> dict[str, Any]:
        """What everybody may see: it is given to the server at sign-in."""
        return {"name": self.name, "likes": self.likes, "guest": self.guest}


PEOPLE: Final = {
    person.id: person
    for person in (
        Person("emily", "Emily", "Board games and jazz"),
        Person("john", "John", "Retro consoles"),
        Person("ada", "Ada", "Chess and Chopin"),
        Person("kenji", "Kenji", "Speedruns and city pop"),
        Person("lucia", "Lucía", "Flamenco guitar"),
        Person("noor", "Noor", "Puzzles and podcasts"),
    )
}


class BadName(ValueError):
    """A name that nobody can have; the text is for the person who typed it."""


def guest_called(text: str) -> Person:
    """A guest with an id that nobody had before. Raises :class:`BadName`.

    Two guests may have the same name, since they are marked as guests; the name of a person to
    pick is not to be had.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise BadName(f"A name has 1 to {MAX_NAME_LENGTH} characters.")
    if not name.isprintable() or not any(character.isalnum() for character in name):
        raise BadName("A name has letters or digits, and nothing invisible.")
    if _spoken(name) in {_spoken(person.name) for person in PEOPLE.values()}:
        raise BadName(f"{name} is in the list: pick the person there, or type another name.")
    return Person(f"guest-{secrets.token_hex(8)}", name, guest=True)


def _spoken(name: str) -> str:
    """*name* without what is easily overlooked: case, accents, forms of the same letter."""
    letters = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


class Guests:
    """The guests of late, so that others can be told a guest's name."""

    def __init__(self) -> None:
        self._guests: OrderedDict[str, Person] = OrderedDict()

    def remember(self, person: Person) -> None:
        if person.guest:
            self._guests[person.id] = person
            self._guests.move_to_end(person.id)
            if len(self._guests) > MAX_REMEMBERED:
                self._guests.popitem(last=False)

    def find(self, user_id: str) -> Person | None:
        """The person of that id, guest or not."""
        return PEOPLE.get(user_id) or self._guests.get(user_id)
