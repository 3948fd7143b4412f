"""``herenow apps``: applications that are made and changed while servers run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from herenow.cli.app_pages import (
    UNREADABLE,
    complain_of,
    lines_of,
    print_lines,
    show_once,
    show_static,
    show_stored,
)
from herenow.cli.app_stores import Opened, places
from herenow.cli.terminal import FAILED, complain, confirm, counted, print_json
from herenow.config import ConfigError
from herenow.config.apps import check_settings, lay_settings
from herenow.config.sources import read_file

if TYPE_CHECKING:
    from herenow.apps.store import Rotated

Settings = Mapping[str, Any]

_LARGEST_ID: Final = 10**15


@click.group()
def apps() -> None:
    """Make, change and remove applications; running servers follow within two seconds."""


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
@places
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
    show_once(opened, record, "made", as_json=as_json)


@apps.command("list")
@_json
@places
@click.pass_context
def list_apps(
    context: click.Context, as_json: bool, config_file: Path | None, store: str | None
) -> None:
    """List all applications: those of the store, and those of the configuration."""
    opened = Opened(context, config_file, store)
    lines = lines_of(opened)
    if as_json:
        print_json({"apps": [line.as_json() for line in lines]})
        complain_of(opened, lines)
    else:
        print_lines(opened, lines)
    context.exit(FAILED if any(line.state == UNREADABLE for line in lines) else 0)


@apps.command()
@_app
@_json
@places
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
    static = opened.static(app_id)
    if static is not None:
        show_static(opened, static, as_json=as_json)
    else:
        show_stored(opened, opened.run(lambda: opened.store.row(app_id)), as_json=as_json)


@apps.command()
@_app
@click.option("--finish", is_flag=True, help="Withdraw the older key pair instead.")
@click.option("--yes", is_flag=True, help="Do not ask whether pairs that cannot be opened may go.")
@_json
@places
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
            print_json(withdrawn)
        else:
            click.echo(f"application {app_id} has only the key {record.keys[0].key} now")
        return

    def make(despite_lost_key: bool) -> Rotated:
        return opened.store.rotate(
            app_id, other_keys=opened.static_keys, despite_lost_key=despite_lost_key
        )

    def make_or_ask() -> Rotated:
        try:
            return make(yes)
        except Sealed as error:
            complain(str(error))
            confirm(context, f"Withdraw what cannot be opened of application {app_id}?")
            return make(True)

    rotated = opened.run(make_or_ask)
    show_once(opened, rotated.record, "rotated", as_json=as_json)
    for key in rotated.withdrawn:
        complain(f"key {key} is withdrawn: what came with it is closed, and it signs no more")
    if rotated.lost_webhooks:
        complain(
            f"the webhooks of application {app_id} could not be opened and are gone:"
            f" give them again with {opened.command(f'set {app_id} --settings FILE')}"
        )


@apps.command("set")
@_app
@click.argument("given", metavar="NAME=VALUE", nargs=-1)
@_settings_file
@places
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
@places
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
@places
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
@places
@click.pass_context
def delete(
    context: click.Context, app_id: str, yes: bool, config_file: Path | None, store: str | None
) -> None:
    """Remove application ID for good; its id is never used again."""
    opened = Opened(context, config_file, store)
    opened.run(lambda: opened.store.must_have(app_id))
    if not yes:
        confirm(context, f"Delete application {app_id} and close its connections?")
    opened.run(lambda: opened.store.delete(app_id))
    click.echo(f"application {app_id} is deleted")


@apps.command()
@places
@click.pass_context
def reseal(context: click.Context, config_file: Path | None, store: str | None) -> None:
    """Seal all applications with the first of store.secret_key, so that the others can go."""
    opened = Opened(context, config_file, store)
    resealed, unopened = opened.run(opened.store.reseal)
    if resealed or not unopened:
        sealed = counted(resealed, "application is", "applications are")
        click.echo(f"{sealed} sealed with the first key")
    if unopened:
        secrets = counted(len(unopened), "application", "applications")
        complain(
            f"no key opens the secrets of {secrets}: {', '.join(unopened)};"
            f" make new ones with {opened.command('rotate ID')}"
        )
        context.exit(FAILED)


def _laid(known: Settings, given: tuple[str, ...], settings_file: Path | None) -> dict[str, Any]:
    """*known* settings with those of the file and the command line over them, all checked."""
    problems: list[str] = []
    table = json.loads(json.dumps(dict(known)))
    if settings_file is not None:
        table.update(read_file(settings_file, problems))
    lay_settings(table, given, problems)
    if problems:
        raise ConfigError(problems)
    if "apps" in table:
        raise ConfigError(
            [
                f"{settings_file}: expected the settings of one application, without [[apps]] and"
                " apps. before their names: [[webhooks]] for [[apps.webhooks]]"
            ]
        )
    return check_settings(table, os.environ)
