"""HTTP/1.1 of the public port: bytes in, requests out; responses in, bytes out.

The framing of messages is decided here; httptools reads each complete head. What it lets pass and
a server must not (RFC 9112 §3.2, §6.1, §6.3) is refused here.
"""

from __future__ import annotations

import binascii
import re
from http import HTTPStatus
from typing import Final, NamedTuple

import httptools
import msgspec

from herenow.protocol.chunked import ChunkedBody, Refused
from herenow.protocol.remembering import Memory, remembered
from herenow.protocol.websocket import accept_key

MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADER_LINES: Final = 100
WEBSOCKET_SUBPROTOCOL: Final = "pusher-channels-protocol-7"

# Header lines that a client repeats on its connection are remembered up to this length, and so are
# the heads of upgrades.
_MAX_KNOWN_BYTES: Final = 1_024
_MAX_KNOWN_UPGRADES: Final = 256

_VERSIONS: Final = {"HTTP/1.1": "1.1", "HTTP/1.0": "1.0"}
_SCHEMES: Final = ("http://", "https://", "ws://", "wss://")
# httptools refuses raw UTF-8 in a target, which curl sends: it is shown letters instead.
_AS_ASCII: Final = bytes(range(128)) + b"x" * 128
_KEY_FIELD: Final = b"\r\nSec-WebSocket-Key: "
_KEY_LENGTH: Final = 24
# What a browser or an SDK says of itself when it opens a connection, without its key.
_USUAL_HEADERS: Final = frozenset(
    {
        *("host", "upgrade", "connection", "origin", "user-agent", "pragma", "cache-control"),
        *("accept", "accept-encoding", "accept-language", "dnt", "sec-gpc"),
        *("sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-storage-access"),
        *("sec-websocket-version", "sec-websocket-key", "sec-websocket-extensions"),
        "sec-websocket-protocol",
    }
)
_USUAL_PARAMETERS: Final = frozenset({"protocol", "client", "version", "flash", ""})
# The usual request line, of which httptools would say no more.
_PLAIN_LINE: Final = re.compile(rb'(GET|POST) (/[!-"$-~]*) HTTP/1\.1')
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Request(msgspec.Struct, frozen=True, gc=False):
    """One complete request.

    ``target`` is as written. ``path`` and ``query`` are its parts, percent-encoding untouched,
    without the host of an absolute-form target; ``headers["host"]`` is that host then. Names of
    ``headers`` are lower-case, repeated lines joined with ``", "``; requests of one connection may
    share them, so they are not to be changed. ``version`` is ``"1.0"`` or ``"1.1"``.
    """

    method: str
    target: str
    path: str
    query: str
    headers: dict[str, str]
    version: str
    keep_alive: bool
    body: bytes = b""


class WebSocketUpgrade(NamedTuple):
    """A valid opening handshake (RFC 6455 §4.2.1); *rest* is what followed it, frames already."""

    request: Request
    rest: bytes


class Continue(NamedTuple):
    """The client waits for ``100 Continue`` before it sends the body."""


class Response(NamedTuple):
    """What a request is answered with; *headers* besides those that framing needs."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class BadRequest(NamedTuple):
    """What was received is not served: answer with :attr:`response`, then close."""

    status: int
    message: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def response(self) -> Response:
        return Response(self.status, f"{self.message}\n".encode(), "text/plain", self.headers)


Event = Request | WebSocketUpgrade | Continue | BadRequest


class _Known(NamedTuple):
    """The header lines of the request before, and what they say; ``length`` is that of the body."""

    lines: bytes
    headers: dict[str, str]
    keep_alive: bool
    length: int


class _Upgrades:
    """Heads of upgrades that are good, each without its key.

    What one program sends to open its connections differs in nothing else. Heads that may say
    more, of a user or of a proxy, are not kept.
    """

    def __init__(self) -> None:
        self._requests: Memory[bytes, Request] = Memory(_MAX_KNOWN_UPGRADES)

    def recall(self, head: bytes) -> Request | None:
        """The upgrade with that *head*; ``None`` if it is to be read and checked."""
        rest, key = _cut_key(head)
        known = self._requests.get(rest)
        if known is None or not _is_websocket_key(key):
            return None
        headers = known.headers | {"sec-websocket-key": key.decode("ascii")}
        return msgspec.structs.replace(known, headers=headers)

    def remember(self, head: bytes, request: Request) -> None:
        headers = request.headers
        if len(head) > _MAX_KNOWN_BYTES or not headers.keys() <= _USUAL_HEADERS:
            return
        if headers.get("sec-websocket-protocol") not in (None, WEBSOCKET_SUBPROTOCOL):
            return
        if not {pair.partition("=")[0] for pair in request.query.split("&")} <= _USUAL_PARAMETERS:
            return
        rest, key = _cut_key(head)
        # It may be written in another way.
        if key.decode("latin-1") == headers["sec-websocket-key"]:
            self._requests.keep(rest, request)


def _cut_key(head: bytes) -> tuple[bytes, bytes]:
    """The rest of an upgrade's *head*, and its key."""
    before, field, after = head.partition(_KEY_FIELD)
    return before + field + after[_KEY_LENGTH:], after[:_KEY_LENGTH]


