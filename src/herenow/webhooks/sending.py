"""One HTTP request to a receiver, which is not trusted.

Nothing is followed, no proxy of the environment is used, certificates are checked. Where a request
may not go is compared with the address that is connected to, each time, after the name has been
looked up and before anything is sent.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from herenow.log import clean
from herenow.webhooks.lookups import Lookups

if TYPE_CHECKING:
    from httpcore2 import SOCKET_OPTION, AsyncConnectionPool

Network = IPv4Network | IPv6Network

ANSWER_BYTES: Final = 4_096
KEEP_ALIVE_SECONDS: Final = 30.0
MAX_IDLE_CONNECTIONS: Final = 256
CONNECT_SHARE: Final = 0.5
_NAT64: Final = IPv6Network("64:ff9b::/96")
# Where a connection to no address in particular leads.
_LOOPBACK: Final = (IPv4Address("127.0.0.1"), IPv6Address("::1"))

DELIVERED: Final = "delivered"
REFUSED: Final = "refused"
TIMEOUT: Final = "timeout"
FAILED: Final = "failed"
DENIED: Final = "denied"


class Outcome(NamedTuple):
    """How an attempt ended: one of the words above, and what to show of it, cleaned and short."""

    word: str
    answer: str

    @property
    def delivered(self) -> bool:
        return self.word == DELIVERED


class Denied(Exception):
    """No address of the host may be connected to."""


class Sender(Protocol):
    """Makes a POST request. Never raises: whatever goes wrong is an outcome."""

    async def send(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Outcome: ...

    async def close(self) -> None: ...


def is_denied(address: str, networks: Iterable[Network]) -> bool:
    """Whether *address*, as a socket gives it, lies in one of *networks*.

    An IPv4 address that is written as IPv6 counts as what it is.
    """
    parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    forms = {parsed}
    if parsed.is_unspecified:
        forms.update(_LOOPBACK)
    if isinstance(parsed, IPv6Address):
        forms.update(form for form in (parsed.ipv4_mapped, parsed.sixtofour) if form is not None)
        if parsed.teredo is not None:
            forms.update(parsed.teredo)
        if parsed in _NAT64:
            forms.add(IPv4Address(int(parsed) & 0xFFFFFFFF))
        if any(form.is_unspecified for form in forms):
            forms.update(_LOOPBACK)
    return any(
        form.version == network.version and form in network
        for network in networks
        for form in forms
    )


class HttpSender:
    """Sends over HTTP/1.1 and keeps connections alive. ``timeout_seconds`` is for all of a request.

    *deny_networks* are never connected to.
    """

    def __init__(self, timeout_seconds: float, deny_networks: Sequence[Network] = ()) -> None:
        self._timeout_seconds = timeout_seconds
        self._deny_networks = tuple(deny_networks)
        self._pool: AsyncConnectionPool | None = None
        self._opening = asyncio.Lock()

    async def send(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Outcome:
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        status = 0
        try:
            pool = await self._opened()
            async with asyncio.timeout(self._timeout_seconds):
                async with pool.stream("POST", url, headers=encoded, content=body) as answer:
                    status = answer.status
                    text = await _read_some(answer.aiter_stream())
                    return _judge(status, text)
        except TimeoutError:
            if status:
                return _judge(status, "")
            return Outcome(TIMEOUT, f"no answer within {self._timeout_seconds:g} s")
        except Denied as error:
            return Outcome(DENIED, str(error))
        except Exception as error:
            word = TIMEOUT if "Timeout" in type(error).__name__ else FAILED
            return Outcome(word, clean(f"{type(error).__name__}: {error}".rstrip(": "), 500))

    async def _opened(self) -> AsyncConnectionPool:
        """The pool; made in a thread, for the client and the certificates take long to read."""
        async with self._opening:
            if self._pool is None:
                connect_seconds = self._timeout_seconds * CONNECT_SHARE
                self._pool = await asyncio.to_thread(
                    _make_pool, self._deny_networks, connect_seconds
                )
        return self._pool

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.aclose()


def _judge(status: int, text: str) -> Outcome:
    return Outcome(DELIVERED if 200 <= status < 300 else REFUSED, f"{status} {text}".rstrip())


async def _read_some(chunks: AsyncIterator[bytes]) -> str:
    """The beginning of an answer; a longer one costs the receiver its connection."""
    read = b""
    async for chunk in chunks:
        read += chunk
        if len(read) >= ANSWER_BYTES:
            break
    return clean(read[:ANSWER_BYTES].decode("utf-8", "replace"), ANSWER_BYTES)


def _make_pool(deny_networks: tuple[Network, ...], connect_seconds: float) -> AsyncConnectionPool:
    from httpcore2 import AnyIOBackend, AsyncConnectionPool, AsyncNetworkBackend, AsyncNetworkStream

    class GuardedBackend(AsyncNetworkBackend):
        """Looks a name up itself, and connects to none of its addresses that is denied."""

        def __init__(self) -> None:
            self._backend = AnyIOBackend()
            self._lookups = Lookups()

        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Iterable[SOCKET_OPTION] | None = None,
        ) -> AsyncNetworkStream:
            deadline = asyncio.get_running_loop().time() + connect_seconds
            addresses = _allowed(await self._lookups.addresses(host.strip("[]")), deny_networks)
            while True:
                address = addresses.pop(0)
                left = deadline - asyncio.get_running_loop().time()
                try:
                    stream = await self._backend.connect_tcp(
                        address, port, max(0.0, left / (1 + len(addresses)))
                    )
                except Exception:
                    if not addresses:
                        raise
                    continue
                peer = str(stream.get_extra_info("server_addr")[0])
                if is_denied(peer, deny_networks):
                    await stream.aclose()
                    raise Denied(_denied([peer]))
                return stream

    return AsyncConnectionPool(
        ssl_context=ssl.create_default_context(),
        max_connections=None,
        max_keepalive_connections=MAX_IDLE_CONNECTIONS,
        keepalive_expiry=KEEP_ALIVE_SECONDS,
        network_backend=GuardedBackend(),
    )


def _allowed(addresses: list[str], deny_networks: tuple[Network, ...]) -> list[str]:
    """Those that may be connected to; :class:`Denied` if there is none."""
    allowed = [address for address in addresses if not is_denied(address, deny_networks)]
    if not allowed:
        raise Denied(_denied(addresses) if addresses else "the host has no address")
    return allowed


def _denied(addresses: list[str]) -> str:
    return f"the address {', '.join(addresses[:3])} is in webhooks.deny_networks"
