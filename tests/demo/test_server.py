"""The server that the demo starts for its chat."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from compat.inbox import DEADLINE
from herenow import Channels
from herenow.demo import server as demo_server
from herenow.demo.server import APP_ID, APP_KEY, APP_SECRET, HOST, Server


def test_only_connections_that_show_who_they_are_may_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_server, "AUTHORIZATION_SECONDS", 1)
    with Channels(APP_ID, APP_KEY, APP_SECRET) as channels:
        asyncio.run(_watch(channels))


async def _watch(channels: Channels) -> None:
    server = Server(0, 0)
    await server.start()
    try:
        address = f"ws://{HOST}:{server.port}/app/{APP_KEY}?protocol=7"
        async with (
            asyncio.timeout(DEADLINE),
            connect(address, proxy=None) as known,
            connect(address, proxy=None) as unknown,
        ):
            established = json.loads(json.loads(await known.recv())["data"])
            user = channels.authenticate_user(established["socket_id"], {"id": "emily"})
            await known.send(json.dumps({"event": "pusher:signin", "data": user}))

            await unknown.wait_closed()
            assert unknown.close_code == 4009
            assert json.loads(await known.recv())["event"] == "pusher:signin_success"
            await known.send(json.dumps({"event": "pusher:ping", "data": {}}))
            assert json.loads(await known.recv())["event"] == "pusher:pong"
    finally:
        await server.stop()
