"""The official ``pusher`` packages of npm and PyPI send and sign the same for the same arguments.

Where a package has a defect, the test says so, and ours is right.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pusher
import pytest

from compat.scripts import Backend
from compat.serving import App
from herenow import InvalidArgument
from herenow.protocol.encryption import decode_master_key, open_sealed, shared_secret
from herenow.protocol.signing import hex_digest
from herenow.sdk.address import Application
from herenow.sdk.answers import read_nothing
from herenow.sdk.requests import Request
from sdk.callers import APP_ID, KEY, MASTER_KEY, SECRET, SOCKET_ID, Caller
from sdk.recorder import Recorded, Recorder, recording

Connect = Callable[..., Caller]

SAMPLE: Final = Application(APP_ID, KEY, SECRET)
AUTH: Final = ("auth_", "body_md5")
DATA: Final[dict[str, object]] = {
    "text": 'Zoë ☕ "quoted" \\ / \x00\x1f\x7f\u2028',
    "list": [1, True, None, {}],
}


@dataclass(frozen=True, slots=True)
class Call:
    """The same call of the three libraries: method and arguments, with names at the end."""

    ours: tuple[str, tuple[Any, ...], dict[str, Any]]
    node: tuple[Any, ...]
    python: tuple[str, tuple[Any, ...], dict[str, Any]] | None


def get(path: str, **parameters: str) -> tuple[str, dict[str, Any]]:
    return "get", {"path": path, "params": parameters}


BATCH: Final = [
    {"channel": "news", "name": "a", "data": DATA},
    {"channel": "presence-x", "name": "b", "data": "text", "socket_id": SOCKET_ID},
]
CALLS: Final = {
    "an event": Call(
        ("trigger", ("news", "note", DATA), {}),
        ("trigger", "news", "note", DATA),
        ("trigger", ("news", "note", DATA), {}),
    ),
    "an event on several channels": Call(
        ("trigger", (["news", "presence-=@,.;"], "n", "text"), {"socket_id": SOCKET_ID}),
        ("trigger", ["news", "presence-=@,.;"], "n", "text", {"socket_id": SOCKET_ID}),
        ("trigger", (["news", "presence-=@,.;"], "n", "text"), {"socket_id": SOCKET_ID}),
    ),
    "an event with info": Call(
        ("trigger", ("presence-x", "note", DATA), {"info": ["user_count", "subscription_count"]}),
        ("trigger", "presence-x", "note", DATA, {"info": "user_count,subscription_count"}),
        None,
    ),
    "a batch": Call(
        ("trigger_batch", (BATCH,), {}),
        ("triggerBatch", BATCH),
        ("trigger_batch", (BATCH,), {}),
    ),
    "an event for a user": Call(
        ("send_to_user", ("u-42", "note", DATA), {}),
        ("sendToUser", "u-42", "note", DATA),
        ("send_to_user", ("u-42", "note", DATA), {}),
    ),
    "all channels": Call(("channels", (), {}), get("/channels"), ("channels_info", (), {})),
    "some channels": Call(
        ("channels", ("presence-", ["user_count"]), {}),
        get("/channels", filter_by_prefix="presence-", info="user_count"),
        ("channels_info", ("presence-", ["user_count"]), {}),
    ),
    "a channel": Call(
        ("channel", ("cache-x", ["subscription_count", "cache"]), {}),
        get("/channels/cache-x", info="subscription_count,cache"),
        ("channel_info", ("cache-x", ["subscription_count", "cache"]), {}),
    ),
    "a channel of odd characters": Call(
        ("channel", ("_-=@,.;",), {}),
        get("/channels/_-=@,.;"),
        ("channel_info", ("_-=@,.;",), {}),
    ),
    "users": Call(
        ("users", ("presence-x",), {}),
        get("/channels/presence-x/users"),
        ("users_info", ("presence-x",), {}),
    ),
}


@pytest.fixture(scope="module")
def shared_recorder() -> Iterator[Recorder]:
    with recording() as started:
        started.answer = (200, b'{"occupied":false,"channels":{},"users":[]}')
        yield started


@pytest.fixture
def recorder(shared_recorder: Recorder) -> Recorder:
    return shared_recorder


@pytest.fixture(scope="module")
def node_package(node: str, shared_recorder: Recorder) -> Iterator[Backend]:
    backend = Backend(node, shared_recorder, App(APP_ID, KEY, SECRET))
    yield backend
    backend.close()


@pytest.fixture
def python_package(recorder: Recorder) -> Any:
    return pusher.Pusher(
        app_id=APP_ID,
        key=KEY,
        secret=SECRET,
        ssl=False,
        host=recorder.host,
        port=recorder.port,
        encryption_master_key_base64=MASTER_KEY,
    )


@pytest.fixture
def send(
    recorded: Connect, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Call, int], Recorded]:
    """Sends a call with ours, at a given time."""

    def send(call: Call, timestamp: int) -> Recorded:
        for module in ("channels", "async_channels"):
            monkeypatch.setattr(f"herenow.sdk.{module}.timestamp", lambda: timestamp)
        method, arguments, options = call.ours
        recorded()(method, *arguments, **options)
        return recorder.last

    return send


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_node_sends_the_same_bytes(
    call: Call,
    send: Callable[[Call, int], Recorded],
    node_package: Backend,
    recorder: Recorder,
) -> None:
    method, *arguments = call.node
    node_package.call(method, *arguments)
    theirs = recorder.last
    ours = send(call, theirs.timestamp)
    assert (ours.method, ours.target, ours.body) == (theirs.method, theirs.target, theirs.body)


@pytest.mark.parametrize(
    "call",
    [call for call in CALLS.values() if call.python],
    ids=[name for name, call in CALLS.items() if call.python],
)
def test_python_sends_the_same_with_spaces_and_escapes(
    call: Call,
    send: Callable[[Call, int], Recorded],
    python_package: Any,
    recorder: Recorder,
) -> None:
    """Its JSON is written otherwise, and a GET carries the MD5 of nothing."""
    assert call.python is not None
    method, arguments, options = json.loads(json.dumps(call.python))
    getattr(python_package, method)(*arguments, **options)
    theirs = recorder.last
    ours = send(call, theirs.timestamp)
    assert (ours.method, ours.path) == (theirs.method, theirs.path)
    assert decoded(ours.body) == decoded(theirs.body)
    asked = {k: v for k, v in theirs.parameters.items() if not k.startswith(AUTH)}
    assert {k: v for k, v in ours.parameters.items() if not k.startswith(AUTH)} == asked
    if theirs.method == "GET":
        asked["body_md5"] = "d41d8cd98f00b204e9800998ecf8427e"
    assert signed_by_us(theirs, asked) == theirs.parameters


def signed_by_us(theirs: Recorded, parameters: dict[str, str]) -> dict[str, str]:
    method: Any = theirs.method
    request = Request(method, theirs.path, read_nothing, (), parameters, theirs.body)
    target = request.target(SAMPLE, theirs.timestamp)
    return Recorded(theirs.method, target, {}, b"").parameters


def decoded(body: bytes) -> Any:
    """A body, with the data of events as what it means where it is JSON."""
    if not body:
        return None
    fields = json.loads(body)
    for event in fields.get("batch", [fields]):
        if event["data"].startswith("{"):
            event["data"] = json.loads(event["data"])
    return fields


@pytest.mark.parametrize(
    ("channel", "member"),
    [
        ("private-orders.7", None),
        ("presence-room", None),
        ("presence-room", {"user_id": "emily", "user_info": {"name": "Emily", "age": 7}}),
        ("presence-room", {"user_id": "émile", "user_info": {"name": "É/☕\u2028"}}),
        ("presence-room", {"user_id": 10}),
        ("private-encrypted-vault", None),
        ("news", None),
    ],
)
def test_channels_are_signed_alike(
    node_package: Backend, python_package: Any, call: Caller, channel: str, member: Any
) -> None:
    answer = call("authorize_channel", SOCKET_ID, channel, member)
    assert answer == node_package.call("authorizeChannel", SOCKET_ID, channel, member)
    theirs = python_package.authenticate(channel, SOCKET_ID, member)
    parts = [SOCKET_ID, channel]
    if member is not None:
        assert json.loads(theirs["channel_data"]) == member, "with spaces and escapes"
        parts.append(theirs["channel_data"])
    assert theirs["auth"] == f"{KEY}:" + hex_digest(SECRET, ":".join(parts))
    assert member is not None or theirs["auth"] == answer["auth"]
    if "shared_secret" in answer:
        assert isinstance(theirs["shared_secret"], bytes), "which no JSON can carry"
        assert theirs["shared_secret"].decode() == answer["shared_secret"]


@pytest.mark.parametrize(
    "user",
    [
        {"id": "u-42"},
        {"id": "u-42", "user_info": {"name": "Lucía ☕"}, "watchlist": ["u-7", "u-9"]},
    ],
)
def test_users_are_signed_alike(
    node_package: Backend, python_package: Any, call: Caller, user: Any
) -> None:
    answer = call("authenticate_user", SOCKET_ID, user)
    assert answer == node_package.call("authenticateUser", SOCKET_ID, user)
    theirs = python_package.authenticate_user(SOCKET_ID, user)
    assert json.loads(theirs["user_data"]) == user
    string = f"{SOCKET_ID}::user::{theirs['user_data']}"
    assert theirs["auth"] == f"{KEY}:" + hex_digest(SECRET, string)


def test_terminating_connections(
    node_package: Backend, python_package: Any, recorded: Connect, recorder: Recorder
) -> None:
    """Python's leaves the application out of the path, which Pusher does not document."""
    recorded()("terminate_user_connections", "u-42")
    ours = recorder.last
    node_package.call("terminateUserConnections", "u-42")
    assert (ours.method, ours.path, ours.body) == (
        recorder.last.method,
        recorder.last.path,
        recorder.last.body,
    )
    python_package.terminate_user_connections("u-42")
    assert ours.path == "/apps/4711" + recorder.last.path
    assert (ours.method, ours.body) == (recorder.last.method, recorder.last.body)


