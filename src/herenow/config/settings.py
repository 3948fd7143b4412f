"""Every setting with its default, its rule and its documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final, NamedTuple, TypeVar

from herenow.apps.base import App, Key, Limits
from herenow.config import rules
from herenow.config.rules import Network, Rule

T = TypeVar("T")


class Setting(NamedTuple):
    """``default`` is ``MISSING`` where a value must be given."""

    rule: Rule[Any]
    doc: str
    default: Any = MISSING
    secret: bool = False


def setting(default: T, rule: Rule[T], doc: str, *, secret: bool = False) -> T:
    """A field of a section, with its rule and documentation in the metadata."""
    described: T = field(
        default=default,
        repr=not secret,
        metadata={"setting": Setting(rule, doc, default, secret)},
    )
    return described


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The public port: WebSocket connections and the HTTP API."""

    host: str = setting("127.0.0.1", rules.HOST, "Address of the public port.")
    port: int = setting(6001, rules.PORT, "The public port; 0 takes a free one.")
    path_prefix: str = setting("", rules.PATH_PREFIX, "What stands before /app and /apps.")
    shutdown_grace_seconds: float = setting(
        10, rules.seconds(zero=True), "How long a stopping server finishes what is under way."
    )
    activity_timeout_seconds: float = setting(
        120,
        rules.seconds(zero=False),
        "What clients are told: after this much silence they ask whether the server is there.",
    )
    ping_interval_seconds: float = setting(
        25, rules.seconds(zero=False), "How often the server asks a silent connection."
    )
    pong_timeout_seconds: float = setting(
        10, rules.seconds(zero=False), "How long the answer may take before a connection is lost."
    )
    write_buffer_bytes: int = setting(
        1_048_576,
        rules.LIMIT,
        "Backlog of one connection; one that stays above it for 5 seconds is closed.",
    )
    max_message_bytes: int = setting(
        65_536, rules.LIMIT, "Size of one client message with all of its fragments."
    )
    compression: bool = setting(
        False,
        rules.BOOLEAN,
        "Whether messages are compressed for clients that offer it (permessage-deflate).",
    )
    compression_min_bytes: int = setting(
        256, rules.integer(0), "Messages of fewer bytes are never compressed."
    )
    head_timeout_seconds: float = setting(
        10,
        rules.seconds(zero=False),
        "How long a request head, a TLS handshake or a message may stay unfinished.",
    )
    keep_alive_seconds: float = setting(
        75, rules.seconds(zero=False), "How long an idle HTTP connection stays open."
    )
    drain_grace_seconds: float = setting(
        30,
        rules.seconds(zero=True),
        "How long members stay when the server itself sent their connections away.",
    )
    trusted_proxies: tuple[Network, ...] = setting(
        (), rules.NETWORKS, "Networks whose X-Forwarded-For and X-Forwarded-Proto are believed."
    )
    tls_certificate: str = setting(
        "", rules.ANY_TEXT, "PEM file of the certificate and its chain; read again on SIGHUP."
    )
    tls_key: str = setting("", rules.ANY_TEXT, "PEM file of the certificate's key.")
    max_connections_per_address: int = setting(
        0, rules.LIMIT, "Connections that one address may have."
    )
    connects_per_second_per_address: int = setting(
        0, rules.LIMIT, "Connections that one address may open each second."
    )


