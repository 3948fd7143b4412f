"""An application that is changed while its connections are open."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from herenow.apps.base import App, Key
from herenow.apps.static import StaticApps
from herenow.cluster.base import Done, Refusal
from herenow.cluster.memory import MemoryLedger
from server.client import MEMBER_REMOVED, Client, Closed
from server.serving import APP, Serving, app_with, serving

pytestmark = pytest.mark.anyio

OLD, NEW = APP.keys[0], Key("newer-key", "newer-secret")
BOTH = replace(APP, keys=(OLD, NEW))
PROXY = {"trusted_proxies": (ip_network("127.0.0.0/8"),)}
OVER_TLS = (("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"))


def change(server: Serving, *apps: App) -> None:
    """Let the node go on with *apps*."""
    server.node.apps = StaticApps(apps)
    server.node.app_changed(APP.id)


async def closed_with(client: Client) -> int | None:
    last = (await client.read_until_closed())[-1]
    assert isinstance(last, Closed)
    return last.code


def with_key(pair: Key) -> App:
    """The application as somebody sees it who has this pair."""
    return replace(APP, keys=(pair,))


async def test_connections_of_a_withdrawn_key_are_closed_and_no_others() -> None:
    """With 4001, and the text names the key that the client came with."""
    async with serving(BOTH) as server:
        old = await server.established(with_key(OLD))
        new = await server.established(with_key(NEW))
        change(server, with_key(NEW))
        error = await old.expect("pusher:error")
        assert error.data["code"] == 4001
        assert OLD.key in error.data["message"]
        assert await closed_with(old) == 4001
        await new.expect_nothing()
        await new.subscribe("private-room")
        await new.expect_subscribed("private-room")


async def test_a_new_key_closes_nobody() -> None:
    """Both sign from then on, whichever a client came with."""
    async with serving(APP) as server:
        client = await server.established()
        change(server, BOTH)
        client.app = with_key(NEW)
        await client.subscribe("private-room")
        await client.expect_subscribed("private-room")
        assert (
            await server.call("GET", f"/apps/{APP.id}/channels", app=with_key(NEW))
        ).status == 200


async def test_a_withdrawn_key_signs_nothing_more() -> None:
    """Not even for a connection that came with another."""
    async with serving(BOTH) as server:
        client = await server.established(with_key(NEW))
        change(server, with_key(NEW))
        client.app = with_key(OLD)
        await client.subscribe("private-room")
        await client.expect("pusher:error")
        assert (
            await server.call("GET", f"/apps/{APP.id}/channels", app=with_key(OLD))
        ).status == 401


async def test_a_member_whose_key_was_withdrawn_has_no_grace() -> None:
    """The room is told at once."""
    async with serving(replace(BOTH, leave_grace_seconds=60)) as server:
        old = await server.established(with_key(OLD))
        await old.enter("presence-room", "gone")
        new = await server.established(with_key(NEW))
        await new.enter("presence-room", "stays")
        change(server, replace(with_key(NEW), leave_grace_seconds=60))
        removed = await new.expect(MEMBER_REMOVED, "presence-room")
        assert removed.decoded == {"user_id": "gone"}


async def test_tls_only_closes_connections_without_tls_alone() -> None:
    """With 4000; their members have the grace, for they come back at once over TLS."""
    async with serving(app_with(leave_grace_seconds=60), front=PROXY) as server:
        plain = await server.established()
        await plain.enter("presence-room", "plain")
        secure = await server.connect(headers=OVER_TLS)
        await secure.expect_established()
        change(server, app_with(leave_grace_seconds=60, tls_only=True))
        assert await closed_with(plain) == 4000
        assert await secure.enter("presence-room", "secure") == ["plain", "secure"]


async def test_disabled_and_enabled_again() -> None:
    """Connections are closed with 4003, calls answered with 403, and both work again."""
    async with serving() as server:
        client = await server.established()
        change(server, app_with(enabled=False))
        assert await closed_with(client) == 4003
        assert (await server.call("GET", f"/apps/{APP.id}/channels")).status == 403
        change(server, APP)
        await server.established()
        assert (await server.call("GET", f"/apps/{APP.id}/channels")).status == 200


async def test_deleted() -> None:
    """Connections are closed as those of an unknown key; nobody is let in, no call is done."""
    async with serving() as server:
        client = await server.established()
        change(server)
        assert await closed_with(client) == 4001
        assert await closed_with(await server.connect()) == 4001
        assert (await server.call("GET", f"/apps/{APP.id}/channels")).status == 401


async def test_who_is_not_known_yet_is_to_come_back() -> None:
    """While the applications are not all known, an unknown key is answered with 4100 and 503."""

    class Partly(StaticApps):
        complete = False

    async with serving() as server:
        server.node.apps = Partly(())
        assert await closed_with(await server.connect()) == 4100
        answer = await server.call("GET", f"/apps/{APP.id}/channels")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


class SlowEntrance(MemoryLedger):
    """Answers who may come in when it is told to."""

    waiting: list[Done[bool | Refusal]]

    def admit(self, app: str, connections: int, limit: int, done: Done[bool | Refusal]) -> None:
        self.waiting = [done]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ((with_key(NEW),), 4001),
        ((), 4001),
        ((app_with(enabled=False),), 4003),
        ((app_with(tls_only=True),), 4000),
    ],
)
async def test_what_changes_while_a_client_waits_to_enter_counts(
    changed: tuple[App, ...], code: int
) -> None:
    """It is judged again when its turn comes."""
    async with serving(app_with(max_connections=5), make_ledger=SlowEntrance) as server:
        client = await server.connect()
        change(server, *changed)
        ledger: Any = server.ledger
        for done in ledger.waiting:
            done(True)
        assert await closed_with(client) == code
