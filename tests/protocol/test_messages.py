"""Events as bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herenow.protocol import messages
from herenow.protocol.messages import (
    ClientMessage,
    InvalidJSON,
    MemberEntry,
    compact_json,
    decode_client_message,
    decode_hash,
    decode_json,
    decode_string,
    encode_json,
    event,
    quoted,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b'{"event":"e"}', ClientMessage("e", None, None)),
        (b'{"event":"e","data":null,"channel":null}', ClientMessage("e", None, None)),
        (b'{"event":"e","data":{}}', ClientMessage("e", None, b"{}")),
        (b'{ "data" : { "a": 1 } , "event":"e"}', ClientMessage("e", None, b'{ "a": 1 }')),
        (b'{"event":"e","data":"{}","channel":"c"}', ClientMessage("e", "c", b'"{}"')),
        (b'{"event":"e","data":0,"more":[1]}', ClientMessage("e", None, b"0")),
        (b'{"event":"e","channel":7,"data":1}', ClientMessage("e", None, b"1")),
        (b'{"event":"a","event":"b"}', ClientMessage("b", None, None)),
        (b'{"event":"\\ud800","data":"\\ud800"}', ClientMessage("\ud800", None, b'"\\ud800"')),
    ],
)
def test_a_message_is_read(payload: bytes, message: ClientMessage) -> None:
    assert decode_client_message(payload) == message


@pytest.mark.parametrize("payload", [b"", b"x", b"{", b'{"event":"e",}', b"{'event':1}", b"NaN"])
def test_what_is_not_json_is_invalid_json(payload: bytes) -> None:
    assert decode_client_message(payload) == "Invalid JSON"


@pytest.mark.parametrize("payload", [b"[]", b"7", b"null", b'"e"', b"{}", b'{"event":7}'])
def test_what_has_no_event_misses_it(payload: bytes) -> None:
    assert decode_client_message(payload) == "Missing parameter: event"


@pytest.mark.parametrize("depth", [100_000, 3_000])
def test_what_is_nested_too_deeply_is_bad_input(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    with pytest.raises(InvalidJSON):
        decode_json(nested)
    with pytest.raises(InvalidJSON):
        compact_json(nested)
    assert decode_client_message(nested) == "Invalid JSON"


@pytest.mark.parametrize(
    "text", [b"NaN", b"[Infinity]", b"-Infinity", b"1e400", b"[-1e999]", b"1" * 5_000, b"\xff"]
)
def test_what_other_readers_could_not_hold_is_not_json(text: bytes) -> None:
    for read in (decode_json, compact_json):
        with pytest.raises(InvalidJSON):
            read(text)


def test_an_odd_number_beside_an_odd_string_is_not_json_either() -> None:
    """The slower way of reading is as strict as the quick one."""
    with pytest.raises(InvalidJSON):
        compact_json(b'{"a":"\\ud800","b":1e400}')
    with pytest.raises(InvalidJSON):
        decode_json(b'["\\ud800",1e400]')


@pytest.mark.parametrize(
    ("raw", "compact"),
    [
        (b' { "a" : [ 1 , 2.50 , 1e2 , -0 ] } ', b'{"a":[1,2.50,1e2,-0]}'),
        (b'"a  b"', b'"a  b"'),
        (b'{ "a b" : "c \\" d , { } " }', b'{"a b":"c \\" d , { } "}'),
        (b'[ "\\ud800 x" , 1.0 , "\\\\" , "\\" ," ]', b'["\\ud800 x",1.0,"\\\\","\\" ,"]'),
        (b"[123456789012345678901234567890, 1]", b"[123456789012345678901234567890,1]"),
        (b'[ "\\ud800" , 123456789012345678901234567890 ]', None),
    ],
)
def test_compact_json_leaves_numbers_and_strings_alone(raw: bytes, compact: bytes | None) -> None:
    expected = compact or b'["\\ud800",123456789012345678901234567890]'
    assert compact_json(raw) == expected


@given(VALUES)
def test_json_is_written_so_that_anybody_reads_it(value: object) -> None:
    encoded = encode_json(value)
    assert json.loads(encoded.decode()) == value
    assert decode_json(encoded) == value
    assert compact_json(json.dumps(value, indent=2).encode()) == compact_json(
        json.dumps(value, separators=(",", ":")).encode()
    )


@given(st.text(st.characters(exclude_categories=())))
def test_a_string_token_says_what_it_says(text: str) -> None:
    for ascii_only in (True, False):
        try:
            token = json.dumps(text, ensure_ascii=ascii_only).encode()
        except UnicodeEncodeError:
            continue
        assert decode_string(token) == text


def test_other_values_are_no_strings() -> None:
    for token in (b"1", b"{}", b"[]", b"null", b"true"):
        assert decode_string(token) is None


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b'{"a":1}', {"a": 1}),
        (b'"{\\"a\\":1}"', {"a": 1}),
        (b'"x"', None),
        (b"[]", None),
        (b"7", None),
        (b'"7"', None),
        (None, None),
        (b'"\\"{}\\""', None),
    ],
)
def test_data_may_be_an_object_or_a_string_that_holds_one(
    data: bytes | None, fields: object
) -> None:
    assert decode_hash(data) == fields


def test_an_event_carries_its_data_on_untouched() -> None:
    token = b'"{\\u0022a\\": 1}\\/"'
    assert event("e", token, "c", "u") == (
        b'{"event":"e","channel":"c","data":"{\\u0022a\\": 1}\\/","user_id":"u"}'
    )
    assert event("é", b'""') == '{"event":"é","data":""}'.encode()


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (
            messages.connection_established("81234.5678901", 120),
            '{"event":"pusher:connection_established","data":'
            r'"{\"socket_id\":\"81234.5678901\",\"activity_timeout\":120}"}',
        ),
        (
            messages.error("Existing subscription to channel orders.live"),
            '{"event":"pusher:error","data":'
            '{"code":null,"message":"Existing subscription to channel orders.live"}}',
        ),
        (
            messages.error("App is disabled", 4003),
            '{"event":"pusher:error","data":{"code":4003,"message":"App is disabled"}}',
        ),
        (messages.pong(), '{"event":"pusher:pong","data":"{}"}'),
        (
            messages.subscription_succeeded("orders.live"),
            '{"event":"pusher_internal:subscription_succeeded","channel":"orders.live","data":"{}"}',
        ),
        (
            messages.subscription_error("private-a", "AuthError", "Invalid signature", 401),
            '{"event":"pusher:subscription_error","channel":"private-a","data":'
            r'"{\"type\":\"AuthError\",\"error\":\"Invalid signature\",\"status\":401}"}',
        ),
        (
            messages.subscription_count("orders.live", 3),
            '{"event":"pusher_internal:subscription_count","channel":"orders.live",'
            r'"data":"{\"subscription_count\":3}"}',
        ),
        (
            messages.cache_miss("cache-weather"),
            '{"event":"pusher:cache_miss","channel":"cache-weather","data":"{}"}',
        ),
        (
            messages.signin_success('{"id":"u-42"}'),
            r'{"event":"pusher:signin_success","data":"{\"user_data\":\"{\\\"id\\\":\\\"u-42\\\"}\"}"}',
        ),
        (
            messages.watchlist_events(["u-7"], ["u-9"]),
            '{"event":"pusher_internal:watchlist_events","data":'
            r'"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"u-9\"]},'
            r'{\"name\":\"online\",\"user_ids\":[\"u-7\"]}]}"}',
        ),
        (
            messages.watchlist_events(online=["u-9"]),
            '{"event":"pusher_internal:watchlist_events","data":'
            r'"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"u-9\"]}]}"}',
        ),
        (
            MemberEntry("u-42", b'{"name":"Ada","role":"host"}').added("presence-room.7"),
            '{"event":"pusher_internal:member_added","channel":"presence-room.7","data":'
            r'"{\"user_id\":\"u-42\",\"user_info\":{\"name\":\"Ada\",\"role\":\"host\"}}"}',
        ),
        (
            MemberEntry("u-42", b"{}").removed("presence-room.7"),
            '{"event":"pusher_internal:member_removed","channel":"presence-room.7",'
            r'"data":"{\"user_id\":\"u-42\"}"}',
        ),
        (
            messages.roster(
                "presence-room.7",
                [MemberEntry("u-42", b'{"name":"Ada"}'), MemberEntry("u-7", b"{}")],
            ),
            '{"event":"pusher_internal:subscription_succeeded","channel":"presence-room.7","data":'
            r'"{\"presence\":{\"count\":2,\"ids\":[\"u-42\",\"u-7\"],'
            r'\"hash\":{\"u-42\":{\"name\":\"Ada\"},\"u-7\":{}}}}"}',
        ),
    ],
)
def test_the_frames_of_the_protocol_reference(made: bytes | None, expected: str) -> None:
    assert made is not None
    assert made.decode() == expected


def test_a_watchlist_without_changes_is_no_event() -> None:
    assert messages.watchlist_events() is None
    assert messages.watchlist_events([], []) is None


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=()), min_size=1),
        st.dictionaries(st.text(), st.integers() | st.text(), max_size=3),
        max_size=4,
    )
)
def test_a_roster_names_everybody_as_he_is(members: dict[str, dict[str, object]]) -> None:
    entries = [MemberEntry(user, encode_json(info)) for user, info in members.items()]
    frame = json.loads(messages.roster("presence-a", entries))
    presence = json.loads(frame["data"])["presence"]
    assert presence == {"count": len(members), "ids": list(members), "hash": members}
    for entry, (user, info) in zip(entries, members.items(), strict=True):
        added = json.loads(json.loads(entry.added("presence-a"))["data"])
        assert added == {"user_id": user, "user_info": info}
        removed = json.loads(json.loads(entry.removed("presence-a"))["data"])
        assert removed == {"user_id": user}


@given(VALUES)
def test_quoting_is_the_double_encoding(value: object) -> None:
    assert json.loads(json.loads(quoted(encode_json(value)))) == value