@dataclass(frozen=True, slots=True)
class AdminConfig:
    """The admin port: status, metrics and health."""

    host: str = setting(
        "127.0.0.1", rules.HOST, "Address of the admin port; off loopback it needs a password."
    )
    port: int = setting(9601, rules.PORT, "The admin port; 0 takes a free one.")
    password: str = setting(
        "",
        rules.secret(optional=True),
        "Asked for on the admin port, metrics included (basic or bearer).",
        secret=True,
    )


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """The engine that decides who is here and carries events, in one process or many."""

    url: str = setting(
        "memory://",
        rules.CLUSTER_URL,
        "The engine: one process's own memory, or a Redis or Valkey that nodes share.",
        secret=True,
    )
    connect_seconds: float = setting(
        30, rules.seconds(zero=False), "How long the engine is tried at start."
    )
    partitions: int = setting(
        64,
        rules.integer(1, 4_096),
        "Parts over which channels are spread. The same on every node.",
    )
    hold_seconds: float = setting(
        20, rules.seconds(zero=True), "How long a join waits for an engine that does not answer."
    )
    return_seconds: float = setting(
        15,
        rules.seconds(zero=True),
        "For webhooks: how long after a start clients have to come back before they count as gone.",
    )
    prefix: str = setting("herenow", rules.IDENTIFIER, "What every key in the engine starts with.")
    lease_seconds: float = setting(
        5,
        rules.seconds(zero=False),
        "After this much silence a node counts as gone. The same on every node.",
    )


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """What outlives the process: applications that are made at run time (`herenow apps`), and
    webhooks that wait. A SQLite file is made when one of them is first used.
    """

    url: str = setting(
        "sqlite:///herenow.db",
        rules.STORE_URL,
        "Where it is kept: a SQLite file, or a database on a server.",
        secret=True,
    )
    secret_key: tuple[str, ...] = setting(
        (),
        rules.STORE_KEYS,
        "Seals the secrets of applications in the store: the first seals, all open."
        " `herenow apps key` makes one. Keep it outside the database and its backups.",
        secret=True,
    )
    outbox: str = setting(
        "herenow.db",
        rules.FILE,
        "The SQLite file in which webhooks wait, where the store is a database on a server and"
        " the engine is this process's own memory. One server alone may use it.",
    )
    poll_seconds: float = setting(
        0.5,
        rules.seconds(zero=False),
        "How often a server looks for applications that were changed in the store.",
    )


@dataclass(frozen=True, slots=True)
class WebhooksConfig:
    """How webhooks are sent."""

    timeout_seconds: float = setting(
        8, rules.seconds(zero=False), "How long a receiver may take to answer."
    )
    hold_seconds: float = setting(
        3,
        rules.seconds(zero=True),
        "How long channel_vacated and member_removed wait for a return.",
    )
    retry_seconds: float = setting(
        300, rules.seconds(zero=True), "How long an event is tried again."
    )
    keep_seconds: float = setting(
        86_400, rules.seconds(zero=True), "How long an undeliverable event is kept."
    )
    max_backlog: int = setting(1_000_000, rules.LIMIT, "Events that may wait.")
    deny_networks: tuple[Network, ...] = setting(
        (), rules.NETWORKS, "Networks that a webhook may never reach."
    )


