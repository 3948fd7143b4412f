"""Every call against a real server with real connections."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from conformance.harness.connection import MEMBER_ADDED
from conformance.harness.service import Service
from herenow import InvalidArgument, Limits, Refused
from herenow.protocol.encryption import decode_master_key, open_sealed, shared_secret
from sdk.callers import MASTER_KEY, Caller

Connect = Callable[..., Caller]


@pytest.fixture
def call(backend: Connect) -> Caller:
    return backend()


def test_an_event_reaches_all_but_the_given_connection(call: Caller, service: Service) -> None:
    sender, reader = service.connect(), service.connect()
    for connection in (sender, reader):
        connection.subscribe("news")
    call("trigger", "news", "first", {"text": "Zoë ☕"}, socket_id=sender.socket_id)
    call("trigger", "news", "second", '{ "as": "it is" }')
    reader.expect_event("first", "news", '{"text":"Zoë ☕"}')
    reader.expect_event("second", "news", '{ "as": "it is" }')
    sender.expect_event("second", "news")


def test_a_batch_arrives_in_order(call: Caller, service: Service) -> None:
    reader, emily = service.connect(), service.connect()
    reader.subscribe("news")
    emily.join("presence-room", "emily")
    batch = [
        {"channel": "news", "name": "a", "data": {"n": 1}},
        {"channel": "presence-room", "name": "b", "data": {"n": 2}, "info": ["user_count"]},
        {"channel": "news", "name": "c", "data": {"n": 3}},
    ]
    assert call("trigger_batch", batch) == {"batch": [{}, {"user_count": 1}, {}]}
    reader.expect_event("a", "news", '{"n":1}')
    reader.expect_event("c", "news", '{"n":3}')
    emily.expect_event("b", "presence-room", '{"n":2}')


def test_questions_about_channels(call: Caller, service: Service) -> None:
    emily = service.connect()
    emily.join("presence-hall", "emily")
    emily.subscribe("cache-weather")
    call("trigger", "cache-weather", "report", {"celsius": 21})
    assert call("channels", "presence-hall", ["user_count"]) == {
        "channels": {"presence-hall": {"user_count": 1}}
    }
    assert call("channels")["channels"]["cache-weather"] == {}
    assert call("channel", "presence-hall", "user_count") == {"occupied": True, "user_count": 1}
    assert call("channel", "never-seen") == {"occupied": False}
    cached = call("channel", "cache-weather", ["cache"])["cache"]
    assert cached["data"] == '{"celsius":21}'
    assert 0 < cached["ttl"] <= 1_800
    assert call("channel", "cache-empty", ["cache"]) == {"occupied": False, "cache": None}
    assert call("users", "presence-hall") == {"users": [{"id": "emily"}]}
    assert call("users", "presence-empty") == {"users": []}


def test_counts_of_subscriptions(backend: Connect, service: Service) -> None:
    call = backend("counted")
    service.connect("counted").subscribe("crowd")
    expected = {"occupied": True, "subscription_count": 1}
    assert call("channel", "crowd", ["subscription_count"]) == expected
    assert call("channels", "crowd")["channels"] == {"crowd": expected}
    answer = call("trigger", "crowd", "note", {}, info="subscription_count")
    assert answer == {"channels": {"crowd": {"subscription_count": 1}}}


def test_a_member_whom_the_sdk_authorized(call: Caller, service: Service) -> None:
    emily, frank = service.connect(), service.connect()
    frank.join("presence-sdk", "frank")
    member = {"user_id": "émile", "user_info": {"name": "É/☕"}}
    answer = call("authorize_channel", emily.socket_id, "presence-sdk", member)
    emily.send("pusher:subscribe", {"channel": "presence-sdk", **answer})
    emily.expect_event("pusher_internal:subscription_succeeded", "presence-sdk")
    added = frank.expect_event(MEMBER_ADDED, "presence-sdk")
    assert added.decoded() == member


def test_a_user_whom_the_sdk_signed_in(call: Caller, service: Service) -> None:
    emily = service.connect()
    answer = call("authenticate_user", emily.socket_id, {"id": "emily", "user_info": {"n": 1}})
    emily.send("pusher:signin", answer)
    emily.expect_object(
        "pusher:signin_success", None, {"user_data": '{"id":"emily","user_info":{"n":1}}'}
    )
    emily.subscribe("#server-to-user-emily")
    call("send_to_user", "emily", "invoice", {"id": 99})
    emily.expect_event("invoice", "#server-to-user-emily", '{"id":99}')
    call("terminate_user_connections", "emily")
    emily.expect_closed(4009)
    assert call("terminate_user_connections", "nobody") is None


@pytest.mark.parametrize("user_id", [".", "..", "=@,.;"])
def test_users_whose_ids_look_like_steps_in_a_path(
    call: Caller, service: Service, user_id: str
) -> None:
    connection = service.connect()
    connection.send(
        "pusher:signin", call("authenticate_user", connection.socket_id, {"id": user_id})
    )
    connection.expect_event("pusher:signin_success")
    call("terminate_user_connections", user_id)
    connection.expect_closed(4009)


def test_channels_whose_names_look_like_steps_in_a_path(call: Caller, service: Service) -> None:
    service.connect().subscribe("..")
    assert call("channel", "..") == {"occupied": True}
    assert call("channel", ".") == {"occupied": False}


def test_an_encrypted_channel(call: Caller, service: Service) -> None:
    vault, emily = "private-encrypted-vault", service.connect()
    answer = call("authorize_channel", emily.socket_id, vault)
    emily.send("pusher:subscribe", {"channel": vault, "auth": answer["auth"]})
    emily.expect_event("pusher_internal:subscription_succeeded", vault)
    call("trigger", vault, "rotated", {"pin": "0000"})
    sealed = emily.expect_event("rotated", vault).data
    secret = shared_secret(vault, decode_master_key(MASTER_KEY))
    assert json.loads(open_sealed(sealed, secret)) == {"pin": "0000"}


@pytest.mark.parametrize(
    ("app", "settings", "status", "reason"),
    [
        ("main", {"secret": "guessed"}, 401, "Invalid signature"),
        ("main", {"key": "unknown"}, 401, "Unknown auth_key"),
        ("main", {"app_id": "9999"}, 401, "Unknown auth_key"),
        ("main", {"path_prefix": "/elsewhere"}, 404, "404 NOT FOUND"),
        ("disabled", {}, 403, "disabled"),
        ("main", {"limits": Limits(max_event_bytes=0)}, 413, "exceeds the allowed maximum"),
    ],
)
def test_refusals(
    backend: Connect, app: str, settings: dict[str, object], status: int, reason: str
) -> None:
    with pytest.raises(Refused, match=reason) as refusal:
        backend(app, **settings)("trigger", "news", "note", "x" * 10_241 if status == 413 else {})
    assert refusal.value.status == status
    assert refusal.value.channel == "news"


def test_a_server_with_other_limits(backend: Connect, service: Service) -> None:
    reader = service.connect("large")
    reader.subscribe("news")
    with pytest.raises(InvalidArgument):
        backend("large")("trigger", "news", "note", "x" * 20_000)
    limits = Limits(max_event_bytes=20_000)
    backend("large", limits=limits)("trigger", "news", "note", "x" * 20_000)
    reader.expect_event("note", "news", "x" * 20_000)
