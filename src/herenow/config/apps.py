"""One application's table by itself: read by the rules of ``[[apps]]``, wherever it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any, Final

from herenow.apps.base import App, Limits, WebhookEndpoint
from herenow.config.problems import ConfigError
from herenow.config.reading import Reader
from herenow.config.rules import TABLE
from herenow.config.settings import APP
from herenow.config.sources import Given, lay

PATH: Final = "app"
MADE_BY_US: Final = ("id", "key", "secret", "keys")
_PLACEHOLDER: Final = {"id": "0", "key": "0", "secret": "0"}
_NO_ENVIRONMENT: Final[Mapping[str, str]] = {}


def read_app(table: Mapping[str, Any], limits: Limits) -> App:
    """The application of a whole table, with *limits* where it has none of its own.

    Raises :class:`ConfigError`.
    """
    problems: list[str] = []
    app = Reader(_NO_ENVIRONMENT, problems).app(table, PATH, limits)
    if problems or app is None:
        raise ConfigError(problems or [f"{PATH}: expected an id and a key"])
    return app


def check_settings(table: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings of *table*, which has no id and no keys, as plain values that are within the
    rules; what it takes from files and *environ* is read. Raises :class:`ConfigError`.
    """
    problems = [
        f"{PATH}.{name}: expected other settings, this one is made by herenow apps"
        for name in MADE_BY_US
        if name in table
    ]
    own = {name: value for name, value in table.items() if name not in MADE_BY_US}
    app = Reader(environ, problems).app({**own, **_PLACEHOLDER}, PATH, Limits())
    if problems or app is None:
        raise ConfigError(problems)
    settings: dict[str, Any] = {
        name: _plain(getattr(app, name)) for name in own if name in APP and name != "id"
    }
    if "limits" in own:
        given = own["limits"]
        named: Any = TABLE.parse(given.text) if isinstance(given, Given) else given
        settings["limits"] = {
            name: value for name, value in asdict(app.limits).items() if name in named
        }
    if "webhooks" in own:
        settings["webhooks"] = [_webhook(webhook) for webhook in app.webhooks]
    return settings


def differing_settings(app: App) -> dict[str, Any]:
    """The settings of *app* that are not as by default, as plain values."""
    settings = {name: _plain(value) for name, value in _differing(app) if name not in MADE_BY_US}
    if "limits" in settings:
        settings["limits"] = dict(_differing(app.limits))
    if "webhooks" in settings:
        settings["webhooks"] = [_webhook(webhook) for webhook in app.webhooks]
    return settings


def lay_settings(
    table: dict[str, Any], given: Iterable[str], problems: list[str], source: str = "command line"
) -> None:
    """Lay each ``NAME=VALUE`` over *table*; the name is a key, or several with dots between."""
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            problems.append(f"{source}: expected NAME=VALUE, got {_shown(name)}")
        elif not lay(table, name.split("."), Given(value, source)):
            problems.append(f"{PATH}.{name}: expected numbers that follow on what is set, from 0")


def _shown(name: str) -> str:
    return f'"{name[:80]}"' if name else "an empty name"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _webhook(webhook: WebhookEndpoint) -> dict[str, Any]:
    """The table of *webhook*, without what is as by default."""
    return {
        name: dict(value) if name == "headers" else _plain(value)
        for name, value in _differing(webhook)
    }


def _differing(thing: App | Limits | WebhookEndpoint) -> Iterator[tuple[str, Any]]:
    """Name and value of each field that is not as by default, or has no default."""
    for part in fields(thing):
        value = getattr(thing, part.name)
        if part.default is MISSING or value != part.default:
            yield part.name, value
