"""HTTP/1.1 of the public port: what is understood, what is refused, and how answers are framed."""

from __future__ import annotations

import http.client
import io
import socket
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from herenow.protocol import http1
from herenow.protocol.http1 import (
    MAX_HEAD_BYTES,
    MAX_HEADER_LINES,
    BadRequest,
    Continue,
    Event,
    Request,
    RequestParser,
    Response,
    WebSocketUpgrade,
    encode_response,
    encode_upgrade,
)

MAX_BODY = 64
HANDSHAKE = (
    b"GET /app/herenow-key?protocol=7 HTTP/1.1\r\n"
    b"Host: localhost\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

UNDERSTOOD = {
    "get": b"GET /apps/1/channels?info=x HTTP/1.1\r\nHost: h\r\n\r\n",
    "post": b"POST /apps/1/events HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    "empty post": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    "pipelined": (
        b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"
        b"POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
        b"GET /3 HTTP/1.1\r\nHost: h\r\n\r\n"
    ),
    "the same header lines": (
        b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
        b"POST /2?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\ndef"
        b"PUT /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nghi"
        b"GET /4 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\njkl"
        b"GET /5 HTTP/1.1\r\nHost: h\r\n\r\nGET /6 HTTP/1.1\r\nHost: h\r\n\r\n"
    ),
    "chunked": (
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n00A;name=value\r\n, everyone\r\n0\r\nTrailer: x\r\n\r\n"
        b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
    ),
    "expect": (
        b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok"
    ),
    "http/1.0": b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nok",
    "close": b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /unread HTTP/1.1\r\n",
    "absolute": b"GET http://example.com:80/a%2Fb?c=%26 HTTP/1.1\r\nHost: other\r\n\r\n",
    "h2c": (
        b"POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nContent-Length: 2\r\n\r\nok"
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    ),
    "websocket": HANDSHAKE + b"\r\n" + b"\x81\x85frames",
    "empty lines first": b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n\r\n",
    "utf-8 target": "GET /ä?ö=ü HTTP/1.1\r\nHost: h\r\n\r\n".encode(),
}

