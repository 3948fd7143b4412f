"""Which path means what, however it is written and wherever it is mounted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from herenow.apps.base import App, Key
from server.serving import APP, Serving, request, serving

pytestmark = pytest.mark.anyio

BASE = f"/apps/{APP.id}"
ODD_NAME = "presence-a_b-c=d@e,f.g;h"


@pytest.fixture
async def started() -> AsyncIterator[Serving]:
    async with serving() as started:
        yield started


@pytest.mark.parametrize("signs", ["raw", "decoded"])
async def test_a_name_may_be_percent_encoded(started: Serving, signs: str) -> None:
    client = await started.established()
    await client.enter(ODD_NAME, "u")
    path = f"{BASE}/channels/{quote(ODD_NAME, safe='')}/users"
    decoded = f"{BASE}/channels/{ODD_NAME}/users"
    signed_path = path if signs == "raw" else decoded
    answer = await started.call("GET", path, signed_path=signed_path)
    assert (answer.status, json.loads(answer.body)) == (200, {"users": [{"id": "u"}]})


async def test_a_user_id_may_be_percent_encoded(started: Serving) -> None:
    client = await started.established()
    await client.sign_in("a@b;c")
    path = f"{BASE}/users/a%40b%3Bc/terminate_connections"
    assert (await started.call("POST", path, {})).body == b"{}"
    await client.expect_closed(4009)


@pytest.mark.parametrize("name", ["a%2Fb", "%FF", "%00", "a%20b", "a%0Ab", "%E2%98%95", "%23x"])
async def test_a_name_that_is_not_legal_is_refused(started: Serving, name: str) -> None:
    for path in (f"{BASE}/channels/{name}", f"{BASE}/channels/presence-{name}/users"):
        answer = await started.call("GET", path)
        assert (answer.status, answer.text) == (400, "Invalid channel name\n")
    answer = await started.call("POST", f"{BASE}/users/{name}/terminate_connections", {})
    assert answer.status == 400
    assert len(answer.text.splitlines()) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/apps",
        BASE,
        f"{BASE}/",
        f"{BASE}/event",
        f"{BASE}/channels/a/user",
        f"{BASE}/channels/a/users/x",
        f"{BASE}/users",
        f"{BASE}/users/u/x",
        f"{BASE}/users/u/forget/x",
        f"/{BASE}/channels",
        "/users/u/terminate",
        "/pusher/app/app-key/1/abc/xhr_streaming",
    ],
)
async def test_an_unknown_path_is_404(started: Serving, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await started.call(method, path)
        assert (answer.status, answer.text) == (404, "404 NOT FOUND\n"), (method, path)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        (f"{BASE}/events", {"POST", "OPTIONS"}),
        (f"{BASE}/batch_events", {"POST", "OPTIONS"}),
        (f"{BASE}/channels", {"GET", "HEAD", "OPTIONS"}),
        (f"{BASE}/channels/a", {"GET", "HEAD", "OPTIONS"}),
        (f"{BASE}/channels/a/events", {"POST", "OPTIONS"}),
        (f"{BASE}/users/u/terminate_connections", {"POST", "OPTIONS"}),
        ("/users/u/terminate_connections", {"POST", "OPTIONS"}),
    ],
)
async def test_other_methods_are_told_which_are_allowed(
    started: Serving, path: str, methods: set[str]
) -> None:
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - methods:
        answer = await started.call(method, path)
        assert answer.status == 405, (method, path)
        assert set(answer.headers["allow"].split(", ")) == methods
        assert len(answer.text.splitlines()) == 1
    answer = await request(started.port, "OPTIONS", path)
    assert (answer.status, answer.body) == (204, b"")
    assert set(answer.headers["allow"].split(", ")) == methods


async def test_head_is_answered_without_a_body(started: Serving) -> None:
    answer = await started.call("HEAD", f"{BASE}/channels")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len(b'{"channels":{}}'))


async def test_a_plain_request_for_a_websocket_is_told_to_upgrade(started: Serving) -> None:
    answer = await request(started.port, "GET", "/app/app-key?protocol=7")
    assert answer.status == 426
    assert answer.headers["upgrade"] == "websocket"


async def test_another_apps_key_does_not_open_this_app() -> None:
    other = App("8", (Key("other-key", "other-secret"),))
    async with serving(APP, other) as started:
        answer = await started.call("GET", f"{BASE}/channels", app=other)
        assert (answer.status, answer.text) == (401, "Unknown auth_key\n")
        assert (await started.call("GET", "/apps/8/channels", app=other)).status == 200


async def test_a_call_without_an_app_in_its_path_goes_by_its_key(started: Serving) -> None:
    client = await started.established()
    await client.sign_in("u")
    answer = await started.call("POST", "/users/u/terminate_connections", {})
    assert (answer.status, answer.body) == (200, b"{}")
    await client.expect_closed(4009)


class TestPrefix:
    """A server that is mounted under a path."""

    @pytest.fixture
    async def started(self) -> AsyncIterator[Serving]:
        async with serving(path_prefix="/live/pusher") as started:
            yield started

    @pytest.mark.parametrize("signed_prefix", ["/live/pusher", ""])
    async def test_calls_are_signed_with_or_without_it(
        self, started: Serving, signed_prefix: str
    ) -> None:
        body = {"name": "e", "channel": "a", "data": ""}
        for method, rest, content in (
            ("POST", f"{BASE}/events", body),
            ("GET", f"{BASE}/channels/a%2Cb", b""),
            ("POST", "/users/u/terminate_connections", {}),
        ):
            answer = await started.call(
                method, f"/live/pusher{rest}", content, signed_path=f"{signed_prefix}{rest}"
            )
            assert answer.status == 200, (rest, answer)

    async def test_another_prefix_in_the_signature_is_none(self, started: Serving) -> None:
        answer = await started.call(
            "GET", f"/live/pusher{BASE}/channels", signed_path=f"/other{BASE}/channels"
        )
        assert answer.status == 401

    @pytest.mark.parametrize("prefix", ["", "/live", "/live/pusher/", "/live/pusherx"])
    async def test_nothing_is_served_elsewhere(self, started: Serving, prefix: str) -> None:
        assert (await started.call("GET", f"{prefix}{BASE}/channels")).status == 404

    async def test_websockets_are_served_under_it_alone(self, started: Serving) -> None:
        refused = await started.connect()
        await refused.expect_closed(4005)
        client = await started.connect(prefix="/live/pusher")
        await client.expect_established()
