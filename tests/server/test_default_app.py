"""The application that everybody knows the secret of is served to this machine alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from herenow.apps.base import App, Key
from server.serving import LOOPBACK, Serving, serving

pytestmark = pytest.mark.anyio

DEFAULT = App("1", (Key("herenow-key", "herenow-secret"),), client_events=True)
CHANNELS = "/apps/1/channels"

LOCAL = ["localhost", "localhost:6001", "127.0.0.1", "127.8.9.1:80", "[::1]:6001", "a.localhost"]
FOREIGN = [
    ("Host", "example.com"),
    ("Host", "localhost.example.com"),
    ("Host", "192.0.2.1:6001"),
    ("Host", "127.0.0.1.example.com"),
    ("Host", "0.0.0.0"),
    ("Forwarded", "for=192.0.2.1"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "localhost"),
    ("X-Real-IP", "127.0.0.1"),
    ("Via", "1.1 proxy"),
]


@pytest.fixture(params=["nobody", "loopback"])
async def started(request: pytest.FixtureRequest) -> AsyncIterator[Serving]:
    """That a proxy is trusted changes nothing."""
    trusted = LOOPBACK if request.param == "loopback" else ()
    async with serving(
        DEFAULT, loopback_apps=frozenset({DEFAULT.id}), front={"trusted_proxies": trusted}
    ) as started:
        yield started


async def test_a_client_on_this_machine_is_served(started: Serving) -> None:
    for host in LOCAL:
        client = await started.connect(headers=(("Host", host),))
        await client.expect_established()
        answer = await started.call("GET", CHANNELS, headers=(("Host", host),))
        assert answer.status == 200, host


@pytest.mark.parametrize(("name", "value"), FOREIGN)
async def test_whoever_may_come_from_elsewhere_is_not(
    started: Serving, name: str, value: str
) -> None:
    client = await started.connect(headers=((name, value),))
    await client.expect_closed(4001)
    answer = await started.call("GET", CHANNELS, headers=((name, value),))
    assert answer.status == 401
    assert answer.headers["content-type"] == "text/plain"
    assert not started.hub.connections


async def test_an_absolute_target_names_the_host(started: Serving) -> None:
    """The Host header does not count then (RFC 9112 §3.2.2)."""
    target, host = f"http://example.com{CHANNELS}", (("Host", "localhost"),)
    answer = await started.call("GET", target, signed_path=CHANNELS, headers=host)
    assert answer.status == 401


async def test_a_configured_app_is_served_to_everybody() -> None:
    async with serving(DEFAULT) as started:
        for name, value in FOREIGN:
            client = await started.connect(headers=((name, value),))
            await client.expect_established()
            assert (await started.call("GET", CHANNELS, headers=((name, value),))).status == 200
