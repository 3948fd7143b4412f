"""The applications that the tests need, one for each combination of settings."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

Settings = Mapping[str, object]

SHORT_GRACE: Final = 1.0
LONG_GRACE: Final = 60.0
AUTHORIZATION_TIMEOUT: Final = 1.0
SHORT_CACHE_TTL: Final = 1.0
QUOTA: Final = 2
WEBHOOK_EVENTS: Final = (
    "channel_occupied",
    "channel_vacated",
    "member_added",
    "member_removed",
    "client_event",
    "cache_miss",
    "subscription_count",
)


@dataclass(frozen=True, slots=True)
class App:
    """One application's credentials and what its settings are."""

    id: str
    key: str
    secret: str = field(repr=False)
    settings: Settings = field(default_factory=dict)


def _app(number: int, **settings: object) -> App:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    defaults = {"client_events": True, "watchlist_events": False, "leave_grace_seconds": 0}
    return App(str(number), digest[:20], digest[20:60], defaults | settings)


def catalogue(leave_grace: float) -> dict[str, App]:
    """Every application of the default server by the name that tests use.

    ``main``, ``watchlist`` and ``small_rooms`` have *leave_grace* seconds of grace.
    """
    members = {"max_presence_members": 100}
    return {
        "main": _app(1001, leave_grace_seconds=leave_grace),
        "small_rooms": _app(1015, leave_grace_seconds=leave_grace, limits=members),
        "watchlist": _app(1002, leave_grace_seconds=leave_grace, watchlist_events=True),
        "short_grace": _app(
            1003, leave_grace_seconds=SHORT_GRACE, watchlist_events=True, limits=members
        ),
        "long_grace": _app(1014, leave_grace_seconds=LONG_GRACE),
        "other": _app(1004, client_events=False),
        "counted": _app(1005, subscription_count=True),
        "disabled": _app(1006, enabled=False),
        "tls_only": _app(1007, tls_only=True),
        "quota": _app(1008, limits={"max_connections": QUOTA}),
        "authorized": _app(
            1009, authorized_connections=True, authorization_timeout_seconds=AUTHORIZATION_TIMEOUT
        ),
        "short_cache": _app(1010, cache_ttl_seconds=SHORT_CACHE_TTL),
        "idle": _app(1011),
        "left": _app(1012, watchlist_events=True),
        "right": _app(1013, watchlist_events=True),
        "sample": App(
            "4711", "a1b2c3d4e5f60718293a", "0f1e2d3c4b5a69788796", {"subscription_count": True}
        ),
        "docs": App("3", "278d425bdf160c739803", "7ad3773142a6692b25b8"),
        "go": App("102015", "d41a439c438a100756f5", "4bf35003e819bb138249"),
        "bar": App("1021", "thisisakey", "bar"),
        "python": App("1022", "anotherkey", "thisisasecret"),
        "tofu": App("1023", "tofukey", "tofu"),
    }


def hooked(leave_grace: float, url: Callable[[str], str]) -> dict[str, App]:
    """Applications whose webhooks go to the *url* of ``/`` and their name."""

    def app(number: int, name: str, events: Sequence[str], **settings: object) -> App:
        webhook = {"url": url(f"/{name}"), "events": list(events)}
        grace = {"leave_grace_seconds": leave_grace}
        return _app(number, webhooks=[webhook], **grace, **settings)

    return {
        "main": app(1101, "main", WEBHOOK_EVENTS, subscription_count=True),
        "batched": app(1102, "batched", WEBHOOK_EVENTS, batch_webhooks=True),
        "members": app(1103, "members", ["member_added", "member_removed"]),
        "occupancy": app(1104, "occupancy", ["channel_occupied"]),
    }


def read_apps(path: Path) -> dict[str, App]:
    """The applications of a foreign server: a TOML file with a table per name of the catalogue."""
    tables = tomllib.loads(path.read_text())
    return {
        name: App(str(table["id"]), table["key"], table["secret"]) for name, table in tables.items()
    }


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(name)} = {_toml(item)}" for name, item in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value)


def configuration(apps: Mapping[str, App], server: Settings) -> str:
    """The TOML configuration of a server with *apps*."""
    lines = ["[server]", *(f"{name} = {_toml(value)}" for name, value in server.items())]
    for app in apps.values():
        table = {"id": app.id, "key": app.key, "secret": app.secret, **app.settings}
        lines += ["", "[[apps]]", *(f"{name} = {_toml(value)}" for name, value in table.items())]
    return "\n".join([*lines, ""])