@pytest.mark.parametrize("data", [{"pin": "0000"}, ["é"], "text", '{"pin": "0000"}'])
def test_what_is_encrypted_opens_alike(
    node_package: Backend, python_package: Any, recorded: Connect, recorder: Recorder, data: Any
) -> None:
    """Node's puts a string into quotes there, and nowhere else; Python's and ours never do."""
    vault = "private-encrypted-vault"
    secret = shared_secret(vault, decode_master_key(MASTER_KEY))

    def sent() -> str:
        return open_sealed(json.loads(recorder.last.body)["data"], secret).decode()

    recorded()("trigger", vault, "note", data)
    ours = sent()
    python_package.trigger(vault, "note", data)
    pythons = sent()
    node_package.call("trigger", vault, "note", data)
    nodes = sent()
    if isinstance(data, str):
        assert ours == pythons == data
        assert json.loads(nodes) == data
    else:
        assert ours == nodes
        assert json.loads(pythons) == data


def test_python_signs_for_socket_ids_of_other_digits(python_package: Any, call: Caller) -> None:
    socket_id = "\u0661.\u0662"
    assert "auth" in python_package.authenticate("private-x", socket_id)
    with pytest.raises(InvalidArgument):
        call("authorize_channel", socket_id, "private-x")


def test_both_sign_names_that_no_server_takes(
    python_package: Any, node_package: Backend, call: Caller
) -> None:
    channel = "private-" + "x" * 157
    assert "auth" in python_package.authenticate(channel, SOCKET_ID)
    assert "auth" in node_package.call("authorizeChannel", SOCKET_ID, channel)
    with pytest.raises(InvalidArgument, match="165 characters, allowed are 164"):
        call("authorize_channel", SOCKET_ID, channel)


