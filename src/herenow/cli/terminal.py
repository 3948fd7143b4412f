"""What commands say on a terminal, and ask there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NoReturn

import click

from herenow.log import clean

FAILED: Final = 1
WRONG_USAGE: Final = 2
SHOWN: Final = 1_000


def counted(number: int, one: str, many: str) -> str:
    """*number* with the words for one or for many: ``no events``, ``1 event``, ``2 events``."""
    return f"{number or 'no'} {one if number == 1 else many}"


def moment(seconds: float | None) -> str:
    """*seconds* since 1970 as a date and time in UTC."""
    if seconds is None:
        return "an unknown time"
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return "an unknown time"


def print_line(text: str) -> None:
    click.echo(clean(text, SHOWN))


def print_json(value: object) -> None:
    # All but ASCII is escaped, so nothing in it is obeyed by a terminal.
    click.echo(json.dumps(value, indent=2))


def complain(what: str) -> None:
    """Say on stderr what the user should know beside the answer."""
    click.echo(f"herenow: {clean(what, SHOWN)}", err=True)


def refuse(context: click.Context, what: str, problems: Iterable[str] = ()) -> NoReturn:
    """End the command, which is used or configured wrongly."""
    complain(what)
    for problem in problems:
        click.echo(f"  {clean(problem, SHOWN)}", err=True)
    context.exit(WRONG_USAGE)


def refuse_configuration(context: click.Context, problems: Iterable[str]) -> NoReturn:
    """End the command, whose configuration has these problems."""
    refuse(context, "the configuration cannot be used", problems)


def fail(context: click.Context, what: str) -> NoReturn:
    """End the command, which could not be done."""
    complain(what)
    context.exit(FAILED)


def confirm(context: click.Context, question: str) -> None:
    """Go on if somebody agrees."""
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        refuse(context, "nobody answers: say --yes")
    if not agreed:
        context.exit(FAILED)
