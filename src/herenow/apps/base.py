"""An application: its keys, its settings and the limits that hold for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Key:
    """One key pair of an application."""

    key: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an application may use. ``0`` means unlimited, everywhere."""

    max_connections: int = 0
    max_channel_name_length: int = 164
    max_event_name_length: int = 200
    max_event_bytes: int = 10_240
    max_event_channels: int = 100
    max_batch_events: int = 10
    max_request_bytes: int = 1_048_576
    max_channels_per_connection: int = 1_000
    messages_per_second: int = 50
    max_presence_members: int = 1_000
    max_presence_member_bytes: int = 1_024
    max_watchlist: int = 100
    client_events_per_second: int = 10
    events_per_second: int = 0


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """Where an application wants its webhook events, and which of them.

    Headers may hold tokens, so they are not shown.
    """

    url: str
    events: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    channel_name_starts_with: str = ""
    channel_name_ends_with: str = ""
    user_info: bool = False


@dataclass(frozen=True, slots=True)
class App:
    """One application. Keys stand oldest first; every one of them authenticates."""

    id: str
    keys: tuple[Key, ...]
    enabled: bool = True
    tls_only: bool = False
    client_events: bool = False
    subscription_count: bool = False
    watchlist_events: bool = True
    authorized_connections: bool = False
    authorization_timeout_seconds: float = 30
    cache_ttl_seconds: float = 1_800
    leave_grace_seconds: float = 3
    batch_webhooks: bool = False
    allowed_origins: tuple[str, ...] = ("*",)
    limits: Limits = Limits()
    webhooks: tuple[WebhookEndpoint, ...] = ()

    def pair_of(self, key: str) -> Key | None:
        for pair in self.keys:
            if pair.key == key:
                return pair
        return None

    def secret_of(self, key: str) -> str | None:
        """The secret that belongs to *key*, or ``None`` if it is no key of this application."""
        pair = self.pair_of(key)
        return None if pair is None else pair.secret


class Apps(Protocol):
    """Where applications are looked up. Answers come from memory: both are on the hot path."""

    @property
    def complete(self) -> bool:
        """False while there may be applications that are not known yet."""

    def by_key(self, key: str) -> App | None: ...

    def by_id(self, app_id: str) -> App | None: ...

    def all(self) -> tuple[App, ...]: ...
