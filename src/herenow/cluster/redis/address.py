"""Where the engine is, and who we are there, as one URL says it.

====================================================  ==========================================
``redis://[user:password@]host:port/db``              one server, with ``rediss`` over TLS
``redis+cluster://[user:password@]h1:p,h2:p``         a cluster, of which these are some
``redis+sentinel://[user:password@]h1:p,h2:p/name/db``  the primary *name* of these sentinels
``unix://[user:password@]/path?db=n``                 one server, by a socket
====================================================  ==========================================

With ``rediss``: ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``, ``ssl_check_hostname`` and
``ssl_cert_reqs`` (``required``, ``optional``, ``none``), as in redis-py. For sentinels that ask
for one: ``sentinel_username`` and ``sentinel_password``.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio.connection import parse_url

EXPECTED: Final = (
    "redis://host:port/db, rediss://host:port/db, redis+sentinel://host:port,host:port/name/db, "
    "redis+cluster://host:port,host:port or unix:///path"
)
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_DATABASES: Final = range(1_000_000)
_TLS_OPTIONS: Final = (
    "ssl_ca_certs",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_check_hostname",
    "ssl_cert_reqs",
)
_SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")
_REQUIREMENTS: Final = {
    "required": ssl.CERT_REQUIRED,
    "optional": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}


class Topology(Enum):
    STANDALONE = "standalone"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Location(NamedTuple):
    """Where one server listens: a host and port, or the path of a socket."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TLSOptions:
    """How the engine's certificate is checked, and which one is shown to it."""

    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    check_hostname: bool = True
    cert_reqs: str = "required"

    def context(self) -> ssl.SSLContext:
        """What a connection needs; ValueError names a file that cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_certs)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("ssl_ca_certs", "certificates", self.ca_certs, error) from None
        context.check_hostname = self.check_hostname and self.cert_reqs != "none"
        context.verify_mode = _REQUIREMENTS[self.cert_reqs]
        if self.certfile is not None:
            try:
                context.load_cert_chain(self.certfile, self.keyfile)
            except (OSError, ssl.SSLError) as error:
                what = "a certificate with the key of ssl_keyfile"
                raise _unusable("ssl_certfile", what, self.certfile, error) from None
        return context

    def options(self) -> dict[str, Any]:
        """The same for redis-py."""
        return {
            "ssl": True,
            "ssl_ca_certs": self.ca_certs,
            "ssl_certfile": self.certfile,
            "ssl_keyfile": self.keyfile,
            "ssl_check_hostname": self.check_hostname and self.cert_reqs != "none",
            "ssl_cert_reqs": self.cert_reqs,
        }


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are. Nothing prints it."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def options(self) -> dict[str, Any]:
        """The same for redis-py."""
        return {"username": self.username, "password": self.password}


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart. Its text names hosts and ports only."""

    topology: Topology
    locations: tuple[Location, ...]
    database: int = 0
    name: str = ""
    credentials: Credentials = Credentials()
    sentinel_credentials: Credentials = Credentials()
    tls: TLSOptions | None = None

    def __str__(self) -> str:
        return ",".join(map(str, self.locations))

    def __repr__(self) -> str:
        return f"<Address {self.topology.value} {self}>"

    def options(self) -> dict[str, Any]:
        """What a client of redis-py needs besides host and port."""
        options = {"db": self.database, "protocol": 2, **self.credentials.options()}
        return options if self.tls is None else {**options, **self.tls.options()}

    def sentinel_options(self) -> dict[str, Any]:
        """The same for the sentinels."""
        options: dict[str, Any] = {"protocol": 2, **self.sentinel_credentials.options()}
        return options if self.tls is None else {**options, **self.tls.options()}


def parse(url: str) -> Address:
    """The address a URL means; ValueError says what was expected, without the URL's secrets."""
    scheme, separator, rest = url.partition("://")
    protocol, _, kind = scheme.partition("+")
    if not separator or protocol not in ("redis", "rediss", "unix"):
        raise ValueError(f"expected {EXPECTED}, got another scheme")
    if "#" in rest:
        raise ValueError("expected no # in the URL; in a password it is written %23")
    if protocol == "unix" and not kind:
        return _parse_unix(url)
    topology = {"": Topology.STANDALONE, "sentinel": Topology.SENTINEL, "cluster": Topology.CLUSTER}
    if protocol == "unix" or kind not in topology:
        raise ValueError(f"expected {EXPECTED}, got another scheme")
    return _parse_hosts(protocol, topology[kind], rest)


