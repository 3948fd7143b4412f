"""Whether a connection may come in, in the order of protocol reference §2.4."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from herenow.apps.base import App, Apps
from herenow.log import clean
from herenow.protocol import errors
from herenow.protocol.errors import Closing
from herenow.protocol.remembering import remembered
from herenow.protocol.signing import parse_query

CLIENT_LENGTH: Final = 64

_SUPPORTED: Final = frozenset({4, 5, 6, 7})
_INTEGER: Final = re.compile(r"-?[0-9]{1,100}")
_NOT_PUBLISHED: Final = Closing(
    errors.CloseCode.UNKNOWN_APP,
    "This app has the well-known secret and is served on loopback only: configure your own",
)


class Found(NamedTuple):
    """An application, by which of its keys (the string that it keeps itself), and for whom."""

    app: App
    key: str
    client: str


class Greeting(NamedTuple):
    """What a client says of itself: why it is not welcome, if so, and what it is."""

    refused: Closing | None
    client: str


@remembered(256, 256)
def read_greeting(query: str) -> Greeting:
    """Judge the ``protocol`` parameter (§2.2), and read what is for the operator."""
    parameters = parse_query(query)
    client, version = parameters.get("client", ""), parameters.get("version", "")
    shown = clean(f"{client} {version}".strip(), CLIENT_LENGTH)
    return Greeting(_check_version(parameters.get("protocol")), shown)


def _check_version(version: str | list[str] | None) -> Closing | None:
    if not isinstance(version, str) or not version:
        return errors.NO_VERSION
    if _INTEGER.fullmatch(version) is None:
        return errors.INVALID_VERSION
    return None if int(version) in _SUPPORTED else errors.UNSUPPORTED_VERSION


def find_app(path: str, query: str, prefix: str, apps: Apps) -> Found | Closing:
    """The application that a WebSocket on *path* asks for."""
    head = f"{prefix}/app/"
    key = path[len(head) :]
    if "%" in key:
        key = unquote(key)
    if not path.startswith(head) or not key or "/" in key:
        return errors.PATH_NOT_FOUND
    refused, client = read_greeting(query)
    if refused is not None:
        return refused
    app = apps.by_key(key)
    pair = app.pair_of(key) if app is not None else None
    if app is not None and pair is not None:
        return Found(app, pair.key, client)
    # One who is not known yet is to come back, not to give up.
    return errors.unknown_app(key) if apps.complete else errors.STORE_UNAVAILABLE


def check_app(
    app: App,
    *,
    secure: bool,
    loopback: bool,
    is_default: bool,
    origin: str | None,
    connections: int,
) -> Closing | None:
    """Judge what *app* says of this connection; *connections* are there already."""
    if is_default and not loopback:
        return _NOT_PUBLISHED
    if not app.enabled:
        return errors.APP_DISABLED
    if app.tls_only and not secure:
        return errors.TLS_REQUIRED
    if app.limits.max_connections and connections >= app.limits.max_connections:
        return errors.OVER_QUOTA
    if origin is not None and not is_allowed_origin(origin, app.allowed_origins):
        return errors.ORIGIN_REFUSED
    return None


def is_allowed_origin(origin: str, allowed: tuple[str, ...]) -> bool:
    """Whether *origin* is one of *allowed*: ``*``, an origin, or a host name of any scheme."""
    if "*" in allowed:
        return True
    origin = origin.lower()
    try:
        host = urlsplit(origin).hostname
    except ValueError:
        host = None
    return any(item.lower().rstrip("/") in (origin, host) for item in allowed)
