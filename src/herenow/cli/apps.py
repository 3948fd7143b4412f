"""``herenow apps``: applications that are made and changed while servers run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click

from herenow.config import Config, ConfigError, StoreConfig, load_config
from herenow.config.apps import check_settings, lay_settings
from herenow.config.settings import settings_of
from herenow.config.sources import read_file
from herenow.log import clean

if TYPE_CHECKING:
    from herenow.apps.records import Record, Row
    from herenow.apps.store import AppStore

Command = TypeVar("Command", bound=Callable[..., Any])
Result = TypeVar("Result")
Settings = Mapping[str, Any]

_FAILED: Final = 1
_WRONG_USAGE: Final = 2
_SHOWN: Final = 1_000
_SHOWN_APPS: Final = 10_000
_LARGEST_ID: Final = 10**15


@click.group()
def apps() -> None:
    """Make, change and remove applications; running servers follow within two seconds."""


class Opened:
    """The store that a command works on, and the configuration that names it."""

    def __init__(self, context: click.Context, config_file: Path | None, store: str | None) -> None:
        self._context = context
        try:
            self.config: Config = load_config(config_file, os.environ, {"store.url": store})
        except ConfigError as error:
            self.refuse("the configuration cannot be used", error.problems)
        from herenow.apps.store import AppStore
        from herenow.store.database import StoreError
        from herenow.store.opening import open_database
        from herenow.store.sealing import Sealer

        self._error = StoreError
        sealer = Sealer(self.config.store.secret_key)
        self.store: AppStore = self.run(
            lambda: AppStore(open_database(self.config.store.url), sealer)
        )
        context.call_on_close(self.store.close)

    @property
    def static_ids(self) -> frozenset[str]:
        return frozenset(app.id for app in self.config.apps)

    @property
    def static_keys(self) -> frozenset[str]:
        return frozenset(pair.key for app in self.config.apps for pair in app.keys)

    def run(self, action: Callable[[], Result]) -> Result:
        """The answer of *action*; if the store refuses it, the command ends with 1."""
        try:
            return action()
        except self._error as error:
            click.echo(f"herenow: {clean(str(error), _SHOWN)}", err=True)
            self._context.exit(_FAILED)
        except ConfigError as error:
            self.refuse("the settings cannot be used", error.problems)

    def refuse(self, what: str, problems: Iterable[str]) -> NoReturn:
        click.echo(f"herenow: {what}", err=True)
        for problem in problems:
            click.echo(f"  {clean(problem, _SHOWN)}", err=True)
        self._context.exit(_WRONG_USAGE)


def _places(command: Command) -> Command:
    store_help = settings_of(StoreConfig)["url"].doc
    for option in (
        click.option("--store", metavar="URL", help=f"{store_help} Default: from the settings"),
        click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="TOML file with settings: that of the servers.",
        ),
    ):
        command = option(command)
    return command


_settings_file = click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file with what an [[apps]] table has, but id and keys.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")


def _check_id(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    if value is None:
        return ""
    if not (value.isascii() and value.isdecimal()) or not 0 < int(value[:20]) < _LARGEST_ID:
        raise click.BadParameter(f"expected a number from 1 to {_LARGEST_ID - 1}")
    return str(int(value))


_app = click.argument("app_id", metavar="ID", callback=_check_id)


@apps.command()
def key() -> None:
    """Print a new key for store.secret_key. It is kept nowhere: that is up to you."""
    from herenow.store.sealing import new_key

    click.echo(new_key())


@apps.command()
@click.option("--id", "app_id", metavar="N", callback=_check_id, help="Default: a random number.")
@click.option(
    "--set", "given", metavar="NAME=VALUE", multiple=True, help="A setting; may be repeated."
)
@_settings_file
@_json
@_places
@click.pass_context
def create(
    context: click.Context,
    app_id: str,
    given: tuple[str, ...],
    settings_file: Path | None,
    as_json: bool,
    config_file: Path | None,
    store: str | None,
) -> None:
    """Make an application, and show its secret this once."""
    opened = Opened(context, config_file, store)
    record = opened.run(
        lambda: opened.store.create(
            _laid({}, given, settings_file),
            app_id,
            other_ids=opened.static_ids,
            other_keys=opened.static_keys,
        )
    )
    _show_once(record, "made", as_json)


@apps.command("list")
@_json
@_places
@click.pass_context
def list_apps(
    context: click.Context, as_json: bool, config_file: Path | None, store: str | None
) -> None:
    """List the applications of the store."""
    opened = Opened(context, config_file, store)
    rows = opened.run(opened.store.rows)
    if as_json:
        listed = [
            {"id": row.id, "enabled": _is_enabled(row), "keys": [key for key, _ in row.keys]}
            for row in rows
        ]
        _print_json({"apps": listed})
        return
    for row in rows[:_SHOWN_APPS]:
        state = "enabled " if _is_enabled(row) else "disabled"
        keys = " ".join(key for key, _ in row.keys)
        also = (
            "  (not served: the configuration has this id)" if row.id in opened.static_ids else ""
        )
        click.echo(clean(f"{row.id:>15}  {state}  {keys}{also}", _SHOWN))
    if len(rows) > _SHOWN_APPS:
        click.echo(f"{len(rows) - _SHOWN_APPS} more: see --json")


@apps.command()
@_app
@_json
@_places
@click.pass_context
def show(
    context: click.Context,
    app_id: str,
    as_json: bool,
    config_file: Path | None,
    store: str | None,
) -> None:
    """Show the settings of application ID; secrets and the values of headers are not shown."""
    opened = Opened(context, config_file, store)
    row = opened.run(lambda: opened.store.row(app_id))
    settings: dict[str, Any] = dict(row.settings)
    if row.webhooks:
        settings["webhooks"] = _shown_webhooks(opened.store, row)
    keys = [key for key, _ in row.keys]
    if as_json:
        _print_json({"id": row.id, "keys": keys, "settings": settings})
        return
    click.echo(f"application {row.id}, {'enabled' if _is_enabled(row) else 'disabled'}")
    for name, value in sorted(settings.items()):
        click.echo(f"  {clean(name)} = {clean(json.dumps(value), _SHOWN)}")
    for key in keys:
        click.echo("")
        _show_snippet(row.id, key, "YOUR_SECRET")


@apps.command()
@_app
@click.option("--finish", is_flag=True, help="Withdraw the older key pair instead.")
@click.option("--yes", is_flag=True, help="Do not ask whether pairs that cannot be opened may go.")
@_json
@_places
@click.pass_context
def rotate(
    context: click.Context,
    app_id: str,
    finish: bool,
    yes: bool,
    as_json: bool,
    config_file: Path | None,
    store: str | None,
) -> None:
    """Give application ID a new key pair, and show its secret this once.

    The pair that it has stays valid until rotate --finish, or the next rotate. Connections that
    were opened with a key that is withdrawn are closed.
    """
    from herenow.apps.store import Sealed

    opened = Opened(context, config_file, store)
    if finish:
        record = opened.run(lambda: opened.store.finish_rotation(app_id))
        withdrawn = {"id": app_id, "keys": [pair.key for pair in record.keys]}
        if as_json:
            _print_json(withdrawn)
        else:
            click.echo(f"application {app_id} has only the key {record.keys[0].key} now")
        return

    def make(despite_lost_key: bool) -> tuple[Record, bool]:
        return opened.store.rotate(
            app_id, other_keys=opened.static_keys, despite_lost_key=despite_lost_key
        )

    def make_or_ask() -> tuple[Record, bool]:
        try:
            return make(yes)
        except Sealed as error:
            click.echo(f"herenow: {clean(str(error), _SHOWN)}", err=True)
            _confirm(context, f"Withdraw what cannot be opened of application {app_id}?")
            return make(True)

    record, lost_webhooks = opened.run(make_or_ask)
    _show_once(record, "rotated", as_json)
    if lost_webhooks:
        click.echo(
            f"herenow: the webhooks of application {app_id} could not be opened and are gone:"
            f" give them again with herenow apps set {app_id}",
            err=True,
        )


@apps.command("set")
@_app
@click.argument("given", metavar="NAME=VALUE", nargs=-1)
@_settings_file
@_places
@click.pass_context
def set_settings(
    context: click.Context,
    app_id: str,
    given: tuple[str, ...],
    settings_file: Path | None,
    config_file: Path | None,
    store: str | None,
) -> None:
    """Change settings of application ID: NAME as in an [[apps]] table, limits.NAME for a limit."""
    opened = Opened(context, config_file, store)
    if not given and settings_file is None:
        raise click.UsageError("expected NAME=VALUE or --settings FILE", context)
    opened.run(
        lambda: opened.store.change(app_id, lambda known: _laid(known, given, settings_file))
    )
    click.echo(f"application {app_id} changed")


@apps.command()
@_app
@_places
@click.pass_context
def enable(
    context: click.Context, app_id: str, config_file: Path | None, store: str | None
) -> None:
    """Serve application ID again."""
    opened = Opened(context, config_file, store)
    opened.run(lambda: opened.store.enable(app_id, True))
    click.echo(f"application {app_id} is enabled")


@apps.command()
@_app
@_places
@click.pass_context
def disable(
    context: click.Context, app_id: str, config_file: Path | None, store: str | None
) -> None:
    """Serve application ID no more, and close its connections."""
    opened = Opened(context, config_file, store)
    opened.run(lambda: opened.store.enable(app_id, False))
    click.echo(f"application {app_id} is disabled")


@apps.command()
@_app
@click.option("--yes", is_flag=True, help="Do not ask.")
@_places
@click.pass_context
def delete(
    context: click.Context, app_id: str, yes: bool, config_file: Path | None, store: str | None
) -> None:
    """Remove application ID for good; its id is never used again."""
    opened = Opened(context, config_file, store)
    opened.run(lambda: opened.store.row(app_id))
    if not yes:
        _confirm(context, f"Delete application {app_id} and close its connections?")
    opened.run(lambda: opened.store.delete(app_id))
    click.echo(f"application {app_id} is deleted")


@apps.command()
@_places
@click.pass_context
def reseal(context: click.Context, config_file: Path | None, store: str | None) -> None:
    """Seal all applications with the first of store.secret_key, so that the others can go."""
    opened = Opened(context, config_file, store)
    resealed, unopened = opened.run(opened.store.reseal)
    click.echo(f"{resealed} applications are sealed with the first key")
    if unopened:
        click.echo(
            f"herenow: no key opens {len(unopened)}: {clean(', '.join(unopened), _SHOWN)};"
            " make new secrets with herenow apps rotate",
            err=True,
        )
        context.exit(_FAILED)


def _laid(known: Settings, given: tuple[str, ...], settings_file: Path | None) -> dict[str, Any]:
    """*known* settings with those of the file and the command line over them, all checked."""
    problems: list[str] = []
    table = json.loads(json.dumps(dict(known)))
    if settings_file is not None:
        table.update(read_file(settings_file, problems))
    lay_settings(table, given, problems)
    if problems:
        raise ConfigError(problems)
    return check_settings(table, os.environ)


def _confirm(context: click.Context, question: str) -> None:
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        click.echo("\nherenow: nobody answers: say --yes", err=True)
        context.exit(_WRONG_USAGE)
    if not agreed:
        context.exit(_FAILED)


def _is_enabled(row: Row) -> bool:
    return row.settings.get("enabled") is not False


def _shown_webhooks(store: AppStore, row: Row) -> object:
    from herenow.apps.store import Sealed

    try:
        return [_shown_webhook(one) for one in store.open(row).settings["webhooks"]]
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


def _show_once(record: Record, what: str, as_json: bool) -> None:
    pair = record.keys[-1]
    if as_json:
        keys = [pair.key for pair in record.keys]
        _print_json({"id": record.id, "key": pair.key, "secret": pair.secret, "keys": keys})
        return
    click.echo(f"application {record.id} {what}; the secret is shown this once")
    click.echo("")
    _show_snippet(record.id, pair.key, pair.secret)
    for older in record.keys[:-1]:
        click.echo("")
        click.echo(f"Key {older.key} stays valid until: herenow apps rotate {record.id} --finish")


def _show_snippet(app_id: str, key: str, secret: str) -> None:
    click.echo("In the backend:")
    click.echo(f"  PUSHER_APP_ID={clean(app_id)}")
    click.echo(f"  PUSHER_APP_KEY={clean(key)}")
    click.echo(f"  PUSHER_APP_SECRET={secret}")
    click.echo("In the page:")
    click.echo(f'  new Pusher("{clean(key)}", …)')


def _print_json(value: Mapping[str, Any]) -> None:
    # All but ASCII is escaped, so nothing in it is obeyed by a terminal.
    click.echo(json.dumps(value, indent=2))
