"""The network between a node and its engine: a link that can be cut, refused and slowed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from conformance.harness.websocket import Endpoint

T = TypeVar("T")
HOST: Final = "127.0.0.1"
CHUNK: Final = 65_536


class Network:
    """Runs links on a thread of its own, so that a busy test does not slow them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network")
        self._thread.start()
        self._links: list[Link] = []

    def link(self, to: Callable[[], Endpoint]) -> Link:
        """A new way to the endpoint that *to* names at the time of each connection."""
        link = Link(self, to)
        self._links.append(link)
        return link

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def close(self) -> None:
        for link in self._links:
            link.close()
        self.run(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class Link:
    """An address of its own that leads to the engine.

    While it is cut nothing passes and nothing is lost: what was on its way arrives, in its order,
    when it has healed, also on connections that their owner has given up meanwhile.
    """

    def __init__(self, network: Network, to: Callable[[], Endpoint]) -> None:
        self._network = network
        self._to = to
        self._delay = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        network.run(self._listen())

    def cut(self) -> None:
        """From now on nothing passes, in either direction."""
        self._network.run(self._set_open(False))

    def heal(self) -> None:
        self._network.run(self._set_open(True))

    def reset(self) -> None:
        """End every connection; new ones may be made."""
        self._network.run(self._reset())

    def slow(self, seconds: float) -> None:
        """Let everything arrive *seconds* later, each way."""
        self._delay = seconds

    def close(self) -> None:
        self._network.run(self._close())

    async def _listen(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _set_open(self, passing: bool) -> None:
        if passing:
            self._open.set()
        else:
            self._open.clear()

    async def _reset(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._open.wait()
            endpoint = self._to()
            try:
                there, back = await asyncio.open_connection(endpoint.host, endpoint.port)
            except OSError:
                return
            self._writers.add(back)
            try:
                # What is lost on one side is lost on the other when all before it has arrived.
                await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
            finally:
                self._writers.discard(back)
                back.transport.abort()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes, and its end."""
        loop = asyncio.get_running_loop()
        waiting: deque[tuple[float, bytes]] = deque()
        arrived = asyncio.Event()

        async def take() -> None:
            data = b"?"
            while data:
                try:
                    data = await reader.read(CHUNK)
                except OSError:
                    data = b""
                waiting.append((loop.time() + self._delay, data))
                arrived.set()

        async def give() -> None:
            while True:
                while not waiting:
                    arrived.clear()
                    await arrived.wait()
                due, data = waiting.popleft()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                await self._open.wait()
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

        with contextlib.suppress(OSError):
            await _both(take(), give())


async def _both(first: Awaitable[None], second: Awaitable[None]) -> None:
    await asyncio.gather(first, second)
