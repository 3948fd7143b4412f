"""What a setting accepts, said once: the sentence of the error and the test behind it."""

from __future__ import annotations

import base64
import json
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, Generic, TypeVar
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
T = TypeVar("T")

_SHOWN_LENGTH: Final = 80
_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.?")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
# What the server sets itself, or what says how a request is carried.
_OWN_HEADERS: Final = frozenset(
    {
        "connection",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OWN_HEADER_PREFIXES: Final = ("content-", "x-herenow-", "x-pusher-")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


class Refused(ValueError):
    """A value breaks a rule. ``value`` is the part of it that does."""

    def __init__(self, value: object) -> None:
        self.value = value


def show(value: object) -> str:
    """*value* as an error may print it: short, on one line, without control characters."""
    if isinstance(value, str):
        clipped = value if len(value) <= _SHOWN_LENGTH else value[:_SHOWN_LENGTH] + "…"
        return json.dumps(clipped).replace("\\u2026", "…").replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)[:_SHOWN_LENGTH] if isinstance(value, float) else _show_integer(value)
    return show_kind(value)


def _show_integer(value: int) -> str:
    return str(value) if value.bit_length() <= 256 else "a very large integer"


def show_kind(value: object) -> str:
    """What *value* is, without showing it."""
    if value == "":
        return "an empty text"
    names = {str: "a text", bool: "a boolean", int: "an integer", float: "a number"}
    names |= {list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")


@dataclass(frozen=True, slots=True)
class Rule(Generic[T]):
    """``read`` makes the value of a setting or raises :class:`Refused`.

    ``parse`` comes before it where the value is text of the environment or the command line.
    """

    expected: str
    read: Callable[[object], T]
    parse: Callable[[str], object] = str
    show: Callable[[object], str] = show


def _structure(text: str) -> object:
    """A list or table written as JSON or TOML; any other text is itself."""
    if text.lstrip().startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            pass
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            pass
    return text


def _listed(text: str) -> object:
    """A list, written as JSON or TOML or with commas."""
    value = _structure(text)
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _number(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _truth(text: str) -> object:
    word = text.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else text


def integer(low: int, high: int | None = None) -> Rule[int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Refused(value)
        if value < low or (high is not None and value > high):
            raise Refused(value)
        return value

    bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
    return Rule(f"an integer {bounds}", read, _number)


# More milliseconds than an engine can count would be refused by it, each time.
LONGEST_SECONDS: Final = 10 * 366 * 86_400


def seconds(*, zero: bool) -> Rule[float]:
    def read(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise Refused(value)
        try:
            duration = float(value)
        except OverflowError:
            raise Refused(value) from None
        if not 0 <= duration <= LONGEST_SECONDS or not (zero or duration):
            raise Refused(value)
        return duration

    bound = "of 0 or more" if zero else "greater than 0"
    return Rule(f"a number of seconds {bound}, at most ten years", read, _number)


def _read_boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise Refused(value)
    return value


def matching(pattern: str, expected: str) -> Rule[str]:
    compiled = re.compile(pattern)

    def read(value: object) -> str:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise Refused(value)
        return value

    return Rule(expected, read)


def texts(one: Rule[str], expected: str) -> Rule[tuple[str, ...]]:
    """A list without repetitions whose every element keeps the rule *one*; may be empty."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise Refused(value)
        return tuple(dict.fromkeys(one.read(element) for element in value))

    return Rule(expected, read, _listed)


def choices(names: Sequence[str]) -> Rule[tuple[str, ...]]:
    expected = "a list of one or more of " + ", ".join(names)

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise Refused(value)
        for element in value:
            if element not in names:
                raise Refused(element)
        return tuple(dict.fromkeys(value))

    return Rule(expected, read, _listed)


def _read_networks(value: object) -> tuple[Network, ...]:
    if not isinstance(value, list):
        raise Refused(value)
    found: list[Network] = []
    for element in value:
        if not isinstance(element, str):
            raise Refused(element)
        try:
            found.append(ip_network(element))
        except ValueError:
            raise Refused(element) from None
    return tuple(dict.fromkeys(found))


def _read_host(value: object) -> str:
    if not isinstance(value, str):
        raise Refused(value)
    try:
        ip_address(value)
    except ValueError:
        looks_numeric = re.fullmatch(r"[0-9.]*", value)
        if looks_numeric or len(value) > 253 or _HOST_NAME.fullmatch(value) is None:
            raise Refused(value) from None
    return value


def is_loopback(host: str) -> bool:
    """Whether *host* can be reached from this machine only. Names are not looked up."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _read_webhook_url(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise Refused(value)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise Refused(value) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise Refused(value)
    if "@" in parts.netloc or parts.fragment:
        raise Refused(value)
    return value


def _show_webhook_url(value: object) -> str:
    """Without what may be a credential: what stands before an ``@``, and the query."""
    if not isinstance(value, str):
        return show(value)
    before, at, after = value.partition("@")
    visible = f"{before.partition('//')[0]}//…@{after}" if at else value
    return show(visible.partition("?")[0])


def _show_scheme(value: object) -> str:
    """Only the scheme of a URL: what follows may hold a password."""
    if not isinstance(value, str) or not value:
        return show(value)
    scheme, separator, rest = value.partition("://")
    if _SCHEME.fullmatch(scheme) is None or (not separator and "@" in value):
        return show_kind(value)
    return show(f"{scheme}://…" if separator and rest else value)


def is_header_name(name: str) -> bool:
    """Whether *name* is a header that may be added to a webhook request."""
    lowered = name.lower()
    return (
        _HEADER_NAME.fullmatch(name) is not None
        and lowered not in _OWN_HEADERS
        and not lowered.startswith(_OWN_HEADER_PREFIXES)
    )


def _read_header_value(value: object) -> str:
    if not isinstance(value, str) or (value and _HEADER_VALUE.fullmatch(value) is None):
        raise Refused(value)
    return value


def _read_table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Refused(value)
    return value


def _read_store_keys(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = re.split(r"[\s,]+", value.strip()) if value.strip() else []
    if not isinstance(value, list):
        raise Refused(value)
    for key in value:
        try:
            size = len(base64.b64decode(key, validate=True)) if isinstance(key, str) else 0
        except ValueError:
            raise Refused(key) from None
        if size != 32:
            raise Refused(key)
    return tuple(dict.fromkeys(value))


def secret(*, optional: bool) -> Rule[str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or not (optional or value):
            raise Refused(value)
        return value

    form = "a text, { file = … } or { env = … }"
    return Rule(
        form if optional else form.replace("text", "text that is not empty"), read, str, show_kind
    )


ANY_TEXT: Final = matching(r"[^\x00-\x1f\x7f]*", "a text without control characters")
BOOLEAN: Final = Rule("true or false", _read_boolean, _truth)
CLUSTER_URL: Final = Rule(
    '"memory://", or a URL that begins with redis://, rediss://, redis+sentinel://, '
    "rediss+sentinel://, redis+cluster://, rediss+cluster:// or unix://, "
    "{ file = … } or { env = … }",
    matching(r"memory://|(rediss?(\+sentinel|\+cluster)?|unix)://[\x21-\x7e]+", "").read,
    str,
    _show_scheme,
)
HEADER_VALUE: Final = Rule(
    "a text of printable ASCII without spaces around it, { file = … } or { env = … }",
    _read_header_value,
    str,
    show_kind,
)
FILE: Final = matching(r"[^\x00-\x1f\x7f]+", "the name of a file")
HOST: Final = Rule("an IP address or a host name", _read_host)
IDENTIFIER: Final = matching(r"[A-Za-z0-9_-]{1,64}", "1 to 64 characters of A-Z, a-z, 0-9, _ and -")
LIMIT: Final = integer(0)
NETWORKS: Final = Rule('a list of networks such as "10.0.0.0/8"', _read_networks, _listed)
PATH_PREFIX: Final = matching(
    r"(/[A-Za-z0-9._~-]+)*",
    'an empty text or a path such as "/realtime", without a slash at its end',
)
PORT: Final = integer(0, 65535)
STORE_KEYS: Final = Rule(
    "32 bytes in base64, { file = … } or { env = … }, or a list of these",
    _read_store_keys,
    _listed,
    show_kind,
)
STORE_URL: Final = Rule(
    '"sqlite:///" and a file name, a URL that begins with postgresql:// or mysql://, { file = … }'
    " or { env = … }",
    matching(r"sqlite:///.+|(postgresql|mysql)://[\x21-\x7e]+", "").read,
    str,
    _show_scheme,
)
TABLE: Final = Rule("a table", _read_table, _structure)
WEBHOOK_URL: Final = Rule(
    "an http or https URL without credentials and fragment",
    _read_webhook_url,
    str,
    _show_webhook_url,
)
