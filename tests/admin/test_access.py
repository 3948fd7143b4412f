"""Who may read: this machine while there is no password, else who has it."""

from __future__ import annotations

import base64
import http.client

import pytest

from admin.conftest import PASSWORD
from admin.reader import Reader
from conformance.harness.server import Server
from conformance.harness.websocket import DEADLINE

READS = [
    "/",
    "/static/status.css",
    "/metrics",
    "/api/apps",
    "/api/apps/1/stats",
    "/api/apps/1/connections",
    "/api/apps/1/channels/presence-room/members",
    "/api/apps/unknown/stats",
    "/nothing",
]


def basic(user: str, password: str) -> dict[str, str]:
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


def bearer(password: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {password.encode().decode('latin-1')}"}


@pytest.fixture
def locked(locked_server: Server) -> Reader:
    return Reader(locked_server)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.:9601", "app.localhost", "127.0.0.1", "127.8.8.8:1", "[::1]:80"],
)
def test_without_a_password_a_loopback_host_is_answered(reader: Reader, host: str) -> None:
    assert reader.ask("/api/apps", {"Host": host}).status == 200


@pytest.mark.parametrize("path", READS)
def test_without_a_password_a_foreign_host_is_forbidden(reader: Reader, path: str) -> None:
    answer = reader.ask(path, {"Host": "rebound.example:9601"})
    assert answer.status == 403
    assert answer.headers["content-type"].startswith("text/plain")
    assert "Host is not a loopback" in answer.text
    assert "admin.password" in answer.text


@pytest.mark.parametrize(
    "host", ["localhost.example", "10.0.0.1", "127.0.0.1.example", "", "[::2]"]
)
def test_what_only_looks_like_loopback_is_forbidden(reader: Reader, host: str) -> None:
    assert reader.ask("/api/apps", {"Host": host}).status == 403


def test_two_hosts_are_not_a_loopback_host(reader: Reader) -> None:
    connection = http.client.HTTPConnection(
        reader.endpoint.host, reader.endpoint.port, timeout=DEADLINE
    )
    connection.putrequest("GET", "/api/apps", skip_host=True)
    connection.putheader("Host", "localhost")
    connection.putheader("Host", "rebound.example")
    connection.endheaders()
    assert connection.getresponse().status in (400, 403)
    connection.close()


@pytest.mark.parametrize(
    "header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Via"]
)
def test_without_a_password_a_forwarded_request_is_forbidden(reader: Reader, header: str) -> None:
    answer = reader.ask("/metrics", {header: "for=127.0.0.1"})
    assert answer.status == 403
    assert "proxy" in answer.text
    assert "admin.password" in answer.text


@pytest.mark.parametrize("path", READS)
def test_with_a_password_nothing_is_shown_without_it(locked: Reader, path: str) -> None:
    answer = locked.ask(path)
    assert answer.status == 401
    assert "Basic" in answer.headers["www-authenticate"]
    assert "admin.password" in answer.text
    assert PASSWORD not in answer.text


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/apps/1/stats"])
def test_the_password_opens_by_basic_and_bearer(locked: Reader, path: str) -> None:
    assert locked.ask(path, basic("", PASSWORD)).status == 200
    assert locked.ask(path, basic("anybody", PASSWORD)).status == 200
    assert locked.ask(path, bearer(PASSWORD)).status == 200


def test_with_a_password_the_request_may_come_through_a_proxy(locked: Reader) -> None:
    headers = {"Host": "status.example", "X-Forwarded-For": "203.0.113.9", **bearer(PASSWORD)}
    assert locked.ask("/api/apps", headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        basic("admin", "wrong"),
        basic("admin", ""),
        basic(PASSWORD, "x"),
        basic("admin", PASSWORD + "x"),
        bearer(""),
        bearer("wrong"),
        bearer(PASSWORD[:-1]),
        {"Authorization": PASSWORD.encode().decode("latin-1")},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Digest x"},
        {"Authorization": ""},
    ],
)
def test_a_wrong_password_is_unauthorized(locked: Reader, headers: dict[str, str]) -> None:
    assert locked.ask("/api/apps", headers).status == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/api/apps/1/stats", "/metrics", "/health/live"])
def test_only_reading_is_possible(reader: Reader, method: str, path: str) -> None:
    answer = reader.ask(path, method=method)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/", "/api/apps/1/stats", "/metrics", "/health/ready"])
def test_head_answers_as_get_without_the_body(reader: Reader, path: str) -> None:
    answer = reader.ask(path, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("path", ["/", "/static/status.js", "/api/apps", "/nothing", "/metrics"])
def test_every_answer_tells_browsers_to_be_careful(
    reader: Reader, locked: Reader, path: str
) -> None:
    for answer in (reader.ask(path), locked.ask(path)):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
