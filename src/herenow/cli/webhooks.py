"""``herenow webhooks``: what a running server has not delivered yet, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from herenow.cli.calling import FAILED, SHOWN, WRONG_USAGE, calling
from herenow.log import clean

if TYPE_CHECKING:
    from herenow.sdk.outbox import UndeliveredEvent, WebhookEndpoint

Command = TypeVar("Command", bound=Callable[..., Any])

_MAX_EVENTS: Final = 1_000
_IDS_A_CALL: Final = 1_000


@click.group()
def webhooks() -> None:
    """Look at the webhooks of an application on a running server, and see to them."""


def _places(command: Command) -> Command:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences."),
        click.option(
            "--server",
            metavar="URL",
            help="Where the HTTP API is. Default: this machine, as the settings say",
        ),
        click.option(
            "--app", "app_id", metavar="ID", help="The application. Default: the only one there is"
        ),
        click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="TOML file with settings: that of the server.",
        ),
    ):
        command = option(command)
    return command


_endpoint = click.argument("endpoint", metavar="ENDPOINT")
_events = click.argument("events", metavar="[EVENT]...", nargs=-1)


@webhooks.command("list")
@_places
@click.pass_context
def list_endpoints(
    context: click.Context,
    config_file: Path | None,
    app_id: str | None,
    server: str | None,
    as_json: bool,
) -> None:
    """List where events go, how many wait there, and how each endpoint does."""
    with calling(context, config_file, app_id, server) as channels:
        answer = channels.webhook_endpoints()
    if as_json:
        _print_json(answer)
        return
    for endpoint in answer["endpoints"]:
        _print_endpoint(endpoint)
    if not answer["endpoints"]:
        click.echo("this application has no webhooks")


@webhooks.command()
@_endpoint
@click.option("--dead", "dead_only", is_flag=True, help="Only dead letters.")
@click.option(
    "--limit",
    type=click.IntRange(1, _MAX_EVENTS),
    default=100,
    metavar="N",
    help=f"How many, up to {_MAX_EVENTS}. Default: 100",
)
@click.option("--cursor", default="", metavar="C", help="Go on where another answer ended.")
@_places
@click.pass_context
def show(
    context: click.Context,
    endpoint: str,
    dead_only: bool,
    limit: int,
    cursor: str,
    config_file: Path | None,
    app_id: str | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Show the events that ENDPOINT, an id from list, does not have yet, oldest first."""
    with calling(context, config_file, app_id, server) as channels:
        answer = channels.undelivered_webhooks(
            endpoint, limit=limit, cursor=cursor, dead_only=dead_only
        )
    if as_json:
        _print_json(answer)
        return
    for event in answer["events"]:
        click.echo(clean(_line(event), SHOWN))
    if answer["cursor"]:
        click.echo(f"there may be more: --cursor {clean(answer['cursor'])}")
    elif not answer["events"]:
        click.echo("nothing waits")


@webhooks.command()
@_endpoint
@_events
@_places
@click.pass_context
def retry(
    context: click.Context,
    endpoint: str,
    events: tuple[str, ...],
    config_file: Path | None,
    app_id: str | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Deliver dead letters of ENDPOINT after all: these EVENTs, by their ids, or every one.

    An endpoint that failed is tried at once.
    """
    with calling(context, config_file, app_id, server) as channels:
        if events:
            retried = sum(channels.retry_webhooks(endpoint, some) for some in _portions(events))
        else:
            retried = channels.retry_webhooks(endpoint)
    _print_number(as_json, "retried", retried, "dead letters are delivered after all")
    context.exit(FAILED if events and not retried else 0)


@webhooks.command()
@_endpoint
@_events
@click.option("--all", "every", is_flag=True, help="Whatever waits, dead letters and others.")
@click.option("--yes", is_flag=True, help="Do not ask whether all may go.")
@_places
@click.pass_context
def drop(
    context: click.Context,
    endpoint: str,
    events: tuple[str, ...],
    every: bool,
    yes: bool,
    config_file: Path | None,
    app_id: str | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Never deliver these EVENTs of ENDPOINT, or with --all any that waits.

    An event goes together with the one that undoes it. What nothing undoes yet is told anew as
    far as it still holds, so that a receiver is not led astray.
    """
    if every == bool(events):
        raise click.UsageError("expected the ids of events, or --all", context)
    if every and not yes:
        _confirm(context, f"Drop everything that waits for {clean(endpoint)}?")
    with calling(context, config_file, app_id, server) as channels:
        if every:
            dropped = channels.drop_webhooks(endpoint, None)
        else:
            dropped = sum(channels.drop_webhooks(endpoint, some) for some in _portions(events))
    _print_number(as_json, "dropped", dropped, "events are dropped")
    context.exit(FAILED if events and not dropped else 0)


@webhooks.command()
@click.argument("endpoint", metavar="[ENDPOINT]", required=False)
@_places
@click.pass_context
def reconcile(
    context: click.Context,
    endpoint: str | None,
    config_file: Path | None,
    app_id: str | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Tell ENDPOINT, or every one, who is in which channel and online, as of now.

    For a receiver that lost what it knew. Whatever it was told already comes again with the ids
    that it had, so others discard it.
    """
    with calling(context, config_file, app_id, server) as channels:
        events = channels.reconcile_webhooks(endpoint)
    _print_number(as_json, "events", events, "events are on their way")


def _portions(events: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [events[start : start + _IDS_A_CALL] for start in range(0, len(events), _IDS_A_CALL)]


def _confirm(context: click.Context, question: str) -> None:
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        click.echo("\nherenow: nobody answers: say --yes", err=True)
        context.exit(WRONG_USAGE)
    if not agreed:
        context.exit(FAILED)


def _print_endpoint(endpoint: WebhookEndpoint) -> None:
    click.echo(clean(f"{endpoint['id']}  {endpoint['url']}", SHOWN))
    click.echo(clean(f"  events: {', '.join(endpoint['events'])}", SHOWN))
    oldest = endpoint["oldest_seconds"]
    age = "" if oldest is None else f", the oldest for {oldest:.1f} s"
    click.echo(f"  {endpoint['waiting']} wait{age}; {endpoint['dead']} dead letters")
    if endpoint["failing_since"] is not None:
        click.echo(f"  failing since {_moment(endpoint['failing_since'])}")
    if endpoint["last_attempt"] is not None:
        answer = endpoint["last_answer"] or "no word"
        last = f"  last attempt at {_moment(endpoint['last_attempt'])}: {answer}"
        click.echo(clean(last, SHOWN))


def _line(event: UndeliveredEvent) -> str:
    words = [
        _moment(event["made_ms"] / 1_000),
        event["id"],
        event["name"],
        event["channel"],
        event.get("user_id", ""),
        "(dead letter)" if event["dead"] else "",
    ]
    return "  ".join(word for word in words if word)


def _moment(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return "an unknown time"


def _print_number(as_json: bool, name: str, number: int, sentence: str) -> None:
    if as_json:
        _print_json({name: number})
    else:
        click.echo(f"{number} {sentence}")


def _print_json(value: object) -> None:
    # All but ASCII is escaped, so nothing in it is obeyed by a terminal.
    click.echo(json.dumps(value, indent=2))
