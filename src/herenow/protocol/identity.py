"""Who a connection says it is: ``channel_data`` and ``user_data``, once their signature holds.

Source: protocol reference §9.2 and §10.3.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import msgspec

from herenow.protocol.messages import (
    EMPTY_INFO,
    InvalidJSON,
    compact_json,
    decode_json,
    encode_json,
)
from herenow.protocol.names import (
    MAX_USER_ID_LENGTH,
    first_illegal_character,
    is_legal_user_id,
)

T = TypeVar("T", bound=msgspec.Struct)


class User(NamedTuple):
    """Who is signed in, or a member: ``info`` is compact JSON of an object."""

    id: str
    info: bytes


class BadIdentity(Exception):
    """An identity that is refused; ``reason`` is a short fixed word for counting."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class _Member(msgspec.Struct):
    user_id: msgspec.Raw = msgspec.Raw(b"null")
    user_info: msgspec.Raw = msgspec.Raw(b"null")


class _User(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw(b"null")
    user_info: msgspec.Raw = msgspec.Raw(b"null")
    watchlist: msgspec.Raw = msgspec.Raw(b"null")


def _decode_raw(text: str, type_: type[T], what: str) -> T:
    """Read an object whose members stay raw, so that numbers keep the form they were written in."""
    try:
        return msgspec.json.decode(text, type=type_)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        pass
    try:
        fields = decode_json(text)
    except InvalidJSON:
        fields = None
    if not isinstance(fields, dict):
        raise _not_an_object(what)
    known = {name: msgspec.Raw(encode_json(fields.get(name))) for name in type_.__struct_fields__}
    return type_(**known)


def _decode_part(raw: msgspec.Raw, what: str) -> Any:
    try:
        return decode_json(bytes(raw))
    except InvalidJSON:
        raise _not_an_object(what) from None


def _not_an_object(what: str) -> BadIdentity:
    return BadIdentity(f"bad_{what}", f"Invalid {what}: expected a JSON object")


def read_member(channel_data: str) -> User:
    """The member that verified ``channel_data`` names."""
    fields = _decode_raw(channel_data, _Member, "channel_data")
    user_id = _decode_part(fields.user_id, "channel_data")
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        user_id = str(user_id)
    if not isinstance(user_id, str) or not user_id:
        raise BadIdentity(
            "bad_user_id",
            "Invalid channel_data: user_id is required and must be a non-empty string",
        )
    if len(user_id) > MAX_USER_ID_LENGTH:
        raise BadIdentity(
            "bad_user_id",
            f"Invalid channel_data: user_id exceeds {MAX_USER_ID_LENGTH} characters",
        )
    if any(_is_control(character) for character in user_id):
        raise BadIdentity(
            "bad_user_id", "Invalid channel_data: user_id must not contain control characters"
        )
    info = _read_info(bytes(fields.user_info), "channel_data", "presence subscription")
    return User(user_id, info)


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff"


def _read_info(raw: bytes, what: str, where: str) -> bytes:
    if raw == b"null":
        return EMPTY_INFO
    if not raw.startswith(b"{"):
        raise BadIdentity(
            "bad_user_info",
            f"user_info supplied to {where} is invalid - if supplied it must be a type of hash",
        )
    try:
        return compact_json(raw)
    except InvalidJSON:
        raise _not_an_object(what) from None


def read_user(user_data: str) -> tuple[User, list[str]]:
    """The user that verified ``user_data`` names, and whom it wants to watch."""
    fields = _decode_raw(user_data, _User, "user_data")
    user_id = _decode_part(fields.id, "user_data")
    if not isinstance(user_id, str) or not user_id:
        raise BadIdentity(
            "bad_user_id", "Invalid user_data: id is required and must be a non-empty string"
        )
    if len(user_id) > MAX_USER_ID_LENGTH:
        raise BadIdentity(
            "bad_user_id", f"Invalid user_data: id exceeds {MAX_USER_ID_LENGTH} characters"
        )
    if not is_legal_user_id(user_id):
        raise BadIdentity(
            "bad_user_id",
            f"Invalid user_data: id contains the character {first_illegal_character(user_id)!a},"
            " allowed are A-Z a-z 0-9 _ - = @ , . ;",
        )
    info = _read_info(bytes(fields.user_info), "user_data", "sign-in")
    watchlist = _decode_part(fields.watchlist, "user_data")
    if watchlist is None:
        watchlist = []
    if not isinstance(watchlist, list) or not all(isinstance(item, str) for item in watchlist):
        raise BadIdentity(
            "bad_watchlist", "Invalid user_data: watchlist must be an array of strings"
        )
    return User(user_id, info), watchlist
