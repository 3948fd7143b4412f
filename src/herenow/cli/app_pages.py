"""What ``herenow apps`` shows of applications: never a secret, but by whoever makes one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from herenow.cli.app_stores import Opened
from herenow.cli.terminal import SHOWN, complain, counted, print_json, print_line
from herenow.config.apps import differing_settings
from herenow.log import clean

if TYPE_CHECKING:
    from herenow.apps.base import App
    from herenow.apps.records import Record, Row

ENABLED: Final = "enabled"
DISABLED: Final = "disabled"
SEALED: Final = "sealed"
UNREADABLE: Final = "unreadable"
OVERRIDDEN: Final = "overridden"
STORE: Final = "store"
CONFIGURATION: Final = "configuration"
BUILT_IN: Final = "built in"

_SHOWN_APPS: Final = 10_000
_SHOWN_IDS: Final = 20
_HEADINGS: Final = ("ID", "STATE", "FROM", "KEYS, OLDEST FIRST")


class Line(NamedTuple):
    """One application in the list. ``state`` says whether it is served, and if not, why."""

    id: str
    state: str
    source: str
    keys: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "state": self.state, "source": self.source, "keys": self.keys}


def lines_of(opened: Opened) -> list[Line]:
    """All applications, those of the configuration first."""
    listing = opened.run(opened.store.listing)
    stored = [
        *(Line(row.id, _state_of(opened, row), STORE, _keys(row)) for row in listing.rows),
        *(Line(app_id, UNREADABLE, STORE, ()) for app_id in listing.unreadable),
    ]
    return [
        *(_static_line(opened, app) for app in opened.config.apps),
        *sorted(stored, key=lambda line: (len(line.id), line.id)),
    ]


def _state_of(opened: Opened, row: Row) -> str:
    """Whether servers with the same configuration serve an application of the store."""
    if row.id in opened.static_ids:
        return OVERRIDDEN
    if not opened.store.opens(row):
        return SEALED
    return DISABLED if row.settings.get("enabled") is False else ENABLED


def print_lines(opened: Opened, lines: Sequence[Line]) -> None:
    """A table, and what there is to do about some of its lines."""
    shown = lines[:_SHOWN_APPS]
    if shown:
        table = [_HEADINGS, *((*line[:3], " ".join(line.keys) or "-") for line in shown)]
        widths = [max(len(row[column]) for row in table) for column in range(3)]
        for app_id, state, source, keys in table:
            columns = (app_id.rjust(widths[0]), state.ljust(widths[1]), source.ljust(widths[2]))
            print_line("  ".join((*columns, keys)))
    if len(lines) > _SHOWN_APPS:
        click.echo(f"{len(lines) - _SHOWN_APPS} more: see --json")
    complain_of(opened, lines)


def complain_of(opened: Opened, lines: Sequence[Line]) -> None:
    """Say what there is to do about applications that are not served, or that there are none."""
    if not any(line.source == STORE for line in lines):
        create = opened.command("create")
        complain(f"there is no application in the store ({opened.place}) yet: {create} makes one")
    ids = {
        state: [line.id for line in lines if line.state == state]
        for state in (SEALED, OVERRIDDEN, UNREADABLE)
    }
    if sealed := ids[SEALED]:
        complain(_sealed(opened, sealed))
    if overridden := ids[OVERRIDDEN]:
        complain(
            f"not served from the store, since the configuration has the same id:"
            f" {_listed(overridden)}"
        )
    if unreadable := ids[UNREADABLE]:
        complain(
            f"{counted(len(unreadable), 'application', 'applications')} of the store cannot be read"
            f" and {'is' if len(unreadable) == 1 else 'are'} not served: {_listed(unreadable)};"
            f" put a backup back, or remove with {opened.command('delete ID')}"
        )


def _sealed(opened: Opened, ids: Sequence[str]) -> str:
    them = "it" if len(ids) == 1 else "them"
    unserved = f"so servers with this configuration do not serve {them}"
    if not opened.config.store.secret_key:
        return (
            f"there is no store.secret_key to open the secrets of {_listed(ids)}, {unserved}:"
            f" give the key that sealed {them}"
        )
    rotate = opened.command(f"rotate {ids[0] if len(ids) == 1 else 'ID'}")
    return (
        f"none of store.secret_key opens the secrets of {_listed(ids)}, {unserved}:"
        f" give the key that sealed {them}, or make new secrets with {rotate}"
    )


def show_stored(opened: Opened, row: Row, *, as_json: bool) -> None:
    """What the store has of an application; sealed webhooks as far as they can be opened."""
    settings: dict[str, Any] = dict(row.settings)
    if row.webhooks:
        settings["webhooks"] = _shown_webhooks(opened, row)
    line = Line(row.id, _state_of(opened, row), STORE, _keys(row))
    if as_json:
        print_json({**line.as_json(), "settings": settings})
    else:
        state = _in_words(opened, line)
        print_line(f"application {row.id}, {state}, from the store ({opened.place})")
        finish = opened.command(f"rotate {row.id} --finish")
        _print_page(line, settings, f"older, until {finish}")
    complain_of(opened, [line])


def show_static(opened: Opened, app: App, *, as_json: bool) -> None:
    """An application that is not in the store, with the settings that differ from the defaults."""
    settings = differing_settings(app)
    if app.webhooks:
        settings["webhooks"] = [_shown_webhook(one) for one in settings["webhooks"]]
    line = _static_line(opened, app)
    if as_json:
        print_json({**line.as_json(), "settings": settings})
        return
    if line.source == BUILT_IN:
        print_line(f"application {app.id}, {line.state}, built in, until another is configured")
    else:
        print_line(f"application {app.id}, {line.state}, from {opened.source}: change it there")
    _print_page(line, settings, "older")


def show_once(opened: Opened, record: Record, what: str, *, as_json: bool) -> None:
    """An application with the secret that was just made."""
    pair = record.keys[-1]
    if as_json:
        keys = [pair.key for pair in record.keys]
        print_json({"id": record.id, "key": pair.key, "secret": pair.secret, "keys": keys})
        return
    click.echo(f"application {record.id} {what}; the secret is shown this once")
    click.echo("")
    _print_snippet(record.id, pair.key, pair.secret)
    for older in record.keys[:-1]:
        finish = opened.command(f"rotate {record.id} --finish")
        click.echo("")
        print_line(f"The older key {older.key} stays valid until: {finish}")


def _print_page(line: Line, settings: Mapping[str, Any], of_older: str) -> None:
    for name, value in sorted(settings.items()):
        click.echo(f"  {clean(name)} = {clean(json.dumps(value, ensure_ascii=False), SHOWN)}")
    *older, newest = line.keys or ("",)
    for key in older:
        print_line(f"  key {key} ({of_older})")
    if newest:
        print_line(f"  key {newest}{' (newer)' if older else ''}")
        click.echo("")
        _print_snippet(line.id, newest, "YOUR_SECRET")


def _print_snippet(app_id: str, key: str, secret: str) -> None:
    click.echo("In the backend:")
    click.echo(f"  PUSHER_APP_ID={clean(app_id)}")
    click.echo(f"  PUSHER_APP_KEY={clean(key)}")
    click.echo(f"  PUSHER_APP_SECRET={secret}")
    click.echo("In the page:")
    click.echo(f'  new Pusher("{clean(key)}", …)')


def _in_words(opened: Opened, line: Line) -> str:
    if line.state != SEALED:
        return line.state
    has_key = bool(opened.config.store.secret_key)
    return "sealed with another key" if has_key else "sealed (no key is given)"


def _shown_webhooks(opened: Opened, row: Row) -> object:
    from herenow.apps.store import Sealed

    try:
        return [_shown_webhook(one) for one in opened.store.open(row).settings["webhooks"]]
    except Sealed:
        return "sealed, and store.secret_key does not open it"


def _shown_webhook(webhook: Mapping[str, Any]) -> dict[str, Any]:
    """*webhook* without what may be a secret: the query of its URL, the values of its headers."""
    shown = dict(webhook)
    url, question, _ = str(shown.get("url", "")).partition("?")
    shown["url"] = f"{url}?…" if question else url
    if "headers" in shown:
        shown["headers"] = dict.fromkeys(shown["headers"], "…")
    return shown


def _static_line(opened: Opened, app: App) -> Line:
    state = ENABLED if app.enabled else DISABLED
    source = BUILT_IN if opened.config.default_app else CONFIGURATION
    return Line(app.id, state, source, [pair.key for pair in app.keys])


def _keys(row: Row) -> list[str]:
    return [key for key, _ in row.keys]


def _listed(ids: Sequence[str]) -> str:
    more = len(ids) - _SHOWN_IDS
    return ", ".join(ids[:_SHOWN_IDS]) + (f" and {more} more" if more > 0 else "")
