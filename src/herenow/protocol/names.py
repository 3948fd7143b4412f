"""Names of channels, events and users: what is legal, and what kind of channel a name means.

Source: protocol reference §6 and §15.2.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from herenow.protocol.remembering import remembered

MAX_CHANNEL_NAME_LENGTH: Final = 164
MAX_USER_ID_LENGTH: Final = 128
SERVER_TO_USER: Final = "#server-to-user-"

_LEGAL: Final = re.compile(r"[A-Za-z0-9_\-=@,.;]+")
_SOCKET_ID: Final = re.compile(r"[0-9]+\.[0-9]+")


class ChannelKind(Enum):
    """The kind of a channel and what follows from it."""

    ENCRYPTED_CACHE = "private-encrypted-cache-"
    ENCRYPTED = "private-encrypted-"
    PRIVATE_CACHE = "private-cache-"
    PRIVATE = "private-"
    PRESENCE_CACHE = "presence-cache-"
    PRESENCE = "presence-"
    CACHE = "cache-"
    SERVER_TO_USER = SERVER_TO_USER
    PUBLIC = ""

    def __init__(self, prefix: str) -> None:
        self.prefix: str = prefix
        self.signed: bool = prefix.startswith(("private-", "presence-"))
        self.presence: bool = prefix.startswith("presence-")
        self.encrypted: bool = prefix.startswith("private-encrypted-")
        self.cached: bool = prefix.endswith("cache-")
        self.user: bool = prefix == SERVER_TO_USER
        self.client_events: bool = self.signed and not self.encrypted
        self.counted: bool = not self.presence and not self.user


@remembered(4096, MAX_CHANNEL_NAME_LENGTH)
def channel_kind(name: str) -> ChannelKind:
    """The kind of the channel called *name*; the first matching prefix wins."""
    for kind in ChannelKind:
        if name.startswith(kind.prefix):
            return kind
    raise AssertionError("the empty prefix matches every name")


def is_legal_channel_name(name: str, max_length: int = MAX_CHANNEL_NAME_LENGTH) -> bool:
    """Whether *name* is a channel that a client or a publisher may name.

    Of the names with ``#`` only ``#server-to-user-{user id}`` is legal.
    ``max_length`` counts the prefix; ``0`` means unlimited.
    """
    if max_length and len(name) > max_length:
        return False
    return _is_channel_name(name)


@remembered(4096, MAX_CHANNEL_NAME_LENGTH)
def _is_channel_name(name: str) -> bool:
    if name.startswith("#"):
        return name.startswith(SERVER_TO_USER) and is_legal_user_id(name[len(SERVER_TO_USER) :])
    return _LEGAL.fullmatch(name) is not None


def is_legal_user_id(user_id: str) -> bool:
    """Whether *user_id* may sign in: 1 to 128 characters of a channel name's alphabet."""
    return len(user_id) <= MAX_USER_ID_LENGTH and _LEGAL.fullmatch(user_id) is not None


def first_illegal_character(text: str) -> str | None:
    """The first character of *text* outside the alphabet of names, for an error that names it."""
    for character in text:
        if _LEGAL.fullmatch(character) is None:
            return character
    return None


def is_socket_id(text: str) -> bool:
    """Whether *text* has the form of a socket id: two decimal numbers joined by a dot."""
    return _SOCKET_ID.fullmatch(text) is not None
