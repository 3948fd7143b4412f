"""How commands call a running server: where it is, and with whose key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import click

from herenow.cli.app_stores import open_store, shown_store
from herenow.cli.terminal import fail, refuse, refuse_configuration
from herenow.config import Config, ConfigError, ServerConfig, load_config

if TYPE_CHECKING:
    import ssl

    from herenow.apps.base import Key
    from herenow.sdk.channels import Channels

_SHOWN_APPS: Final = 20


class _Place(NamedTuple):
    """Where the HTTP API of a server is."""

    host: str
    port: int
    tls: bool
    path_prefix: str
    tls_context: ssl.SSLContext | None = None


@contextmanager
def calling(
    context: click.Context, config_file: Path | None, app_id: str | None, server: str | None
) -> Iterator[Channels]:
    """A client of a running server, for one application of the configuration or of the store.

    Without *app_id* it is the only one that is configured; without *server* the one that the
    settings describe. What goes wrong ends the command with a sentence that says what to do.
    """
    from herenow.sdk.channels import Channels
    from herenow.sdk.errors import ChannelsError, InvalidArgument, Refused, Unreachable

    try:
        config = load_config(config_file, os.environ)
    except ConfigError as error:
        refuse_configuration(context, error.problems)
    app, pair = _credentials(context, config, app_id)
    place = _named(context, server) if server is not None else _of_settings(context, config.server)
    try:
        with Channels(app, pair.key, pair.secret, **place._asdict()) as channels:
            yield channels
    except InvalidArgument as error:
        refuse(context, str(error))
    except Unreachable as error:
        fail(
            context,
            f"{error}: start the server with herenow serve, or name another with --server URL",
        )
    except Refused as error:
        hint = ": does this server have the same configuration?" if error.status == 401 else ""
        fail(context, f"{error}{hint}")
    except ChannelsError as error:
        fail(context, str(error))


def _credentials(context: click.Context, config: Config, app_id: str | None) -> tuple[str, Key]:
    if app_id is None:
        known = [app.id for app in config.apps] or _stored_ids(context, config)
        if len(known) != 1:
            if not known:
                refuse(context, "there is no application yet: herenow apps create makes one")
            shown = ", ".join(known[:_SHOWN_APPS])
            refuse(context, f"say which application is meant with --app ID: {shown}")
        app_id = known[0]
    for app in config.apps:
        if app.id == app_id:
            return app.id, app.keys[-1]
    return app_id, _stored(context, config, app_id)


def _stored_ids(context: click.Context, config: Config) -> list[str]:
    from herenow.store.database import StoreError

    try:
        listing = open_store(config).listing()
    except StoreError as error:
        fail(context, str(error))
    return [*(row.id for row in listing.rows), *listing.unreadable]


def _stored(context: click.Context, config: Config, app_id: str) -> Key:
    """The newest key pair of an application of the store."""
    from herenow.apps.store import UnknownApp
    from herenow.store.database import StoreError

    try:
        store = open_store(config)
        return store.open(store.row(app_id)).keys[-1]
    except UnknownApp as error:
        place = shown_store(config.store.url)
        fail(context, f"application {app_id} is not configured, and {error} ({place})")
    except StoreError as error:
        fail(context, f"application {app_id} is not configured: {error}")


def _of_settings(context: click.Context, server: ServerConfig) -> _Place:
    if not server.port:
        refuse(context, "server.port is 0, any free one: say where the server is with --server URL")
    tls = bool(server.tls_certificate)
    trust = _trusting(server.tls_certificate) if tls else None
    return _Place(_reachable(server.host), server.port, tls, server.path_prefix, trust)


def _reachable(host: str) -> str:
    """Where a server that listens on *host* is reached from its own machine."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def _trusting(certificate: str) -> ssl.SSLContext:
    """Believe the server that has this very certificate, by whichever name it is called."""
    import ssl

    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _named(context: click.Context, url: str) -> _Place:
    expected = "--server: expected a URL such as https://ws.example.com"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        refuse(context, expected)
    more = parts.username or parts.password or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or more:
        refuse(context, f"{expected}, without key, secret or query")
    tls = parts.scheme == "https"
    return _Place(parts.hostname, port or (443 if tls else 80), tls, parts.path.rstrip("/"))