REFUSED = {
    "both length headers": (
        400,
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    "length after chunked": (
        400,
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    ),
    "two lengths": (
        400,
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    ),
    "list of lengths": (400, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc"),
    "signed length": (400, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc"),
    "endless length": (
        400,
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    ),
    "bare line feeds": (400, b"GET / HTTP/1.1\nHost: h\n\n"),
    "bare line feed after the request line": (400, b"GET / HTTP/1.1\nHost: h\r\n\r\n"),
    "bare line feed in a header": (400, b"GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n"),
    "bare line feed at the end": (400, b"GET / HTTP/1.1\r\nHost: h\r\n\n"),
    "bare carriage return": (400, b"GET / HTTP/1.1\r\nHost: h\rA: b\r\n\r\n"),
    "folded header": (400, b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n"),
    "folded header with a tab": (400, b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\tc\r\n\r\n"),
    "folded first header": (400, b"GET / HTTP/1.1\r\n Host: h\r\n\r\n"),
    "space before the colon": (400, b"GET / HTTP/1.1\r\nHost : h\r\n\r\n"),
    "no colon": (400, b"GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n"),
    "nul in a value": (400, b"GET / HTTP/1.1\r\nHost: h\r\nA: b\0\r\n\r\n"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "empty host": (400, b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    "absolute without host": (400, b"GET http://h/ HTTP/1.1\r\n\r\n"),
    "two hosts": (400, b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"),
    "http/0.9": (400, b"GET /\r\n\r\n"),
    "http/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "http/1.2": (505, b"GET / HTTP/1.2\r\nHost: h\r\n\r\n"),
    "rtsp": (400, b"GET / RTSP/1.0\r\nHost: h\r\n\r\n"),
    "tls": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "lower-case method": (400, b"get / HTTP/1.1\r\nHost: h\r\n\r\n"),
    "two spaces": (400, b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n"),
    "relative target": (400, b"GET a HTTP/1.1\r\nHost: h\r\n\r\n"),
    "star": (400, b"GET * HTTP/1.1\r\nHost: h\r\n\r\n"),
    "fragment": (400, b"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n"),
    "target with credentials": (400, b"GET http://a@h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
    "ftp target": (400, b"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
    "connect": (501, b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n"),
    "gzip coding": (
        501,
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    "identity coding": (
        400,
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n",
    ),
    "chunked in http/1.0": (
        400,
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "unknown expectation": (
        417,
        b"POST / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\nContent-Length: 1\r\n\r\na",
    ),
    "body too large": (413, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65\r\n\r\n"),
    "websocket version": (426, HANDSHAKE.replace(b"13", b"8") + b"\r\n"),
    "websocket version missing": (
        426,
        HANDSHAKE.replace(b"Sec-WebSocket-Version: 13\r\n", b"") + b"\r\n",
    ),
    "websocket key of 15 bytes": (
        400,
        HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25j") + b"\r\n",
    ),
    "websocket key not base64": (
        400,
        HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSB*b25jZQ==") + b"\r\n",
    ),
    "websocket key not ascii": (
        400,
        HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"\xe4GhlIHNhbXBsZSBub25jZQ==") + b"\r\n",
    ),
    "websocket key missing": (
        400,
        HANDSHAKE.replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"") + b"\r\n",
    ),
    "websocket with a body": (400, HANDSHAKE + b"Content-Length: 3\r\n\r\nabc"),
}

BAD_CHUNKS = {
    "no size": b"\r\nabc\r\n",
    "signed size": b"+3\r\nabc\r\n",
    "prefixed size": b"0x3\r\nabc\r\n",
    "grouped size": b"1_0\r\n",
    "space after the size": b"3 \r\nabc\r\n",
    "endless size": b"00000000000000003\r\nabc\r\n",
    "bare line feed": b"3\nabc\n0\n\n",
    "bare line feed after the data": b"3\r\nabc\n0\r\n\r\n",
    "carriage return in an extension": b"3;a\rb\r\nabc\r\n",
    "data beyond the size": b"3\r\nabcd\r\n0\r\n\r\n",
    "endless extension": b"3;" + b"x" * 10_000 + b"\r\n",
}

chunked_head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


def parse(*segments: bytes) -> list[Event]:
    """The events of *segments*; what follows an upgrade is put together again."""
    parser = RequestParser(MAX_BODY)
    events = [event for segment in segments for event in parser.receive_data(segment)]
    return [
        event._replace(rest=b"") if isinstance(event, WebSocketUpgrade) else event
        for event in events
    ]


def parse_request(data: bytes) -> Request:
    events = parse(data)
    assert len(events) == 1, events
    assert isinstance(events[0], Request), events
    return events[0]


def assert_refused(data: bytes, status: int) -> BadRequest:
    refused = parse(data)[-1]
    assert isinstance(refused, BadRequest), refused
    assert refused.status == status, refused
    return refused


def test_a_request_has_its_parts() -> None:
    """Method, target, path, query, headers and body are what was sent."""
    assert parse_request(
        b"POST /apps/1/events?a=%20b&c HTTP/1.1\r\nHost: h:6001\r\nContent-TYPE:\t text/x \t\r\n"
        b"Accept: a\r\naccept: b\r\nEmpty:\r\nLatin: \xe4\r\nContent-Length: 5\r\n\r\nhello"
    ) == Request(
        method="POST",
        target="/apps/1/events?a=%20b&c",
        path="/apps/1/events",
        query="a=%20b&c",
        headers={
            "host": "h:6001",
            "content-type": "text/x",
            "accept": "a, b",
            "empty": "",
            "latin": "ä",
            "content-length": "5",
        },
        version="1.1",
        keep_alive=True,
        body=b"hello",
    )


@pytest.mark.parametrize("data", UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_understood_requests_are_not_refused(data: bytes) -> None:
    events = parse(data)
    assert events
    assert not any(isinstance(event, BadRequest) for event in events)


@pytest.mark.parametrize("data", UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_segments_do_not_matter_to_what_is_understood(data: bytes) -> None:
    """Split anywhere, and byte by byte, the same bytes are the same events."""
    whole = parse(data)
    for position in range(1, len(data)):
        assert parse(data[:position], data[position:]) == whole, position
    assert parse(*(data[i : i + 1] for i in range(len(data)))) == whole


@pytest.mark.parametrize(("status", "data"), REFUSED.values(), ids=REFUSED)
def test_refused_requests_are_refused(status: int, data: bytes) -> None:
    """Each error is the last event, with a text of one line."""
    refused = assert_refused(data, status)
    assert refused.response.status == status
    assert refused.response.content_type == "text/plain"
    assert refused.response.body.endswith(b"\n")
    assert refused.response.body.count(b"\n") == 1


@pytest.mark.parametrize(("status", "data"), REFUSED.values(), ids=REFUSED)
def test_segments_do_not_matter_to_what_is_refused(status: int, data: bytes) -> None:
    whole = parse(data)
    for position in range(1, min(len(data), 200)):
        assert parse(data[:position], data[position:]) == whole, position
    assert parse(*(data[i : i + 1] for i in range(len(data)))) == whole


@pytest.mark.parametrize("body", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_malformed_chunks_are_refused(body: bytes) -> None:
    assert_refused(chunked_head + body, 400)
    data = chunked_head + body
    assert parse(*(data[i : i + 1] for i in range(len(data)))) == parse(data)


def test_an_unsupported_websocket_version_is_told_the_supported_one() -> None:
    refused = assert_refused(HANDSHAKE.replace(b"13", b"8") + b"\r\n", 426)
    assert ("Sec-WebSocket-Version", "13") in refused.headers
    assert ("Upgrade", "websocket") in refused.headers


def test_a_path_keeps_its_percent_encoding() -> None:
    request = parse_request(b"GET /a%2Fb%C3%A4?c=%26 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (request.path, request.query) == ("/a%2Fb%C3%A4", "c=%26")


def test_a_target_in_raw_utf8_is_decoded() -> None:
    request = parse_request("GET /ä?ö HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert (request.path, request.query) == ("/ä", "ö")


def test_a_target_that_is_not_utf8_can_be_encoded_again() -> None:
    request = parse_request(b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n")
    assert request.path.encode("utf-8", "surrogateescape") == b"/\xff"


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"http://h:1/a/b?c=d", "/a/b", "c=d", "h:1"),
        (b"HTTPS://h/", "/", "", "h"),
        (b"http://h", "/", "", "h"),
        (b"http://h?a=/b", "/", "a=/b", "h"),
        (b"http://h/?a", "/", "a", "h"),
    ],
)
def test_an_absolute_target_names_path_and_host(
    target: bytes, path: str, query: str, host: str
) -> None:
    request = parse_request(b"GET %b HTTP/1.1\r\nHost: other\r\n\r\n" % target)
    assert (request.path, request.query, request.headers["host"]) == (path, query, host)
    assert request.target == target.decode()


def test_options_may_ask_about_the_server() -> None:
    assert parse_request(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").path == "*"


@pytest.mark.parametrize(
    ("version", "connection", "keep_alive"),
    [
        ("1.1", None, True),
        ("1.1", "close", False),
        ("1.1", "Close", False),
        ("1.1", "TE, close", False),
        ("1.1", "keep-alive", True),
        ("1.0", None, False),
        ("1.0", "keep-alive", True),
        ("1.0", "Keep-Alive, close", False),
    ],
)
def test_version_and_connection_decide_about_keep_alive(
    version: str, connection: str | None, keep_alive: bool
) -> None:
    line = f"Connection: {connection}\r\n" if connection else ""
    request = parse_request(f"GET / HTTP/{version}\r\nHost: h\r\n{line}\r\n".encode())
    assert (request.version, request.keep_alive) == (version, keep_alive)


def test_nothing_is_read_after_the_last_request() -> None:
    """What follows a request that closes the connection is nobody's request."""
    assert len(parse(UNDERSTOOD["close"])) == 1


def test_a_client_that_expects_to_be_told_is_told_to_continue() -> None:
    head, body = UNDERSTOOD["expect"][:-2], b"ok"
    parser = RequestParser(MAX_BODY)
    assert parser.receive_data(head) == [Continue()]
    (request,) = parser.receive_data(body)
    assert cast("Request", request).body == b"ok"


def test_nobody_is_told_to_continue_without_need() -> None:
    """Not without a body, not in HTTP/1.0, and not when the body is too large."""
    parse_request(b"GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n")
    parse_request(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na")
    (event,) = parse(
        b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 65\r\n\r\n"
    )
    assert isinstance(event, BadRequest)


FIELDS = b"Host: h\r\nContent-Length: 2\r\nX-Other: a\r\n\r\n"


def after_one_like_it(line: bytes, fields: bytes = FIELDS) -> list[Event]:
    """What a request means whose header lines the connection has brought before."""
    parser = RequestParser(MAX_BODY)
    parser.receive_data(b"POST /before?a=b HTTP/1.1\r\n" + fields + b"ok")
    return parser.receive_data(line + b"\r\n" + fields + b"ok")


def on_its_own(line: bytes, fields: bytes = FIELDS) -> list[Event]:
    return RequestParser(MAX_BODY).receive_data(line + b"\r\n" + fields + b"ok")


@pytest.mark.parametrize("byte", range(256))
def test_no_byte_of_a_target_means_something_else_the_second_time(byte: int) -> None:
    """Neither in the path nor in the query; what is refused is refused again."""
    for target in (b"/a%cb", b"/a?b%cc", b"%c"):
        line = b"GET %b HTTP/1.1" % (target % byte)
        assert after_one_like_it(line) == on_its_own(line)


@pytest.mark.parametrize(
    "line",
    [
        *(b"%b /x HTTP/1.1" % method for method in (b"GET", b"HEAD", b"POST", b"OPTIONS", b"BREW")),
        *(
            b"GET /x %b" % version
            for version in (b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"ICE/1.1")
        ),
        *(b"GET  /x HTTP/1.1", b"GET /x HTTP/1.1 ", b" GET /x HTTP/1.1", b"get /x HTTP/1.1"),
        *(b"GET http://other/x?y HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT h:1 HTTP/1.1"),
    ],
)
def test_a_request_line_means_the_same_the_second_time(line: bytes) -> None:
    """Whatever of the request before is remembered, it is for the same header lines only."""
    assert after_one_like_it(line) == on_its_own(line)
    other = FIELDS.replace(b"Host: h", b"Host: i")
    parser = RequestParser(MAX_BODY)
    parser.receive_data(b"GET /before HTTP/1.1\r\n" + FIELDS + b"ok")
    assert parser.receive_data(line + b"\r\n" + other + b"ok") == on_its_own(line, other)


def test_the_host_of_a_target_holds_for_its_request_alone() -> None:
    parser = RequestParser(MAX_BODY)
    requests = [
        cast("Request", parser.receive_data(line + b" HTTP/1.1\r\n" + FIELDS + b"ok")[0])
        for line in (b"GET /1", b"GET http://other/2", b"GET /3")
    ]
    assert [request.headers["host"] for request in requests] == ["h", "other", "h"]


def test_a_websocket_upgrade_comes_with_the_frames_behind_it() -> None:
    (upgrade,) = RequestParser(MAX_BODY).receive_data(HANDSHAKE + b"\r\n\x81\x00")
    assert isinstance(upgrade, WebSocketUpgrade)
    assert upgrade.request.path == "/app/herenow-key"
    assert upgrade.rest == b"\x81\x00"


KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
OTHER_KEY = b"AAECAwQFBgcICQoLDA0ODw=="


def handshake(key: bytes, *fields: bytes) -> bytes:
    return b"".join([HANDSHAKE.replace(KEY, key), *(field + b"\r\n" for field in fields), b"\r\n"])


def test_an_upgrade_means_the_same_the_second_time() -> None:
    """Whatever of the handshakes before is remembered, the key is that of the handshake itself."""
    parse(handshake(KEY))
    (upgrade,) = parse(handshake(OTHER_KEY))
    assert isinstance(upgrade, WebSocketUpgrade)
    (fresh,) = parse(handshake(OTHER_KEY, b"X-Fresh: 1"))
    assert isinstance(fresh, WebSocketUpgrade)
    expected = {**fresh.request.headers, "sec-websocket-key": OTHER_KEY.decode()}
    del expected["x-fresh"]
    assert upgrade.request.headers == expected
    assert upgrade.request == Request(
        "GET",
        fresh.request.target,
        "/app/herenow-key",
        "protocol=7",
        upgrade.request.headers,
        "1.1",
        fresh.request.keep_alive,
    )


@pytest.mark.parametrize(
    "key",
    [
        *(b"", b"x", KEY + b"x", KEY[:-1], KEY[:-1] + b"A", b" " * 24, b"=" * 24, b"A" * 24),
        *(KEY[:5] + bytes([byte]) + KEY[6:] for byte in b"\0\r\n -_\x7f\x80\xff"),
        *(KEY[:10] + b"\r\nX-Injected:" + KEY[:1], KEY[:-2] + b"\r\n", KEY + b"\r\nx" + KEY[:20]),
    ],
)
def test_a_bad_key_is_refused_the_second_time_too(key: bytes) -> None:
    parse(handshake(KEY))
    (refused,) = parse(handshake(key))
    assert isinstance(refused, BadRequest)
    assert refused == parse(handshake(key, b"X-Fresh: 2"))[0]


@pytest.mark.parametrize(
    "field", [b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: " + OTHER_KEY, b"Host: other"]
)
def test_a_repeated_line_is_refused_the_second_time_too(field: bytes) -> None:
    for key in (KEY, OTHER_KEY):
        parse(handshake(key))
        assert isinstance(parse(handshake(key, field))[0], BadRequest)
        assert isinstance(parse(handshake(key + b"\r\n" + field))[0], BadRequest)


@pytest.mark.parametrize("field", [b"Sec-WebSocket-Key:%b", b"sec-websocket-key: %b"])
@pytest.mark.parametrize("after", [b"", b" "])
def test_a_key_may_be_written_in_other_ways(field: bytes, after: bytes) -> None:
    for key in (KEY, OTHER_KEY):
        line = b"Sec-WebSocket-Key: " + KEY
        (upgrade,) = parse(HANDSHAKE.replace(line, field % key + after) + b"\r\n")
        assert isinstance(upgrade, WebSocketUpgrade)
        assert upgrade.request.headers["sec-websocket-key"] == key.decode()


def test_what_a_handshake_shows_of_itself_is_its_own() -> None:
    """Heads that differ in anything but the key are different heads."""
    for number in range(1_000):
        fields = (
            b"Cookie: a=%d" % number,
            b"Origin: http://%d" % number,
            b"X-Number: %d" % number,
        )
        for field in fields:
            name, _, value = field.decode().partition(": ")
            for key in (KEY, OTHER_KEY):
                (upgrade,) = parse(handshake(key, field))
                assert isinstance(upgrade, WebSocketUpgrade)
                assert upgrade.request.headers[name.lower()] == value


def test_nothing_is_kept_of_a_handshake_that_may_be_secret() -> None:
    kept = http1._upgrades._requests
    parse(handshake(KEY, b"User-Agent: plain"))
    before = len(kept)
    assert before
    secret = b"hunter2"
    for field in (
        *(b"Cookie: a=%b", b"Authorization: Bearer %b", b"Proxy-Authorization: Basic %b"),
        *(b"X-Api-Key: %b", b"X-Forwarded-For: %b", b"Sec-WebSocket-Protocol: token.%b"),
    ):
        assert isinstance(parse(handshake(KEY, field % secret))[0], WebSocketUpgrade)
    tokens = handshake(KEY).replace(b"?protocol=7", b"?protocol=7&token=%b" % secret)
    assert isinstance(parse(tokens)[0], WebSocketUpgrade)
    assert len(kept) == before
    assert secret not in b"".join(kept)


def test_no_more_handshakes_are_kept_than_was_said() -> None:
    kept = http1._upgrades._requests
    for number in range(3 * http1._MAX_KNOWN_UPGRADES):
        parse(handshake(KEY, b"User-Agent: %d" % number))
        assert len(kept) <= http1._MAX_KNOWN_UPGRADES
    before = len(kept)
    parse(handshake(KEY, b"User-Agent: %b" % (b"x" * http1._MAX_KNOWN_BYTES)))
    assert len(kept) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (b"keep-alive, Upgrade", b"keep-alive"),
        (b"GET ", b"POST "),
        (b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
def test_another_upgrade_is_an_ordinary_request(old: bytes, new: bytes) -> None:
    assert isinstance(parse(HANDSHAKE.replace(old, new) + b"\r\n")[0], Request)


@pytest.mark.parametrize("upgrade", [b"h2c, WebSocket", b"WEBSOCKET", b"websocket,h2c"])
def test_websocket_may_be_one_of_several_upgrades(upgrade: bytes) -> None:
    data = HANDSHAKE.replace(b"Upgrade: websocket", b"Upgrade: " + upgrade) + b"\r\n"
    assert isinstance(parse(data)[0], WebSocketUpgrade)


def test_the_upgrade_is_accepted_as_the_rfc_computes() -> None:
    """The example of RFC 6455 §1.3."""
    (upgrade,) = parse(HANDSHAKE + b"\r\n")
    answer = encode_upgrade(cast("WebSocketUpgrade", upgrade).request)
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert b"Sec-WebSocket-Protocol" not in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (b"pusher-channels-protocol-7", True),
        (b"chat, pusher-channels-protocol-7", True),
        (b"chat", False),
    ],
)
def test_the_subprotocol_is_echoed_only_when_offered(offered: bytes, chosen: bool) -> None:
    (upgrade,) = parse(HANDSHAKE + b"Sec-WebSocket-Protocol: " + offered + b"\r\n\r\n")
    answer = encode_upgrade(cast("WebSocketUpgrade", upgrade).request)
    assert (b"Sec-WebSocket-Protocol: pusher-channels-protocol-7\r\n" in answer) is chosen


def test_an_extension_is_named_only_when_it_was_negotiated() -> None:
    (upgrade,) = parse(HANDSHAKE + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    request = cast("WebSocketUpgrade", upgrade).request
    assert b"Extensions" not in encode_upgrade(request)
    answer = encode_upgrade(request, "permessage-deflate; server_no_context_takeover")
    lines = answer.split(b"\r\n")
    assert b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover" in lines
    assert answer.endswith(b"\r\n\r\n")


def test_a_head_is_bounded() -> None:
    start = b"GET / HTTP/1.1\r\nHost: h\r\nA: "
    fitting = start + b"x" * (MAX_HEAD_BYTES - len(start) - 4) + b"\r\n\r\n"
    parse_request(fitting)
    assert_refused(start + b"x" * (MAX_HEAD_BYTES - len(start) - 3) + b"\r\n\r\n", 431)
    assert_refused(start + b"x" * MAX_HEAD_BYTES, 431)
    assert_refused(b"GET /" + b"x" * MAX_HEAD_BYTES, 431)


def test_header_lines_are_bounded() -> None:
    start = b"GET / HTTP/1.1\r\nHost: h\r\n"
    parse_request(start + b"A: b\r\n" * (MAX_HEADER_LINES - 1) + b"\r\n")
    assert_refused(start + b"A: b\r\n" * MAX_HEADER_LINES + b"\r\n", 431)


def test_a_body_is_bounded_before_it_is_read() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
    parse_request(head % MAX_BODY + b"x" * MAX_BODY)
    assert_refused(head % (MAX_BODY + 1), 413)
    assert_refused(head % 2**63, 413)


def test_a_chunked_body_is_counted_while_it_is_read() -> None:
    """Refused with the size of the chunk that goes beyond the limit."""
    half = b"20\r\n" + b"x" * 32 + b"\r\n"
    assert parse_request(chunked_head + half + half + b"0\r\n\r\n").body == b"x" * 64
    assert_refused(chunked_head + half + half + b"1\r\n", 413)
    assert_refused(chunked_head + b"FFFFFFFFFFFFFFFF\r\n", 413)


def test_trailers_are_bounded() -> None:
    assert_refused(chunked_head + b"0\r\n" + (b"A: " + b"x" * 1000 + b"\r\n") * 40, 431)


def test_a_body_has_no_limit_when_none_is_set() -> None:
    parser = RequestParser(0)
    body = b"x" * 3_000_000
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
    (request,) = parser.receive_data(head + body)
    assert cast("Request", request).body == body
    (request,) = parser.receive_data(chunked_head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    assert cast("Request", request).body == body


def test_unfinished_tells_whether_more_must_come() -> None:
    parser = RequestParser(MAX_BODY)
    assert not parser.unfinished
    steps = [
        (b"G", True),
        (b"ET / HTTP/1.1\r\nHost: h\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n", True),
        (b"o", True),
        (b"kGET", True),
        (b" / HTTP/1.1\r\nHost: h\r\n\r\n" + chunked_head, True),
        (b"0\r\n\r\n", False),
        (b"\n", False),
    ]
    for segment, unfinished in steps:
        parser.receive_data(segment)
        assert parser.unfinished is unfinished, segment


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_no_bytes_raise(segments: list[bytes]) -> None:
    parse(*segments)


@st.composite
def mutated_requests(draw: st.DrawFn) -> bytes:
    """A request that is understood or refused, with a few bytes replaced, inserted or removed."""
    requests = [*UNDERSTOOD.values(), *(data[:500] for _, data in REFUSED.values())]
    data = bytearray(draw(st.sampled_from(requests)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        stop = start + draw(st.integers(0, 2))
        data[start:stop] = draw(
            st.binary(max_size=2) | st.sampled_from([b"\r\n", b"\n", b" ", b":", b"0", b"\r\n\r\n"])
        )
    return bytes(data)


@given(mutated_requests(), st.data())
def test_mutated_requests_mean_the_same_in_any_segments(data: bytes, choice: st.DataObject) -> None:
    """Nothing raises, and where the segments end changes nothing."""
    position = choice.draw(st.integers(0, len(data)))
    assert parse(data[:position], data[position:]) == parse(data)


bodies = st.binary(max_size=MAX_BODY)


@given(st.lists(bodies, max_size=5), st.lists(st.integers(1, 40), max_size=8))
def test_chunks_of_any_size_make_the_body(parts: list[bytes], cuts: list[int]) -> None:
    body = b"".join(parts)[:MAX_BODY]
    encoded, rest = b"", body
    for cut in cuts:
        chunk, rest = rest[:cut], rest[cut:]
        if chunk:
            encoded += b"%X\r\n%b\r\n" % (len(chunk), chunk)
    if rest:
        encoded += b"%x\r\n%b\r\n" % (len(rest), rest)
    assert parse_request(chunked_head + encoded + b"0\r\n\r\n").body == body


class Received(socket.socket):
    """As much of a socket as the standard library's client reads an answer from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *args: object, **kwargs: object) -> io.BytesIO:  # type: ignore[override]
        return io.BytesIO(self._data)

    def __del__(self) -> None:
        pass


def read_answer(data: bytes, method: str) -> tuple[http.client.HTTPResponse, bytes]:
    answer = http.client.HTTPResponse(Received(data), method=method)
    answer.begin()
    return answer, answer.read()


values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)


@given(
    status=st.sampled_from([200, 201, 202, 204, 301, 304, 400, 401, 404, 413, 426, 500, 503]),
    body=bodies,
    content_type=st.sampled_from(["application/json", "text/plain"]),
    value=values,
    keep_alive=st.booleans(),
    head_only=st.booleans(),
    http10=st.booleans(),
)
@example(200, b"", "text/plain", "x", True, False, False)
def test_an_answer_is_read_as_it_was_meant(
    status: int,
    body: bytes,
    content_type: str,
    value: str,
    keep_alive: bool,
    head_only: bool,
    http10: bool,
) -> None:
    """The standard library's client reads back status, headers, length and body."""
    response = Response(status, body, content_type, (("X-Value", value), ("Allow", "GET")))
    encoded = encode_response(response, keep_alive=keep_alive, head_only=head_only, http10=http10)
    answer, read = read_answer(encoded, "HEAD" if head_only else "GET")
    assert answer.status == status
    assert answer.headers["X-Value"] == value
    has_content = status not in (204, 304)
    assert answer.headers["Content-Length"] == (str(len(body)) if has_content else None)
    assert answer.headers["Content-Type"] == (content_type if has_content else None)
    assert read == (body if has_content and not head_only else b"")
    expected = "keep-alive" if http10 else None
    assert answer.headers["Connection"] == (expected if keep_alive else "close")
    assert answer.will_close is not keep_alive


def test_an_interim_answer_is_a_status_line_alone() -> None:
    encoded = encode_response(Response(100), keep_alive=True, head_only=False, http10=False)
    assert encoded == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_an_unknown_status_is_written_without_a_phrase() -> None:
    encoded = encode_response(Response(499), keep_alive=True, head_only=False, http10=False)
    assert encoded.startswith(b"HTTP/1.1 499 \r\n")


@pytest.mark.parametrize("value", ["a\r\nB: c", "a\nB: c", "a\r"])
def test_a_header_cannot_begin_another_line(value: str) -> None:
    response = Response(200, headers=(("A", value),))
    with pytest.raises(ValueError, match="one line"):
        encode_response(response, keep_alive=True, head_only=False, http10=False)
