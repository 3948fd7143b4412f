"""Events as bytes: what clients send and are sent (protocol reference §1, §3.4, §7.2, §9 to §13).

An event is encoded once. ``data`` that a publisher gave is carried on as the JSON string token it
arrived in; everything made here is compact JSON that any conforming reader accepts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import msgspec

from herenow.protocol.remembering import remembered

EMPTY_DATA: Final = b'"{}"'
EMPTY_INFO: Final = b"{}"


class InvalidJSON(ValueError):
    """Text that is not JSON, or nested too deeply to be read."""


class ClientMessage(msgspec.Struct, frozen=True, gc=False):
    """One event from a client. ``data`` is its JSON, ``None`` when absent or null."""

    event: str
    channel: str | None
    data: bytes | None


class _Frame(msgspec.Struct):
    event: str
    channel: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


_frame_decoder: Final = msgspec.json.Decoder(_Frame)
_any_decoder: Final = msgspec.json.Decoder()
_string_decoder: Final = msgspec.json.Decoder(str)
_STRING_OR_SPACE: Final = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\r\n]+')


def decode_json(text: bytes | str) -> Any:
    """Any JSON value.

    Unpaired surrogate escapes are let through; for NaN, the infinities and numbers that no double
    can hold, as for text that is not JSON, :class:`InvalidJSON` is raised.
    """
    try:
        return _any_decoder.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _decode_slowly(text)
    except UnicodeError as error:
        raise InvalidJSON("not UTF-8") from error


def _decode_slowly(text: bytes | str) -> Any:
    try:
        if isinstance(text, bytes):
            text = text.decode()
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidJSON("not JSON") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(digits)
    return number


def encode_json(value: object) -> bytes:
    """Compact JSON; non-ASCII stays as it is unless it is an unpaired surrogate."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


# Names come again and again.
_encode_name: Final = remembered(4096, 200)(encode_json)


def compact_json(raw: bytes) -> bytes:
    """The same JSON without insignificant white space, numbers and strings untouched.

    Raises :class:`InvalidJSON`.
    """
    try:
        _any_decoder.decode(raw)
        return msgspec.json.format(raw, indent=-1)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        _decode_slowly(raw)
        return _STRING_OR_SPACE.sub(rb"\1", raw)


def decode_string(token: bytes) -> str | None:
    """The text of a JSON string token; ``None`` for any other JSON value.

    Raises :class:`InvalidJSON`.
    """
    try:
        return _string_decoder.decode(token)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        value = _decode_slowly(token)
        return value if isinstance(value, str) else None


def decode_client_message(payload: bytes) -> ClientMessage | str:
    """Read one text frame; the answer is the message, or the text of the error to send."""
    try:
        frame = _frame_decoder.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _decode_odd_message(payload)
    data = bytes(frame.data)
    return ClientMessage(frame.event, frame.channel, None if data == b"null" else data)


def _decode_odd_message(payload: bytes) -> ClientMessage | str:
    try:
        value = decode_json(payload)
    except InvalidJSON:
        return "Invalid JSON"
    if not isinstance(value, dict) or not isinstance(value.get("event"), str):
        return "Missing parameter: event"
    channel, data = value.get("channel"), value.get("data")
    return ClientMessage(
        event=value["event"],
        channel=channel if isinstance(channel, str) else None,
        data=None if data is None else encode_json(data),
    )


def decode_hash(data: bytes | None) -> dict[str, Any] | None:
    """The object that a client's ``data`` is, itself or as a string; ``None`` if it is none."""
    if data is None:
        return None
    try:
        value = decode_json(data)
        if isinstance(value, str):
            value = decode_json(value)
    except InvalidJSON:
        return None
    return value if isinstance(value, dict) else None


def event(name: str, data: bytes, channel: str | None = None, user_id: str | None = None) -> bytes:
    """``{"event":…,"channel":…,"data":…,"user_id":…}``; *data* is a JSON token."""
    of_channel = b"" if channel is None else b',"channel":' + _encode_name(channel)
    by_user = b"" if user_id is None else b',"user_id":' + encode_json(user_id)
    return b"".join(
        (b'{"event":', _encode_name(name), of_channel, b',"data":', data, by_user, b"}")
    )


def quoted(json_text: bytes) -> bytes:
    """JSON text as a JSON string token: the double encoding of §1."""
    return encode_json(json_text.decode())


def connection_established(socket_id: str, activity_timeout: int) -> bytes:
    return (
        '{"event":"pusher:connection_established","data":"{\\"socket_id\\":\\"'
        f'{socket_id}\\",\\"activity_timeout\\":{activity_timeout}}}"}}'
    ).encode()


def error(message: str, code: int | None = None) -> bytes:
    """``pusher:error``, the one event whose ``data`` is an object."""
    return event("pusher:error", encode_json({"code": code, "message": message}))


def pong() -> bytes:
    return event("pusher:pong", EMPTY_DATA)


def subscription_succeeded(channel: str, data: bytes = EMPTY_DATA) -> bytes:
    return event("pusher_internal:subscription_succeeded", data, channel)


def subscription_error(channel: str, kind: str, message: str, status: int) -> bytes:
    data = encode_json({"type": kind, "error": message, "status": status})
    return event("pusher:subscription_error", quoted(data), channel)


def subscription_count(channel: str, count: int) -> bytes:
    data = quoted(encode_json({"subscription_count": count}))
    return event("pusher_internal:subscription_count", data, channel)


def cache_miss(channel: str) -> bytes:
    return event("pusher:cache_miss", EMPTY_DATA, channel)


def signin_success(user_data: str) -> bytes:
    return event("pusher:signin_success", quoted(encode_json({"user_data": user_data})))


def watchlist_events(online: Iterable[str] = (), offline: Iterable[str] = ()) -> bytes | None:
    """One frame for all changes; ``None`` when there are none. Empty categories are left out."""
    events = [
        {"name": name, "user_ids": user_ids}
        for name, user_ids in (("offline", list(offline)), ("online", list(online)))
        if user_ids
    ]
    if not events:
        return None
    return event("pusher_internal:watchlist_events", quoted(encode_json({"events": events})))


class MemberEntry:
    """One member of a roster, its parts encoded once for every roster they will stand in."""

    __slots__ = ("entry", "id_part", "user_id")

    def __init__(self, user_id: str, info: bytes) -> None:
        self.user_id = user_id
        self.id_part = quoted(encode_json(user_id))[1:-1]
        # As it stands in the hash of a roster.
        self.entry = b"%b:%b" % (self.id_part, quoted(info)[1:-1])

    def added(self, channel: str) -> bytes:
        """``pusher_internal:member_added`` for this member."""
        info = self.entry[len(self.id_part) + 1 :]
        data = b'"{\\"user_id\\":%b,\\"user_info\\":%b}"' % (self.id_part, info)
        return event("pusher_internal:member_added", data, channel)

    def removed(self, channel: str) -> bytes:
        """``pusher_internal:member_removed`` for this member."""
        data = b'"{\\"user_id\\":%b}"' % self.id_part
        return event("pusher_internal:member_removed", data, channel)


def roster(channel: str, members: Iterable[MemberEntry]) -> bytes:
    """``subscription_succeeded`` of a presence channel: count, ids and a hash key for every id."""
    entries = list(members)
    ids = b",".join([entry.id_part for entry in entries])
    hash_ = b",".join([entry.entry for entry in entries])
    data = b'"{\\"presence\\":{\\"count\\":%d,\\"ids\\":[%b],\\"hash\\":{%b}}}"'
    return subscription_succeeded(channel, data % (len(entries), ids, hash_))
