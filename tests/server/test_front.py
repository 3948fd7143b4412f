"""A connection of the public port, seen from the other end of a socket."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from herenow.protocol.http1 import Response
from herenow.server.front import MAX_OUTSTANDING
from server.port import BIG_BODY, Client, Port, eventually, running_port

HELLO = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = (
    b"GET /app/key HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture
def port() -> Iterator[Port]:
    with running_port() as port:
        yield port


@pytest.fixture
def client(port: Port) -> Iterator[Client]:
    with Client(port) as client:
        yield client


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def test_a_request_is_answered(client: Client) -> None:
    client.send_bytes(HELLO)
    answer = client.read_answer()
    assert answer.status == 200
    assert answer.headers == {"content-type": "application/json", "content-length": "2"}
    assert answer.body == b"{}"


def test_a_connection_serves_many_requests(client: Client) -> None:
    for number in range(200):
        body = b"%d" % number
        head = f"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
        client.send_bytes(head.encode() + body)
        assert client.read_answer().body == body


def test_a_request_may_come_byte_by_byte(client: Client) -> None:
    for byte in b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello":
        client.send_bytes(bytes([byte]))
    assert client.read_answer().body == b"hello"


def test_a_chunked_body_is_put_together(client: Client) -> None:
    client.send("POST /echo HTTP/1.1", "Host: h", "Transfer-Encoding: chunked")
    client.send_bytes(b"6\r\nhello,\r\n")
    client.send_bytes(b"6;x=y\r\n world\r\n0\r\nT: u\r\n\r\n" + HELLO)
    assert client.read_answer().body == b"hello, world"
    assert client.read_answer().body == b"{}"


def test_a_client_that_waits_is_told_to_continue(client: Client) -> None:
    client.send("POST /echo HTTP/1.1", "Host: h", "Expect: 100-continue", "Content-Length: 5")
    assert client.read_answer().status == 100
    client.send_bytes(b"hello")
    assert client.read_answer().body == b"hello"


def test_to_continue_is_told_after_the_answers_before_it(port: Port, client: Client) -> None:
    """An interim answer out of turn would be taken for the earlier request's."""
    client.send_bytes(get("/later/1"))
    client.send("POST /echo HTTP/1.1", "Host: h", "Expect: 100-continue", "Content-Length: 5")
    port.answer("/later/1", Response(200, b"1"))
    assert client.read_answer().body == b"1"
    assert client.read_answer().status == 100
    client.send_bytes(b"hello")
    assert client.read_answer().body == b"hello"


def test_http_1_0_is_answered_and_closed(client: Client) -> None:
    client.send("GET /hello HTTP/1.0")
    answer = client.read_answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert client.read_to_end() == b""


def test_http_1_0_may_be_kept_alive(client: Client) -> None:
    for _ in range(2):
        client.send("GET /hello HTTP/1.0", "Connection: keep-alive")
        assert client.read_answer().headers["connection"] == "keep-alive"


def test_connection_close_is_obeyed(client: Client) -> None:
    client.send("GET /hello HTTP/1.1", "Host: h", "Connection: close")
    assert client.read_answer().headers["connection"] == "close"
    assert client.read_to_end() == b""


def test_what_follows_a_closing_request_is_not_served(client: Client) -> None:
    closing = b"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    client.send_bytes(HELLO + closing + HELLO)
    assert "connection" not in client.read_answer().headers
    assert client.read_answer().headers["connection"] == "close"
    assert client.read_to_end() == b""


def test_pipelined_requests_are_answered_in_order(port: Port, client: Client) -> None:
    """Whatever order the answers are given in."""
    client.send_bytes(get("/later/1") + get("/later/2") + HELLO + get("/later/3"))
    port.answer("/later/3", Response(200, b"3"))
    port.answer("/later/2", Response(200, b"2"))
    port.answer("/later/1", Response(200, b"1"))
    assert [client.read_answer().body for _ in range(4)] == [b"1", b"2", b"{}", b"3"]


