"""What is signed for clients, and what is not (protocol reference §6.1, §8, §9.2, §10)."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from conformance.harness.vectors import SAMPLE_SIGNATURES
from herenow import InvalidArgument, Limits
from sdk.callers import KEY, SOCKET_ID, Caller, Client

OTHERS: Final = [':user::{"id":"admin"}', 'presence-x:{"user_id":"admin"}']
"""Channels that a browser might ask for to be given the signature of somebody else."""

BAD_CHANNELS: Final = [
    *OTHERS,
    "private-room\n",
    "\nprivate-room",
    "private-room\x00",
    "private-room\u2028",
    "#server-to-user-x",
    "#anything",
    "private-räume",
    "private-room/7",
    "private room",
    "private-" + "x" * 157,
    "",
    None,
    7,
    b"private-room",
    ["private-room"],
]
BAD_SOCKET_IDS: Final = [
    "81234.5678901\n",
    "\n81234.5678901",
    "81234.5678901 ",
    "\u0668\u0661.\u0661",
    "81234.\uff15\uff16\uff17",
    "81234.5²",
    "81234",
    "81234.",
    ".5678901",
    "-1.2",
    "1.2.3",
    "1.2:private-other",
    '1.2::user::{"id":"admin"}',
    "",
    None,
    1.2,
]
BAD_USER_IDS: Final = [
    "emily\n",
    "emily smith",
    "émile",
    "#emily",
    "a/b",
    "x" * 129,
    "",
    None,
    7,
    True,
    ["emily"],
]


@pytest.fixture
def nothing_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> str:
        raise AssertionError(f"signed {arguments}")

    monkeypatch.setattr("herenow.sdk.authorization.hex_digest", refuse)
    monkeypatch.setattr("herenow.sdk.requests.hex_digest", refuse)


@pytest.mark.parametrize("channel", BAD_CHANNELS)
@pytest.mark.usefixtures("nothing_is_signed")
def test_no_other_channel_than_a_legal_one_is_authorized(call: Caller, channel: Any) -> None:
    with pytest.raises(InvalidArgument, match="channel"):
        call("authorize_channel", SOCKET_ID, channel)
    with pytest.raises(InvalidArgument, match="channel"):
        call("authorize_channel", SOCKET_ID, channel, {"user_id": "emily"})


@pytest.mark.parametrize("socket_id", BAD_SOCKET_IDS)
@pytest.mark.usefixtures("nothing_is_signed")
def test_no_other_socket_id_than_ascii_digits_with_a_dot_is_signed(
    call: Caller, socket_id: Any
) -> None:
    with pytest.raises(InvalidArgument, match="socket_id"):
        call("authorize_channel", socket_id, "private-room")
    with pytest.raises(InvalidArgument, match="socket_id"):
        call("authenticate_user", socket_id, {"id": "emily"})


@pytest.mark.parametrize("user_id", BAD_USER_IDS)
@pytest.mark.usefixtures("nothing_is_signed")
def test_no_other_user_than_a_legal_one_signs_in(call: Caller, user_id: Any) -> None:
    with pytest.raises(InvalidArgument, match="user_data"):
        call("authenticate_user", SOCKET_ID, {"id": user_id})


@pytest.mark.parametrize(
    "user_data",
    [
        {},
        {"user_id": "emily"},
        {"id": "emily", "user_info": ["Emily"]},
        {"id": "emily", "user_info": True},
        {"id": "emily", "watchlist": "frank"},
        {"id": "emily", "watchlist": [1]},
        {"id": "emily", "watchlist": [str(number) for number in range(101)]},
        {"id": "emily", "user_info": {"age": float("nan")}},
        {"id": "emily", "user_info": {"at": object()}},
        "emily",
        None,
    ],
)
@pytest.mark.usefixtures("nothing_is_signed")
def test_user_data_of_another_form_is_refused(call: Caller, user_data: Any) -> None:
    with pytest.raises(InvalidArgument, match="user_data"):
        call("authenticate_user", SOCKET_ID, user_data)


@pytest.mark.parametrize(
    "member",
    [
        {},
        {"id": "emily"},
        {"user_id": ""},
        {"user_id": None},
        {"user_id": True},
        {"user_id": 1.5},
        {"user_id": "emily\n"},
        {"user_id": "x" * 129},
        {"user_id": "emily", "user_info": "Emily"},
        {"user_id": "emily", "user_info": {"text": "x" * 1_020}},
        {"user_id": "emily", "user_info": {"text": "é" * 510}},
        '{"user_id":"emily"}',
        [],
    ],
)
@pytest.mark.usefixtures("nothing_is_signed")
def test_a_member_of_another_form_is_refused(call: Caller, member: Any) -> None:
    with pytest.raises(InvalidArgument, match="channel_data"):
        call("authorize_channel", SOCKET_ID, "presence-room", member)


def test_the_reason_is_in_the_message(call: Caller) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        call("authorize_channel", SOCKET_ID, OTHERS[0])
    assert str(refusal.value) == (
        "Invalid channel: ':user::{\"id\":\"admin\"}' contains ':',"
        " allowed are A-Z a-z 0-9 _ - = @ , . ;"
    )
    assert refusal.value.argument == "channel"
    assert isinstance(refusal.value, ValueError)


@pytest.mark.parametrize(
    ("channel", "channel_data"),
    [
        ("private-orders.7", None),
        ("presence-room.7", None),
        ("presence-room.7", {"user_id": "u-42", "user_info": {"name": "Ada", "role": "host"}}),
        ("presence-room.7", {"user_id": "u-7", "user_info": {"name": "Zoë ☕"}}),
    ],
)
def test_channels_are_signed_as_the_reference_has_it(
    call: Caller, channel: str, channel_data: Any
) -> None:
    answer = call("authorize_channel", SOCKET_ID, channel, channel_data)
    string = f"{SOCKET_ID}:{channel}"
    expected = {}
    if channel_data is not None:
        encoded = json.dumps(channel_data, ensure_ascii=False, separators=(",", ":"))
        string, expected = f"{string}:{encoded}", {"channel_data": encoded}
    assert answer == {"auth": f"{KEY}:{SAMPLE_SIGNATURES[string]}", **expected}


def test_an_encrypted_channel_comes_with_its_secret(call: Caller) -> None:
    assert call("authorize_channel", SOCKET_ID, "private-encrypted-vault") == {
        "auth": f"{KEY}:" + SAMPLE_SIGNATURES[f"{SOCKET_ID}:private-encrypted-vault"],
        "shared_secret": "2cJFYkogLcfirMt86JZB90fyN+fg8Yr1p8YxWEeQiJM=",
    }


@pytest.mark.usefixtures("nothing_is_signed")
def test_an_encrypted_channel_needs_a_master_key(client: Client) -> None:
    with pytest.raises(InvalidArgument, match="encryption_master_key_base64"):
        Caller(client)("authorize_channel", SOCKET_ID, "private-encrypted-vault")


@pytest.mark.parametrize(
    "user_data",
    [
        {"id": "u-42"},
        {"id": "u-42", "user_info": {"name": "Ada"}, "watchlist": ["u-7", "u-9"]},
    ],
)
def test_users_are_signed_as_the_reference_has_it(call: Caller, user_data: Any) -> None:
    encoded = json.dumps(user_data, separators=(",", ":"))
    assert call("authenticate_user", SOCKET_ID, user_data) == {
        "auth": f"{KEY}:" + SAMPLE_SIGNATURES[f"{SOCKET_ID}::user::{encoded}"],
        "user_data": encoded,
    }


@pytest.mark.parametrize("user_id", ["auth0|5f7c", "a+b@c.d", "émile", "a b", "x" * 128, 10])
def test_members_may_have_ids_that_users_may_not(call: Caller, user_id: Any) -> None:
    answer = call("authorize_channel", SOCKET_ID, "presence-room", {"user_id": user_id})
    assert json.loads(answer["channel_data"]) == {"user_id": user_id}


@pytest.mark.parametrize("name", ["private-" + "x" * 156, "private-", "private-azAZ9_=@,.;-"])
def test_every_legal_name_is_signed(call: Caller, name: str) -> None:
    assert call("authorize_channel", SOCKET_ID, name)["auth"].startswith(f"{KEY}:")


def test_limits_follow_the_server(client: Client) -> None:
    limits = Limits(max_presence_member_bytes=0, max_watchlist=1, max_channel_name_length=10)
    call = Caller(client, limits=limits)
    large = {"user_id": "emily", "user_info": {"text": "x" * 5_000}}
    assert "auth" in call("authorize_channel", SOCKET_ID, "presence-x", large)
    with pytest.raises(InvalidArgument, match="11 characters, allowed are 10"):
        call("authorize_channel", SOCKET_ID, "presence-xy", large)
    with pytest.raises(InvalidArgument, match="2 entries, allowed are 1"):
        call("authenticate_user", SOCKET_ID, {"id": "emily", "watchlist": ["a", "b"]})


def test_an_unpaired_surrogate_is_signed_as_an_escape(call: Caller) -> None:
    member = {"user_id": "emily", "user_info": {"name": "\ud800"}}
    answer = call("authorize_channel", SOCKET_ID, "presence-room", member)
    assert answer["channel_data"] == '{"user_id":"emily","user_info":{"name":"\\ud800"}}'