@dataclass(frozen=True, slots=True)
class UsersConfig:
    """What is remembered of users who went."""

    keep_seconds: float = setting(
        30 * 86_400,
        rules.seconds(zero=True),
        "How long it is remembered when a user was last seen; 0 remembers nobody. The same on every"
        " node.",
    )


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. ``default_app``: no application was configured and none can be made
    at run time, so the built-in one, whose secret everybody knows, is served; it must not leave
    this machine.
    """

    server: ServerConfig
    admin: AdminConfig
    cluster: ClusterConfig
    store: StoreConfig
    webhooks: WebhooksConfig
    users: UsersConfig
    apps: tuple[App, ...]
    default_app: bool
    limits: Limits


DEFAULT_APP: Final = App(id="1", keys=(Key("herenow-key", "herenow-secret"),), client_events=True)

SECTIONS: Final[Mapping[str, type]] = {
    "server": ServerConfig,
    "admin": AdminConfig,
    "cluster": ClusterConfig,
    "store": StoreConfig,
    "webhooks": WebhooksConfig,
    "users": UsersConfig,
}


def settings_of(section: type) -> dict[str, Setting]:
    """The settings of one section by name."""
    return {part.name: part.metadata["setting"] for part in fields(section)}


def _described(owner: type, described: dict[str, tuple[Rule[Any], str]]) -> dict[str, Setting]:
    """Settings whose defaults stand in the class *owner*."""
    defaults = {part.name: part.default for part in fields(owner)}
    return {
        name: Setting(rule, doc, defaults.get(name, MISSING))
        for name, (rule, doc) in described.items()
    }


LIMITS: Final = _described(
    Limits,
    {
        "max_connections": (rules.LIMIT, "Connections of an application."),
        "max_channel_name_length": (rules.LIMIT, "Characters of a channel's name."),
        "max_event_name_length": (rules.LIMIT, "Characters of an event's name."),
        "max_event_bytes": (rules.LIMIT, "Bytes of an event's data."),
        "max_event_channels": (rules.LIMIT, "Channels of one published event."),
        "max_batch_events": (rules.LIMIT, "Events of one batch."),
        "max_request_bytes": (rules.LIMIT, "Bytes of one request to the HTTP API."),
        "max_channels_per_connection": (rules.LIMIT, "Channels of one connection."),
        "messages_per_second": (
            rules.LIMIT,
            "Messages of one connection, in bursts of up to 1,200; pings do not count.",
        ),
        "max_presence_members": (rules.LIMIT, "Members of one presence channel."),
        "max_presence_member_bytes": (rules.LIMIT, "Bytes of what is told about one member."),
        "max_watchlist": (rules.LIMIT, "Users that one user may watch."),
        "client_events_per_second": (rules.LIMIT, "Client events of one connection."),
        "events_per_second": (rules.LIMIT, "Events that an application publishes over HTTP."),
    },
)

KEY: Final = {
    "key": Setting(rules.IDENTIFIER, "A key of the application; clients know it."),
    "secret": Setting(rules.secret(optional=False), "Its secret.", secret=True),
}

APP: Final = _described(
    App,
    {
        "id": (rules.IDENTIFIER, "Names the application in the paths of the HTTP API."),
        "enabled": (rules.BOOLEAN, "Whether the application is served."),
        "tls_only": (rules.BOOLEAN, "Whether connections without TLS are refused."),
        "client_events": (rules.BOOLEAN, "Whether clients may send events to each other."),
        "subscription_count": (rules.BOOLEAN, "Whether clients are told how many subscribe."),
        "watchlist_events": (rules.BOOLEAN, "Whether users are told who of theirs is online."),
        "authorized_connections": (
            rules.BOOLEAN,
            "Whether a connection must sign in or join a private channel soon.",
        ),
        "authorization_timeout_seconds": (rules.seconds(zero=False), "How soon that must be."),
        "cache_ttl_seconds": (
            rules.seconds(zero=False),
            "How long a cache channel keeps its last event.",
        ),
        "leave_grace_seconds": (
            rules.seconds(zero=True),
            "How long a member whose last connection was lost stays one; 0: exactly as Pusher.",
        ),
        "batch_webhooks": (rules.BOOLEAN, "Whether one webhook may carry several events."),
        "allowed_origins": (
            rules.texts(
                rules.matching(r"[\x21-\x7e]+", "an origin"),
                'a list of origins such as "https://example.com", host names, or "*"',
            ),
            "Origins whose pages may connect.",
        ),
    },
)

WEBHOOK: Final = {
    "url": Setting(rules.WEBHOOK_URL, "Where events are sent."),
    "events": Setting(
        rules.choices(
            (
                "channel_occupied",
                "channel_vacated",
                "member_added",
                "member_removed",
                "client_event",
                "cache_miss",
                "subscription_count",
                "user_online",
                "user_offline",
            )
        ),
        "Which events are sent.",
    ),
    "headers": Setting(rules.TABLE, "Headers added to each request.", {}),
    "channel_name_starts_with": Setting(
        rules.ANY_TEXT, "Only events of channels whose names start so.", ""
    ),
    "channel_name_ends_with": Setting(
        rules.ANY_TEXT, "Only events of channels whose names end so.", ""
    ),
    "user_info": Setting(
        rules.BOOLEAN, "Whether events about members carry their user_info, as a string.", False
    ),
}
