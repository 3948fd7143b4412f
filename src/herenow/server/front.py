"""The public port: every TCP connection begins here as HTTP/1.1, and some become WebSockets."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from herenow.protocol.deflate import Agreement
from herenow.protocol.http1 import (
    BadRequest,
    Continue,
    Request,
    RequestParser,
    Response,
    WebSocketUpgrade,
    encode_response,
    encode_upgrade,
)
from herenow.server.peers import Network, Peer, find_peer, peer_address
from herenow.server.timers import Timer, TimerWheel
from herenow.server.writes import Writes

__all__ = [
    "Front",
    "FrontContext",
    "Handler",
    "Network",
    "OpenWebSocket",
    "Peer",
    "Respond",
    "Routes",
]

MAX_OUTSTANDING: Final = 64
LINGER_SECONDS: Final = 2.0

_CONTINUE: Final = Response(100)
_INTERNAL_ERROR: Final = Response(500, b"Internal server error\n", "text/plain")
_ANY_METHOD: Final = Response(204, headers=(("Allow", "GET, HEAD, POST, OPTIONS"),))
_REQUEST_TIMEOUT: Final = BadRequest(408, "The request was not complete in time")

_log = logging.getLogger("herenow.front")

Respond = Callable[[Response], None]
"""Answers one request, now or later. Further calls, or calls after the client left, do nothing."""

Handler = Callable[[Request, Peer, Respond], None]

OpenWebSocket = Callable[[asyncio.Transport, Request, Peer, bytes], asyncio.Protocol]
"""Sets up the WebSocket side of a connection, and writes the 101 that is given to it.

