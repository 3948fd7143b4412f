"""The server as a process of its own, where a test needs signals or limits of the system."""

from __future__ import annotations

import contextlib
import ssl
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from conformance.harness.apps import App
from conformance.harness.server import Server, running

SERVE: Final = (str(Path(sys.executable).with_name("herenow")), "serve")
MAIN: Final = App("7", "app-key", "app-secret", {"leave_grace_seconds": 0})


@contextlib.contextmanager
def process(
    directory: Path,
    settings: Mapping[str, object] | None = None,
    *,
    max_descriptors: int = 0,
    apps: Mapping[str, App] | None = None,
) -> Iterator[Server]:
    """A running server with *settings* of ``[server]``; its log is ``stderr.log``."""
    command: tuple[str, ...] = SERVE
    if max_descriptors:
        command = ("sh", "-c", f'ulimit -n {max_descriptors} && exec "$0" "$@"', *SERVE)
    with running(command, directory, apps or {"main": MAIN}, settings or {}) as started:
        yield started


def trusting(certificate: Path) -> ssl.SSLContext:
    """A client's context that trusts this certificate alone."""
    return ssl.create_default_context(cafile=str(certificate))
