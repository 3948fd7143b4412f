"""``herenow presence``: what the shared engine knows, and whether it agrees with itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from herenow.cli.terminal import (
    FAILED,
    SHOWN,
    WRONG_USAGE,
    fail,
    moment,
    print_json,
    print_line,
    refuse,
    refuse_configuration,
)
from herenow.config import ClusterConfig, ConfigError, load_config
from herenow.config.settings import settings_of
from herenow.log import clean

if TYPE_CHECKING:
    from herenow.cluster.redis.findings import Report
    from herenow.cluster.redis.whereabouts import Whereabouts

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

REDIS_EXTRA: Final = ("redis", "hiredis")


@click.group()
def presence() -> None:
    """Look into the engine that nodes share: Redis or Valkey."""


def _options(command: Command) -> Command:
    cluster_help = settings_of(ClusterConfig)["url"].doc
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences."),
        click.option("--cluster", metavar="URL", help=f"{cluster_help} Default: from the settings"),
        click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="TOML file with settings.",
        ),
    ):
        command = option(command)
    return command


@presence.command()
@_options
@click.pass_context
def audit(
    context: click.Context, config_file: Path | None, cluster: str | None, as_json: bool
) -> None:
    """Check that everything the engine keeps about presence agrees with itself.

    Exits with 0 if it does, with 1 if something does not or the engine cannot be reached, with 2
    if the command or the configuration is wrong. Nodes may be running meanwhile.
    """
    config = _cluster_config(context, config_file, cluster)
    from herenow.cluster.redis.audit import audit as ask

    report = _answer(context, ask(config.url, config.prefix, config.partitions))
    if as_json:
        print_json(report.as_json())
    else:
        _print_report(report)
    context.exit(0 if report.is_clean else FAILED)


@presence.command()
@click.argument("app")
@click.argument("channel")
@click.argument("user")
@_options
@click.pass_context
def why(
    context: click.Context,
    app: str,
    channel: str,
    user: str,
    config_file: Path | None,
    cluster: str | None,
    as_json: bool,
) -> None:
    """Say why USER is shown as online in CHANNEL of the application APP, or that they are not."""
    config = _cluster_config(context, config_file, cluster)
    from herenow.cluster.redis.whereabouts import why as ask

    asked = ask(config.url, config.prefix, config.partitions, app, channel, user)
    whereabouts = _answer(context, asked)
    if as_json:
        print_json(whereabouts.as_json())
    else:
        for line in _sentences(whereabouts):
            print_line(line)


def _cluster_config(
    context: click.Context, config_file: Path | None, cluster: str | None
) -> ClusterConfig:
    try:
        config = load_config(config_file, os.environ, {"cluster.url": cluster}).cluster
    except ConfigError as error:
        refuse_configuration(context, error.problems)
    if config.url.startswith("memory:"):
        click.echo(
            "herenow presence needs an engine that nodes share: name it with --cluster URL",
            err=True,
        )
        context.exit(WRONG_USAGE)
    if any(find_spec(module) is None for module in REDIS_EXTRA):
        click.echo(
            'herenow presence needs the redis extra: pip install "herenow[redis]"',
            err=True,
        )
        context.exit(FAILED)
    return config


def _answer(context: click.Context, asked: Coroutine[Any, Any, T]) -> T:
    from herenow.cluster.redis.deployment import EngineUnreachable

    try:
        return asyncio.run(asked)
    except EngineUnreachable as error:
        fail(context, str(error))
    except ValueError as error:
        refuse(context, f"cluster.url: {error}")


def _print_report(report: Report) -> None:
    for finding in report.findings:
        click.echo(f"partition {finding.partition}: {clean(finding.sentence, SHOWN)}")
    click.echo(
        f"{len(report.findings)} findings in {report.partitions} partitions: "
        f"{report.nodes} nodes, {report.entries} subscriptions and sign-ins, "
        f"{report.members} members and users"
    )


def _sentences(where: Whereabouts) -> list[str]:
    place = f"{where.channel} of application {where.app}"
    if not where.online:
        lines = [f"{where.user} is not in {place} (partition {where.partition})"]
    else:
        since = moment(where.since)
        lines = [f"{where.user} is in {place} since {since} (partition {where.partition})"]
    for reason in where.reasons:
        lease = (
            "which has no lease"
            if reason.lease_seconds_left is None
            else f"whose lease lasts {reason.lease_seconds_left:.1f} s more"
        )
        lines.append(f"by subscription {reason.subscription} on node {reason.node}, {lease}")
    if where.held_seconds is not None:
        left = moment(where.left)
        lines.append(f"the last connection went at {left}; held for {where.held_seconds:.1f} s")
    return lines