_upgrades: Final = _Upgrades()


class RequestParser:
    """Splits what one connection receives into requests, in bounded memory.

    ``max_request_bytes`` bounds a body; 0 means unlimited. After a :class:`BadRequest`, a
    :class:`WebSocketUpgrade` or a request that does not keep the connection alive, whatever else
    is received is ignored.
    """

    __slots__ = (
        "_body",
        "_chunks",
        "_finished",
        "_known",
        "_length",
        "_max_body",
        "_request",
        "_unread",
    )

    def __init__(self, max_request_bytes: int) -> None:
        self._max_body = max_request_bytes
        self._unread = b""
        self._request: Request | None = None
        self._known: _Known | None = None
        self._length = 0
        self._body = bytearray()
        self._chunks: ChunkedBody | None = None
        self._finished = False

    @property
    def known_headers(self) -> dict[str, str] | None:
        """Those of the requests that repeat header lines, if there were any to be kept."""
        return None if self._known is None else self._known.headers

    @property
    def unfinished(self) -> bool:
        """Whether a head or a body was begun and is not complete."""
        return bool(self._unread) or self._request is not None

    def receive_data(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._unread:
            data = self._unread + data
            self._unread = b""
        position = 0
        try:
            while position < len(data) and not self._finished:
                if self._request is None:
                    stop = self._receive_head(data, position, events)
                else:
                    stop = self._receive_body(data, position, self._request, events)
                if stop == position:
                    self._unread = data[position:]
                    break
                position = stop
        except Refused as refused:
            self._finished = True
            self._request = self._chunks = None
            events.append(BadRequest(*refused.args))
        return events

    def _receive_head(self, data: bytes, start: int, events: list[Event]) -> int:
        if data[start] == 0x0D:
            # RFC 9112 §2.2: ignore empty lines before the request line.
            if len(data) - start == 1:
                return start
            if data[start + 1] == 0x0A:
                return start + 2
        if not 0x41 <= data[start] <= 0x5A:
            raise Refused(400, "Malformed request line")
        end = data.find(b"\r\n\r\n", start, start + MAX_HEAD_BYTES)
        if end < 0:
            begun = data[start : start + MAX_HEAD_BYTES]
            _refuse_bare_line_feed(begun)
            if len(begun) == MAX_HEAD_BYTES:
                raise Refused(431, f"Request head is larger than {MAX_HEAD_BYTES} bytes")
            return start
        end += 4
        known, line_end = self._known, data.find(b"\r\n", start)
        if known is not None and data[line_end:end] == known.lines:
            line = _PLAIN_LINE.fullmatch(data, start, line_end)
            if line is not None:
                return self._receive_known(line, known, data, end, events)
        head = data[start:end]
        # An upgrade is the first request of its connection, as a rule.
        if known is None and (request := _upgrades.recall(head)) is not None:
            self._finished = True
            events.append(WebSocketUpgrade(request, data[end:]))
            return end
        try:
            request = read_head(head)
        except Refused:
            _refuse_bare_line_feed(head)
            raise
        headers = request.headers
        self._frame(headers, request.version)
        has_body = self._chunks is not None or self._length > 0
        if "upgrade" in headers and asks_for_websocket(request):
            if has_body:
                raise Refused(400, "A WebSocket upgrade has no body")
            check_websocket_upgrade(headers)
            _upgrades.remember(head, request)
            self._finished = True
            events.append(WebSocketUpgrade(request, data[end:]))
            return end
        if _PLAIN_LINE.fullmatch(data, start, line_end):
            self._remember(data[line_end:end], request)
        if not has_body:
            self._finished = not request.keep_alive
            events.append(request)
        else:
            self._request = request
            if "expect" in headers and request.version == "1.1":
                if headers["expect"].lower() != "100-continue":
                    raise Refused(417, "Expect may only be 100-continue")
                events.append(Continue())
        return end

    def _remember(self, lines: bytes, request: Request) -> None:
        """Keep the header *lines* of *request*, if nothing but a body follows from them."""
        headers = request.headers
        is_plain = self._chunks is None and "expect" not in headers and "upgrade" not in headers
        has_credentials = "authorization" in headers or "cookie" in headers
        if is_plain and len(lines) <= _MAX_KNOWN_BYTES and not has_credentials:
            self._known = _Known(lines, headers, request.keep_alive, self._length)

    def _receive_known(
        self, line: re.Match[bytes], known: _Known, data: bytes, end: int, events: list[Event]
    ) -> int:
        """Receive a request with header lines that are *known*, which end at *end*."""
        method, target = line[1].decode(), line[2].decode()
        path, _, query = target.partition("?")
        _, headers, keep_alive, length = known
        stop = end + length
        is_whole = stop <= len(data)
        body = data[end:stop] if is_whole else b""
        request = Request(method, target, path, query, headers, "1.1", keep_alive, body)
        if is_whole:
            events.append(request)
            self._finished = not keep_alive
            return stop
        self._request, self._length = request, length
        return end

    def _frame(self, headers: dict[str, str], version: str) -> None:
        coding = headers.get("transfer-encoding")
        if coding is not None:
            if version == "1.0":
                raise Refused(400, "Transfer-Encoding is not part of HTTP/1.0")
            if coding.lower() != "chunked":
                raise Refused(501, "Transfer-Encoding may only be chunked")
            self._chunks = ChunkedBody(self._max_body)
            return
        length = headers.get("content-length")
        # Leading zeros aside, httptools has let nothing pass that is not a number below 2 ** 64.
        self._length = int(length.lstrip("0") or "0") if length is not None else 0
        if 0 < self._max_body < self._length:
            raise Refused(413, f"Request body is larger than {self._max_body} bytes")

    def _receive_body(self, data: bytes, start: int, request: Request, events: list[Event]) -> int:
        if self._chunks is not None:
            stop = self._chunks.receive_data(data, start)
            if self._chunks.complete:
                body = bytes(self._chunks.body)
                self._chunks = None
                self._complete(request, body, events)
            return stop
        stop = min(start + self._length - len(self._body), len(data))
        if stop - start == self._length:
            self._complete(request, data[start:stop], events)
            return stop
        self._body += data[start:stop]
        if len(self._body) == self._length:
            body = bytes(self._body)
            self._body = bytearray()
            self._complete(request, body, events)
        return stop

    def _complete(self, request: Request, body: bytes, events: list[Event]) -> None:
        msgspec.structs.force_setattr(request, "body", body)
        events.append(request)
        self._request = None
        self._finished = not request.keep_alive


def read_head(head: bytes) -> Request:
    """The request whose complete head is *head*, as yet without a body. Raises :exc:`Refused`."""
    lines = head[:-4].decode("latin-1").split("\r\n")
    if len(lines) > MAX_HEADER_LINES + 1:
        raise Refused(431, f"Request has more than {MAX_HEADER_LINES} header lines")
    line = lines[0]
    words = line.split(" ")
    if len(words) != 3:
        raise Refused(400, "Malformed request line")
    method, target, protocol = words
    version = _VERSIONS.get(protocol)
    if version is None:
        status = 505 if protocol.startswith("HTTP/") else 400
        raise Refused(status, "The protocol must be HTTP/1.1 or HTTP/1.0")
    checked = head
    if not line.isascii():
        target = target.encode("latin-1").decode("utf-8", "surrogateescape")
        checked = head[: len(line)].translate(_AS_ASCII) + head[len(line) :]
    try:
        # A parser a head costs 0.2 µs, and an idle connection carries none.
        httptools.HttpRequestParser(None).feed_data(checked)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise Refused(400, f"Malformed request: {error}") from None
    if method == "CONNECT":
        raise Refused(501, "CONNECT is not supported")
    if "#" in target:
        raise Refused(400, "The request target has a fragment")
    headers = _read_fields(lines)
    path = target if target[0] == "/" else _origin_form(method, target, headers)
    path, _, query = path.partition("?")
    if version == "1.1" and not headers.get("host"):
        raise Refused(400, "Host is missing")
    keep_alive = _keeps_alive(headers.get("connection"), version)
    return Request(method, target, path, query, headers, version, keep_alive)


def _read_fields(lines: list[str]) -> dict[str, str]:
    """The header fields of a head that httptools has let pass; *lines* begin with the request's."""
    fields: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name = name.lower()
        value = value.strip(" \t")
        if name in fields:
            if name == "host":
                raise Refused(400, "More than one Host")
            value = f"{fields[name]}, {value}"
        fields[name] = value
    return fields


def _keeps_alive(connection: str | None, version: str) -> bool:
    if connection is None:
        return version == "1.1"
    options = tokens(connection)
    return "close" not in options and (version == "1.1" or "keep-alive" in options)


def _origin_form(method: str, target: str, headers: dict[str, str]) -> str:
    """Path and query of a target that does not begin with a slash."""
    if target == "*" and method == "OPTIONS":
        return target
    scheme, _, rest = target.partition("//")
    if f"{scheme.lower()}//" not in _SCHEMES:
        raise Refused(400, "Malformed request target")
    ends = [end for end in (rest.find("/"), rest.find("?")) if end >= 0]
    end = min(ends, default=len(rest))
    authority = rest[:end]
    if not authority or "@" in authority:
        raise Refused(400, "Malformed request target")
    # RFC 9112 §3.2.2: ignore the received Host and use the host of the target.
    if "host" in headers:
        headers["host"] = authority
    return rest[end:] if rest.startswith("/", end) else f"/{rest[end:]}"


def _refuse_bare_line_feed(head: bytes) -> None:
    if head.count(b"\n") != head.count(b"\r\n"):
        raise Refused(400, "Malformed request: a line must end with CR LF")


@remembered(256, 64)
def tokens(value: str) -> tuple[str, ...]:
    """The members of a comma-separated header value, lower-case."""
    return tuple(token.strip(" \t") for token in value.lower().split(","))


def asks_for_websocket(request: Request) -> bool:
    """Whether *request* is to become a WebSocket; an ``Upgrade`` to anything else is ignored."""
    headers = request.headers
    return (
        request.method == "GET"
        and request.version == "1.1"
        and "websocket" in tokens(headers.get("upgrade", ""))
        and "upgrade" in tokens(headers.get("connection", ""))
    )


def check_websocket_upgrade(headers: dict[str, str]) -> None:
    """Refuse a handshake that RFC 6455 §4.2.1 does not allow, by raising :exc:`Refused`."""
    if headers.get("sec-websocket-version") != "13":
        offer = (
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
        )
        raise Refused(426, "Sec-WebSocket-Version must be 13", offer)
    if not _is_websocket_key(headers.get("sec-websocket-key", "")):
        raise Refused(400, "Sec-WebSocket-Key must be 16 bytes in base64")


def _is_websocket_key(text: str | bytes) -> bool:
    try:
        return len(binascii.a2b_base64(text, strict_mode=True)) == 16
    except ValueError:
        return False


def encode_upgrade(request: Request, extensions: str = "") -> bytes:
    """The 101 that accepts a :class:`WebSocketUpgrade`; our subprotocol only if it was offered.

    *extensions* is what was negotiated of those that the client offers.
    """
    headers = request.headers
    accept = accept_key(headers["sec-websocket-key"])
    chosen, offered = b"", headers.get("sec-websocket-protocol")
    if offered is not None and WEBSOCKET_SUBPROTOCOL in tokens(offered):
        chosen = b"Sec-WebSocket-Protocol: %b\r\n" % WEBSOCKET_SUBPROTOCOL.encode()
    if extensions:
        chosen += b"Sec-WebSocket-Extensions: %b\r\n" % extensions.encode()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (accept, chosen)
    )


