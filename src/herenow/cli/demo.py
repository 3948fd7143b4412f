"""``herenow demo``: a server and a chat beside it, until it is told to stop."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Final

import click

from herenow.cli.serve import COULD_NOT_RUN, SERVER_EXTRA

_PORT: Final = click.IntRange(0, 65_535)


@click.command()
@click.option(
    "--port",
    type=_PORT,
    metavar="N",
    default=6001,
    help="Port of the server, for WebSockets and the HTTP API; 0 takes a free one. Default: 6001",
)
@click.option(
    "--app-port",
    type=_PORT,
    metavar="N",
    default=8000,
    help="Port of the chat; 0 takes a free one. Default: 8000",
)
@click.option(
    "--admin-port",
    type=_PORT,
    metavar="N",
    default=9601,
    help="Port of the server's metrics, health and status; 0 takes a free one. Default: 9601",
)
@click.pass_context
def demo(context: click.Context, port: int, app_port: int, admin_port: int) -> None:
    """Run a server and a chat that shows who is online.

    Both are on 127.0.0.1. Prints two lines on standard output when they are ready: the server's,
    and the chat's with its address.
    """
    if any(find_spec(module) is None for module in SERVER_EXTRA):
        click.echo('herenow demo needs the server extra: pip install "herenow[server]"', err=True)
        context.exit(COULD_NOT_RUN)

    from herenow.demo.program import Ports, run

    context.exit(run(Ports(port, app_port, admin_port), click.echo, partial(click.echo, err=True)))
