"""Who is at the other end of a request, seen through the proxies that are trusted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

MAX_HOST_LENGTH: Final = 261
_SECURE_SCHEMES: Final = ("https", "wss")


class Peer(NamedTuple):
    """The client of a request.

    ``address`` is the client's, behind the trusted proxies. ``secure``: TLS reached us or the
    first trusted proxy. ``loopback_direct``: a client on this machine asked for a loopback host
    and nothing shows that a proxy forwarded it.
    """

    address: str
    secure: bool
    loopback_direct: bool


# Connections of one client share what is known of it.
_peer: Final = lru_cache(maxsize=1024)(Peer)


def peer_address(name: object) -> str:
    """The address in a peer's *name*, as ``accept`` gives it; empty for a Unix socket."""
    if not isinstance(name, tuple):
        return ""
    address: str = name[0]
    if ":" not in address:
        return address
    parsed = parse_address(address)
    return address if parsed is None else str(parsed)


def find_peer(
    address: str, secure: bool, headers: Mapping[str, str], trusted: tuple[Network, ...]
) -> Peer:
    """The client of a request with *headers* that *address* sent, over TLS if *secure*.

    ``X-Forwarded-For`` is read from the right, as far as the proxies that added to it are
    trusted; of ``X-Forwarded-Proto`` the last value counts, which the nearest proxy wrote.
    """
    if not carries_forwarding(headers):
        direct = is_loopback(address) and is_loopback_host(headers.get("host", ""))
        return _peer(address, secure, direct)
    if trusted and _is_trusted(address, trusted):
        scheme = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
        if scheme:
            secure = scheme in _SECURE_SCHEMES
        for hop in reversed(headers.get("x-forwarded-for", "").split(",")):
            parsed = parse_address(_without_port(hop.strip()))
            if parsed is None:
                break
            address = str(parsed)
            if not _is_trusted(address, trusted):
                break
    return _peer(address, secure, False)


def carries_forwarding(headers: Mapping[str, str]) -> bool:
    """Whether *headers* show that a proxy passed the request on."""
    return "forwarded" in "\n".join(headers) or "via" in headers or "x-real-ip" in headers


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    parsed = parse_address(address)
    return parsed is not None and parsed.is_loopback


def is_loopback_host(host: str) -> bool:
    """Whether a ``Host`` value, with or without a port, names the machine itself."""
    # Longer is no host name, and not worth the memory of the cache.
    return len(host) <= MAX_HOST_LENGTH and _is_loopback_host(host)


@lru_cache(maxsize=1024)
def _is_loopback_host(host: str) -> bool:
    name = _without_port(host.strip()).lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name)


@lru_cache(maxsize=1024)
def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in trusted)


def parse_address(text: str) -> Address | None:
    """The IP address written as *text*, an IPv4-mapped one as IPv4, without a zone."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0]
