"""What is sent, byte for byte, and what is not (protocol reference §15, §16, §20)."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

import pytest

from herenow import InvalidArgument, Limits
from herenow.protocol.encryption import decode_master_key, open_sealed, shared_secret
from herenow.protocol.names import is_legal_channel_name
from herenow.protocol.signing import parse_query, verify_request
from herenow.sdk import requests
from herenow.sdk.address import Application
from sdk.callers import APP_ID, KEY, MASTER_KEY, SECRET, SOCKET_ID, Caller, Client
from sdk.recorder import Recorder
from sdk.test_authorization import BAD_CHANNELS, BAD_SOCKET_IDS, BAD_USER_IDS

Connect = Callable[..., Caller]

SAMPLE: Final = Application(APP_ID, KEY, SECRET)
TIMESTAMP: Final = 1_760_000_000


def nonce() -> bytes:
    return b"n" * 24


@pytest.mark.parametrize(
    ("request_", "signature"),
    [
        (
            requests.channels(SAMPLE, "presence-", ["user_count"]),
            "219172624bfc9d3f5acacf23f389d05ca6f0dbf8b767af8d6dc875e8882e3aa3",
        ),
        (
            requests.channel(SAMPLE, "cache-weather", ["subscription_count", "cache"]),
            "052c6a341934b4fa64afb155af4b4660f22fd41be93abad488939e0ce30d8530",
        ),
        (
            requests.terminate_user_connections(SAMPLE, "u-42"),
            "518c7fdea01a39e44dd60f172aef598b4a1343badcbfa5ccddbec7995397c6a5",
        ),
    ],
)
def test_the_signatures_of_the_reference(request_: requests.Request[Any], signature: str) -> None:
    target = request_.target(SAMPLE, TIMESTAMP)
    assert target.endswith(f"&auth_signature={signature}")


def test_a_request_is_what_a_server_verifies(recorded: Connect, recorder: Recorder) -> None:
    call = recorded()
    recorder.answer = (200, b'{"occupied":false,"channels":{},"users":[]}')
    call("trigger", ["a", "b"], "event", "é☕", socket_id=SOCKET_ID)
    call("trigger_batch", [{"channel": "a", "name": "n", "data": {"é": 1}}])
    call("send_to_user", "u=4@2,;", "event", [1])
    call("terminate_user_connections", "u=4@2,;")
    call("channels", "presence-a@b;c=d,e", ["user_count", "subscription_count"])
    call("channel", "cache-=@,.;", ["subscription_count", "cache"])
    call("users", "presence-=@,.;")
    assert len(recorder.requests) == 7
    for request in recorder.requests:
        path, _, query = request.target.partition("?")
        parameters = parse_query(query)
        now = float(str(parameters["auth_timestamp"]))
        verify_request(request.method, path, parameters, request.body, {KEY: SECRET}.get, now)
    prefixed = recorder.requests[4].parameters
    assert prefixed["filter_by_prefix"] == "presence-a@b;c=d,e"
    assert prefixed["info"] == "user_count,subscription_count"


def test_a_trigger(recorded: Connect, recorder: Recorder) -> None:
    call = recorded()
    assert call("trigger", "news", "note", {"text": "Zoë ☕", "n": [1, None]}) == {}
    assert recorder.last.method == "POST"
    assert recorder.last.path == "/apps/4711/events"
    assert recorder.last.headers["Content-Type"] == "application/json"
    assert recorder.last.body.decode() == (
        '{"name":"note","data":"{\\"text\\":\\"Zoë ☕\\",\\"n\\":[1,null]}","channels":["news"]}'
    )
    call("trigger", ["a", "b"], "note", "as it is", socket_id=SOCKET_ID, info=["user_count"])
    assert json.loads(recorder.last.body) == {
        "name": "note",
        "data": "as it is",
        "channels": ["a", "b"],
        "socket_id": SOCKET_ID,
        "info": "user_count",
    }


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("", ""),
        ('{ "spaced": 1 }', '{ "spaced": 1 }'),
        (None, "null"),
        (True, "true"),
        (12, "12"),
        ([1, {"a": "b"}], '[1,{"a":"b"}]'),
        ("\u2028\x00\x7f", "\u2028\x00\x7f"),
        ({"half": "\ud83d"}, '{"half":"\\ud83d"}'),
        ("\ud83d", "\ud83d"),
    ],
)
def test_data_is_a_string_or_becomes_one(
    recorded: Connect, recorder: Recorder, data: object, text: str
) -> None:
    recorded()("trigger", "news", "note", data)
    assert json.loads(recorder.last.body)["data"] == text


def test_a_batch(recorded: Connect, recorder: Recorder) -> None:
    recorder.answer = (200, b'{"batch":[{},{"user_count":2}]}')
    batch = [
        {"channel": "news", "name": "a", "data": {"n": 1}, "socket_id": None},
        {"channel": "presence-x", "name": "b", "data": "2", "info": ["user_count"]},
    ]
    answer = recorded()("trigger_batch", batch)
    assert answer == {"batch": [{}, {"user_count": 2}]}
    assert recorder.last.path == "/apps/4711/batch_events"
    assert json.loads(recorder.last.body) == {
        "batch": [
            {"channel": "news", "name": "a", "data": '{"n":1}'},
            {"channel": "presence-x", "name": "b", "data": "2", "info": "user_count"},
        ]
    }


def test_events_on_encrypted_channels_are_sealed(recorded: Connect, recorder: Recorder) -> None:
    call, secret = recorded(), shared_secret("private-encrypted-x", decode_master_key(MASTER_KEY))
    sealed = []
    call("trigger", "private-encrypted-x", "note", {"pin": "0000"})
    sealed.append(json.loads(recorder.last.body)["data"])
    batch = [
        {"channel": "news", "name": "a", "data": "open"},
        {"channel": "private-encrypted-x", "name": "a", "data": {"pin": "0000"}},
    ]
    call("trigger_batch", batch)
    one, other = json.loads(recorder.last.body)["batch"]
    sealed.append(other["data"])
    assert one["data"] == "open"
    assert [open_sealed(data, secret) for data in sealed] == [b'{"pin":"0000"}'] * 2
    nonces = {json.loads(data)["nonce"] for data in sealed}
    assert len(nonces) == 2, "a nonce never serves twice"


def test_an_event_for_a_user(recorded: Connect, recorder: Recorder) -> None:
    assert recorded()("send_to_user", "u-42", "invoice", {"id": 99}) is None
    assert recorder.last.path == "/apps/4711/events"
    assert recorder.last.body == (
        b'{"name":"invoice","data":"{\\"id\\":99}","channels":["#server-to-user-u-42"]}'
    )


@pytest.mark.parametrize(("user_id", "part"), [("u-42", "u-42"), (".", "%2E"), ("..", "%2E%2E")])
def test_terminating_connections(
    recorded: Connect, recorder: Recorder, user_id: str, part: str
) -> None:
    assert recorded()("terminate_user_connections", user_id) is None
    assert recorder.last.path == f"/apps/4711/users/{part}/terminate_connections"
    assert recorder.last.body == b"{}"


def test_a_path_prefix_is_sent_and_not_signed(recorded: Connect, recorder: Recorder) -> None:
    call = recorded(path_prefix="/ws")
    call("trigger", "news", "note", {})
    path, _, query = recorder.last.target.partition("?")
    assert path == "/ws/apps/4711/events"
    parameters = parse_query(query)
    verify_request(
        "POST",
        path.removeprefix("/ws"),
        parameters,
        recorder.last.body,
        {KEY: SECRET}.get,
        recorder.last.timestamp,
    )


@pytest.mark.parametrize("channel", BAD_CHANNELS)
def test_no_illegal_channel_is_asked_about_or_published_on(call: Caller, channel: Any) -> None:
    with pytest.raises(InvalidArgument, match="channel"):
        call("trigger", ["news", channel], "note", {})
    if not isinstance(channel, list):
        with pytest.raises(InvalidArgument, match="channel"):
            call("trigger", channel, "note", {})
    with pytest.raises(InvalidArgument, match=r"batch\[0\]\.channel"):
        call("trigger_batch", [{"channel": channel, "name": "note", "data": {}}])
    with pytest.raises(InvalidArgument, match="channel"):
        call("channel", channel)
    with pytest.raises(InvalidArgument, match="channel"):
        call("users", channel)


@pytest.mark.parametrize("socket_id", [bad for bad in BAD_SOCKET_IDS if bad is not None])
def test_no_illegal_socket_id_is_sent(call: Caller, socket_id: Any) -> None:
    with pytest.raises(InvalidArgument, match="socket_id"):
        call("trigger", "news", "note", {}, socket_id=socket_id)
    event = {"channel": "news", "name": "note", "data": {}, "socket_id": socket_id}
    with pytest.raises(InvalidArgument, match="socket_id"):
        call("trigger_batch", [event])


@pytest.mark.parametrize("user_id", BAD_USER_IDS)
def test_no_illegal_user_is_named(call: Caller, user_id: Any) -> None:
    with pytest.raises(InvalidArgument, match="user_id"):
        call("send_to_user", user_id, "note", {})
    with pytest.raises(InvalidArgument, match="user_id"):
        call("terminate_user_connections", user_id)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("", "not empty"),
        (None, "expected a string, got NoneType"),
        ("x" * 201, "201 characters, allowed are 200"),
        ("pusher:note", "reserved"),
        ("pusher_internal:note", "reserved"),
        ("pusher-note", "reserved"),
    ],
)
def test_an_event_has_a_name_of_its_own(call: Caller, event: Any, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        call("trigger", "news", event, {})
    with pytest.raises(InvalidArgument, match=reason):
        call("send_to_user", "emily", event, {})
    with pytest.raises(InvalidArgument, match=reason):
        call("trigger_batch", [{"channel": "news", "name": event, "data": {}}])


CIRCLE: Final[list[object]] = []
CIRCLE.append(CIRCLE)
DEEP: Final = json.loads("[" * 900 + "]" * 900)


@pytest.mark.parametrize("data", [float("nan"), float("inf"), b"bytes", {1, 2}, object(), CIRCLE])
def test_data_that_json_has_no_form_for_is_refused(call: Caller, data: object) -> None:
    with pytest.raises(InvalidArgument, match="expected a JSON value"):
        call("trigger", "news", "note", data)
    with pytest.raises(InvalidArgument, match="expected a JSON value"):
        call("trigger", "news", "note", {"nested": [data]})


def test_data_nested_too_deeply_is_refused(call: Caller) -> None:
    data: object = DEEP
    for _ in range(1_000):
        data = [data]
    with pytest.raises(InvalidArgument, match="expected a JSON value"):
        call("trigger", "news", "note", data)


def test_sizes_are_checked_at_their_limits(recorded: Connect) -> None:
    call = recorded()
    call("trigger", "news", "note", "x" * 10_240)
    call("trigger", "news", "x" * 200, "é" * 5_120)
    call("trigger", [f"news-{number}" for number in range(100)], "note", {})
    call("trigger_batch", [{"channel": "news", "name": "n", "data": {}}] * 10)
    call("send_to_user", "u" * 128, "note", "x" * 10_240)


@pytest.mark.parametrize(
    ("method", "arguments", "reason"),
    [
        ("trigger", ("news", "note", "x" * 10_241), "10241 bytes, allowed are 10240"),
        ("trigger", ("news", "note", "é" * 5_121), "10242 bytes, allowed are 10240"),
        ("send_to_user", ("emily", "note", "x" * 10_241), "10241 bytes, allowed are 10240"),
        (
            "trigger_batch",
            ([{"channel": "news", "name": "n", "data": "x" * 10_241}],),
            r"batch\[0\]\.data: 10241 bytes, allowed are 10240",
        ),
        (
            "trigger",
            ("private-encrypted-x", "note", "x" * 7_620),
            "10244 bytes, allowed are 10240",
        ),
        (
            "trigger",
            ([f"news-{number}" for number in range(101)], "note", {}),
            "101 channels, allowed are 100",
        ),
        (
            "trigger_batch",
            ([{"channel": "news", "name": "n", "data": {}}] * 11,),
            "11 events, allowed are 10",
        ),
        ("trigger", ([], "note", {}), "at least one"),
        ("trigger_batch", ([],), "at least one"),
        ("trigger", (None, "note", {}), "expected a string or a list"),
        ("trigger", ({"news": 1}, "note", {}), "expected a string or a list"),
        ("trigger_batch", ("news",), "expected a list of events"),
        ("trigger_batch", (["news"],), "expected a mapping, got str"),
        (
            "trigger_batch",
            ([{"channel": "news", "event": "n", "data": {}}],),
            "unknown member 'event'",
        ),
        ("trigger_batch", ([{"channel": "news", "name": "n"}],), "data is missing"),
        (
            "trigger",
            (["private-encrypted-x", "news"], "note", {}),
            "is encrypted, with a secret of its own: publish to it alone",
        ),
        (
            "trigger",
            (["private-encrypted-x"] * 2, "note", {}),
            "is encrypted, with a secret of its own: publish to it alone",
        ),
        ("trigger", ("private-encrypted-x", "note", "\ud800"), "a surrogate"),
        ("users", ("news",), "not a presence channel"),
        ("users", ("private-x",), "not a presence channel"),
        ("channels", ("pre&info=user_count",), "contains '&'"),
        ("channels", ("x\n",), r"contains '\\n'"),
        ("channels", ("#server-to-user-",), "contains '#'"),
        ("channels", ("x" * 165,), "165 characters, allowed are 164"),
        ("channels", ("", ["user_count"]), "begins with presence-"),
        ("channels", ("private-", "user_count"), "begins with presence-"),
        ("channels", ("", ["cache"]), "unknown attribute 'cache'"),
        ("channel", ("news", ["user_count"]), "needs a presence channel"),
        ("channel", ("presence-x", ["subscription_count"]), "needs any but a presence channel"),
        ("channel", ("news", ["cache"]), "needs a cache channel"),
        ("channel", ("news", ["members"]), "unknown attribute 'members'"),
        ("channel", ("news", [7]), "expected a string, got int"),
        ("channel", ("news", 7), "expected a list of names, got int"),
    ],
)
def test_what_breaks_a_rule_is_not_sent(
    call: Caller, method: str, arguments: tuple[Any, ...], reason: str
) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        call(method, *arguments)


def test_an_encrypted_channel_is_not_published_on_in_the_open(client: Client) -> None:
    with pytest.raises(InvalidArgument, match="needs encryption_master_key_base64"):
        Caller(client, port=1)("trigger", "private-encrypted-x", "note", {})


def test_limits_follow_the_server(recorded: Connect) -> None:
    call = recorded(limits=Limits(max_event_bytes=0, max_event_channels=1, max_batch_events=1))
    call("trigger", "news", "note", "x" * 50_000)
    with pytest.raises(InvalidArgument, match="2 channels, allowed are 1"):
        call("trigger", ["a", "b"], "note", {})
    with pytest.raises(InvalidArgument, match="2 events, allowed are 1"):
        call("trigger_batch", [{"channel": "news", "name": "n", "data": {}}] * 2)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("channel", ["a" * 70_000]),
        ("users", ["presence-" + "a" * 70_000]),
        ("channels", ["a" * 70_000]),
    ],
)
def test_a_call_too_long_for_a_url(recorded: Connect, method: str, arguments: list[str]) -> None:
    call = recorded(limits=Limits(max_channel_name_length=0))
    with pytest.raises(InvalidArgument, match="URL too long") as refusal:
        call(method, *arguments)
    assert len(str(refusal.value)) < 200


def test_an_enumeration_is_what_it_says_on_the_wire_and_in_the_signature() -> None:
    class Room(str, Enum):  # noqa: UP042 - StrEnum has no such trap.
        LOBBY = "presence-lobby"

    request = requests.trigger(SAMPLE, nonce, Room.LOBBY, "note", {}, None, ())
    assert request.channels == ("presence-lobby",)
    assert requests.users(SAMPLE, Room.LOBBY).path == "/apps/4711/channels/presence-lobby/users"
    assert all(is_legal_channel_name(channel) for channel in request.channels)


def test_requests_are_pure() -> None:
    one, other = (
        requests.trigger(
            Application(APP_ID, KEY, SECRET, decode_master_key(MASTER_KEY)),
            nonce,
            "private-encrypted-x",
            "note",
            {"pin": "0000"},
            None,
            (),
        )
        for _ in range(2)
    )
    assert one == other
    assert one.target(SAMPLE, TIMESTAMP) == other.target(SAMPLE, TIMESTAMP)
