"""Somebody who reads the admin port and can send whatever headers a test is about."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from conformance.harness.api import Response
from conformance.harness.apps import App
from conformance.harness.server import Server
from conformance.harness.service import eventually
from conformance.harness.websocket import DEADLINE


class Reader:
    """Asks the admin port of *server*, one connection a request."""

    def __init__(self, server: Server) -> None:
        assert server.admin is not None
        self.endpoint = server.admin

    def ask(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Response:
        connection = http.client.HTTPConnection(
            self.endpoint.host, self.endpoint.port, timeout=DEADLINE
        )
        try:
            connection.request(method, path, headers=dict(headers or {}))
            answer = connection.getresponse()
            fields: dict[str, str] = {}
            for name, value in answer.getheaders():
                before = fields.get(name.lower())
                fields[name.lower()] = value if before is None else f"{before}, {value}"
            return Response(answer.status, fields, answer.read())
        finally:
            connection.close()

    def read(self, app: App, what: str, **parameters: object) -> dict[str, Any]:
        """The JSON that is answered about *app*."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return self.ask(f"/api/apps/{quote(app.id)}/{what}{query}").accepted()

    def members(self, app: App, channel: str, **parameters: object) -> dict[str, Any]:
        return self.read(app, f"channels/{quote(channel, safe='')}/members", **parameters)

    def pages(self, app: App, what: str, name: str, **parameters: object) -> Iterator[list[Any]]:
        """Every page of the list called *name*, as long as there is a next one."""
        answer = self.read(app, what, **parameters)
        yield answer[name]
        while "next" in answer:
            answer = self.read(app, what, **parameters, cursor=answer["next"])
            yield answer[name]

    def expect_stats(self, app: App, **wanted: int) -> None:
        """Expect the numbers of *app* to become *wanted*."""
        eventually(lambda: self.read(app, "stats"), lambda stats: dict(stats, **wanted) == stats)

    def metrics(self) -> dict[str, float]:
        """Every sample by its name with its labels, as it is written."""
        answer = self.ask("/metrics")
        assert answer.status == 200, answer.text
        lines = (line for line in answer.text.splitlines() if not line.startswith("#"))
        return {name: float(number) for name, _, number in (line.rpartition(" ") for line in lines)}
