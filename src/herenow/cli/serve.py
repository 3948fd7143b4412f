"""``herenow serve``: one server, until it is told to stop."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click

from herenow.cli.terminal import refuse_configuration
from herenow.config import AdminConfig, ClusterConfig, ConfigError, ServerConfig, load_config
from herenow.config.settings import settings_of

SERVER_EXTRA: Final = ("httptools", "prometheus_client", "starlette", "structlog", "uvicorn")
COULD_NOT_RUN: Final = 1


def _help(section: type, name: str) -> str:
    setting = settings_of(section)[name]
    return f"{setting.doc} Default: {setting.default}"


@click.command()
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file with settings.",
)
@click.option("--host", metavar="H", help=_help(ServerConfig, "host"))
@click.option("--port", metavar="N", help=_help(ServerConfig, "port"))
@click.option("--admin-host", metavar="H", help=_help(AdminConfig, "host"))
@click.option("--admin-port", metavar="N", help=_help(AdminConfig, "port"))
@click.option("--workers", metavar="N", default="1", help="Worker processes. Default: 1")
@click.option("--cluster", metavar="URL", help=_help(ClusterConfig, "url"))
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="How log lines look. Default: text",
)
@click.pass_context
def serve(
    context: click.Context,
    config_file: Path | None,
    host: str | None,
    port: str | None,
    admin_host: str | None,
    admin_port: str | None,
    workers: str,
    cluster: str | None,
    log_format: str,
) -> None:
    """Serve WebSocket connections and the HTTP API.

    Prints one line on standard output when it is ready; logs go to standard error. Every setting
    is also an environment variable, such as HERENOW_SERVER__PORT.
    """
    problems = _problems_of_workers(workers)
    overrides = {
        "server.host": host,
        "server.port": port,
        "admin.host": admin_host,
        "admin.port": admin_port,
        "cluster.url": cluster,
    }
    try:
        config = load_config(config_file, os.environ, overrides)
        if problems:
            raise ConfigError(problems)
    except ConfigError as error:
        refuse_configuration(context, dict.fromkeys((*problems, *error.problems)))
    if any(find_spec(module) is None for module in SERVER_EXTRA):
        click.echo(
            'herenow serve needs the server extra: pip install "herenow[server]"',
            err=True,
        )
        context.exit(COULD_NOT_RUN)

    from herenow import compose

    try:
        code = compose.serve(config, log_format)
    except ConfigError as error:
        refuse_configuration(context, error.problems)
    context.exit(code)


def _problems_of_workers(workers: str) -> tuple[str, ...]:
    if workers == "1":
        return ()
    return (f"--workers: expected 1, since this version runs one process, got {workers!r}",)
