"""What the server is told: read from a file, the environment and the command line, and checked."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from herenow.apps.base import App, Limits
from herenow.config.problems import ConfigError
from herenow.config.reading import Reader
from herenow.config.rules import is_loopback, show
from herenow.config.settings import (
    DEFAULT_APP,
    LIMITS,
    SECTIONS,
    AdminConfig,
    ClusterConfig,
    Config,
    ServerConfig,
    StoreConfig,
    UsersConfig,
    WebhooksConfig,
    settings_of,
)
from herenow.config.sources import lay_environment, lay_flags, lay_pusher_app, read_file

__all__ = [
    "AdminConfig",
    "ClusterConfig",
    "Config",
    "ConfigError",
    "ServerConfig",
    "StoreConfig",
    "UsersConfig",
    "WebhooksConfig",
    "is_loopback",
    "is_well_known",
    "load_config",
]

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_DEFINE_AN_APP: Final = (
    "define an application ([[apps]] in the file, or PUSHER_APP_ID, PUSHER_APP_KEY and "
    "PUSHER_APP_SECRET), or set store.secret_key and make one with herenow apps create"
)


def load_config(
    path: Path | None = None,
    environ: Mapping[str, str] = _NOTHING,
    overrides: Mapping[str, object] = _NOTHING,
) -> Config:
    """Read the configuration: *overrides* win over *environ*, that over the file at *path*.

    *overrides* are flags, as ``{"server.port": "6001"}``; ``None`` is one that was not given.
    Raises :class:`ConfigError` with everything that is wrong.
    """
    problems: list[str] = []
    tree = read_file(path, problems) if path else {}
    lay_pusher_app(tree, environ, problems)
    lay_environment(tree, environ, problems)
    lay_flags(tree, overrides)

    reader = Reader(environ, problems)
    reader.top_level(tree)
    given = {
        name: reader.section(tree, name, settings_of(section)) for name, section in SECTIONS.items()
    }
    limits = Limits(**reader.section(tree, "limits", LIMITS))
    apps = reader.apps(tree, limits)
    # With a key that seals, applications come from the store.
    default_app = not tree.get("apps") and not given["store"].get("secret_key")
    config = Config(
        server=ServerConfig(**given["server"]),
        admin=AdminConfig(**given["admin"]),
        cluster=ClusterConfig(**given["cluster"]),
        store=StoreConfig(**given["store"]),
        webhooks=WebhooksConfig(**given["webhooks"]),
        users=UsersConfig(**given["users"]),
        apps=(replace(DEFAULT_APP, limits=limits),) if default_app else apps,
        default_app=default_app,
        limits=limits,
    )
    _check_exposure(config, problems)
    _check_ports(config, problems)
    _check_tls(config.server, problems)
    if problems:
        raise ConfigError(problems)
    return config


def is_well_known(app: App) -> bool:
    """Whether everybody knows a secret of *app*, which is then served on loopback only."""
    return any(pair in DEFAULT_APP.keys for pair in app.keys)


def _check_exposure(config: Config, problems: list[str]) -> None:
    """What everybody knows the secret of, or what has none, must not leave this machine."""
    if not is_loopback(config.server.host) and any(map(is_well_known, config.apps)):
        problems.append(
            "server.host: expected a loopback address while the default application is served, "
            f"got {show(config.server.host)}: {_DEFINE_AN_APP}"
        )
    if not is_loopback(config.admin.host) and not config.admin.password:
        problems.append(
            "admin.host: expected a loopback address while there is no admin.password, "
            f"got {show(config.admin.host)}: set admin.password"
        )


def _check_ports(config: Config, problems: list[str]) -> None:
    server, admin = config.server, config.admin
    if server.port and server.port == admin.port and server.host == admin.host:
        problems.append(
            f"admin.port: expected another port than server.port, got {show(admin.port)}"
        )


def _check_tls(server: ServerConfig, problems: list[str]) -> None:
    certificate, key = server.tls_certificate, server.tls_key
    if not certificate and not key:
        return
    if not certificate or not key:
        missing, given = (
            ("tls_key", "tls_certificate") if certificate else ("tls_certificate", "tls_key")
        )
        problems.append(f"server.{missing}: expected a file, since server.{given} is set, got none")
        return
    unreadable = False
    for name, file in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            Path(file).read_bytes()
        except OSError as error:
            unreadable = True
            problems.append(
                f"server.{name}: expected a file that can be read, got {show(file)}: "
                f"{error.strerror}"
            )
    if unreadable:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        problems.append(
            "server.tls_certificate: expected a certificate whose key, without a passphrase, is in "
            f"server.tls_key, got {show(certificate)} and {show(key)}: {error}"
        )
