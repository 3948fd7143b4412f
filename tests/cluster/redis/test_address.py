"""URLs of an engine: what they mean, what is wrong with them, and what is never shown."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from herenow.cluster.redis.address import (
    Address,
    Credentials,
    Location,
    TLSOptions,
    Topology,
    parse,
)
from server.certificates import make_certificate


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "redis://localhost",
            Address(Topology.STANDALONE, (Location("localhost", 6379),)),
        ),
        (
            "redis://user:p%40ss%2Fword@db.example:6380/3",
            Address(
                Topology.STANDALONE,
                (Location("db.example", 6380),),
                3,
                credentials=Credentials("user", "p@ss/word"),
            ),
        ),
        (
            "redis://:word@[::1]:6380/0",
            Address(
                Topology.STANDALONE,
                (Location("::1", 6380),),
                credentials=Credentials(None, "word"),
            ),
        ),
        (
            "rediss://db?ssl_ca_certs=/a/ca.pem&ssl_check_hostname=false&ssl_cert_reqs=optional",
            Address(
                Topology.STANDALONE,
                (Location("db", 6379),),
                tls=TLSOptions("/a/ca.pem", check_hostname=False, cert_reqs="optional"),
            ),
        ),
        (
            "redis+cluster://user:word@a:1,b:2,c",
            Address(
                Topology.CLUSTER,
                (Location("a", 1), Location("b", 2), Location("c", 6379)),
                credentials=Credentials("user", "word"),
            ),
        ),
        (
            "rediss+sentinel://user:word@a,b:2/main/4?sentinel_username=s&sentinel_password=w",
            Address(
                Topology.SENTINEL,
                (Location("a", 26379), Location("b", 2)),
                4,
                "main",
                Credentials("user", "word"),
                Credentials("s", "w"),
                TLSOptions(),
            ),
        ),
        (
            "unix://user:word@/run/engine%20a.sock?db=2",
            Address(
                Topology.STANDALONE,
                (Location("", 0, "/run/engine a.sock"),),
                2,
                credentials=Credentials("user", "word"),
            ),
        ),
    ],
)
def test_a_url_is_taken_apart(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://secret@host", "expected redis://host:port/db"),
        ("secret", "expected redis://host:port/db"),
        ("redis+ring://secret@host", "expected redis://host:port/db"),
        ("unix+cluster://secret@/path", "expected redis://host:port/db"),
        ("redis://:secret@", "expected host:port"),
        ("redis://:secret@host:70000", "expected host:port"),
        ("redis://:secret@host:0", "expected host:port"),
        ("redis://user:secret/word@host", "expected host:port"),
        ("redis://:secret#word@host", "in a password it is written %23"),
        ("redis://:secret@host/first", "expected the number of a database"),
        ("redis://:secret@host/-1", "expected the number of a database"),
        ("redis://:secret@a:1,b:2", "expected one host"),
        ("redis+cluster://:secret@a,b/1", "a cluster has database 0 only"),
        ("redis+sentinel://:secret@a,b", "expected the name of the primary"),
        ("redis+sentinel://:secret@a,,b/main", "expected host:port"),
        ("unix://host/path", "expected unix:///path"),
        ("unix://", "expected unix:///path"),
        ("redis://:secret@host?ssl_ca_certs=a", "got ssl_ca_certs, which needs rediss"),
        ("redis://host?secret=1", "expected as options of this URL none, got another one"),
        ("rediss://host?ssl_cert_reqs=maybe", "expected required, optional or none"),
        ("rediss://host?ssl_check_hostname=maybe", "expected true or false"),
        ("rediss://host?ssl_keyfile=a", "expected ssl_certfile with it"),
    ],
)
def test_a_wrong_url_is_refused_with_what_was_expected(url: str, expected: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        parse(url)
    assert expected in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://someone:secret@host:1/0",
        "redis+cluster://someone:secret@host:1,other:2",
        "rediss+sentinel://someone:secret@host:1/main/0?sentinel_password=secret",
        "unix://someone:secret@/run/socket",
    ],
)
def test_nobody_sees_the_credentials(url: str) -> None:
    address = parse(url)
    for text in (str(address), repr(address), repr(address.credentials), f"{address!s}"):
        assert "secret" not in text
        assert "someone" not in text
    assert str(address).startswith(("host:1", "/run/socket"))


def test_the_text_of_an_ipv6_address_can_be_told_from_its_port() -> None:
    assert str(parse("redis://[2001:db8::1]:7/0")) == "[2001:db8::1]:7"


def test_certificates_are_checked_unless_told_otherwise(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    context = TLSOptions(str(certificate), str(certificate), str(key)).context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    careless = TLSOptions(cert_reqs="none").context()
    assert careless.verify_mode is ssl.CERT_NONE
    assert not careless.check_hostname


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path)
    missing, wrong = tmp_path / "missing.pem", tmp_path / "wrong.pem"
    wrong.write_text("not a certificate")
    with pytest.raises(ValueError, match=r"ssl_ca_certs: .*missing\.pem.*No such file"):
        TLSOptions(str(missing)).context()
    with pytest.raises(ValueError, match="ssl_ca_certs: expected a file with certificates"):
        TLSOptions(str(wrong)).context()
    with pytest.raises(ValueError, match=r"ssl_certfile: .*with the key of ssl_keyfile"):
        TLSOptions(certfile=str(certificate), keyfile=str(wrong)).context()
