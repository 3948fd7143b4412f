"""What the log says of refusals: one line each, not too many, and nothing that is secret."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator

import pytest

from herenow.log import configure
from herenow.protocol.signing import hex_digest, user_string
from server.client import Client
from server.serving import APP, Serving, request, serving

pytestmark = pytest.mark.anyio

SIGNATURE = "5ec7e7" * 10 + "abcd"
SECRET = APP.keys[0].secret
KEY = APP.keys[0].key


@pytest.fixture(params=["text", "json"])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """The log as the server writes it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure(request.param, stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)


def lines(log: io.StringIO) -> list[str]:
    """The lines so far, none of which may tell a secret."""
    written = log.getvalue()
    for secret in (SIGNATURE, SECRET, "auth_signature"):
        assert secret not in written
    return written.splitlines()


async def refused_subscriptions(client: Client) -> int:
    attempts: list[dict[str, object]] = [
        {"channel": "private-a", "auth": f"{KEY}:{SIGNATURE}"},
        {"channel": "private-a", "auth": f"unknown:{SIGNATURE}"},
        {"channel": "private-a", "auth": SIGNATURE},
        {"channel": "presence-a", "auth": f"{KEY}:{SIGNATURE}", "channel_data": '{"user_id":"u"}'},
        {"channel": "presence-a", "auth": client.auth("presence-a", "{"), "channel_data": "{"},
    ]
    for data in attempts:
        await client.send("pusher:subscribe", data)
    return len(attempts)


async def refused_sign_ins(client: Client) -> int:
    user_data = '{"id":"u"}'
    attempts: list[dict[str, object]] = [
        {"auth": f"{KEY}:{SIGNATURE}", "user_data": user_data},
        {"auth": f"unknown:{SIGNATURE}", "user_data": user_data},
        {"auth": SIGNATURE, "user_data": user_data},
        {"auth": {"signature": SIGNATURE}, "user_data": user_data},
        {"auth": f"{KEY}:{hex_digest(SECRET, user_string(client.socket_id, '['))}"},
    ]
    for data in attempts:
        await client.send("pusher:signin", data)
    return len(attempts)


@pytest.mark.parametrize("refuse", [refused_subscriptions, refused_sign_ins])
async def test_what_a_client_signed_wrongly_is_one_line_without_the_signature(
    log: io.StringIO, refuse: object
) -> None:
    async with serving() as started:
        client = await started.established()
        assert callable(refuse)
        refused = await refuse(client)
        answers = [message.event for message in await client.barrier()]
        assert answers.count("pusher:error") == refused
        found = lines(log)
        assert len(found) == refused
        assert all(client.socket_id in line for line in found)
        await client.send("pusher:subscribe", {"channel": "private-a", "auth": "x"})
        assert SIGNATURE not in str(await client.next())


async def wrong_calls(started: Serving) -> int:
    path = f"/apps/{APP.id}/events"
    auth = f"auth_key={KEY}&auth_timestamp={int(time.time())}&auth_version=1.0"
    for target, body in (
        (f"{path}?{auth}&auth_signature={SIGNATURE}", b"{}"),
        (f"{path}?{auth}&AUTH_Signature={SIGNATURE}", b"{}"),
        (f"/apps/{APP.id}/channels?{auth}&auth_signature={SIGNATURE}&info=%00%0a", b""),
        (f"{path}?auth_key=unknown&auth_signature={SIGNATURE}", b"{}"),
    ):
        answer = await request(started.port, "POST" if body else "GET", target, body)
        assert answer.status == 401
        assert SECRET not in answer.text
    return 4


async def test_a_call_that_is_refused_is_one_line_without_the_signature(log: io.StringIO) -> None:
    async with serving() as started:
        refused = await wrong_calls(started)
        assert len(lines(log)) == refused


async def test_what_is_accepted_is_not_logged(log: io.StringIO) -> None:
    async with serving() as started:
        client = await started.join("a", "private-a")
        await client.sign_in("u")
        assert (await started.trigger("a", "e")).status == 200
        await client.expect("e", "a")
        await client.leave()
        assert lines(log) == []


async def test_a_signature_in_the_query_of_an_upgrade_is_not_logged(log: io.StringIO) -> None:
    async with serving() as started:
        query = f"protocol=99&auth_signature={SIGNATURE}&client={SIGNATURE}"
        client = await started.connect(query=query)
        await client.expect_closed(4007)
        assert len(lines(log)) == 1


async def test_many_refusals_of_a_kind_are_a_few_lines_a_second(log: io.StringIO) -> None:
    async with serving() as started:
        began = time.monotonic()
        client = await started.established()
        for _ in range(100):
            await client.send("nonsense", {})
        await client.barrier()
        for _ in range(30):
            await wrong_calls(started)
        seconds = int(time.monotonic() - began) + 1
        assert 0 < len(lines(log)) <= 2 * 5 * (seconds + 1)


async def test_what_a_terminal_would_obey_is_left_out(log: io.StringIO) -> None:
    async with serving() as started:
        client = await started.established()
        evil = "\x1b[2Jevil\nname\r\x07\u202e\x9b31m"
        await client.send(evil, {})
        await client.send("pusher:subscribe", {"channel": evil})
        await client.send("client-x", {}, evil)
        await client.barrier()
        path = "/apps/%1b%5b2J%0aevil/channels"
        await started.call("GET", path)
        found = lines(log)
        assert len(found) == 4
        written = "".join(found)
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in written)
        assert "\u202e" not in written
        assert "\\u001b" not in written
        assert "\\n" not in written


async def test_json_lines_are_json(log: io.StringIO) -> None:
    async with serving() as started:
        client = await started.established()
        await client.send('"quoted"\u2028', {})
        await client.send("\ud800", {})
        await client.barrier()
        found = lines(log)
        assert len(found) == 2
        if found[0].startswith("{"):
            fields = [json.loads(line) for line in found]
            assert all(line["event"].startswith("request refused") for line in fields)
            assert all(line["app"] == APP.id for line in fields)
