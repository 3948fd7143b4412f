"""Statements 123, 124 and 126 to 130: which requests of the HTTP API are let in."""

from __future__ import annotations

import base64
import math
import re
import time

import pytest

from conformance.harness.names import unique
from conformance.harness.service import Service
from conformance.harness.signing import (
    Parameters,
    body_md5,
    compact,
    hmac_hex,
    request_string,
    shared_secret,
)
from conformance.harness.vectors import (
    PUBLISHED_REQUESTS,
    PUBLISHED_SIGNATURES,
    SAMPLE_REQUESTS,
    SHARED_SECRETS,
    WEBHOOK_SIGNATURES,
    RequestVector,
)

AUTHENTICATION = ("auth_key", "auth_timestamp", "auth_version")
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
EXPIRED = re.compile(
    r"Timestamp expired: Given timestamp \(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\) not within 600s of"
    r" server time \(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\)"
)


def check_vector(service: Service, vector: RequestVector) -> None:
    """The signer reproduces the vector; the server accepts its like at the present time."""
    parameters = list(vector.parameters)
    if vector.body_md5:
        assert body_md5(vector.body) == vector.body_md5
        parameters.append(("body_md5", vector.body_md5))
    string = request_string(vector.method, vector.path, parameters)
    assert hmac_hex(vector.secret, string) == vector.signature
    if vector.app is None:
        return
    api = service.api(vector.app)
    now = [(name, value) for name, value in parameters if name != "auth_timestamp"]
    now.append(("auth_timestamp", str(int(time.time()))))
    signed = [("auth_signature", api.signature(vector.method, vector.path, now)), *now]
    backwards = sorted(signed, key=lambda pair: pair[0], reverse=True)
    unescaped = "&".join(f"{name}={value.replace(' ', '%20')}" for name, value in signed)
    for query in (signed, backwards, unescaped, unescaped.replace(",", "%2C")):
        api.send(vector.method, vector.path, query, vector.body).accepted()


@pytest.mark.parametrize("vector", SAMPLE_REQUESTS, ids=lambda vector: vector.signature[:8])
def test_123_sample_vectors(service: Service, vector: RequestVector) -> None:
    check_vector(service, vector)


PUBLISHED_APPS = {"7ad3773142a6692b25b8": "docs", "bar": "bar", "thisisasecret": "python"}


def test_124_published_vectors(service: Service) -> None:
    for request in PUBLISHED_REQUESTS:
        check_vector(service, request)
    for secret, body, signature in WEBHOOK_SIGNATURES:
        assert hmac_hex(secret, body) == signature
    for channel, master_key, shared in SHARED_SECRETS:
        made = shared_secret(channel, base64.b64decode(master_key))
        assert base64.b64encode(made).decode() == shared
    for secret, string, digest in PUBLISHED_SIGNATURES:
        assert hmac_hex(secret, string) == digest
        _, _, rest = string.partition(":")
        app = "tofu" if secret == "tofu" else PUBLISHED_APPS[secret]
        if rest.startswith((":user:", "private-", "presence-")):
            check_like(service, app, rest)


def check_like(service: Service, app: str, rest: str) -> None:
    """The server accepts what was signed, for a living socket id."""
    connection = service.connect(app)
    if not rest.startswith(":user:"):
        channel, _, channel_data = rest.partition(":")
        connection.subscribe(channel, channel_data or None)
        return
    user_data = rest.removeprefix(":user:").removeprefix(":")
    connection.request_sign_in(user_data)
    if user_data.isascii():
        connection.expect_object("pusher:signin_success", None, {"user_data": user_data})
    else:
        error = connection.expect_error()
        assert "signature" not in error.message.lower()


def without(parameters: Parameters, name: str) -> Parameters:
    return [pair for pair in parameters if pair[0] != name]


