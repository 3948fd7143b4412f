"""What a test holds: connections and API clients of one server, closed when the test ends."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

from conformance.harness.api import Api
from conformance.harness.apps import App
from conformance.harness.connection import Connection
from conformance.harness.server import Server
from conformance.harness.websocket import DEADLINE, WebSocket

T = TypeVar("T")


class Service:
    """Opens connections to *server*, to its nodes in turns, and cleans up after the test."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._nodes = itertools.cycle(server.nodes)
        self._open = contextlib.ExitStack()

    def app(self, name: str = "main") -> App:
        """The application called *name*; skips the test if the server has none such."""
        if name not in self.server.apps:
            pytest.skip(f"the target has no application for {name!r}")
        return self.server.apps[name]

    def open(
        self,
        target: str,
        app: str = "main",
        *,
        subprotocols: Sequence[str] = (),
        answers_pings: bool = True,
    ) -> Connection:
        """Upgrade a request for *target*, and read nothing yet."""
        websocket = WebSocket(next(self._nodes).endpoint, target, subprotocols=subprotocols)
        self._open.callback(websocket.close)
        return Connection(websocket, self.app(app), answers_pings=answers_pings)

    def connect(self, app: str = "main", *, answers_pings: bool = True) -> Connection:
        """An established connection, as current SDKs make it."""
        key = self.app(app).key
        target = f"/app/{key}?protocol=7&client=js&version=8.6.0&flash=false"
        connection = self.open(target, app, answers_pings=answers_pings)
        connection.expect_established()
        return connection

    def api(self, app: str = "main") -> Api:
        api = Api(next(self._nodes).endpoint, self.app(app))
        self._open.callback(api.close)
        return api

    def close(self) -> None:
        self._open.close()

    def see(self, probe: Callable[[], T], wanted: Callable[[T], bool]) -> T:
        """What *probe* returns, which must be *wanted*: of one node at once, of several soon."""
        if len(self.server.nodes) > 1:
            return eventually(probe, wanted)
        found = probe()
        assert wanted(found), f"got {found!r}"
        return found


def eventually(probe: Callable[[], T], wanted: Callable[[T], bool]) -> T:
    """What *probe* returns once that is *wanted*; fails if it never is."""
    deadline = time.monotonic() + DEADLINE
    while not wanted(found := probe()):
        assert time.monotonic() < deadline, f"still {found!r}"
        time.sleep(0.02)
    return found
