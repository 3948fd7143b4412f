"""The store that a command works on, and the configuration that names it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import click

from herenow.cli.terminal import fail, refuse, refuse_configuration
from herenow.config import Config, ConfigError, StoreConfig, load_config
from herenow.config.settings import settings_of

if TYPE_CHECKING:
    from herenow.apps.base import App
    from herenow.apps.store import AppStore

Command = TypeVar("Command", bound=Callable[..., Any])
Result = TypeVar("Result")

_OF_APPS: Final = ("HERENOW_APPS__", "PUSHER_APP_")
_SQLITE: Final = "sqlite:"


def places(command: Command) -> Command:
    """The options that say where the configuration and the store are."""
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


class Opened:
    """A store, and the configuration with the applications that are not in it."""

    def __init__(self, context: click.Context, config_file: Path | None, store: str | None) -> None:
        self._context = context
        self._config_file = config_file
        self._given_store = store
        try:
            self.config: Config = load_config(config_file, os.environ, {"store.url": store})
        except ConfigError as error:
            refuse_configuration(context, error.problems)
        from herenow.apps.store import UnknownApp
        from herenow.store.database import StoreError

        self._unknown = UnknownApp
        self._error = StoreError
        self.store: AppStore = self.run(lambda: open_store(self.config))
        context.call_on_close(self.store.close)

    @property
    def static_ids(self) -> frozenset[str]:
        return frozenset(app.id for app in self.config.apps)

    @property
    def static_keys(self) -> frozenset[str]:
        return frozenset(pair.key for app in self.config.apps for pair in app.keys)

    def static(self, app_id: str) -> App | None:
        """The application of the configuration with this id."""
        return next((app for app in self.config.apps if app.id == app_id), None)

    @property
    def place(self) -> str:
        """Where the store is, without user, password and parameters."""
        return shown_store(self.config.store.url)

    @property
    def source(self) -> str:
        """Where applications that are not in the store come from."""
        if self._config_file is None:
            return "the environment"
        also = any(name.startswith(_OF_APPS) for name in os.environ)
        return f"the configuration file {self._config_file}{' or the environment' if also else ''}"

    def command(self, words: str) -> str:
        """``herenow apps`` with *words*, for the same configuration and store."""
        options = {"--config": self._config_file, "--store": self._shown_option}
        given = [f" {name} {shlex.quote(str(it))}" for name, it in options.items() if it]
        return f"herenow apps {words}{''.join(given)}"

    @property
    def _shown_option(self) -> str:
        return shown_store(self._given_store) if self._given_store else ""

    def run(self, action: Callable[[], Result]) -> Result:
        """The answer of *action*; if the store refuses it, the command ends with 1."""
        try:
            return action()
        except self._unknown as error:
            fail(self._context, self._nowhere(error.app_id))
        except self._error as error:
            fail(self._context, str(error))
        except ConfigError as error:
            refuse(self._context, "the settings cannot be used", error.problems)

    def _nowhere(self, app_id: str) -> str:
        place = self.place + ("" if self.store.exists else ", which does not exist yet")
        if self.static(app_id) is None:
            hint = "" if self._config_file else ": is it in a file that --config names?"
            return (
                f"there is no application {app_id} in the store ({place})"
                f" and none in {self.source}{hint}"
            )
        if self.config.default_app:
            return (
                f"application {app_id} is built in and cannot be changed: "
                f"make one of your own with {self.command('create')}"
            )
        return (
            f"there is no application {app_id} in the store ({place}): it comes from"
            f" {self.source}, and is changed there"
        )


def open_store(config: Config) -> AppStore:
    """The applications where *config* says they are."""
    from herenow.apps.store import AppStore
    from herenow.store.opening import open_database
    from herenow.store.sealing import Sealer

    return AppStore(open_database(config.store.url), Sealer(config.store.secret_key))


def shown_store(url: str) -> str:
    """*url* without what is secret in it."""
    if url.startswith(_SQLITE):
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