def test_a_thousand_pipelined_requests_are_all_answered(client: Client) -> None:
    client.send_bytes(b"".join(get(f"/nowhere/{n}") for n in range(1000)) + HELLO)
    statuses = [client.read_answer().status for _ in range(1001)]
    assert statuses == [404] * 1000 + [200]


def test_no_more_requests_are_taken_than_may_be_outstanding(port: Port, client: Client) -> None:
    """The rest wait, and are not lost."""
    count = MAX_OUTSTANDING * 3
    client.send_bytes(b"".join(get(f"/later/{n}") for n in range(count)))
    eventually(lambda: len(port.owed) == MAX_OUTSTANDING)
    for number in range(count):
        port.answer(f"/later/{number}", Response(200, b"%d" % number))
        assert client.read_answer().body == b"%d" % number
        assert len(port.owed) <= number + 1 + MAX_OUTSTANDING


def test_an_answer_counts_once(port: Port, client: Client) -> None:
    client.send_bytes(get("/later/1") + get("/later/2"))
    port.answer("/later/1", Response(200, b"1"))
    port.answer("/later/1", Response(200, b"again"))
    port.answer("/later/2", Response(200, b"2"))
    assert [client.read_answer().body for _ in range(2)] == [b"1", b"2"]


def test_an_answer_to_a_client_that_left_goes_nowhere(port: Port) -> None:
    with Client(port) as client:
        client.send_bytes(get("/later/1"))
        eventually(lambda: "/later/1" in port.owed)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    eventually(lambda: len(port.closed) == 1)
    port.answer("/later/1", Response(200))
    with Client(port) as other:
        other.send_bytes(HELLO)
        assert other.read_answer().status == 200


def test_head_is_answered_like_get_without_the_body(client: Client) -> None:
    client.send_bytes(HELLO.replace(b"GET", b"HEAD") + HELLO)
    answer = client.read_answer("HEAD")
    assert (answer.status, answer.headers["content-length"]) == (200, "2")
    assert client.read_answer().body == b"{}"


@pytest.mark.parametrize(
    ("target", "status", "allowed"),
    [
        ("/echo", 204, "POST, PUT"),
        ("*", 204, "GET, HEAD, POST, OPTIONS"),
        ("/pusher/app/key/1/abcdefgh/xhr_streaming", 404, None),
    ],
)
def test_options_tell_what_is_allowed(
    client: Client, target: str, status: int, allowed: str | None
) -> None:
    client.send(f"OPTIONS {target} HTTP/1.1", "Host: h")
    answer = client.read_answer()
    assert (answer.status, answer.headers.get("allow")) == (status, allowed)
    client.send_bytes(HELLO)
    assert client.read_answer().status == 200


def test_what_no_route_serves_is_refused_by_the_routes(client: Client) -> None:
    client.send_bytes(get("/nowhere") + get("/echo"))
    answer = client.read_answer()
    assert (answer.status, answer.body) == (404, b"404 NOT FOUND\n")
    answer = client.read_answer()
    assert (answer.status, answer.headers["allow"]) == (405, "POST, PUT")


def test_an_absolute_target_is_served(client: Client) -> None:
    client.send("GET http://localhost/hello HTTP/1.1", "Host: localhost")
    assert client.read_answer().status == 200


def test_another_upgrade_is_ignored_and_the_body_read(client: Client) -> None:
    """Java's client offers h2c with every request on a plain connection."""
    client.send(
        "POST /echo HTTP/1.1",
        "Connection: Upgrade, HTTP2-Settings",
        "Content-Length: 5",
        "Host: localhost",
        "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
        "Upgrade: h2c",
        body=b"hello" + HELLO,
    )
    assert client.read_answer().body == b"hello"
    assert client.read_answer().body == b"{}"


def test_an_error_is_one_line_of_text_and_the_end(client: Client) -> None:
    client.send("GET /hello HTTP/1.1", "Host : h")
    answer = client.read_answer()
    assert answer.status == 400
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["connection"] == "close"
    assert answer.body.endswith(b"\n")
    assert client.read_to_end() == b""


