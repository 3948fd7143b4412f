"""Where a client finds its server: arguments, a URL, the environment."""

from __future__ import annotations

import os
import ssl
from typing import Any

import pytest

from herenow import InvalidArgument
from sdk.callers import APP_ID, KEY, MASTER_KEY, SECRET, SOCKET_ID, Client

CREDENTIALS = (APP_ID, KEY, SECRET)


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "http://127.0.0.1:6001"),
        ({"host": "ws.example.com", "port": 443, "tls": True}, "https://ws.example.com:443"),
        ({"host": "Push_er.internal", "port": 80}, "http://push_er.internal:80"),
        ({"host": "::1"}, "http://[::1]:6001"),
        ({"host": "[::1]"}, "http://[::1]:6001"),
        ({"host": "ws.example.com."}, "http://ws.example.com.:6001"),
        ({"host": "a" * 63 + ".example"}, f"http://{'a' * 63}.example:6001"),
        ({"host": "1.web"}, "http://1.web:6001"),
        ({"path_prefix": "/a/b"}, "http://127.0.0.1:6001/a/b"),
    ],
)
def test_the_address_is_shown_and_the_secret_is_not(
    client: Client, settings: Any, address: str
) -> None:
    made = client(*CREDENTIALS, encryption_master_key_base64=MASTER_KEY, **settings)
    name = client.__name__
    assert repr(made) == f"{name}(app_id='4711', key='{KEY}', address='{address}')"
    for part in vars(made).values():
        assert SECRET not in repr(part)
        assert "\\x01\\x02\\x03" not in repr(part)


@pytest.mark.parametrize(
    ("settings", "argument"),
    [
        ({"app_id": ""}, "app_id"),
        ({"app_id": 1}, "app_id"),
        ({"app_id": "1/../2"}, "app_id"),
        ({"key": "key&x=y"}, "key"),
        ({"key": "key:x"}, "key"),
        ({"key": "key\n"}, "key"),
        ({"secret": ""}, "secret"),
        ({"secret": None}, "secret"),
        ({"secret": SECRET + "\udcff"}, "secret"),
        ({"key": "key\udcff"}, "key"),
        ({"host": ""}, "host"),
        ({"host": "http://127.0.0.1"}, "host"),
        ({"host": "127.0.0.1:6001"}, "host"),
        ({"host": "user@host"}, "host"),
        ({"host": "host/path"}, "host"),
        ({"host": "host\n"}, "host"),
        ({"host": "::zz"}, "host"),
        ({"host": "300.1.1.1"}, "host"),
        ({"host": "1.2.3"}, "host"),
        ({"host": "127.0.0.1."}, "host"),
        ({"host": "a..b"}, "host"),
        ({"host": "a.."}, "host"),
        ({"host": "a" * 64}, "host"),
        ({"host": "a." * 126 + "bc"}, "host"),
        ({"port": 0}, "port"),
        ({"port": 65_536}, "port"),
        ({"port": "6001"}, "port"),
        ({"port": True}, "port"),
        ({"tls": "yes"}, "tls"),
        ({"path_prefix": "ws"}, "path_prefix"),
        ({"path_prefix": "/"}, "path_prefix"),
        ({"path_prefix": "/ws/"}, "path_prefix"),
        ({"path_prefix": "/../ws"}, "path_prefix"),
        ({"path_prefix": "/ws?x"}, "path_prefix"),
        ({"path_prefix": "/ws\n"}, "path_prefix"),
        ({"path_prefix": None}, "path_prefix"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": -1}, "timeout_seconds"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds"),
        ({"timeout_seconds": "5"}, "timeout_seconds"),
        ({"timeout_seconds": None}, "timeout_seconds"),
        ({"encryption_master_key_base64": "AQID"}, "encryption_master_key_base64"),
        ({"encryption_master_key_base64": ""}, "encryption_master_key_base64"),
        ({"encryption_master_key_base64": 7}, "encryption_master_key_base64"),
        ({"encryption_master_key": b"short"}, "encryption_master_key"),
        ({"encryption_master_key": "x" * 32}, "encryption_master_key"),
        (
            {"encryption_master_key": b"x" * 32, "encryption_master_key_base64": MASTER_KEY},
            "encryption_master_key",
        ),
        ({"limits": {"max_event_bytes": 1}}, "limits"),
        ({"limits": {}}, "limits"),
        ({"limits": False}, "limits"),
    ],
)
def test_a_wrong_argument_is_named(client: Client, settings: Any, argument: str) -> None:
    arguments: Any = {"app_id": APP_ID, "key": KEY, "secret": SECRET} | settings
    with pytest.raises(InvalidArgument) as refusal:
        client(**arguments)
    assert refusal.value.argument == argument
    assert SECRET not in repr(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_master_key_as_bytes_or_as_base64(client: Client) -> None:
    raw = client(*CREDENTIALS, encryption_master_key=bytes(range(1, 33)))
    encoded = client(*CREDENTIALS, encryption_master_key_base64=MASTER_KEY)
    channel = "private-encrypted-vault"
    answer = raw.authorize_channel(SOCKET_ID, channel)
    assert answer == encoded.authorize_channel(SOCKET_ID, channel)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://{}@127.0.0.1:6001/apps/4711", "http://127.0.0.1:6001"),
        ("https://{}@ws.example.com/apps/4711", "https://ws.example.com:443"),
        ("http://{}@ws.example.com/apps/4711/", "http://ws.example.com:80"),
        ("http://{}@[::1]:6001/ws/apps/4711", "http://[::1]:6001/ws"),
    ],
)
def test_a_url_names_it_all(client: Client, url: str, address: str) -> None:
    made = client.from_url(url.format(f"{KEY}:{SECRET}"))
    assert isinstance(made, client)
    assert repr(made) == f"{client.__name__}(app_id='4711', key='{KEY}', address='{address}')"
    expected = client(*CREDENTIALS).authorize_channel(SOCKET_ID, "private-x")
    assert made.authorize_channel(SOCKET_ID, "private-x") == expected