def _parse_unix(url: str) -> Address:
    parts = urlsplit(url)
    options = _query(parts.query, ("db",))
    known: dict[str, Any] = {**parse_url(url)}
    path = known.get("path", "")
    if not path or parts.hostname:
        raise ValueError("expected unix:///path, with the path of a socket after three slashes")
    return Address(
        Topology.STANDALONE,
        (Location("", 0, path),),
        database=_database(options.get("db", "")),
        credentials=Credentials(known.get("username"), known.get("password")),
    )


def _parse_hosts(protocol: str, topology: Topology, rest: str) -> Address:
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    user, at, hosts = authority.rpartition("@")
    names = hosts.split(",")
    if topology is Topology.STANDALONE and len(names) > 1:
        raise ValueError("expected one host; several need redis+cluster:// or redis+sentinel://")
    default = _SENTINEL_PORT if topology is Topology.SENTINEL else _PORT
    locations = tuple(_location(name, default) for name in names)
    options = _query(query, _options_of(protocol, topology))
    name, database = _path(topology, path)
    known: dict[str, Any] = {**parse_url(f"redis://{user}{at}host")}
    return Address(
        topology,
        locations,
        database,
        name,
        Credentials(known.get("username"), known.get("password")),
        Credentials(options.get("sentinel_username"), options.get("sentinel_password")),
        _tls(options) if protocol == "rediss" else None,
    )


def _options_of(protocol: str, topology: Topology) -> tuple[str, ...]:
    tls = _TLS_OPTIONS if protocol == "rediss" else ()
    return (*tls, *_SENTINEL_OPTIONS) if topology is Topology.SENTINEL else tls


def _location(text: str, default: int) -> Location:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("expected host:port, with a port from 1 to 65535") from None
    if not host or port == 0 or parts.path:
        raise ValueError("expected host:port, with a port from 1 to 65535")
    return Location(unquote(host), port or default)


def _path(topology: Topology, path: str) -> tuple[str, int]:
    """The name of the primary, where there are sentinels, and the number of the database."""
    if topology is Topology.CLUSTER:
        if path.strip("/") not in ("", "0"):
            raise ValueError("expected nothing after the hosts: a cluster has database 0 only")
        return "", 0
    if topology is Topology.SENTINEL:
        name, _, database = path.partition("/")
        if not name:
            raise ValueError("expected the name of the primary after the sentinels: …/name/db")
        return unquote(name), _database(database)
    return "", _database(path)


def _database(text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or int(text) not in _DATABASES:
        raise ValueError("expected the number of a database after the host, such as /0")
    return int(text)


def _query(query: str, allowed: tuple[str, ...]) -> dict[str, str]:
    options = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
    for name in options:
        if name not in allowed:
            expected = ", ".join(allowed) if allowed else "none"
            hint = ", which needs rediss" if name in _TLS_OPTIONS else ""
            shown = name if name in (*_TLS_OPTIONS, *_SENTINEL_OPTIONS) else "another one"
            raise ValueError(f"expected as options of this URL {expected}, got {shown}{hint}")
    return options


def _tls(options: dict[str, str]) -> TLSOptions:
    requirement = options.get("ssl_cert_reqs", "required")
    if requirement not in _REQUIREMENTS:
        raise ValueError(f"ssl_cert_reqs: expected required, optional or none, got {requirement!r}")
    check = options.get("ssl_check_hostname", "true").lower()
    if check not in ("true", "false", "yes", "no", "1", "0"):
        raise ValueError(f"ssl_check_hostname: expected true or false, got {check!r}")
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise ValueError("ssl_keyfile: expected ssl_certfile with it")
    return TLSOptions(
        options.get("ssl_ca_certs"),
        options.get("ssl_certfile"),
        options.get("ssl_keyfile"),
        check_hostname=check in ("true", "yes", "1"),
        cert_reqs=requirement,
    )


def _unusable(option: str, what: str, file: str | None, error: Exception) -> ValueError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ValueError(f"{option}: expected a file with {what}, {file!r} cannot be used: {reason}")
