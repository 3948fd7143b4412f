"""What the server answers, and what becomes of it (protocol reference §15)."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from herenow import ChannelsError, InvalidAnswer, Refused, Unreachable
from sdk.callers import SECRET, Caller, Client
from sdk.recorder import Recorder

Connect = Callable[..., Caller]


def answering(recorder: Recorder, value: object, status: int = 200) -> None:
    recorder.answer = (status, json.dumps(value).encode())


@pytest.mark.parametrize(
    ("method", "arguments", "answer", "expected"),
    [
        ("trigger", ("news", "n", {}), {"ok": True}, {}),
        ("trigger_batch", ([{"channel": "c", "name": "n", "data": 1}],), {"ok": True}, {}),
        ("send_to_user", ("emily", "n", {}), {}, None),
        ("terminate_user_connections", ("emily",), {"ok": True}, None),
        ("channels", (), {"channels": {}}, {"channels": {}}),
        ("channels", (), {"channels": []}, {"channels": {}}),
        (
            "channels",
            (),
            {"channels": {"a": {}, "b": {"user_count": 2, "later": 1}}},
            {"channels": {"a": {}, "b": {"user_count": 2}}},
        ),
        ("channel", ("news",), {"occupied": False, "more": []}, {"occupied": False}),
        (
            "channel",
            ("cache-x", ["cache"]),
            {"occupied": True, "cache": {"data": "{}", "ttl": 9}},
            {"occupied": True, "cache": {"data": "{}", "ttl": 9}},
        ),
        (
            "channel",
            ("cache-x", ["cache"]),
            {"occupied": False, "cache": None},
            {"occupied": False, "cache": None},
        ),
        (
            "users",
            ("presence-x",),
            {"users": [{"id": "a"}, {"id": 10}]},
            {"users": [{"id": "a"}, {"id": "10"}]},
        ),
    ],
)
def test_an_answer_has_what_was_asked_for(
    recorded: Connect,
    recorder: Recorder,
    method: str,
    arguments: tuple[Any, ...],
    answer: object,
    expected: object,
) -> None:
    answering(recorder, answer)
    assert recorded()(method, *arguments) == expected


def test_attributes_come_when_they_were_asked_for(recorded: Connect, recorder: Recorder) -> None:
    answering(recorder, {"channels": {"presence-x": {"user_count": 2}, "news": {}}})
    answer = recorded()("trigger", ["presence-x", "news"], "n", {}, info="user_count")
    assert answer == {"channels": {"presence-x": {"user_count": 2}, "news": {}}}


@pytest.mark.parametrize("body", [b"", b"ACCEPTED", b"{}"])
def test_a_success_with_nothing_to_tell_needs_no_body(
    recorded: Connect, recorder: Recorder, body: bytes
) -> None:
    recorder.answer = (202, body)
    assert recorded()("trigger", "news", "note", {}) == {}


@pytest.mark.parametrize(
    ("method", "arguments", "body"),
    [
        ("channels", (), b""),
        ("channels", (), b"<html>hello</html>"),
        ("channels", (), b"[]"),
        ("channels", (), b"{}"),
        ("channels", (), b'{"channels":{"a":{"user_count":"2"}}}'),
        ("channel", ("news",), b"{}"),
        ("channel", ("news",), b'{"occupied":1}'),
        ("users", ("presence-x",), b'{"users":{}}'),
        ("users", ("presence-x",), b'{"users":[{"id":null}]}'),
        (
            "trigger_batch",
            ([{"channel": "presence-x", "name": "n", "data": 1, "info": "user_count"}],),
            b'{"batch":[{},{}]}',
        ),
    ],
)
def test_a_success_that_is_none_is_told(
    recorded: Connect, recorder: Recorder, method: str, arguments: tuple[Any, ...], body: bytes
) -> None:
    recorder.answer = (200, body)
    with pytest.raises(InvalidAnswer) as failure:
        recorded()(method, *arguments)
    assert failure.value.body == body.decode()
    assert failure.value.call.startswith(("GET /apps/4711/", "POST /apps/4711/"))


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 429, 500, 503])
def test_a_refusal_carries_status_body_and_channel(
    recorded: Connect, recorder: Recorder, status: int
) -> None:
    recorder.answer = (status, b"Invalid channel name\n")
    recorder.headers = {"Location": "/elsewhere"} if status == 301 else {}
    with pytest.raises(Refused) as refusal:
        recorded()("trigger", "news", "note", {})
    assert (refusal.value.status, refusal.value.body) == (status, "Invalid channel name")
    assert refusal.value.channel == "news"
    assert str(refusal.value) == (
        f"POST /apps/4711/events was answered with {status}: Invalid channel name"
    )
    assert len(recorder.requests) == 1, "neither followed nor repeated"


def test_a_refusal_names_every_channel(recorded: Connect, recorder: Recorder) -> None:
    recorder.answer = (400, b"no\n")
    call = recorded()
    with pytest.raises(Refused) as refusal:
        call("trigger", ["a", "b"], "note", {})
    assert refusal.value.channels == ("a", "b")
    assert refusal.value.channel is None
    with pytest.raises(Refused) as refusal:
        call("trigger_batch", [{"channel": name, "name": "n", "data": 1} for name in "aba"])
    assert refusal.value.channels == ("a", "b")
    with pytest.raises(Refused) as refusal:
        call("send_to_user", "emily", "note", {})
    assert refusal.value.channel == "#server-to-user-emily"
    with pytest.raises(Refused) as refusal:
        call("terminate_user_connections", "emily")
    assert refusal.value.channels == ()


def test_a_long_body_is_kept_and_shown_in_part(recorded: Connect, recorder: Recorder) -> None:
    recorder.answer = (502, b"<html>\n" + b"x" * 5_000)
    with pytest.raises(Refused) as refusal:
        recorded()("trigger", "news", "note", {})
    assert len(refusal.value.body) == 5_007
    assert len(str(refusal.value)) < 600
    assert "\n" not in str(refusal.value)


def test_nobody_there(client: Client) -> None:
    with pytest.raises(Unreachable) as failure:
        Caller(client, port=1)("trigger", "news", "note", {})
    assert failure.value.address == "http://127.0.0.1:1"
    assert failure.value.channel == "news"
    assert not failure.value.may_have_arrived


def test_a_connection_that_breaks(recorded: Connect, recorder: Recorder) -> None:
    recorder.answer = None
    with pytest.raises(Unreachable) as failure:
        recorded()("trigger", "news", "note", {})
    assert failure.value.may_have_arrived
    assert len(recorder.requests) == 1, "an event would be published twice"


def test_a_server_that_does_not_answer_in_time(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Unreachable, match="ReadTimeout") as failure:
            Caller(client, port=port, timeout_seconds=0.05)("trigger", "news", "note", {})
    assert failure.value.may_have_arrived


def test_a_proxy_is_not_asked_for_this_machine(
    recorded: Connect, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert recorded()("trigger", "news", "note", {}) == {}
    assert recorded(host="localhost")("trigger", "news", "note", {}) == {}


def test_no_failure_shows_the_secret(recorded: Connect, recorder: Recorder) -> None:
    recorder.answer = (401, b"no\n")
    with pytest.raises(ChannelsError) as failure:
        recorded()("trigger", "news", "note", {})
    assert SECRET not in repr(failure.value) + str(failure.value)
