"""What addresses a host has, asked so that a name server which hangs holds up no other host."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from ipaddress import ip_address
from typing import Final

MAX_UNDER_WAY: Final = 512


class Lookups:
    """Those who ask for a host at the same time share one look-up; nothing is kept of it.

    Each look-up has a thread of its own: a pool would fill with those that hang, and its threads
    would hold up the end of the process.
    """

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Future[list[str] | Exception]] = {}

    async def addresses(self, host: str) -> list[str]:
        """The addresses of *host*, each once, in the order in which they are to be tried.

        Raises :class:`OSError`, or :class:`UnicodeError` for what cannot be a name.
        """
        with contextlib.suppress(ValueError):
            return [str(ip_address(host))]
        under_way = self._under_way.get(host)
        if under_way is None:
            if len(self._under_way) >= MAX_UNDER_WAY:
                raise OSError(f"{MAX_UNDER_WAY} other hosts are being looked up")
            under_way = self._look_up(host)
        found = await asyncio.shield(under_way)
        if isinstance(found, Exception):
            raise found
        return found

    def _look_up(self, host: str) -> asyncio.Future[list[str] | Exception]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[str] | Exception] = loop.create_future()
        self._under_way[host] = future

        def done(found: list[str] | Exception) -> None:
            del self._under_way[host]
            future.set_result(found)

        def run() -> None:
            found = _ask(host)
            with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
                loop.call_soon_threadsafe(done, found)

        threading.Thread(target=run, name="herenow-lookup", daemon=True).start()
        return future


def _ask(host: str) -> list[str] | Exception:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
