"""``herenow webhooks``: what a running server has not delivered yet, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from herenow.cli.calling import calling
from herenow.cli.terminal import (
    FAILED,
    complain,
    confirm,
    counted,
    moment,
    print_json,
    print_line,
)
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
        print_json(answer)
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
        print_json(answer)
        return
    for event in answer["events"]:
        print_line(_line(event))
    if answer["cursor"]:
        click.echo(f"there may be more: --cursor {clean(answer['cursor'])}")
    elif not answer["events"]:
        click.echo("no dead letters" if dead_only else "no events wait")


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
    if as_json:
        print_json({"retried": retried})
    elif retried:
        letters = counted(retried, "dead letter is", "dead letters are")
        click.echo(f"{letters} delivered after all")
    else:
        click.echo("no dead letters to deliver; what waits is tried at once")
    if events and not retried:
        complain(
            f"{_none_of(events)} is a dead letter of {endpoint}: herenow webhooks show --dead"
            f" {endpoint} says which there are"
        )
        context.exit(FAILED)


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
        confirm(context, f"Drop everything that waits for {clean(endpoint)}?")
    with calling(context, config_file, app_id, server) as channels:
        if every:
            dropped = channels.drop_webhooks(endpoint, None)
        else:
            dropped = sum(channels.drop_webhooks(endpoint, some) for some in _portions(events))
    _print_number(as_json, "dropped", dropped, "event is dropped", "events are dropped")
    if dropped < len(set(events)):
        which = "not every event" if dropped else _none_of(events)
        complain(
            f"{which} waits for {endpoint}: an id is unknown, or its event was delivered or is"
            f" being sent right now; herenow webhooks show {endpoint} says what waits"
        )
        context.exit(FAILED)


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
    _print_number(as_json, "events", events, "event is on its way", "events are on their way")


def _none_of(events: tuple[str, ...]) -> str:
    ids = dict.fromkeys(events)
    return f"no event {events[0]}" if len(ids) == 1 else f"none of these {len(ids)} events"


def _portions(events: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [events[start : start + _IDS_A_CALL] for start in range(0, len(events), _IDS_A_CALL)]


def _print_endpoint(endpoint: WebhookEndpoint) -> None:
    print_line(f"{endpoint['id']}  {endpoint['url']}")
    print_line(f"  events: {', '.join(endpoint['events'])}")
    waiting, dead = endpoint["waiting"], endpoint["dead"]
    oldest = endpoint["oldest_seconds"]
    wait = counted(waiting, "event waits", "events wait") + _age(waiting, oldest)
    letters = counted(dead, "dead letter", "dead letters") + _age(0 if waiting else dead, oldest)
    click.echo(f"  {wait}; {letters}")
    if endpoint["failing_since"] is not None:
        click.echo(f"  failing since {moment(endpoint['failing_since'])}")
    if endpoint["last_attempt"] is None:
        click.echo("  no attempt has failed")
    else:
        answer = endpoint["last_answer"] or "no word"
        print_line(f"  last attempt at {moment(endpoint['last_attempt'])}: {answer}")


def _age(number: int, seconds: float | None) -> str:
    """How long the oldest of *number* events waits."""
    if not number or seconds is None:
        return ""
    return f", {'' if number == 1 else 'the oldest '}for {seconds:.1f} s"


def _line(event: UndeliveredEvent) -> str:
    words = [
        moment(event["made_ms"] / 1_000),
        event["id"],
        event["name"],
        event["channel"],
        event.get("user_id", ""),
        "(dead letter)" if event["dead"] else "",
    ]
    return "  ".join(word for word in words if word)


def _print_number(as_json: bool, name: str, number: int, one: str, many: str) -> None:
    if as_json:
        print_json({name: number})
    else:
        click.echo(counted(number, one, many))