def replaced(parameters: Parameters, name: str, value: str) -> Parameters:
    return [(found, value if found == name else old) for found, old in parameters]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("auth_key", None, "Missing parameter: auth_key"),
        ("auth_key", "ffffffffffffffffffff", "Unknown auth_key"),
        ("auth_version", None, "Version required"),
        ("auth_version", "2.0", "Version not supported"),
        ("auth_timestamp", None, "Timestamp required"),
        ("auth_timestamp", "-601", EXPIRED),
        ("auth_timestamp", "601", EXPIRED),
        ("auth_timestamp", "-599", None),
        ("auth_timestamp", "599", None),
    ],
)
def test_126_authentication_parameters(
    service: Service, name: str, value: str | None, message: str | re.Pattern[str] | None
) -> None:
    api, now = service.api(), time.time()
    path = api.path("channels")
    parameters: Parameters = [
        ("auth_key", api.app.key),
        ("auth_timestamp", str(int(now))),
        ("auth_version", "1.0"),
    ]
    if value is None:
        parameters = without(parameters, name)
    elif name == "auth_timestamp":
        moment = math.ceil(now) if value in ("-599", "601") else math.floor(now)
        parameters = replaced(parameters, name, str(moment + int(value)))
    else:
        parameters = replaced(parameters, name, value)
    signature = api.signature("GET", path, parameters)
    answer = api.send("GET", path, [*parameters, ("auth_signature", signature)])
    if message is None:
        answer.accepted()
    elif isinstance(message, str):
        answer.refused(401, message)
    else:
        assert message.fullmatch(answer.refused(401))


@pytest.mark.parametrize("signature", ["00ff", "0" * 64])
def test_126_wrong_signature(service: Service, signature: str) -> None:
    api = service.api()
    path, body = api.path("events"), b"{}"
    parameters = without(api.sign("POST", path, [], body), "auth_signature")
    string = request_string("POST", path, parameters).replace("\n", "\\n")
    answer = api.send("POST", path, [*parameters, ("auth_signature", signature)], body)
    answer.refused(
        401,
        f'Invalid signature: you should have sent HmacSHA256Hex("{string}", your_secret_key),'
        f' but you sent "{signature}"',
    )


def test_127_body_digest(service: Service) -> None:
    api, channel, connection = service.api(), unique("orders"), service.connect()
    connection.subscribe(channel)
    path = api.path("events")
    body = compact({"name": "news", "channel": channel, "data": "1"}).encode()
    signed = api.sign("POST", path, [], body)
    api.send("POST", path, signed, body.replace(b'"1"', b'"2"')).refused(401)
    bare = without(without(signed, "body_md5"), "auth_signature")
    bare.append(("auth_signature", api.signature("POST", path, bare)))
    api.send("POST", path, bare, body).refused(401)
    api.send("POST", path, signed).refused(401)
    connection.expect_nothing()
    api.send("POST", path, signed, body).accepted()
    connection.expect_event("news", channel, "1")
    api.get("channels", body_md5=EMPTY_MD5).accepted()
    api.get("channels", body_md5="0" * 32).refused(401)


def test_128_order_and_case_of_parameters(service: Service) -> None:
    api = service.api()
    path, body = api.path("events"), b'{"name":"news","channel":"orders","data":"1"}'
    *signed, signature = api.sign("POST", path, [], body)
    api.send("POST", path, [signature, *signed], body).accepted()
    upper = [(name.upper(), value) for name, value in (signature, *signed)]
    api.send("POST", path, upper, body).accepted()
    mixed = [(name.title(), value) for name, value in (*signed, signature)]
    api.send("POST", path, mixed, body).accepted()


def test_129_key_of_another_app(service: Service) -> None:
    api, other = service.api(), service.app("other")
    path = f"/apps/{other.id}/channels"
    api.send("GET", path, api.sign("GET", path, [])).refused(401, "Unknown auth_key")
    unknown = f"/apps/{unique('none')}/channels"
    assert api.send("GET", unknown, api.sign("GET", unknown, [])).status in (401, 404)


def test_130_disabled_app_and_unknown_path(service: Service) -> None:
    api = service.api("disabled")
    api.trigger("news", "orders", "1").refused(403)
    api.get("channels").refused(403)
    api = service.api()
    for path in ("/nowhere", api.path("nowhere"), "/apps", "/"):
        answer = api.send("GET", path, api.sign("GET", path, []))
        assert (answer.status, answer.text) == (404, "404 NOT FOUND\n")
