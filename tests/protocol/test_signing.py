"""Signatures of subscriptions, sign-ins and API requests."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conformance.harness.vectors import (
    PUBLISHED_REQUESTS,
    PUBLISHED_SIGNATURES,
    SAMPLE_REQUESTS,
    SAMPLE_SIGNATURES,
    WEBHOOK_SIGNATURES,
    RequestVector,
)
from herenow.protocol.signing import (
    InvalidSignature,
    canonical_string,
    channel_string,
    hex_digest,
    is_plainly_signed,
    parse_query,
    user_string,
    verify_auth,
    verify_request,
)

KEY, SECRET = "a1b2c3d4e5f60718293a", "0f1e2d3c4b5a69788796"
NOW = 1_760_000_000
PATH = "/apps/4711/channels"


def secret_of(key: str) -> str | None:
    return SECRET if key == KEY else None


@pytest.mark.parametrize(("string", "digest"), SAMPLE_SIGNATURES.items())
def test_the_vectors_of_the_sample_app(string: str, digest: str) -> None:
    assert hex_digest(SECRET, string) == digest
    verify_auth(f"{KEY}:{digest}", string, secret_of)


@pytest.mark.parametrize(("secret", "string", "digest"), PUBLISHED_SIGNATURES)
def test_the_vectors_that_sdks_publish(secret: str, string: str, digest: str) -> None:
    assert hex_digest(secret, string) == digest


@pytest.mark.parametrize(("secret", "body", "digest"), WEBHOOK_SIGNATURES)
def test_the_vectors_of_webhooks(secret: str, body: str, digest: str) -> None:
    assert hex_digest(secret, body.encode()) == digest


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.binary(max_size=300))
@example("k" * 64, b"")
@example("k" * 65, b"m")
@example("", b"m")
def test_digests_are_those_of_the_standard_library(secret: str, message: bytes) -> None:
    """Secrets may be longer than a block of the hash."""
    expected = hmac.new(secret.encode(), message, "sha256").hexdigest()
    assert hex_digest(secret, message) == hex_digest(secret, message) == expected


def test_strings_to_sign_are_joined_from_what_was_received() -> None:
    assert channel_string("1.2", "private-a") == "1.2:private-a"
    assert channel_string("1.2", "presence-a", '{"user_id": 1}') == '1.2:presence-a:{"user_id": 1}'
    assert channel_string("1.2", "private-a", "") == "1.2:private-a:"
    assert user_string("1.2", '{"id":"u"}') == '1.2::user::{"id":"u"}'


@pytest.mark.parametrize("auth", [None, 7, [], "", "nothing", KEY])
def test_an_auth_without_a_colon_has_no_format(auth: object) -> None:
    with pytest.raises(InvalidSignature) as caught:
        verify_auth(auth, "x", secret_of)
    assert str(caught.value) == "Invalid format: auth must have the format key:signature"


def test_a_foreign_key_is_named() -> None:
    with pytest.raises(InvalidSignature) as caught:
        verify_auth("ffff:00", "x", secret_of)
    assert str(caught.value) == "Invalid key in subscription auth data: 'ffff'"


def test_a_wrong_digest_is_told_what_was_expected_of_it() -> None:
    with pytest.raises(InvalidSignature) as caught:
        verify_auth(f"{KEY}:00ff", "1.2:private-a", secret_of)
    assert str(caught.value) == (
        "Invalid signature: Expected HMAC SHA256 hex digest of 1.2:private-a, but got 00ff"
    )
    assert "00ff" not in caught.value.reason


def test_a_digest_is_64_lower_case_hex_digits_and_nothing_more() -> None:
    digest = hex_digest(SECRET, "x")
    verify_auth(f"{KEY}:{digest}", "x", secret_of)
    for wrong in (digest.upper(), f"{digest}\n", f" {digest}", digest[:-1], f"{digest}:", "é" * 64):
        with pytest.raises(InvalidSignature):
            verify_auth(f"{KEY}:{wrong}", "x", secret_of)


def test_an_auth_splits_at_the_first_colon() -> None:
    with pytest.raises(InvalidSignature, match="but got a:b"):
        verify_auth(f"{KEY}:a:b", "x", secret_of)


@given(st.text(st.characters(exclude_categories=())))
def test_any_string_can_be_signed(text: str) -> None:
    verify_auth(f"{KEY}:{hex_digest(SECRET, text)}", text, secret_of)


def query_of(vector: RequestVector, signature: str) -> str:
    pairs = [*vector.parameters, ("auth_signature", signature)]
    if vector.body_md5:
        pairs.append(("body_md5", vector.body_md5))
    return "&".join(f"{key}={quote(value)}" for key, value in pairs)


@pytest.mark.parametrize("vector", [*SAMPLE_REQUESTS, *PUBLISHED_REQUESTS])
def test_the_vectors_of_requests(vector: RequestVector) -> None:
    parameters = parse_query(query_of(vector, vector.signature))
    string = canonical_string(vector.method, vector.path, parameters)
    assert hex_digest(vector.secret, string) == vector.signature
    now = float(str(parameters["auth_timestamp"]))
    for signature, holds in ((vector.signature, True), (vector.signature[::-1], False)):
        parameters["auth_signature"] = signature
        arguments = vector.method, vector.path, parameters, vector.body, lambda _: vector.secret
        if holds:
            verify_request(*arguments, now)
        else:
            with pytest.raises(InvalidSignature):
                verify_request(*arguments, now)


def signed(
    path: str = PATH,
    body: bytes = b"",
    now: int = NOW,
    changes: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str | list[str]]:
    """Parameters of a GET; those in *changes* are signed as well, empty ones left out."""
    parameters: dict[str, str | list[str]] = {
        "auth_key": KEY,
        "auth_timestamp": str(now),
        "auth_version": "1.0",
    }
    if body:
        parameters["body_md5"] = hashlib.md5(body, usedforsecurity=False).hexdigest()
    parameters |= changes
    parameters = {name: value for name, value in parameters.items() if value}
    string = canonical_string("GET", path, parameters)
    return {**parameters, "auth_signature": hex_digest(SECRET, string)}


def refusal(parameters: dict[str, str | list[str]], body: bytes = b"") -> str:
    with pytest.raises(InvalidSignature) as caught:
        verify_request("GET", PATH, parameters, body, secret_of, NOW)
    assert str(parameters.get("auth_signature", "nothing")) not in caught.value.reason
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"auth_key": ""}, "Missing parameter: auth_key"),
        ({"auth_key": "unknown"}, "Unknown auth_key"),
        ({"auth_version": ""}, "Version required"),
        ({"auth_version": "2.0"}, "Version not supported"),
        ({"auth_timestamp": ""}, "Timestamp required"),
    ],
)
def test_what_is_missing_is_named(changes: dict[str, str], text: str) -> None:
    assert refusal(signed(changes=changes)) == text


def test_checks_come_in_their_order() -> None:
    """The first thing wrong is the one that is told."""
    everything = {"auth_key": "", "auth_version": "2", "auth_timestamp": "0"}
    parameters = {**signed(changes=everything), "auth_signature": "00ff", "body_md5": "x"}
    assert refusal(parameters) == "Missing parameter: auth_key"
    parameters["auth_key"] = KEY
    assert refusal(parameters) == "Version not supported"
    parameters["auth_version"] = "1.0"
    assert refusal(parameters).startswith("Timestamp expired")
    parameters["auth_timestamp"] = str(NOW)
    assert refusal(parameters).startswith("Invalid signature")


def test_a_timestamp_may_be_almost_ten_minutes_off() -> None:
    for offset in (-599, 0, 599):
        verify_request("GET", PATH, signed(now=NOW + offset), b"", secret_of, NOW)
    for offset in (-600, 600):
        assert refusal(signed(now=NOW + offset)).startswith("Timestamp expired")
    assert refusal(signed(now=NOW - 1_000)) == (
        "Timestamp expired: Given timestamp (2025-10-09T08:36:40Z) not within 600s of server time"
        " (2025-10-09T08:53:20Z)"
    )


@pytest.mark.parametrize("timestamp", ["soon", "1e9", "9" * 20, "-5", "\u0661", "9" * 400])
def test_a_timestamp_is_a_number_of_seconds(timestamp: str) -> None:
    assert refusal(signed(changes={"auth_timestamp": timestamp})).startswith("Timestamp")


def test_a_wrong_signature_is_shown_the_string_to_sign() -> None:
    parameters = signed()
    parameters["auth_signature"] = "00ff"
    assert refusal(parameters) == (
        'Invalid signature: you should have sent HmacSHA256Hex("GET\\n/apps/4711/channels\\n'
        f'auth_key={KEY}&auth_timestamp={NOW}&auth_version=1.0", your_secret_key),'
        ' but you sent "00ff"'
    )


def test_a_body_needs_its_md5() -> None:
    verify_request("GET", PATH, signed(body=b"{}"), b"{}", secret_of, NOW)
    empty = "d41d8cd98f00b204e9800998ecf8427e"
    verify_request("GET", PATH, signed(changes={"body_md5": empty}), b"", secret_of, NOW)
    assert "body_md5" in refusal(signed(), b"{}")
    assert "body_md5" in refusal(signed(body=b"{}"), b"{ }")
    assert "body_md5" in refusal(signed(body=b"{}"), b"")
    assert "body_md5" in refusal(signed(changes={"body_md5": "é"}), b"{}")


PUBLISH_PATH = "/apps/4711/events"
PUBLISH_BODY = b'{"name":"e","channel":"c","data":"d"}'


def publish_query(changes: Mapping[str, str] = MappingProxyType({})) -> str:
    """The query of a publish as SDKs write it, signed as it stands."""
    md5 = hashlib.md5(PUBLISH_BODY, usedforsecurity=False).hexdigest()
    usual = {"auth_key": KEY, "auth_timestamp": str(NOW), "auth_version": "1.0", "body_md5": md5}
    query = "&".join(f"{name}={value}" for name, value in {**usual, **changes}.items())
    signature = hex_digest(SECRET, f"POST\n{PUBLISH_PATH}\n{query}")
    return f"{query}&auth_signature={signature}"


def is_plain(query: str, body: bytes = PUBLISH_BODY, method: str = "POST") -> bool:
    return is_plainly_signed(method, PUBLISH_PATH, query, body, secret_of, NOW)


def verifies(query: str) -> bool:
    try:
        verify_request("POST", PUBLISH_PATH, parse_query(query), PUBLISH_BODY, secret_of, NOW)
    except InvalidSignature:
        return False
    return True


def test_what_sdks_publish_is_plainly_signed() -> None:
    for offset in (-599, 0, 599):
        assert is_plain(publish_query({"auth_timestamp": str(NOW + offset)}))
    assert not is_plain(publish_query(), b"other")
    assert not is_plain(publish_query(), method="PUT")
    for offset in (-600, 600):
        assert not is_plain(publish_query({"auth_timestamp": str(NOW + offset)}))
    wrong = {"auth_key": "unknown", "auth_version": "2.0", "body_md5": "0" * 32}
    for name, value in wrong.items():
        assert not is_plain(publish_query({name: value}))


def test_what_is_written_otherwise_is_not_plain_and_yet_may_hold() -> None:
    for changes in ({"info": "user_count"}, {"auth_timestamp": f"0{NOW}"}):
        assert verifies(publish_query(changes))
    *parameters, signature = publish_query().split("&")
    shuffled = "&".join([signature, *reversed(parameters)])
    assert verifies(shuffled)
    assert not is_plain(shuffled)
    escaped = publish_query().replace("1.0", "1%2E0")
    assert verifies(escaped)
    assert not is_plain(escaped)


@given(st.data())
def test_nothing_is_plainly_signed_that_does_not_hold(data: st.DataObject) -> None:
    """Whatever is written there, and signed as it is written."""
    signed, _, _ = publish_query().rpartition("&")
    begin = data.draw(st.integers(0, len(signed)))
    end = data.draw(st.integers(begin, min(len(signed), begin + 3)))
    put = data.draw(
        st.sampled_from(["", "&", "=", "%41", "+", "[]", "A", "0", "\n", "é", "٣", "&a"])
    )
    changed = signed[:begin] + put + signed[end:]
    signature = hex_digest(SECRET, f"POST\n{PUBLISH_PATH}\n{changed}")
    query = f"{changed}&auth_signature={signature}"
    if is_plain(query):
        assert verifies(query)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("auth_key=", "AUTH_KEY="),
        ("auth_key=", "auth_key=x&auth_key="),
        (KEY, KEY.replace("a", "%61")),
        (KEY, KEY + "+"),
        (f"{NOW}", f"+{NOW}"),
        ("auth_version=1.0", "auth_version=1x0"),
        ("body_md5", "body[]"),
    ],
)
def test_only_the_usual_way_is_plain(old: str, new: str) -> None:
    changed = publish_query().rpartition("&")[0].replace(old, new, 1)
    signature = hex_digest(SECRET, f"POST\n{PUBLISH_PATH}\n{changed}")
    assert not is_plain(f"{changed}&auth_signature={signature}")


@pytest.mark.parametrize("prefix", ["", "/live"])
@pytest.mark.parametrize("path", [PATH, "/apps/4711/channels/a%2Cb"])
def test_a_path_may_be_signed_as_it_is_decoded_or_without_the_prefix(
    path: str, prefix: str
) -> None:
    for string in {path, path.replace("%2C", ","), prefix + path}:
        parameters = signed(path=string)
        verify_request("GET", prefix + path, parameters, b"", secret_of, NOW, prefix)
    parameters = signed(path="/elsewhere" + path)
    with pytest.raises(InvalidSignature):
        verify_request("GET", prefix + path, parameters, b"", secret_of, NOW, prefix)


def test_the_method_and_every_parameter_are_signed() -> None:
    parameters = signed(changes={"info": "user_count"})
    verify_request("GET", PATH, parameters, b"", secret_of, NOW)
    for method, changed in (
        ("POST", parameters),
        ("GET", {**parameters, "info": "cache"}),
        ("GET", {**parameters, "more": ""}),
        ("GET", {name: value for name, value in parameters.items() if name != "info"}),
    ):
        with pytest.raises(InvalidSignature):
            verify_request(method, PATH, changed, b"", secret_of, NOW)


def test_a_query_is_decoded_once() -> None:
    assert parse_query("A=1&b=%2Bx+y&c=%252B&d&=e&&f=g=h") == {
        "a": "1",
        "b": "+x y",
        "c": "%2B",
        "d": "",
        "": "e",
        "f": "g=h",
    }
    assert parse_query("k[]=b&K%5B%5D=a&l=1&l=2") == {"k[]": ["b", "a"], "l": "2"}
    assert parse_query("a=%ff%E2%98%95") == {"a": "\udcff☕"}
    assert parse_query("") == {}


def test_parameters_are_sorted_and_arrays_keep_their_order() -> None:
    parameters = parse_query("k[]=b&k[]=a&auth_signature=x&j=%26&ka=1")
    assert canonical_string("GET", "/p", parameters) == "GET\n/p\nj=&&k[]=b&k[]=a&ka=1"


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,5}", fullmatch=True), st.text(max_size=5)))
def test_what_was_signed_holds_however_it_is_escaped(values: dict[str, str]) -> None:
    parameters = signed(changes={f"x{name}": value or "1" for name, value in values.items()})
    for escape in (quote, quote_plus):
        query = "&".join(f"{name}={escape(str(value))}" for name, value in parameters.items())
        verify_request("GET", PATH, parse_query(query), b"", secret_of, NOW)
