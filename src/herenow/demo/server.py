"""The server of the demo: ``herenow serve`` as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from typing import Final

HOST: Final = "127.0.0.1"
APP_ID: Final = "1"
APP_KEY: Final = "herenow-key"
APP_SECRET: Final = "herenow-secret"
AUTHORIZATION_SECONDS: Final = 10
STOP_SECONDS: Final = 20

_READY: Final = re.compile(r"herenow ready public=http://[^ ]+:(\d+) admin=http://[^ ]+:(\d+)\n")


class ServerEnded(Exception):
    """The server ended with *status* before it was ready."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Server:
    """A server with one application: the default one, but connections have to show who they are.

    Each :meth:`start` is a new process; after the first one, on the ports that the first one got.
    """

    def __init__(self, port: int, admin_port: int) -> None:
        self.port = port
        self.admin_port = admin_port
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> str:
        """Start it; the answer is the line in which it says that it is ready."""
        # What would configure another server must not reach this one.
        foreign = ("HERENOW_", "PUSHER_")
        own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "herenow.cli", "serve"),
            *("--host", HOST, "--port", str(self.port)),
            *("--admin-host", HOST, "--admin-port", str(self.admin_port)),
            env=own | _application(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        ready = _READY.fullmatch(line)
        if ready is None:
            raise ServerEnded(await process.wait() or 1)
        self.port, self.admin_port = int(ready[1]), int(ready[2])
        return line.rstrip("\n")

    async def ended(self) -> int:
        """Wait until the process ends by itself; the answer is its status."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _application() -> dict[str, str]:
    return {
        "PUSHER_APP_ID": APP_ID,
        "PUSHER_APP_KEY": APP_KEY,
        "PUSHER_APP_SECRET": APP_SECRET,
        "HERENOW_APPS__0__CLIENT_EVENTS": "true",
        "HERENOW_APPS__0__AUTHORIZED_CONNECTIONS": "true",
        "HERENOW_APPS__0__AUTHORIZATION_TIMEOUT_SECONDS": str(AUTHORIZATION_SECONDS),
    }
