"""What a connection may do, and what it is told when it may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from herenow.apps.base import App, Key, Limits
from herenow.protocol.identity import User
from herenow.protocol.messages import ClientMessage
from herenow.protocol.names import ChannelKind
from herenow.protocol.session import (
    AUTH_ERROR,
    LIMIT_REACHED,
    ClientEvent,
    Refused,
    Session,
    Signin,
    Subscribe,
)
from herenow.protocol.signing import channel_string, hex_digest, user_string

SOCKET, KEY, SECRET = "81234.5678901", "a1b2c3d4e5f60718293a", "0f1e2d3c4b5a69788796"
OLD = Key("old-key", "old-secret")
MEMBER = '{"user_id":"u-42","user_info":{"name":"Ada"}}'


def make_session(user: str | None = None, **limits: int) -> Session:
    app = App("4711", (OLD, Key(KEY, SECRET)), client_events=True, limits=Limits(**limits))
    session = Session(SOCKET, app)
    if user is not None:
        session.user = User(user, b'{"from":"sign-in"}')
    return session


def auth(string: str, key: str = KEY, secret: str = SECRET) -> str:
    return f"{key}:{hex_digest(secret, string)}"


def subscribe(session: Session, channel: object, **fields: object) -> Subscribe | Refused:
    """Subscribe with a good signature, unless *fields* has another."""
    channel_data = fields.get("channel_data")
    signed = channel_data if isinstance(channel_data, str) else None
    data: dict[str, object] = {"channel": channel, **fields}
    data.setdefault("auth", auth(channel_string(SOCKET, str(channel), signed)))
    return session.subscribe(json.dumps(data).encode())


def sign_in(session: Session, user_data: object, **fields: object) -> Signin | Refused:
    data = {"user_data": user_data, "auth": auth(user_string(SOCKET, str(user_data))), **fields}
    return session.signin(json.dumps(data).encode())


def refused(answer: object, message: str | None = None) -> Refused:
    assert isinstance(answer, Refused), answer
    assert answer.code is None
    if message is not None:
        assert answer.message == message
    return answer


def joined(answer: Subscribe | Refused) -> Subscribe:
    assert isinstance(answer, Subscribe), answer
    return answer


@pytest.mark.parametrize("data", [None, b'"x"', b"[]", b"7", b"true"])
def test_data_must_be_an_object(data: bytes | None) -> None:
    session = make_session()
    for check in (session.subscribe, session.unsubscribe, session.signin):
        refused(check(data), "Expected parameter data to be a hash")


@pytest.mark.parametrize("channel", [None, "", 7, [], {}])
def test_a_channel_must_be_named(channel: object) -> None:
    refused(subscribe(make_session(), channel), "Missing parameter: data.channel")
    data = json.dumps({"channel": channel}).encode()
    refused(make_session().unsubscribe(data), "Missing parameter: data.channel")


@pytest.mark.parametrize("channel", ["a b", "a" * 165, "#x", "#server-to-user-", "é"])
def test_an_illegal_name_is_told(channel: str) -> None:
    refused(subscribe(make_session(), channel), f"Invalid channel name {channel}")


def test_a_channel_is_joined_once() -> None:
    session = make_session()
    session.enter("a", None)
    refused(subscribe(session, "a"), "Existing subscription to channel a")


def test_a_channel_that_was_left_may_be_joined_again() -> None:
    session = make_session()
    for _ in range(2):
        session.enter("a", None)
        assert dict(session.subscriptions) == {"a": None}
        session.leave("a")
        assert not session.subscriptions
        assert joined(subscribe(session, "a")).channel == "a"


@pytest.mark.parametrize("channel", ["a", "cache-a", "presence", "private"])
def test_public_channels_need_no_signature(channel: str) -> None:
    for fields in ({}, {"auth": None}, {"auth": ""}, {"auth": "x", "channel_data": 7}):
        assert joined(subscribe(make_session(), channel, **fields)).member is None


@pytest.mark.parametrize(
    "channel", ["private-a", "private-cache-a", "private-encrypted-a", "private-encrypted-cache-a"]
)
def test_private_channels_are_signed(channel: str) -> None:
    answer = joined(subscribe(make_session(), channel))
    assert (answer.channel, answer.member) == (channel, None)
    assert joined(subscribe(make_session(), channel, channel_data="signed as well"))
    other = auth(channel_string("1.2", channel))
    refused(
        subscribe(make_session(), channel, auth=other),
        f"Invalid signature: Expected HMAC SHA256 hex digest of {SOCKET}:{channel}, "
        f"but got {other.removeprefix(KEY + ':')}",
    )


def test_every_key_of_the_app_signs() -> None:
    string = channel_string(SOCKET, "private-a")
    assert joined(subscribe(make_session(), "private-a", auth=auth(string, OLD.key, OLD.secret)))
    refused(subscribe(make_session(), "private-a", auth=auth(string, OLD.key, SECRET)))
    refused(
        subscribe(make_session(), "private-a", auth=auth(string, "other")),
        "Invalid key in subscription auth data: 'other'",
    )


@pytest.mark.parametrize("wrong", [None, "", "x", 7, []])
def test_a_signature_has_its_format(wrong: object) -> None:
    refused(
        subscribe(make_session(), "private-a", auth=wrong),
        "Invalid format: auth must have the format key:signature",
    )


def test_refused_signatures_are_told_on_the_channel_unless_it_is_encrypted() -> None:
    for channel, told in (("private-a", "private-a"), ("private-encrypted-a", None)):
        answer = refused(subscribe(make_session(), channel, auth="x:y"))
        assert answer.channel == told
        assert answer.channel_error == AUTH_ERROR


def test_a_member_is_who_the_channel_data_names() -> None:
    answer = joined(subscribe(make_session("someone-else"), "presence-a", channel_data=MEMBER))
    assert answer.member == User("u-42", b'{"name":"Ada"}')
    assert answer.kind is ChannelKind.PRESENCE


def test_without_channel_data_it_is_the_signed_in_user() -> None:
    for fields in ({}, {"channel_data": None}):
        answer = joined(subscribe(make_session("u-7"), "presence-a", **fields))
        assert answer.member == User("u-7", b'{"from":"sign-in"}')
    refused(
        subscribe(make_session(), "presence-a"),
        "presence-a is a presence channel and subscription must include channel_data",
    )


@pytest.mark.parametrize(
    ("user_id", "expected"),
    [
        ('"u"', "u"),
        ("10", "10"),
        ("-1", "-1"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ('"auth0|5f7c"', "auth0|5f7c"),
        ('"a+b@c.d e"', "a+b@c.d e"),
        ('"Zoë ☕"', "Zoë ☕"),
        ('"\\u005a"', "Z"),
        (f'"{"u" * 128}"', "u" * 128),
        ("null", None),
        ('""', None),
        ("true", None),
        ("1.5", None),
        ("[]", None),
        ("{}", None),
        ("1" * 5_000, None),
        ("1" * 129, None),
        (f'"{"u" * 129}"', None),
        ('"a\\u0000b"', None),
        ('"a\\u0085b"', None),
        ('"\\ud800"', None),
    ],
)
def test_who_may_be_a_member(user_id: str, expected: str | None) -> None:
    answer = subscribe(make_session(), "presence-a", channel_data=f'{{"user_id":{user_id}}}')
    if expected is None:
        assert refused(answer).channel_error == AUTH_ERROR
    else:
        assert joined(answer).member == User(expected, b"{}")


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("{}", b"{}"),
        ("null", b"{}"),
        ('{ "a" : [ 1.0 , "x  y" ] }', b'{"a":[1.0,"x  y"]}'),
        ('{"a":"\\ud800"}', b'{"a":"\\ud800"}'),
        ('{"a":"é\u2028"}', '{"a":"é\u2028"}'.encode()),
        ('{"a":1e400}', None),
        ('{"a":"\\ud800","b":1e400}', None),
        ('{"a":NaN}', None),
        ('{"a":' + "[" * 3_000 + "]" * 3_000 + "}", None),
        ("true", None),
        ('"x"', None),
        ("[]", None),
        ("7", None),
    ],
)
def test_what_may_be_told_of_a_member(info: str, expected: bytes | None) -> None:
    session = make_session(max_presence_member_bytes=0)
    channel_data = f'{{"user_id":"u","user_info":{info}}}'
    answer = subscribe(session, "presence-a", channel_data=channel_data)
    if expected is None:
        refused(answer)
    else:
        assert joined(answer).member == User("u", expected)


def test_info_that_is_no_object_is_told_in_pushers_words() -> None:
    answer = subscribe(make_session(), "presence-a", channel_data='{"user_id":1,"user_info":true}')
    refused(
        answer,
        "user_info supplied to presence subscription is invalid"
        " - if supplied it must be a type of hash",
    )


@pytest.mark.parametrize("channel_data", ["", "x", "[]", "7", "null", '"x"', "{", "\ud800"])
def test_channel_data_is_an_object(channel_data: str) -> None:
    answer = refused(subscribe(make_session(), "presence-a", channel_data=channel_data))
    assert "channel_data" in answer.message


@pytest.mark.parametrize("channel_data", [7, [], {}, True])
def test_channel_data_is_a_string(channel_data: object) -> None:
    refused(
        subscribe(make_session("u"), "presence-a", channel_data=channel_data),
        "Expected parameter data.channel_data to be a string",
    )


def test_the_signature_is_checked_before_the_member() -> None:
    answer = refused(subscribe(make_session(), "presence-a", channel_data="{", auth=f"{KEY}:00"))
    assert answer.message.startswith("Invalid signature")


def test_the_size_of_info_is_that_of_its_compact_json() -> None:
    for size, fits in ((1_024, True), (1_025, False)):
        padding = "x" * (size - len('{"a":"é"}'.encode()))
        info = json.dumps({"a": "é" + padding}, ensure_ascii=False, indent=4)
        answer = subscribe(
            make_session(), "presence-a", channel_data=f'{{"user_id":"u","user_info":{info}}}'
        )
        assert isinstance(answer, Subscribe) is fits


def test_channels_are_limited_also_those_under_way() -> None:
    session = make_session(max_channels_per_connection=2)
    session.enter("a", None)
    data = b'{"channel":"b"}'
    assert isinstance(session.subscribe(data), Subscribe)
    answer = refused(session.subscribe(data, under_way=1))
    assert answer.channel_error == LIMIT_REACHED
    session.enter("c", None)
    refused(session.subscribe(data), "Limit of 2 channels per connection reached")


def test_a_users_own_channel_is_for_him_alone() -> None:
    assert joined(subscribe(make_session("u-7"), "#server-to-user-u-7", auth=""))
    for user in (None, "u-8"):
        refused(subscribe(make_session(user), "#server-to-user-u-7", auth=""))


def test_unsubscribing_needs_a_subscription() -> None:
    session = make_session()
    session.enter("a", None)
    assert session.unsubscribe(b'{"channel":"a"}') == "a"
    refused(
        session.unsubscribe(b'{"channel":"b"}'),
        "No current subscription to channel b, or subscription in progress",
    )


def test_a_sign_in_carries_what_was_verified() -> None:
    user_data = '{"id":"u-42","user_info":{ "name":"Ada" },"watchlist":["u-7","u-9","u-7"]}'
    answer = sign_in(make_session(), user_data)
    assert answer == Signin(User("u-42", b'{"name":"Ada"}'), user_data, ("u-7", "u-9"), None)


@pytest.mark.parametrize("name", ["auth", "user_data"])
@pytest.mark.parametrize("missing", [True, False])
def test_a_sign_in_names_what_is_missing(name: str, missing: bool) -> None:
    data: dict[str, Any] = {"auth": "a:b", "user_data": "{}", name: None}
    if missing:
        del data[name]
    answer = make_session().signin(json.dumps(data).encode())
    refused(answer, f"Missing parameter: data.{name}")


def test_a_sign_in_is_signed() -> None:
    user_data = '{"id":"u"}'
    refused(
        sign_in(make_session(), user_data, auth=f"{KEY}:00ff"),
        f"Invalid signature: Expected HMAC SHA256 hex digest of {SOCKET}::user::{user_data},"
        " but got 00ff",
    )
    refused(
        sign_in(make_session(), user_data, auth="x:00ff"),
        "Invalid key in subscription auth data: 'x'",
    )
    refused(
        sign_in(make_session(), user_data, auth="x"),
        "Invalid format: auth must have the format key:signature",
    )


@pytest.mark.parametrize(
    "user_data",
    [
        "",
        "x",
        "[]",
        "{}",
        '{"id":null}',
        '{"id":""}',
        '{"id":7}',
        '{"id":"a b"}',
        '{"id":"a|b"}',
        '{"id":"\\ud800"}',
        f'{{"id":"{"u" * 129}"}}',
        '{"id":"u","user_info":"x"}',
        '{"id":"u","user_info":[]}',
        '{"id":"u","watchlist":"x"}',
        '{"id":"u","watchlist":{}}',
        '{"id":"u","watchlist":[7]}',
        '{"id":"u","watchlist":[null]}',
        '{"id":"u","watchlist":[1e400]}',
    ],
)
def test_user_data_that_is_refused(user_data: str) -> None:
    session = make_session()
    refused(sign_in(session, user_data))
    assert session.user is None


def test_the_illegal_character_of_a_user_id_is_named() -> None:
    assert "'|'" in refused(sign_in(make_session(), '{"id":"a|b"}')).message


def test_a_connection_is_one_user() -> None:
    session = make_session("u-7")
    assert isinstance(sign_in(session, '{"id":"u-7","watchlist":["a"]}'), Signin)
    refused(sign_in(session, '{"id":"u-8"}'), "Connection is already signed in as u-7, not u-8")


def test_a_watchlist_is_cut_with_a_word() -> None:
    watchlist = [f"u-{number}" for number in range(4)]
    user_data = json.dumps({"id": "u", "watchlist": watchlist})
    answer = sign_in(make_session(max_watchlist=3), user_data)
    assert isinstance(answer, Signin)
    assert answer.watchlist == ("u-0", "u-1", "u-2")
    assert answer.watchlist_cut is not None
    assert answer.watchlist_cut.code == 4302
    answer = sign_in(make_session(max_watchlist=4), user_data)
    assert isinstance(answer, Signin)
    assert answer.watchlist_cut is None


def client_event(
    session: Session, data: bytes | None = b"{}", channel: str | None = "private-a"
) -> ClientEvent | Refused:
    session.enter("private-a", None)
    session.enter("presence-a", "member")
    return session.client_event(ClientMessage("client-x", channel, data))


@pytest.mark.parametrize(
    ("data", "token", "text"),
    [
        (b'"as it is \\u0041"', b'"as it is \\u0041"', "as it is A"),
        (b'{ "a" : 1.0 }', b'"{\\"a\\":1.0}"', '{"a":1.0}'),
        (b"7", b'"7"', "7"),
        (b"true", b'"true"', "true"),
        ('{"a":"é☕"}'.encode(), '"{\\"a\\":\\"é☕\\"}"'.encode(), '{"a":"é☕"}'),
        (b'"\\ud800"', b'"\\ud800"', "\ud800"),
    ],
)
def test_data_of_client_events_is_relayed_as_a_string(data: bytes, token: bytes, text: str) -> None:
    answer = client_event(make_session(), data)
    assert answer == ClientEvent("private-a", "client-x", token, text, None)


def test_the_user_of_a_client_event_is_the_member() -> None:
    answer = client_event(make_session("signed-in"), channel="presence-a")
    assert isinstance(answer, ClientEvent)
    assert answer.user_id == "member"


@pytest.mark.parametrize("data", [b"1e400", b'["\\ud800",1e400]', b"[" * 2_000 + b"]" * 2_000])
def test_data_that_nobody_could_read_is_not_relayed(data: bytes) -> None:
    refused(client_event(make_session(), data), "Invalid JSON")


def test_client_events_can_be_off() -> None:
    session = Session(SOCKET, App("1", (OLD,)))
    refused(
        client_event(session),
        "To send client events, you must enable this feature in the Settings page of your"
        " dashboard.",
    )


@pytest.mark.parametrize(("data", "channel"), [(None, "private-a"), (b"{}", None), (b"{}", "")])
def test_a_client_event_has_channel_and_data(data: bytes | None, channel: str | None) -> None:
    refused(
        client_event(make_session(), data, channel),
        "Invalid client event (must contain channel and data)",
    )


@pytest.mark.parametrize("channel", ["a", "cache-a", "#server-to-user-u", "private-encrypted-a"])
def test_client_events_are_for_private_and_presence_channels(channel: str) -> None:
    session = make_session()
    session.enter(channel, None)
    refused(
        client_event(session, channel=channel),
        "Client event rejected - only supported on private and presence channels",
    )


def test_the_sender_must_be_subscribed() -> None:
    refused(
        client_event(make_session(), channel="private-b"),
        "Cannot broadcast client event (connection not subscribed to channel private-b)",
    )


def test_client_events_are_as_large_as_published_ones() -> None:
    for size, fits in ((100, True), (101, False)):
        data = json.dumps("é" * (size // 2) + "x" * (size % 2)).encode()
        answer = client_event(make_session(max_event_bytes=100), data)
        assert isinstance(answer, ClientEvent) is fits
    long_name = ClientMessage("client-" + "x" * 200, "private-a", b"{}")
    session = make_session()
    session.enter("private-a", None)
    assert "200 characters" in refused(session.client_event(long_name)).message


def test_no_reason_to_log_has_the_signature() -> None:
    session = make_session()
    answers = [
        subscribe(session, "private-a", auth=f"{KEY}:00ff00ff"),
        sign_in(session, '{"id":"u"}', auth=f"{KEY}:00ff00ff"),
    ]
    for answer in answers:
        logged = refused(answer)
        assert "00ff00ff" in logged.message
        assert logged.log
        assert "00ff00ff" not in logged.log