@pytest.mark.parametrize("user_id", ["émile", "emily\n", "x" * 201])
def test_node_signs_in_users_who_cannot_be(
    node_package: Backend, call: Caller, user_id: str
) -> None:
    assert "auth" in node_package.call("authenticateUser", SOCKET_ID, {"id": user_id})
    with pytest.raises(InvalidArgument):
        call("authenticate_user", SOCKET_ID, {"id": user_id})


def test_both_sign_members_without_an_id(
    python_package: Any, node_package: Backend, call: Caller
) -> None:
    member = {"name": "Emily"}
    assert "auth" in python_package.authenticate("presence-x", SOCKET_ID, member)
    assert "auth" in node_package.call("authorizeChannel", SOCKET_ID, "presence-x", member)
    with pytest.raises(InvalidArgument, match="user_id is required"):
        call("authorize_channel", SOCKET_ID, "presence-x", member)


def test_python_takes_an_empty_member_for_none(python_package: Any, call: Caller) -> None:
    assert "channel_data" not in python_package.authenticate("presence-x", SOCKET_ID, {})
    with pytest.raises(InvalidArgument, match="user_id is required"):
        call("authorize_channel", SOCKET_ID, "presence-x", {})


def test_python_measures_its_own_memory(
    python_package: Any, recorded: Connect, recorder: Recorder
) -> None:
    """It counts the bytes of the object, and the limit is that of UTF-8 on the wire."""
    call, event = recorded(), {"channel": "news", "name": "n", "data": "x" * 10_240}
    with pytest.raises(ValueError, match="Too much data"):
        python_package.trigger_batch([dict(event)])
    call("trigger_batch", [event])
    python_package.trigger("news", "n", "x" * 30_000)
    assert len(json.loads(recorder.last.body)["data"]) == 30_000
    with pytest.raises(InvalidArgument, match="30000 bytes, allowed are 10240"):
        call("trigger", "news", "n", "x" * 30_000)


