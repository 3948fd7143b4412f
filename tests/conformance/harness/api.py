"""A client of the HTTP API that signs by itself and can be told to do everything wrong."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from conformance.harness.apps import App
from conformance.harness.signing import Parameters, body_md5, compact, hmac_hex, request_string
from conformance.harness.websocket import DEADLINE, Endpoint


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    def _expect_type(self, media_type: str) -> None:
        found = self.headers.get("content-type", "")
        assert found.split(";")[0] == media_type, f"expected {media_type}, got {found!r}"

    def accepted(self) -> dict[str, Any]:
        """The answer's object, which must come with 200 and the JSON content type (§15.1)."""
        assert self.status == 200, f"{self.status} {self.text}"
        self._expect_type("application/json")
        answer = json.loads(self.body)
        assert isinstance(answer, dict), f"an answer is an object: {answer!r}"
        return answer

    def refused(self, status: int, message: str | None = None) -> str:
        """The answer's text: one plain line, with exactly *status* and, if given, *message*."""
        assert self.status == status, f"expected {status}, got {self.status} {self.text}"
        self._expect_type("text/plain")
        line = self.text.removesuffix("\n")
        assert line, "an error says why"
        assert "\n" not in line, f"errors are one line: {line!r}"
        assert not line.startswith(("{", "[")), "errors are plain text"
        if message is not None:
            assert line == message, f"expected {message!r}, got {line!r}"
        return line


class Api:
    """The HTTP API as one app's backend uses it, over one kept-alive connection."""

    def __init__(self, endpoint: Endpoint, app: App) -> None:
        self.app = app
        kind = http.client.HTTPSConnection if endpoint.tls else http.client.HTTPConnection
        self.connection = kind(endpoint.host, endpoint.port, timeout=DEADLINE)

    def path(self, rest: str) -> str:
        return f"/apps/{self.app.id}/{rest}"

    def sign(
        self,
        method: str,
        path: str,
        parameters: Parameters,
        body: bytes = b"",
        *,
        timestamp: int | None = None,
    ) -> Parameters:
        """*parameters* with those of authentication, ``auth_signature`` last."""
        now = int(time.time()) if timestamp is None else timestamp
        signed = [
            ("auth_key", self.app.key),
            ("auth_timestamp", str(now)),
            ("auth_version", "1.0"),
            *parameters,
        ]
        if body:
            signed.append(("body_md5", body_md5(body)))
        return [*signed, ("auth_signature", self.signature(method, path, signed))]

    def signature(self, method: str, path: str, parameters: Parameters) -> str:
        return hmac_hex(self.app.secret, request_string(method, path, parameters))

    def send(self, method: str, path: str, query: Parameters | str, body: bytes = b"") -> Response:
        """Send a request exactly as given; a query given as text is not escaped."""
        text = query if isinstance(query, str) else urlencode(query, quote_via=quote)
        headers = {"Content-Type": "application/json"} if body else {}
        if body or method == "POST":
            headers["Content-Length"] = str(len(body))
        self.connection.request(method, f"{path}?{text}" if text else path, body or None, headers)
        response = self.connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Response(response.status, fields, response.read())

    def get(self, rest: str, **parameters: str) -> Response:
        path = self.path(rest)
        return self.send("GET", path, self.sign("GET", path, list(parameters.items())))

    def post(self, rest: str, content: object) -> Response:
        return self.post_bytes(rest, compact(content).encode())

    def post_bytes(self, rest: str, body: bytes) -> Response:
        path = self.path(rest)
        return self.send("POST", path, self.sign("POST", path, [], body), body)

    def trigger(
        self, name: object, channels: str | list[str], data: object, **members: object
    ) -> Response:
        target = {"channels": [channels] if isinstance(channels, str) else channels}
        return self.post("events", {"name": name, "data": data, **target, **members})

    def publish(self, name: str, channels: str | list[str], data: str, **members: object) -> None:
        """Trigger and expect it accepted with nothing to report."""
        assert self.trigger(name, channels, data, **members).accepted() == {}

    def terminate(self, user_id: str) -> None:
        assert self.post(f"users/{user_id}/terminate_connections", {}).accepted() == {}

    def user_ids(self, channel: str) -> list[str]:
        """Who ``GET /channels/{channel}/users`` says is there, sorted."""
        answer = self.get(f"channels/{channel}/users").accepted()
        assert answer.keys() == {"users"}, f"users and nothing else: {answer}"
        assert all(user.keys() == {"id"} for user in answer["users"]), f"ids only: {answer}"
        return sorted(user["id"] for user in answer["users"])

    def occupied(self, channel: str) -> bool:
        occupied = self.get(f"channels/{channel}").accepted()["occupied"]
        assert type(occupied) is bool, f"occupied is {occupied!r}"
        return occupied

    def close(self) -> None:
        self.connection.close()
