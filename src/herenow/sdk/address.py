"""Where a server is and which application is meant: arguments, a URL or the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from herenow.protocol.encryption import MASTER_KEY_BYTES, decode_master_key
from herenow.sdk.checks import secret as check_secret
from herenow.sdk.checks import shown, text
from herenow.sdk.errors import InvalidArgument
from herenow.sdk.limits import Limits

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 6001
HTTPS_PORT: Final = 443
HTTP_PORT: Final = 80

_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]+")
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_NUMERIC_HOST: Final = re.compile(r"[0-9.]+")
_MAX_HOST_LENGTH: Final = 253
_MAX_LABEL_LENGTH: Final = 63
_PATH_PREFIX: Final = re.compile(r"(/(?!\.\.?(?:/|$))[A-Za-z0-9._~-]+)*")
_URL_PATH: Final = re.compile(r"(?P<prefix>.*)/apps/(?P<id>[^/]*)/?", re.DOTALL)
_URL_FORM: Final = "expected http(s)://key:secret@host:port/apps/id"


@dataclass(frozen=True, slots=True)
class Address:
    """A server's base address."""

    host: str
    port: int
    tls: bool
    path_prefix: str

    def __str__(self) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{self.url_host}:{self.port}{self.path_prefix}"

    @property
    def url_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Application:
    """An application's credentials and limits."""

    id: str
    key: str
    secret: str = field(repr=False)
    master_key: bytes | None = field(default=None, repr=False)
    limits: Limits = field(default_factory=Limits)


class Settings(NamedTuple):
    """The arguments of a client that a URL or the environment gives."""

    app_id: str
    key: str
    secret: str
    host: str
    port: int
    tls: bool
    path_prefix: str

    def __repr__(self) -> str:
        return f"Settings(app_id={self.app_id!r}, key={self.key!r})"


def check_address(host: object, port: object, tls: object, path_prefix: object) -> Address:
    if not isinstance(tls, bool):
        raise InvalidArgument("tls", f"expected True or False, got {type(tls).__name__}")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise InvalidArgument("port", f"expected 1 to 65535, got {shown(str(port))}")
    if not isinstance(path_prefix, str) or _PATH_PREFIX.fullmatch(path_prefix) is None:
        raise InvalidArgument(
            "path_prefix", f"expected nothing or a path such as /ws, got {shown(str(path_prefix))}"
        )
    return Address(_check_host(host), port, tls, path_prefix)


def _check_host(value: object) -> str:
    host = text("host", value).removeprefix("[").removesuffix("]")
    if (":" in host and "%" not in host) or _NUMERIC_HOST.fullmatch(host) is not None:
        try:
            return str(ip_address(host))
        except ValueError:
            pass
    elif _is_host_name(host):
        return host.lower()
    raise InvalidArgument("host", f"expected a host name or an IP address, got {shown(host)}")


def _is_host_name(host: str) -> bool:
    name = host.removesuffix(".")
    return (
        _HOST_NAME.fullmatch(host) is not None
        and len(name) <= _MAX_HOST_LENGTH
        and all(0 < len(label) <= _MAX_LABEL_LENGTH for label in name.split("."))
    )


def check_application(
    app_id: object,
    key: object,
    secret: object,
    master_key: object,
    master_key_base64: object,
    limits: object,
) -> Application:
    if not isinstance(limits, Limits):
        raise InvalidArgument("limits", f"expected Limits, got {type(limits).__name__}")
    return Application(
        _identifier("app_id", app_id),
        _identifier("key", key),
        check_secret("secret", secret),
        _check_master_key(master_key, master_key_base64),
        limits,
    )


def _identifier(argument: str, value: object) -> str:
    identifier = text(argument, value)
    if _IDENTIFIER.fullmatch(identifier) is None:
        raise InvalidArgument(
            argument, f"expected characters of A-Z a-z 0-9 _ -, got {shown(identifier)}"
        )
    return identifier


def _check_master_key(raw: object, encoded: object) -> bytes | None:
    if raw is not None and encoded is not None:
        raise InvalidArgument(
            "encryption_master_key", "expected it once, as bytes or as base64, got both"
        )
    if encoded is not None:
        argument = "encryption_master_key_base64"
        try:
            return decode_master_key(text(argument, encoded))
        except ValueError as error:
            reason = error.reason if isinstance(error, InvalidArgument) else str(error)
            raise InvalidArgument(argument, reason) from None
    if raw is None:
        return None
    if not isinstance(raw, bytes) or len(raw) != MASTER_KEY_BYTES:
        raise InvalidArgument("encryption_master_key", f"expected {MASTER_KEY_BYTES} bytes")
    return raw


def read_url(url: object) -> Settings:
    """Read ``http(s)://key:secret@host:port/apps/id``; what is before ``/apps`` is the prefix.

    Without a port it is 443 or 80. No error quotes the URL, since it contains the secret.
    """
    try:
        parts = urlsplit(text("url", url))
        port = parts.port
    except InvalidArgument:
        raise
    except ValueError:
        raise InvalidArgument("url", _URL_FORM) from None
    path = _URL_PATH.fullmatch(parts.path)
    complete = parts.hostname and parts.username and parts.password
    if parts.scheme not in ("http", "https") or not complete or path is None or _more(parts):
        raise InvalidArgument("url", _URL_FORM)
    tls = parts.scheme == "https"
    return Settings(
        app_id=unquote(path["id"]),
        key=unquote(parts.username or ""),
        secret=unquote(parts.password or ""),
        host=parts.hostname or "",
        port=_default_port(tls) if port is None else port,
        tls=tls,
        path_prefix=path["prefix"],
    )


def _more(parts: SplitResult) -> bool:
    return bool(parts.query or parts.fragment)


def _default_port(tls: bool) -> int:
    return HTTPS_PORT if tls else HTTP_PORT


def read_environment(environment: Mapping[str, str]) -> Settings:
    """Read ``PUSHER_APP_ID``, ``_APP_KEY``, ``_APP_SECRET``, ``_HOST``, ``_PORT``, ``_SCHEME``."""
    required = ("PUSHER_APP_ID", "PUSHER_APP_KEY", "PUSHER_APP_SECRET")
    missing = [name for name in required if not environment.get(name)]
    if missing:
        raise InvalidArgument("environment", f"{' and '.join(missing)} not set")
    scheme = environment.get("PUSHER_SCHEME") or "http"
    if scheme not in ("http", "https"):
        raise InvalidArgument("PUSHER_SCHEME", f"expected http or https, got {shown(scheme)}")
    tls = scheme == "https"
    port = environment.get("PUSHER_PORT") or str(HTTPS_PORT if tls else DEFAULT_PORT)
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        raise InvalidArgument("PUSHER_PORT", f"expected 1 to 65535, got {shown(port)}")
    app_id, key, secret = (environment[name] for name in required)
    host = environment.get("PUSHER_HOST") or DEFAULT_HOST
    return Settings(app_id, key, secret, host, int(port), tls, "")
