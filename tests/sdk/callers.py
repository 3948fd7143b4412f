"""Both clients behind one face, so that each test runs for both."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, Final

from herenow import AsyncChannels, Channels

APP_ID: Final = "4711"
KEY: Final = "a1b2c3d4e5f60718293a"
SECRET: Final = "0f1e2d3c4b5a69788796"
MASTER_KEY: Final = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
SOCKET_ID: Final = "81234.5678901"

Client = type[Channels] | type[AsyncChannels]


class Caller:
    """Calls the methods of a client; what is a coroutine runs to its end in a loop of its own."""

    def __init__(self, client: Client, **settings: Any) -> None:
        self.client = client
        self._settings = {"app_id": APP_ID, "key": KEY, "secret": SECRET, **settings}

    def __call__(self, method: str, *arguments: Any, **options: Any) -> Any:
        return asyncio.run(self._call(method, arguments, options))

    async def _call(self, method: str, arguments: Any, options: Any) -> Any:
        client = self.client(**self._settings)
        try:
            answer = getattr(client, method)(*arguments, **options)
            return await answer if inspect.isawaitable(answer) else answer
        finally:
            closing = client.close()
            if closing is not None:
                await closing