EMPTY_OBJECT: Final = Response(200, b"{}")
"""What most calls are answered with."""


def encode_response(
    response: Response, *, keep_alive: bool, head_only: bool, http10: bool
) -> bytes:
    """The bytes of *response*: always with its length, except where a status has no content.

    *head_only* answers HEAD: the head of the answer to GET. ``Connection`` is written where the
    version's default does not hold. Raises ``ValueError`` for a header that would break the line.
    """
    if response is EMPTY_OBJECT and keep_alive and not (head_only or http10):
        return _ENCODED_EMPTY_OBJECT
    return _encode_response(response, keep_alive, head_only, http10)


def _encode_response(response: Response, keep_alive: bool, head_only: bool, http10: bool) -> bytes:
    status, body, content_type, headers = response
    lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
    if status >= 200 and status not in (204, 304):
        typed = content_type.encode("latin-1")
        lines.append(b"Content-Type: %b\r\nContent-Length: %d\r\n" % (typed, len(body)))
    else:
        body = b""
    for name, value in headers:
        line = f"{name}: {value}"
        if "\r" in line or "\n" in line:
            raise ValueError(f"expected a header of one line, got {line!r}")
        lines.append(f"{line}\r\n".encode("latin-1"))
    if not keep_alive:
        lines.append(b"Connection: close\r\n")
    elif http10:
        lines.append(b"Connection: keep-alive\r\n")
    lines.append(b"\r\n")
    if not head_only:
        lines.append(body)
    return b"".join(lines)


_ENCODED_EMPTY_OBJECT: Final = _encode_response(EMPTY_OBJECT, True, False, False)
