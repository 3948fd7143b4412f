"""An HTTP server that keeps what it is sent and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it came: ``target`` is path and query, byte for byte."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def timestamp(self) -> int:
        return int(self.parameters["auth_timestamp"])


class Recorder:
    """``answer`` is status and body of every answer; with ``None`` the connection just ends."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.requests: list[Recorded] = []
        self.answer: tuple[int, bytes] | None = (200, b"{}")
        self.headers: Mapping[str, str] = {}

    @property
    def last(self) -> Recorded:
        return self.requests[-1]


class _Server(ThreadingHTTPServer):
    request_queue_size = 64


@contextmanager
def recording() -> Iterator[Recorder]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(length)
            assert self.command is not None
            recorder.requests.append(
                Recorded(self.command, self.path, dict(self.headers.items()), body)
            )
            if recorder.answer is None:
                self.close_connection = True
                return
            status, answer = recorder.answer
            self.send_response(status)
            for name, value in recorder.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            """Nothing on standard error."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        recorder = Recorder("127.0.0.1", server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield recorder
        finally:
            server.shutdown()
            thread.join()
