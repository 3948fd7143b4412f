"""The command line: ``herenow``."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

import click

from herenow import __version__

_COMMANDS: Final = ("apps", "demo", "presence", "serve", "webhooks")


class Commands(click.Group):
    """Each command is in the module of its name, and imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"herenow.cli.{cmd_name}"), cmd_name)
        return command


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="herenow", message="%(prog)s %(version)s")
def main() -> None:
    """A self-hosted realtime server that speaks the Pusher Channels protocol."""
    # Names of channels and users come in every script; a terminal that cannot show one shows \\u….
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
