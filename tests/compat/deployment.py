"""An address whose server is replaced by another, as operators do it behind a load balancer."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compat.serving import PLAIN, Server, running


class Deployment(socketserver.ThreadingTCPServer):
    """Forwards each connection to the server of the moment."""

    def __init__(self, directory: Path, opened: contextlib.ExitStack) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.host = "127.0.0.1"
        self.port = int(self.server_address[1])
        self._directory = directory
        self._opened = opened
        self.server = self._start("first")

    def _start(self, name: str) -> Server:
        directory = self._directory / name
        directory.mkdir()
        return self._opened.enter_context(running(Server(directory, [PLAIN])))

    def replace(self) -> None:
        """Let a second server take new connections, then stop the first, whose clients get 4200."""
        first, self.server = self.server, self._start("second")
        first.stop()


class _Forwarding(socketserver.BaseRequestHandler):
    server: Deployment

    def handle(self) -> None:
        target = self.server.server
        with socket.create_connection((target.host, target.port)) as upstream:
            back = threading.Thread(target=_copy, args=(upstream, self.request))
            back.start()
            _copy(self.request, upstream)
            back.join()


def _copy(source: Any, target: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def deploying(directory: Path) -> Iterator[Deployment]:
    with contextlib.ExitStack() as opened, Deployment(directory, opened) as deployment:
        serving = threading.Thread(target=deployment.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield deployment
        finally:
            deployment.shutdown()
            serving.join()
            opened.close()
