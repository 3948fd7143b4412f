"""Who a request comes from, with and without proxies."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from herenow.server.peers import Peer, find_peer, is_loopback_host, parse_address

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:6001",
        "localhost.",
        "chat.localhost:80",
        "127.0.0.1",
        "127.8.9.1:6001",
        "[::1]",
        "[::1]:6001",
        "[::ffff:127.0.0.1]:1",
    ],
)
def test_hosts_that_name_this_machine(host: str) -> None:
    assert is_loopback_host(host)


@pytest.mark.parametrize(
    "host",
    ["", "example.com", "localhost.example.com", "10.0.0.1", "0.0.0.0", "[::2]", "notlocalhost"],
)
def test_hosts_that_do_not(host: str) -> None:
    assert not is_loopback_host(host)


def test_a_direct_client_of_this_machine() -> None:
    peer = find_peer("127.0.0.1", False, {"host": "localhost:6001"}, ())
    assert peer == Peer("127.0.0.1", False, True)


def test_a_client_of_another_machine_is_not_of_this_one_by_its_host() -> None:
    assert not find_peer("192.0.2.1", False, {"host": "localhost"}, ()).loopback_direct


@pytest.mark.parametrize(
    "name", ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "via"]
)
def test_a_forwarded_request_is_not_direct(name: str) -> None:
    """Trusted or not, what a proxy passed on may come from anywhere."""
    headers = {"host": "localhost", name: "1"}
    assert not find_peer("127.0.0.1", False, headers, ()).loopback_direct


@pytest.mark.parametrize(
    ("forwarded_for", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, 10.0.0.2, fd00::1", "192.0.2.1"),
        ("203.0.113.5, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("192.0.2.1, unknown", "10.0.0.1"),
        ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("", "10.0.0.1"),
    ],
)
def test_trusted_proxies_are_followed_to_the_first_that_is_not(
    forwarded_for: str, address: str
) -> None:
    headers = {"host": "h", "x-forwarded-for": forwarded_for}
    assert find_peer("10.0.0.1", False, headers, TRUSTED).address == address


@pytest.mark.parametrize(
    ("scheme", "secure"),
    [("https", True), ("HTTPS", True), ("wss", True), ("http", False), ("https, http", False)],
)
def test_a_trusted_proxy_tells_whether_its_side_is_secure(scheme: str, secure: bool) -> None:
    headers = {"host": "h", "x-forwarded-proto": scheme}
    assert find_peer("10.0.0.1", not secure, headers, TRUSTED).secure is secure


def test_an_untrusted_client_cannot_speak_for_another() -> None:
    headers = {"host": "h", "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https"}
    assert find_peer("192.0.2.1", False, headers, TRUSTED) == Peer("192.0.2.1", False, False)


def test_a_zone_is_no_part_of_an_address() -> None:
    assert str(parse_address("fe80::1%eth0")) == "fe80::1"
    assert parse_address("localhost") is None