def test_node_sends_any_amount(
    node_package: Backend, recorded: Connect, recorder: Recorder
) -> None:
    node_package.call("trigger", "news", "n", "x" * 10_241)
    assert len(json.loads(recorder.last.body)["data"]) == 10_241
    with pytest.raises(InvalidArgument, match="10241 bytes, allowed are 10240"):
        recorded()("trigger", "news", "n", "x" * 10_241)


def test_python_changes_the_callers_batch(python_package: Any, recorded: Connect) -> None:
    theirs, ours = ([{"channel": "c", "name": "n", "data": {"n": 1}}] for _ in range(2))
    python_package.trigger_batch(theirs)
    assert theirs[0]["data"] == '{"n": 1}'
    recorded()("trigger_batch", ours)
    assert ours[0]["data"] == {"n": 1}


def test_a_webhook_that_both_accept(
    node_package: Backend, python_package: Any, call: Caller
) -> None:
    events = [{"name": "member_added", "channel": "presence-x", "user_id": "émile"}]
    body = json.dumps({"time_ms": int(time.time() * 1000), "events": events})
    signature = hex_digest(SECRET, body)
    headers = {"X-Pusher-Key": KEY, "X-Pusher-Signature": signature}
    lower = {name.lower(): value for name, value in headers.items()}
    lower["content-type"] = "application/json"
    theirs = node_package.call("webhook", {"headers": lower, "rawBody": body})
    assert theirs == {"valid": True, "events": events}
    expected = python_package.validate_webhook(KEY, signature, body)
    assert call("webhook", headers, body.encode()) == expected