So it leaves together with the first frame. ``connection_made`` is not called on what it returns;
``connection_lost`` will be.
"""


class Routes(Protocol):
    def find(self, method: str, path: str) -> Handler | Response:
        """What serves *path*: a handler, or the 404, or the 405 with ``Allow``.

        HEAD is asked for as GET. OPTIONS needs no route: it is answered from the 405.
        """


@dataclass(slots=True, kw_only=True, eq=False)
class FrontContext:
    """What all connections of a port share. Times are in seconds; 0 means unlimited.

    ``admit`` judges the address at the other end of each new connection; refused, it is closed
    without a word. ``admit_websocket`` judges a client before its upgrade likewise. ``closed`` is
    told the address again when the connection ends, refused or not, unless it became a WebSocket:
    then that is for the WebSocket side to tell. ``negotiate`` says which extension a WebSocket has.
    """

    routes: Routes
    open_websocket: OpenWebSocket
    timers: TimerWheel
    writes: Writes
    head_timeout_seconds: float = 10
    keep_alive_seconds: float = 75
    max_request_bytes: int = 1_048_576
    trusted_proxies: tuple[Network, ...] = ()
    secure: bool = False
    admit: Callable[[str], bool] = lambda address: True
    admit_websocket: Callable[[Peer], bool] = lambda peer: True
    closed: Callable[[str], None] = lambda address: None
    negotiate: Callable[[Request], Agreement | None] = lambda request: None
    fronts: set[Front] = field(default_factory=set)
    head_timeout: float = field(init=False)
    keep_alive: float = field(init=False)
    shortest_timeout: float = field(init=False)

    def __post_init__(self) -> None:
        self.head_timeout = self.head_timeout_seconds or math.inf
        self.keep_alive = self.keep_alive_seconds or math.inf
        self.shortest_timeout = min(self.head_timeout, self.keep_alive)


class _Answer:
    """The place of one answer in the order of the requests; called, it is given."""

    __slots__ = ("_front", "head_only", "http10", "keep_alive", "response")

    def __init__(
        self,
        front: Front,
        response: Response | None = None,
        *,
        keep_alive: bool = True,
        head_only: bool = False,
        http10: bool = False,
    ) -> None:
        self._front = front
        self.response = response
        self.keep_alive = keep_alive
        self.head_only = head_only
        self.http10 = http10

    def __call__(self, response: Response) -> None:
        if self.response is None:
            self.response = response
            self._front.flush()


class Front(asyncio.Protocol):
    """One connection of the public port, as long as it speaks HTTP.

    Answers leave in the order of the requests. While ``MAX_OUTSTANDING`` of them are owed, or
    the client does not read those it has, the connection is not read any further.
    """

    __slots__ = (
        "_address",
        "_admitted",
        "_connected",
        "_context",
        "_draining",
        "_half_closed",
        "_held",
        "_lingering",
        "_parser",
        "_peer",
        "_peer_headers",
        "_reading",
        "_rest",
        "_served",
        "_since",
        "_stalled",
        "_taking",
        "_timer",
        "_transport",
        "_unfinished",
        "_unsent",
        "_upgrade",
        "_waiting",
    )

    _transport: asyncio.Transport

    def __init__(
        self, context: FrontContext, address: str | None = None, *, admitted: bool = False
    ) -> None:
        """*address*: who connected, if that is known before the connection is made."""
        self._context = context
        self._admitted = admitted
        self._connected = False
        self._parser: RequestParser | None = RequestParser(context.max_request_bytes)
        self._address = address or ""
        self._peer: Peer | None = None
        self._peer_headers: dict[str, str] | None = None
        self._waiting: list[_Answer] = []
        self._held: deque[Request | Continue | BadRequest] | None = None
        self._upgrade: Request | None = None
        self._rest = b""
        self._timer: Timer | None = None
        self._since = 0.0
        self._unsent = 0
        self._served = False
        self._unfinished = False
        self._taking = False
        self._reading = True
        self._stalled = False
        self._draining = False
        self._half_closed = False
        self._lingering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        context = self._context
        self._transport = cast("asyncio.Transport", transport)
        self._connected = True
        if not self._address:
            self._address = peer_address(transport.get_extra_info("peername"))
        if not self._admitted and not context.admit(self._address):
            self._parser = None
            self._transport.abort()
            return
        context.fronts.add(self)
        self._since = context.timers.now()
        self._arm(context.head_timeout)

    @property
    def is_connected(self) -> bool:
        """Whether the connection has been made, over TLS: its handshake is done."""
        return self._connected

    def data_received(self, data: bytes) -> None:
        if self._upgrade is not None:
            self._rest += data
            return
        if self._parser is None:
            return
        events = self._parser.receive_data(data)
        if events or not self._unfinished:
            self._since = self._context.timers.now()
        self._unfinished = self._parser.unfinished
        self._taking = True
        for event in events:
            if isinstance(event, WebSocketUpgrade):
                self._upgrade, self._rest = event
            elif self._held or self._draining or self._is_full():
                self._hold(event)
            else:
                self._take(event)
        self._taking = False
        self._proceed()

    def _is_full(self) -> bool:
        return self._stalled or len(self._waiting) >= MAX_OUTSTANDING

    def _hold(self, event: Request | Continue | BadRequest) -> None:
        if self._held is None:
            self._held = deque()
        self._held.append(event)

    def _take(self, event: Request | Continue | BadRequest) -> None:
        if self._lingering or self._transport.is_closing():
            return
        if isinstance(event, Request):
            self._serve(event)
            return
        if isinstance(event, Continue):
            self._waiting.append(_Answer(self, _CONTINUE))
        else:
            self._waiting.append(_Answer(self, event.response, keep_alive=False))
        self.flush()

    def _serve(self, request: Request) -> None:
        self._served = True
        answer = _Answer(
            self,
            keep_alive=request.keep_alive,
            head_only=request.method == "HEAD",
            http10=request.version == "1.0",
        )
        self._waiting.append(answer)
        try:
            found = self._find(request.method, request.path)
            if isinstance(found, Response):
                answer(found)
            else:
                found(request, self._find_peer(request), answer)
        except Exception:
            # The path alone: a query holds the signature.
            _log.exception("%s %s failed", request.method, request.path)
            answer(_INTERNAL_ERROR)

    def _find(self, method: str, path: str) -> Handler | Response:
        if method == "HEAD":
            return self._context.routes.find("GET", path)
        if method != "OPTIONS":
            return self._context.routes.find(method, path)
        if path == "*":
            return _ANY_METHOD
        found = self._context.routes.find(method, path)
        if isinstance(found, Response) and found.status == 405:
            return Response(204, headers=found.headers)
        return found

    def _find_peer(self, request: Request) -> Peer:
        headers, context = request.headers, self._context
        if self._peer is not None and headers is self._peer_headers:
            return self._peer
        peer = find_peer(self._address, context.secure, headers, context.trusted_proxies)
        if self._parser is not None and headers is self._parser.known_headers:
            self._peer, self._peer_headers = peer, headers
        return peer

    def flush(self) -> None:
        """Write the answers whose turn has come."""
        waiting = self._waiting
        while waiting and (response := waiting[0].response) is not None:
            answer = waiting.pop(0)
            keep_alive = answer.keep_alive and not (self._draining and self._owes_nothing())
            self._context.writes.add(self._transport, self._encode(answer, response, keep_alive))
            if not keep_alive:
                self._linger()
                return
        if not self._taking:
            if not self._unfinished:
                self._since = self._context.timers.now()
            self._proceed()

    def _encode(self, answer: _Answer, response: Response, keep_alive: bool) -> bytes:
        head_only, http10 = answer.head_only, answer.http10
        try:
            return encode_response(
                response, keep_alive=keep_alive, head_only=head_only, http10=http10
            )
        except ValueError:
            _log.exception("an answer with status %d cannot be written", response.status)
            return encode_response(
                _INTERNAL_ERROR, keep_alive=keep_alive, head_only=head_only, http10=http10
            )

    def _owes_nothing(self) -> bool:
        """Whether every request, also one half received, has been answered."""
        unfinished = self._parser is not None and self._parser.unfinished
        return not (self._waiting or self._held or unfinished or self._upgrade)

    def _proceed(self) -> None:
        """Do what the state allows by now: take what was held, upgrade, close, read on."""
        if self._taking:
            return
        if self._held:
            self._taking = True
            while self._held and not self._is_full():
                self._take(self._held.popleft())
            self._taking = False
        if self._lingering or self._transport.is_closing():
            return
        if self._upgrade is not None and not (self._waiting or self._held or self._stalled):
            # Whether the client reads is seen when its answers are written.
            self._context.writes.flush()
            if not self._stalled:
                self._open_websocket(self._upgrade)
            return
        if self._draining and self._owes_nothing():
            self._close()
            return
        self._read(not (self._held or self._stalled or self._upgrade))

    def _read(self, wanted: bool) -> None:
        if wanted is self._reading or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._since = self._context.timers.now()
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _open_websocket(self, request: Request) -> None:
        transport, rest = self._transport, self._rest
        self._upgrade = self._parser = None
        peer = self._find_peer(request)
        if not self._context.admit_websocket(peer):
            transport.abort()
            return
        self._leave()
        agreement = self._context.negotiate(request)
        accepted = encode_upgrade(request, agreement.answer if agreement else "")
        try:
            protocol = self._context.open_websocket(transport, request, peer, accepted)
        except Exception:
            _log.exception("opening a WebSocket at %s failed", request.path)
            transport.abort()
            return
        transport.set_protocol(protocol)
        if not self._reading:
            transport.resume_reading()
        if rest:
            protocol.data_received(rest)

    def close_when_idle(self) -> None:
        """Close once every request received so far is answered; at once if there is none."""
        self._draining = True
        self._proceed()

    def abort(self) -> None:
        """Close at once, whatever is owed."""
        self._context.writes.flush()
        self._transport.abort()

    def _close(self) -> None:
        self._parser = None
        self._context.writes.flush()
        self._transport.close()

    def _linger(self) -> None:
        """Close after what was written has been sent, without cutting it off.

        RFC 9112 §9.6: a full close while the client still sends makes its system discard the
        answer. So only the sending side ends, and what still comes is dropped for a while.
        """
        self._parser = None
        self._held = self._upgrade = None
        self._waiting.clear()
        self._context.writes.flush()
        if self._half_closed:
            self._transport.close()
            return
        self._lingering = True
        self._unfinished = False
        self._read(True)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            # TLS: closing says so to the client and drops what still comes.
            self._transport.close()
        self._since = self._context.timers.now()
        self._arm(LINGER_SECONDS)

    def eof_received(self) -> bool:
        """A client may end its side after its request and still gets the answer."""
        if self._lingering or self._parser is None:
            return False
        self._context.writes.flush()
        self._half_closed = self._draining = True
        self._parser = self._upgrade = None
        self._unfinished = False
        # Over TLS a connection cannot be half closed.
        return self._transport.can_write_eof() and not self._owes_nothing()

    def pause_writing(self) -> None:
        self._stalled = True
        self._unsent = self._transport.get_write_buffer_size()
        self._since = self._context.timers.now()
        if not self._lingering:
            self._read(False)

    def resume_writing(self) -> None:
        self._stalled = False
        self._since = self._context.timers.now()
        self._proceed()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._context.closed(self._address)
        self._parser = None
        self._held = self._upgrade = None
        self._waiting.clear()

    def _leave(self) -> None:
        self._context.fronts.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, delay: float) -> None:
        """Have :meth:`_check` called within *delay*, and never later than the shortest timeout.

        So no event needs to move the timer: whatever becomes due is due after the next check.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        context = self._context
        delay = min(delay, context.shortest_timeout)
        if delay != math.inf:
            self._timer = context.timers.call_later(delay, self._check)

    def _check(self) -> None:
        """Drop the connection if it is over its time; otherwise come back when it could be."""
        self._timer = None
        context = self._context
        if self._stalled or self._lingering:
            unsent = self._transport.get_write_buffer_size()
            if unsent < self._unsent:
                self._since = context.timers.now()
            self._unsent = unsent
        remaining = self._since + self._patience() - context.timers.now()
        if remaining > 0:
            self._arm(remaining)
        elif self._stalled or self._lingering:
            self._transport.abort()
        elif self._unfinished:
            self._time_out()
        elif self._transport.is_closing():
            # What it has not read by now it does not get.
            self._transport.abort()
        else:
            self._close()
            self._arm(context.head_timeout)

    def _patience(self) -> float:
        """How long the present state may last."""
        context = self._context
        if self._lingering:
            return context.head_timeout if self._unsent else LINGER_SECONDS
        if self._stalled:
            return context.head_timeout
        if self._held or self._upgrade:
            return math.inf
        if self._unfinished:
            return context.head_timeout
        if self._waiting:
            return math.inf
        return context.keep_alive if self._served else context.head_timeout

    def _time_out(self) -> None:
        """Answer a request that never became complete, after those before it."""
        self._parser = None
        self._unfinished = False
        self._take(_REQUEST_TIMEOUT)
        if self._timer is None and not self._lingering:
            self._arm(math.inf)
