"""The command line: ``herenow``."""

from __future__ import annotations

import sys

import click

from herenow import __version__
from herenow.cli.apps import apps
from herenow.cli.demo import demo
from herenow.cli.presence import presence
from herenow.cli.serve import serve
from herenow.cli.webhooks import webhooks


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="herenow", message="%(prog)s %(version)s")
def main() -> None:
    """A self-hosted realtime server that speaks the Pusher Channels protocol."""
    # Names of channels and users come in every script; a terminal that cannot show one shows \\u….
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


main.add_command(serve)
main.add_command(demo)
main.add_command(apps)
main.add_command(presence)
main.add_command(webhooks)