def test_a_secret_in_a_url_is_percent_decoded(client: Client) -> None:
    made = client.from_url("http://k:a%2Fb%40c%3A@h/apps/1")
    expected = client("1", "k", "a/b@c:").authorize_channel(SOCKET_ID, "private-x")
    assert made.authorize_channel(SOCKET_ID, "private-x") == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1",
        "ws://key:s3cret@127.0.0.1/apps/1",
        "http://127.0.0.1/apps/1",
        "http://key@127.0.0.1/apps/1",
        "http://:s3cret@127.0.0.1/apps/1",
        "http://key:s3cret@127.0.0.1",
        "http://key:s3cret@127.0.0.1/apps",
        "http://key:s3cret@127.0.0.1/apps/",
        "http://key:s3cret@127.0.0.1/apps/1/events",
        "http://key:s3cret@127.0.0.1/apps/1?x=y",
        "http://key:s3cret@127.0.0.1/apps/1#x",
        "http://key:s3cret@127.0.0.1:port/apps/1",
        "http://key:s3cret@127.0.0.1:99999/apps/1",
        "http://key:s3cret@[::1/apps/1",
        "http://key:s3cret@/apps/1",
    ],
)
def test_a_wrong_url_is_refused_and_not_quoted(client: Client, url: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        client.from_url(url)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "http://127.0.0.1:6001"),
        ({"PUSHER_HOST": "", "PUSHER_PORT": "", "PUSHER_SCHEME": ""}, "http://127.0.0.1:6001"),
        ({"PUSHER_HOST": "ws.example.com", "PUSHER_PORT": "8080"}, "http://ws.example.com:8080"),
        (
            {"PUSHER_HOST": "ws.example.com", "PUSHER_SCHEME": "https"},
            "https://ws.example.com:443",
        ),
    ],
)
def test_the_environment_names_it_all(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    address: str,
) -> None:
    credentials = zip(("ID", "KEY", "SECRET"), CREDENTIALS, strict=True)
    environment |= {f"PUSHER_APP_{name}": value for name, value in credentials}
    for name in ("PUSHER_HOST", "PUSHER_PORT", "PUSHER_SCHEME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for made in (client.from_environment(), client.from_environment(environment)):
        assert repr(made).endswith(f"address='{address}')")
        assert made.authorize_channel(SOCKET_ID, "private-x")["auth"].startswith(KEY)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"PUSHER_APP_ID": "", "PUSHER_APP_SECRET": ""}, "PUSHER_APP_ID and PUSHER_APP_SECRET"),
        ({"PUSHER_SCHEME": "ws"}, "PUSHER_SCHEME: expected http or https"),
        ({"PUSHER_PORT": "six"}, "PUSHER_PORT"),
        ({"PUSHER_PORT": "٨٠"}, "PUSHER_PORT"),
        ({"PUSHER_PORT": "70000"}, "port"),
    ],
)
def test_a_wrong_environment_is_told(client: Client, change: dict[str, str], reason: str) -> None:
    environment = {"PUSHER_APP_ID": "1", "PUSHER_APP_KEY": "k", "PUSHER_APP_SECRET": "s"}
    with pytest.raises(InvalidArgument, match=reason):
        client.from_environment(environment | change)


def test_a_secret_of_the_environment_that_is_no_text_is_not_quoted(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUSHER_APP_ID", APP_ID)
    monkeypatch.setenv("PUSHER_APP_KEY", KEY)
    monkeypatch.setenv("PUSHER_APP_SECRET", os.fsdecode(SECRET.encode() + b"\xff"))
    with pytest.raises(InvalidArgument, match="Invalid secret: expected Unicode text") as refusal:
        client.from_environment()
    assert SECRET not in repr(refusal.value)


def test_options_go_with_a_url_and_the_environment(client: Client) -> None:
    environment = {"PUSHER_APP_ID": "1", "PUSHER_APP_KEY": "k", "PUSHER_APP_SECRET": "s"}
    context = ssl.create_default_context()
    for made in (
        client.from_url(
            "https://k:s@h/apps/1", tls_context=context, encryption_master_key_base64=MASTER_KEY
        ),
        client.from_environment(
            environment, timeout_seconds=1, encryption_master_key_base64=MASTER_KEY
        ),
    ):
        assert "shared_secret" in made.authorize_channel(SOCKET_ID, "private-encrypted-x")