def test_an_error_comes_after_the_answers_before_it(port: Port, client: Client) -> None:
    client.send_bytes(get("/later/1") + b"nonsense\r\n\r\n")
    port.answer("/later/1", Response(200, b"1"))
    assert client.read_answer().body == b"1"
    assert client.read_answer().status == 400
    assert client.read_to_end() == b""


def test_an_error_reaches_a_client_that_still_sends(client: Client) -> None:
    """Closed at once, the client's system would discard the answer."""
    client.send("POST /echo HTTP/1.1", "Host: h", "Content-Length: 8000000")
    for _ in range(80):
        client.send_bytes(b"x" * 100_000)
    assert client.read_answer().status == 413
    assert client.read_to_end() == b""


def test_a_handler_that_fails_is_an_internal_error(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged with its path, never with its query, which holds a signature."""
    with caplog.at_level(logging.ERROR, "herenow.front"):
        client.send_bytes(get("/raise?auth_signature=5ec2e7") + HELLO)
        answer = client.read_answer()
        assert (answer.status, answer.body) == (500, b"Internal server error\n")
        assert client.read_answer().status == 200
    assert "GET /raise failed" in caplog.text
    assert "not today" in caplog.text
    assert "5ec2e7" not in caplog.text


def test_a_handler_that_fails_after_its_answer_has_answered(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.send_bytes(get("/raise-late") + HELLO)
    assert [client.read_answer().status for _ in range(2)] == [200, 200]
    eventually(lambda: "too late" in caplog.text)


def test_an_answer_that_cannot_be_written_is_an_internal_error(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.send_bytes(get("/broken") + HELLO)
    assert [client.read_answer().status for _ in range(2)] == [500, 200]
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize("path", [b"/app/key", b"/anything"])
def test_a_websocket_upgrade_is_accepted_on_every_path(client: Client, path: bytes) -> None:
    client.send_bytes(UPGRADE.replace(b"/app/key", path) + b"\r\n")
    answer = client.read_answer()
    assert answer.status == 101
    assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert "sec-websocket-protocol" not in answer.headers
    assert client.read(len(path) + 2) == b"<" + path + b">"
    client.send_bytes(b"frame")
    assert client.read(5) == b"frame"


def test_the_offered_subprotocol_is_echoed(client: Client) -> None:
    client.send_bytes(UPGRADE + b"Sec-WebSocket-Protocol: x, pusher-channels-protocol-7\r\n\r\n")
    assert client.read_answer().headers["sec-websocket-protocol"] == "pusher-channels-protocol-7"


def test_frames_in_the_segment_of_the_upgrade_arrive(client: Client) -> None:
    client.send_bytes(UPGRADE + b"\r\nearly")
    assert client.read_answer().status == 101
    assert client.read(15) == b"</app/key>early"


def test_an_upgrade_waits_for_the_answers_before_it(port: Port, client: Client) -> None:
    """And what is sent meanwhile is the WebSocket's."""
    client.send_bytes(HELLO + get("/later/1") + UPGRADE + b"\r\none,")
    eventually(lambda: "/later/1" in port.owed)
    client.send_bytes(b"two,")
    port.answer("/later/1", Response(200, b"1"))
    assert [client.read_answer().body for _ in range(2)] == [b"{}", b"1"]
    assert client.read_answer().status == 101
    client.send_bytes(b"three")
    assert client.read(23) == b"</app/key>one,two,three"


def test_an_upgrade_of_another_version_is_told_the_supported_one(client: Client) -> None:
    client.send_bytes(UPGRADE.replace(b"13", b"8") + b"\r\n")
    answer = client.read_answer()
    assert answer.status == 426
    assert answer.headers["sec-websocket-version"] == "13"
    assert answer.headers["upgrade"] == "websocket"
    assert client.read_to_end() == b""


def test_an_upgrade_that_cannot_be_opened_is_closed(
    port: Port, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    port.upgrade_fails = True
    client.send_bytes(UPGRADE + b"\r\n")
    client.wait_for_the_end()
    eventually(lambda: port.closed == ["127.0.0.1"])
    assert "no WebSocket today" in caplog.text


def test_a_refused_address_is_closed_without_a_word(port: Port) -> None:
    port.admits = False
    with Client(port) as client:
        assert client.wait_for_the_end() == b""
    eventually(lambda: port.closed == ["127.0.0.1"])
    assert port.admitted == ["127.0.0.1"]


def test_a_client_refused_a_websocket_is_closed_before_the_upgrade() -> None:
    with running_port(admit_websocket=lambda peer: False) as port, Client(port) as client:
        client.send_bytes(HELLO)
        assert client.read_answer().status == 200
        client.send_bytes(UPGRADE + b"\r\n")
        assert client.wait_for_the_end() == b""
        eventually(lambda: port.closed == ["127.0.0.1"])
        assert port.websockets_lost == 0


def test_a_client_refused_a_websocket_still_gets_the_answers_before() -> None:
    """Also what was asked for in the same breath."""
    with running_port(admit_websocket=lambda peer: False) as port, Client(port) as client:
        client.send_bytes(HELLO + UPGRADE + b"\r\n")
        assert client.read_answer().body == b"{}"
        assert client.wait_for_the_end() == b""


def test_what_was_answered_before_a_connection_is_aborted_arrives(
    port: Port, client: Client
) -> None:
    client.send_bytes(get("/later/1"))
    port.abort_after("/later/1", Response(200, b"1"))
    assert client.read_answer().body == b"1"
    assert client.wait_for_the_end() == b""


def test_no_websocket_is_opened_for_a_client_that_does_not_read(port: Port) -> None:
    """What was asked for before its upgrade is answered, and read, first."""
    port.listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    answer = Response(200, b"x" * 50_000)
    with Client(port, receive_buffer=4_096) as client:
        client.send_bytes(get("/later/1"))
        port.answer("/later/1", answer)
        client.send_bytes(get("/later/2") + UPGRADE + b"\r\n")
        port.answer("/later/2", answer)
        eventually(lambda: any(front._stalled for front in port.context.fronts))
        assert [client.read_answer().body for _ in range(2)] == [answer.body] * 2
        assert client.read_answer().status == 101


def test_the_end_of_a_connection_is_told(port: Port) -> None:
    with Client(port) as client:
        client.send_bytes(HELLO)
        client.read_answer()
        assert len(port.context.fronts) == 1
        assert port.closed == []
    eventually(lambda: port.closed == ["127.0.0.1"])
    assert not port.context.fronts


def test_the_end_of_a_websocket_is_not_told(port: Port) -> None:
    """It is the WebSocket side's to tell, which had the connection last."""
    with Client(port) as client:
        client.send_bytes(UPGRADE + b"\r\n")
        client.read(1)
        eventually(lambda: not port.context.fronts)
    eventually(lambda: port.websockets_lost == 1)
    assert port.closed == []


def test_a_half_closed_client_gets_its_answer(client: Client) -> None:
    client.send("GET /hello HTTP/1.0")
    client.end()
    assert client.read_answer().body == b"{}"
    assert client.read_to_end() == b""


def test_a_half_closed_client_gets_all_its_answers(port: Port, client: Client) -> None:
    """Also those that come late, the last of which closes the connection."""
    client.send_bytes(get("/later/1") + HELLO)
    client.end()
    port.answer("/later/1", Response(200, b"1"))
    assert "connection" not in client.read_answer().headers
    assert client.read_answer().headers["connection"] == "close"
    assert client.read_to_end() == b""


def test_a_client_that_ends_within_a_request_is_closed(client: Client) -> None:
    client.send_bytes(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel")
    client.end()
    assert client.read_to_end() == b""


def test_a_client_that_sends_nothing_is_dropped() -> None:
    with running_port(head_timeout_seconds=0.1) as port, Client(port) as client:
        assert client.read_to_end() == b""


@pytest.mark.parametrize(
    "half",
    [
        b"GET /hello HT",
        b"GET /hello HTTP/1.1\r\nHost: h\r\n",
        b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel",
        b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
def test_half_a_request_is_timed_out(half: bytes) -> None:
    with running_port(head_timeout_seconds=0.1) as port, Client(port) as client:
        client.send_bytes(half)
        assert client.read_answer().status == 408
        assert client.read_to_end() == b""


def test_half_a_request_is_timed_out_however_slowly_it_comes() -> None:
    """Each byte does not begin the time anew."""
    with running_port(head_timeout_seconds=0.3) as port, Client(port) as client:
        client.send_bytes(HELLO)
        client.read_answer()
        client.socket.settimeout(0.02)
        sent = b"GET /"
        client.send_bytes(sent)
        for _ in range(500):
            try:
                assert b"408" in client.socket.recv(1000)
                return
            except TimeoutError:
                client.send_bytes(b"x")
        pytest.fail("the request was never timed out")


def test_an_idle_connection_is_closed() -> None:
    with running_port(keep_alive_seconds=0.1) as port, Client(port) as client:
        client.send_bytes(HELLO)
        assert client.read_answer().status == 200
        assert client.read_to_end() == b""


@pytest.mark.parametrize("ends_its_side", [False, True])
def test_who_does_not_read_the_last_of_its_answer_is_dropped(ends_its_side: bool) -> None:
    """Too little waits for it to count as stalled; closing would wait for ever."""
    with running_port(keep_alive_seconds=0.2, head_timeout_seconds=0.2) as port:
        port.listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        with Client(port, receive_buffer=4_096) as client:
            client.send_bytes(get("/later/1"))
            port.answer("/later/1", Response(200, b"x" * 50_000))
            eventually(
                lambda: any(item._transport.get_write_buffer_size() for item in port.context.fronts)
            )
            assert not any(item._stalled for item in port.context.fronts)
            if ends_its_side:
                client.socket.shutdown(socket.SHUT_WR)
            eventually(lambda: port.closed == ["127.0.0.1"])


def test_a_connection_in_use_is_kept_beyond_its_timeouts() -> None:
    with (
        running_port(keep_alive_seconds=1, head_timeout_seconds=1) as port,
        Client(port) as client,
    ):
        begun = time.monotonic()
        while time.monotonic() - begun < 1.5:
            client.send_bytes(HELLO)
            assert client.read_answer().status == 200
            time.sleep(0.05)


def test_a_slow_handler_is_waited_for() -> None:
    """Neither timeout is about the time that an answer takes."""
    with (
        running_port(keep_alive_seconds=0.1, head_timeout_seconds=0.1) as port,
        Client(port) as client,
    ):
        client.send_bytes(get("/later/1"))
        client.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        port.answer("/later/1", Response(200, b"late"))
        assert b"late" in client.socket.recv(1000)


def test_a_connection_without_timeouts_stays() -> None:
    with (
        running_port(keep_alive_seconds=0, head_timeout_seconds=0) as port,
        Client(port) as client,
    ):
        client.send_bytes(HELLO[:5])
        client.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.send_bytes(HELLO[5:])
        assert b"200 OK" in client.socket.recv(1000)


def test_a_client_that_does_not_read_is_not_read_either() -> None:
    """Its requests wait until it reads its answers, and none is lost."""
    with running_port() as port, Client(port, receive_buffer=65536) as client:
        client.send_bytes(get("/big") * 4 + get("/later/1"))
        assert client.read_answer().body == BIG_BODY
        # What is still unread is more than the system takes over from the server.
        assert "/later/1" not in port.owed
        for _ in range(3):
            assert client.read_answer().body == BIG_BODY
        port.answer("/later/1", Response(200, b"1"))
        assert client.read_answer().body == b"1"


def test_a_client_that_never_reads_is_dropped() -> None:
    with running_port(head_timeout_seconds=0.1) as port, Client(port) as client:
        client.send_bytes(get("/big"))
        eventually(lambda: len(port.closed) == 1)


def test_a_client_that_reads_slowly_gets_its_answer() -> None:
    """As long as it goes on reading, also when the answer is the last."""
    with (
        running_port(head_timeout_seconds=1) as port,
        Client(port, receive_buffer=65536) as client,
    ):
        client.send("GET /big HTTP/1.1", "Host: h", "Connection: close")
        begun = time.monotonic()
        received = 0
        while part := client.socket.recv(200_000):
            received += len(part)
            if time.monotonic() - begun < 3:
                time.sleep(0.05)
        assert received > len(BIG_BODY)


def test_draining_closes_idle_connections_at_once(port: Port) -> None:
    with Client(port) as idle, Client(port) as fresh:
        idle.send_bytes(HELLO)
        idle.read_answer()
        eventually(lambda: len(port.context.fronts) == 2)
        port.drain()
        assert idle.read_to_end() == b""
        assert fresh.read_to_end() == b""


def test_draining_answers_what_is_owed_first(port: Port, client: Client) -> None:
    client.send_bytes(get("/later/1") + get("/later/2"))
    eventually(lambda: "/later/2" in port.owed)
    port.drain()
    port.answer("/later/1", Response(200, b"1"))
    assert "connection" not in client.read_answer().headers
    port.answer("/later/2", Response(200, b"2"))
    answer = client.read_answer()
    assert (answer.body, answer.headers["connection"]) == (b"2", "close")
    assert client.read_to_end() == b""


def test_draining_lets_half_a_request_be_completed(port: Port, client: Client) -> None:
    client.send_bytes(HELLO + b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe")
    client.read_answer()
    port.drain()
    client.send_bytes(b"llo" + HELLO)
    assert client.read_answer().body == b"hello"
    answer = client.read_answer()
    assert (answer.body, answer.headers["connection"]) == (b"{}", "close")
    assert client.read_to_end() == b""


def test_draining_does_not_touch_websockets(port: Port, client: Client) -> None:
    client.send_bytes(UPGRADE + b"\r\n")
    client.read_answer()
    port.drain()
    client.send_bytes(b"still here")
    assert client.read(20) == b"</app/key>still here"


def test_a_handler_knows_its_peer(client: Client) -> None:
    client.send_bytes(get("/peer"))
    peer = json.loads(client.read_answer().body)
    assert peer == {"address": "127.0.0.1", "secure": False, "loopback_direct": True}


def test_a_trusted_proxy_speaks_for_its_client() -> None:
    trusted = (ip_network("127.0.0.0/8"),)
    with running_port(trusted_proxies=trusted) as port, Client(port) as client:
        client.send(
            "GET /peer HTTP/1.1",
            "Host: localhost",
            "X-Forwarded-For: 198.51.100.7",
            "X-Forwarded-Proto: https",
        )
        peer = json.loads(client.read_answer().body)
        assert peer == {"address": "198.51.100.7", "secure": True, "loopback_direct": False}


def test_each_request_has_a_peer_of_its_own() -> None:
    """Also when it repeats the header lines of one before."""
    trusted = (ip_network("127.0.0.0/8"),)
    direct = ("Host: localhost",)
    proxied = ("Host: localhost", "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: https")
    other = ("Host: chat.example",)
    expected = {
        direct: {"address": "127.0.0.1", "secure": False, "loopback_direct": True},
        proxied: {"address": "198.51.100.7", "secure": True, "loopback_direct": False},
        other: {"address": "127.0.0.1", "secure": False, "loopback_direct": False},
    }
    with running_port(trusted_proxies=trusted) as port, Client(port) as client:
        for lines in (direct, direct, proxied, proxied, direct, other, other, proxied, direct):
            client.send("GET /peer HTTP/1.1", *lines)
            assert json.loads(client.read_answer().body) == expected[lines]


def test_the_websocket_side_is_a_protocol_of_its_own(port: Port, client: Client) -> None:
    """Bytes sent long after the upgrade no longer pass through HTTP."""
    client.send_bytes(UPGRADE + b"\r\n")
    client.read_answer()
    client.send_bytes(HELLO)
    assert client.read(10 + len(HELLO)) == b"</app/key>" + HELLO
