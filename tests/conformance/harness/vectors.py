"""The signature vectors of the protocol reference: §8.3, §16.4 and appendix A."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SAMPLE_SIGNATURES: Final = {
    "81234.5678901:private-orders.7": (
        "ed5678d33f5c4e7151da9295717de66c2e8d6d1413d26d25d6af086de0446990"
    ),
    "81234.5678901:presence-room.7": (
        "e96ae1bd9713bf0b4c4cb9b397d167f797b91194c4c753c8142fa8e41a1efd03"
    ),
    '81234.5678901:presence-room.7:{"user_id":"u-42","user_info":{"name":"Ada","role":"host"}}': (
        "90891ec11b908f9194d6ef34f2c6e55aa456b7e9fae276208c48ca0fba7b94c0"
    ),
    '81234.5678901:presence-room.7:{"user_id":"u-7","user_info":{"name":"Zoë ☕"}}': (
        "f3a8b94d8ec711073f3bf2d1465da314e22b5bb718e324d6f614c7a126a0133e"
    ),
    '81234.5678901:presence-room.7:{"user_id": "u-7", "user_info": {"name": "Grace"}}': (
        "b5dec9d476c967c3567192b8921c39d543eca431633ad47a399c0aaa1fad3728"
    ),
    "81234.5678901:private-encrypted-vault": (
        "9be5fcc7df1eedf92f078b469729b1178bcdb630a6ea8110071397fb23118be9"
    ),
    '81234.5678901::user::{"id":"u-42"}': (
        "442070ff2e51a23aadc0dce3811ec34c9bfa72cbe3a8ae1dca463f283efc0c2c"
    ),
    '81234.5678901::user::{"id":"u-42","user_info":{"name":"Ada"},"watchlist":["u-7","u-9"]}': (
        "d683ce916c024dd7a09fb4d9f3b50299ba0d920d94e9992af87ebdfbcf6a2425"
    ),
}

_DOCS = "7ad3773142a6692b25b8"

PUBLISHED_SIGNATURES: Final = (
    (
        _DOCS,
        "1234.1234:private-foobar",
        "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4",
    ),
    (
        _DOCS,
        '1234.1234:presence-foobar:{"user_id":10,"user_info":{"name":"Mr. Pusher"}}',
        "afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c",
    ),
    (
        _DOCS,
        '1234.1234:presence-foobar:{"user_id":10,"user_info":{"name":"Mr. Channels"}}',
        "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80",
    ),
    (
        _DOCS,
        '1234.1234:presence-foobar:{"user_id":"10","user_info":{"name":"Mr. Pusher"}}',
        "48dac51d2d7569e1e9c0f48c227d4b26f238fa68e5c0bb04222c966909c4f7c4",
    ),
    (
        _DOCS,
        "1234.1234:private-azAZ9_=@,.;",
        "208cbbce2a22fd7d7c3509046b17a97b99d345cf4c195bc0d54af9004a022b0b",
    ),
    (
        _DOCS,
        '1234.1234::user::{"id":"12345"}',
        "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba",
    ),
    (
        "bar",
        "345.23:private-channel",
        "89955e77e1b40e33df6d515a5ecbba86a01dc816a5b720da18a06fd26f7d92ff",
    ),
    (
        "bar",
        "345.23:private-encrypted-channel",
        "fff0503dfe4929f5162efe4d1dacbce524b0d8e7e1331117a8651c0e74d369e3",
    ),
    (
        "bar",
        '345.43245:presence-channel:{"user_id":"fred","user_info":{"key":"value"}}',
        "e80ba6439492c2113022c39297a87a948de14061cc67b5788e045645a68b8ccd",
    ),
    (
        "thisisasecret",
        '12345.6789::user::{"id":"123","name":"John Smith"}',
        "0dddb208b53c7649f3fbbb86254a6e1986bc6f8b566423ea690c9ca773497373",
    ),
    (
        "thisisasecret",
        '12345.6789::user::{"id":"123"}',
        "fc713f433deb729d0d96f9e26ef054285cbc3e833ebe840b93722a2fa16a6a18",
    ),
    (
        "thisisasecret",
        "45055.28877557:-azAZ9_=@,.;",
        "d1c20ad7684c172271f92c108e11b45aef07499b005796ae1ec5beb924f361c4",
    ),
    (
        "thisisasecret",
        '45055.28877557:-azAZ9_=@,.;:{"user_id": "123"}',
        "3b3f1dcc4d7d2f95dd10ed05562397b3287b102d4cccfacbf30eed2f1ffa3d69",
    ),
    (
        "tofu",
        '123.456::user::{"id":"45678"}',
        "f4b1fdeea7c93e32648c7230e32b172057c5623cace6cfce791c6e7035e0babd",
    ),
    (
        "tofu",
        '1.1::user::{"id":"ą§¶™€łü€ß£"}',
        "620494cee53d6c568b49598313194088afda37218f0d059af03c0c898ed61ff4",
    ),
    (
        "tofu",
        "123.456:test",
        "efa6cf7644a0b35cba36aa0f776f3cbf7bb60e95ea2696bde1dbe8403b61bd7c",
    ),
    (
        "tofu",
        '123.456:test:{"foo":"bar"}',
        "f41faf9ead2ea76772cc6b1168363057459f02499ae4d92e88229dc7f4efa2d4",
    ),
)
"""Appendix A.1: secret, string, digest."""


@dataclass(frozen=True, slots=True)
class RequestVector:
    """One signed API request, of the application called ``app`` in the catalogue if it has one."""

    app: str | None
    secret: str
    method: str
    path: str
    parameters: tuple[tuple[str, str], ...]
    signature: str
    body: bytes = b""
    body_md5: str = ""


_SAMPLE = "0f1e2d3c4b5a69788796"
_SAMPLE_AUTH = (
    ("auth_key", "a1b2c3d4e5f60718293a"),
    ("auth_timestamp", "1760000000"),
    ("auth_version", "1.0"),
)


def _sample(
    method: str,
    path: str,
    signature: str,
    *parameters: tuple[str, str],
    body: bytes = b"",
    body_md5: str = "",
) -> RequestVector:
    return RequestVector(
        "sample", _SAMPLE, method, path, (*_SAMPLE_AUTH, *parameters), signature, body, body_md5
    )


SAMPLE_REQUESTS: Final = (
    _sample(
        "POST",
        "/apps/4711/events",
        "69416dc96fae35fa50ff4d011332981dc39244758099ac2cf4329d7a6b244608",
        body=(
            rb'{"name":"price-moved","channels":["orders.live","private-orders.7"],'
            rb'"data":"{\"sku\":\"A1\",\"cents\":1250}","socket_id":"90210.1122334"}'
        ),
        body_md5="ebfa8af5c431174d6462ac61399cf9d3",
    ),
    _sample(
        "GET",
        "/apps/4711/channels",
        "219172624bfc9d3f5acacf23f389d05ca6f0dbf8b767af8d6dc875e8882e3aa3",
        ("filter_by_prefix", "presence-"),
        ("info", "user_count"),
    ),
    _sample(
        "GET",
        "/apps/4711/channels/cache-weather",
        "052c6a341934b4fa64afb155af4b4660f22fd41be93abad488939e0ce30d8530",
        ("info", "subscription_count,cache"),
    ),
    _sample(
        "GET",
        "/apps/4711/channels/presence-room.7/users",
        "38ccca342dae077741013b3d03122eb487742e628570bb91cd0986ab9c8b8c9e",
        body_md5="d41d8cd98f00b204e9800998ecf8427e",
    ),
    _sample(
        "POST",
        "/apps/4711/users/u-42/terminate_connections",
        "518c7fdea01a39e44dd60f172aef598b4a1343badcbfa5ccddbec7995397c6a5",
        body=b"{}",
        body_md5="99914b932bd37a50b983c5e7c90ae93b",
    ),
    _sample(
        "POST",
        "/users/u-42/terminate_connections",
        "0812621a36d82867531b990899da9fdfb82a0a86f18e0da6a6bf295f6a79290e",
        body=b"{}",
        body_md5="99914b932bd37a50b983c5e7c90ae93b",
    ),
    _sample(
        "POST",
        "/apps/4711/batch_events",
        "83056df9efa73c21832078aaa69ec8f9c2d75a2b74b29ee32b10e96fbbc6dacd",
        body=(
            rb'{"batch":[{"name":"a","channel":"orders.live","data":"{\"n\":1}"},'
            rb'{"name":"b","channel":"presence-room.7","data":"{\"n\":2}","info":"user_count"}]}'
        ),
        body_md5="ae3b518df14580660e2248ceff9c302a",
    ),
    _sample(
        "POST",
        "/apps/4711/events",
        "a81c6e57073522a30d34888cd5600015967fa21d96b73d2be353264170de0ef5",
        ("channels[]", "a"),
        ("channels[]", "b"),
        ("data", "hello world"),
        ("name", "n"),
    ),
    _sample(
        "POST",
        "/apps/4711/events",
        "2f27880bf6d03761108e14d83eb3b2226c6944f40eeebc5767e4181b5b9e7634",
        body=(r'{"name":"hi","channel":"#server-to-user-u-42","data":"{\"x\":\"é\"}"}'.encode()),
        body_md5="8c03828ba93daf43f028b916b766b9d5",
    ),
)
"""§16.4."""

PUBLISHED_REQUESTS: Final = (
    RequestVector(
        "docs",
        _DOCS,
        "POST",
        "/apps/3/events",
        (
            ("auth_key", "278d425bdf160c739803"),
            ("auth_timestamp", "1353088179"),
            ("auth_version", "1.0"),
        ),
        "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
        rb'{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}',
        "ec365a775a4cd0599faeb73354201b6f",
    ),
    RequestVector(
        None,
        "secret",
        "GET",
        "/some/obscure/api",
        (
            ("auth_key", "key"),
            ("auth_timestamp", "1000"),
            ("auth_version", "1.0"),
            ("foo", "bar"),
        ),
        "5c49f04a95eedc9028b1e0e8de7c2c7ad63504a0e3b5c145d2accaef6c14dbac",
        b"",
        "d41d8cd98f00b204e9800998ecf8427e",
    ),
    RequestVector(
        None,
        "secret",
        "POST",
        "/some/obscure/api",
        (("auth_key", "key"), ("auth_timestamp", "1000"), ("auth_version", "1.0")),
        "e05fa4cafee86311746ee3981d5581a5e4e87c27bbab0aeb1059e2df5c90258b",
        b'{"foo": "bar"}',
        "94232c5b8fc9272f6f73a1e36eb68fcf",
    ),
    RequestVector(
        None,
        "secret",
        "POST",
        "/some/path",
        (
            ("auth_key", "key"),
            ("auth_timestamp", "1234"),
            ("auth_version", "1.0"),
            ("go", "here"),
            ("query", "params"),
        ),
        "3b237953a5ba6619875cbb2a2d43e8da9ef5824e8a2c689f6284ac85bc1ea0db",
    ),
    RequestVector(
        "go",
        "4bf35003e819bb138249",
        "GET",
        "/apps/102015/channels",
        (
            ("auth_key", "d41a439c438a100756f5"),
            ("auth_timestamp", "1427034994"),
            ("auth_version", "1.0"),
            ("filter_by_prefix", "presence-"),
            ("info", "user_count"),
        ),
        "4d8a02edcc8a758b0162cd6da690a9a45fb8ae326a276dca1e06a0bc42796c11",
    ),
)
"""Appendix A.2."""

WEBHOOK_SIGNATURES: Final = (
    (
        "tofu",
        '{"time_ms":1403175510755,"events":[{"channel":"test_channel","name":"channel_vacated"}]}',
        "c17257e92037cd7de407ebc1ed174ceb7b2e518db127f44411b9ffc4f5b28cc5",
    ),
    (
        "thisisasecret",
        '{"hello":"world"}',
        "40e0ad3b9aa49529322879e84de1aaaf18bde1efe839ca263d540cc865510d25",
    ),
    (
        "thisisasecret",
        (
            '{"time_ms":1530710011901,"events":[{"name":"client_event",'
            '"channel":"private-my-channel","event":"client-event","data":"Unencrypted",'
            '"socket_id":"240621.35780774"}]}'
        ),
        "a19cab2af3ca1029257570395e78d5d675e9e700ca676d18a375a7083178df1c",
    ),
    (
        "secret",
        '{"hello":"world"}',
        "2677ad3e7c090b2fa2c0fb13020d66d5420879b8316eb356a2d60fb9073bc778",
    ),
)
"""Appendix A.3: secret, body, signature."""

SHARED_SECRETS: Final = (
    (
        "private-encrypted-channel",
        "OHRXNUZRTG5pUTFzQlFGd3J3N3Q2VFZFc0paZDEweVk=",
        "VmIsNZtCSteh8kazd2toc+ofhohBtUouQRSDtRvuyVI=",
    ),
    (
        "private-encrypted-bla",
        "zyrm8pvV2C9fJcBfhyXzvxbJVN/H7QLmbe0xJi1GhPU=",
        "nlr49ISQHz91yS3cy/yWmW8wFMNeTnNL5tNHnbPJcLQ=",
    ),
    (
        "private-encrypted-vault",
        "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
        "2cJFYkogLcfirMt86JZB90fyN+fg8Yr1p8YxWEeQiJM=",
    ),
)
"""Appendix A.4 and §14: channel, master key and shared secret in base64."""
