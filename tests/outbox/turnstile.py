"""Very many transitions of channels, by one connection that comes and goes on all of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from itertools import count

from websockets.asyncio.client import ClientConnection, connect

from conformance.harness.apps import App
from conformance.harness.websocket import Endpoint


async def turn(
    endpoint: Endpoint, app: App, channels: Sequence[str], transitions: int, seconds: float
) -> int:
    """Subscribe to *channels* and unsubscribe, again and again, spread over *seconds*.

    Each channel is occupied and vacated in turn and is vacant in the end. Returns how many
    transitions that were: at least as many as wanted.
    """
    uri = f"ws://{endpoint.authority}/app/{app.key}?protocol=7"
    async with connect(uri, compression=None, max_queue=None, ping_interval=None) as connection:
        began = time.monotonic()
        for turns in count(1):
            for event in ("subscribe", "unsubscribe"):
                for name in channels:
                    await _send(connection, f"pusher:{event}", {"channel": name})
            await _barrier(connection)
            done = turns * 2 * len(channels)
            due = began + seconds * done / transitions
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if done >= transitions:
                return done
    raise AssertionError("unreachable")


async def _send(connection: ClientConnection, event: str, data: dict[str, str]) -> None:
    await connection.send(json.dumps({"event": event, "data": data}))


async def _barrier(connection: ClientConnection) -> None:
    """Wait until the server has done all of it."""
    await _send(connection, "pusher:ping", {})
    async for text in connection:
        if '"pusher:pong"' in str(text):
            return
