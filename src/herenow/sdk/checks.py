"""What an argument must be before it is signed or sent (protocol reference §6.1, §15.2, §20).

Each check gives the value to use, or raises :class:`InvalidArgument` with the reason. Text comes
back as a plain ``str``: that of an enumeration, say, must not be formatted anew when it is signed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Final

from herenow.protocol.names import (
    MAX_USER_ID_LENGTH,
    channel_kind,
    first_illegal_character,
    is_legal_channel_name,
    is_legal_user_id,
    is_socket_id,
)
from herenow.sdk.errors import InvalidArgument
from herenow.sdk.limits import Limits

_ALPHABET: Final = "allowed are A-Z a-z 0-9 _ - = @ , . ;"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SHOWN_LENGTH: Final = 40


def text(argument: str, value: object) -> str:
    """A string that is not empty."""
    if not isinstance(value, str):
        raise InvalidArgument(argument, f"expected a string, got {type(value).__name__}")
    if not value:
        raise InvalidArgument(argument, "expected a string that is not empty")
    return str.__str__(value)


def secret(argument: str, value: object) -> str:
    """A string that a signature can be made with; no error quotes it."""
    found = text(argument, value)
    if _SURROGATE.search(found) is not None:
        raise InvalidArgument(argument, "expected Unicode text")
    return found


def channel_name(value: object, limits: Limits, argument: str = "channel") -> str:
    """A channel that clients may name; of the server's own ones, with ``#``, there is none."""
    name = text(argument, value)
    _check_length(argument, name, limits.max_channel_name_length)
    if name.startswith("#"):
        raise InvalidArgument(
            argument, f"{shown(name)} is reserved: events for a user go by send_to_user"
        )
    if not is_legal_channel_name(name, 0):
        raise InvalidArgument(argument, _illegal(name))
    return name


def presence_channel(value: object, limits: Limits) -> str:
    name = channel_name(value, limits)
    if not channel_kind(name).presence:
        raise InvalidArgument("channel", f"{shown(name)} is not a presence channel")
    return name


def channel_names(value: object, limits: Limits) -> list[str]:
    """One channel or a list of them."""
    if isinstance(value, str):
        return [channel_name(value, limits)]
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray):
        raise InvalidArgument(
            "channels", f"expected a string or a list of strings, got {type(value).__name__}"
        )
    _check_count("channels", value, "channels", limits.max_event_channels)
    names = [channel_name(item, limits, f"channels[{i}]") for i, item in enumerate(value)]
    if len(names) > 1:
        for name in names:
            if channel_kind(name).encrypted:
                raise InvalidArgument(
                    "channels",
                    f"{shown(name)} is encrypted, with a secret of its own: publish to it alone",
                )
    return names


def batch(value: object, limits: Limits) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        raise InvalidArgument("batch", f"expected a list of events, got {type(value).__name__}")
    _check_count("batch", value, "events", limits.max_batch_events)
    return value


def _check_count(argument: str, values: Sequence[object], what: str, maximum: int) -> None:
    if not values:
        raise InvalidArgument(argument, f"expected at least one of the {what}, got none")
    if maximum and len(values) > maximum:
        raise InvalidArgument(argument, f"{len(values)} {what}, allowed are {maximum}")


def socket_id(value: object) -> str:
    identifier = text("socket_id", value)
    if not is_socket_id(identifier):
        raise InvalidArgument(
            "socket_id", f"expected digits, a dot and digits, got {shown(identifier)}"
        )
    return identifier


def user_id(value: object) -> str:
    """The id of a user who can sign in."""
    identifier = text("user_id", value)
    _check_length("user_id", identifier, MAX_USER_ID_LENGTH)
    if not is_legal_user_id(identifier):
        raise InvalidArgument("user_id", _illegal(identifier))
    return identifier


def event_name(value: object, limits: Limits, argument: str = "event") -> str:
    name = text(argument, value)
    _check_length(argument, name, limits.max_event_name_length)
    if name.startswith("pusher"):
        raise InvalidArgument(
            argument, f"{shown(name)} begins with 'pusher', which is reserved for servers"
        )
    return name


def channel_prefix(value: object, limits: Limits) -> str:
    """The beginning of channel names; empty is the beginning of every one."""
    if value == "":
        return ""
    prefix = text("prefix", value)
    _check_length("prefix", prefix, limits.max_channel_name_length)
    if not is_legal_channel_name(prefix, 0) or prefix.startswith("#"):
        raise InvalidArgument("prefix", _illegal(prefix))
    return prefix


def attributes(value: object, allowed: Iterable[str], argument: str = "info") -> str:
    """The comma list of what is asked about a channel; a string is such a list already."""
    if isinstance(value, str):
        names = [name for name in str.__str__(value).split(",") if name]
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        names = [text(argument, name) for name in value]
    else:
        raise InvalidArgument(argument, f"expected a list of names, got {type(value).__name__}")
    known = list(allowed)
    for name in names:
        if name not in known:
            raise InvalidArgument(
                argument, f"unknown attribute {shown(name)}, known are {', '.join(known)}"
            )
    return ",".join(dict.fromkeys(names))


def event_data(value: object, argument: str = "data") -> str:
    """The text to publish: a string as it is, any other JSON value as compact JSON."""
    return str.__str__(value) if isinstance(value, str) else json_text(value, argument)


def check_event_size(data: str, limits: Limits, argument: str = "data") -> None:
    maximum = limits.max_event_bytes
    size = len(data.encode("utf-8", "surrogatepass"))
    if maximum and size > maximum:
        raise InvalidArgument(argument, f"{size} bytes, allowed are {maximum}")


def json_text(value: object, argument: str) -> str:
    """Compact JSON that is valid Unicode; raises for what JSON has no form for."""
    try:
        encoded = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(argument, f"expected a JSON value: {error}") from None
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", encoded)


def shown(value: str) -> str:
    """*value* for an error's text: short, in quotes, on one line, ASCII."""
    return ascii(value if len(value) <= _SHOWN_LENGTH else value[:_SHOWN_LENGTH] + "…")


def _check_length(argument: str, value: str, maximum: int) -> None:
    if maximum and len(value) > maximum:
        raise InvalidArgument(argument, f"{len(value)} characters, allowed are {maximum}")


def _illegal(value: str) -> str:
    return f"{shown(value)} contains {first_illegal_character(value)!a}, {_ALPHABET}"
