"""A backend that takes webhooks: it keeps them as they came, and answers as it is told."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from conformance.harness.signing import hmac_hex
from conformance.harness.websocket import DEADLINE

HOST: Final = "127.0.0.1"
ACCEPTED: Final = 200

_HEX: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request as it came, ``at`` a monotonic time. Headers have the capitalisation sent."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    at: float

    def header(self, name: str) -> str:
        """The value of the one header *name*, in exactly this capitalisation."""
        found = [value for known, value in self.headers if known == name]
        assert len(found) == 1, f"expected one {name}, got {self.headers}"
        return found[0]

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(json.loads(self.body)["events"])

    def verify(self, key: str, secret: str) -> None:
        """Check what §17.1 says of every webhook, whatever it is about."""
        assert self.header("Content-Type") == "application/json"
        assert self.header("X-Pusher-Key") == key
        signature = self.header("X-Pusher-Signature")
        assert _HEX.fullmatch(signature), f"expected lower-case hex, got {signature!r}"
        assert signature == hmac_hex(secret, self.body.decode("utf-8")), "signs another body"
        envelope = json.loads(self.body)
        assert envelope.keys() == {"time_ms", "events"}, f"members are {list(envelope)}"
        assert type(envelope["time_ms"]) is int, f"time_ms is {envelope['time_ms']!r}"
        assert envelope["events"], "no events"
        for event in envelope["events"]:
            for member in ("name", "channel"):
                assert isinstance(event[member], str), f"{member} of {event} is no string"


class Receiver:
    """Listens in threads of its own. Every path is an endpoint by itself."""

    def __init__(self) -> None:
        self._server = _Server(self)
        self._serving = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._deliveries: list[Delivery] = []
        self._answers: defaultdict[str, deque[int]] = defaultdict(deque)
        self._refused: set[str] = set()
        self._arrived = threading.Condition()

    def __enter__(self) -> Self:
        self._serving.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()

    def url(self, path: str) -> str:
        return f"http://{HOST}:{self._server.server_address[1]}{path}"

    def will_answer(self, path: str, statuses: Iterable[int]) -> None:
        """Answer the next requests to *path* with these, and those after them with 200."""
        with self._arrived:
            self._answers[path].extend(statuses)

    def will_refuse(self, channel: str) -> None:
        """Answer every request with an event of *channel* with 500."""
        with self._arrived:
            self._refused.add(channel)

    def will_accept(self, channel: str) -> None:
        """Refuse *channel* no longer."""
        with self._arrived:
            self._refused.discard(channel)

    def take(self, delivery: Delivery) -> int:
        """Keep *delivery*; the status to answer it with."""
        with self._arrived:
            self._deliveries.append(delivery)
            self._arrived.notify_all()
            if any(event["channel"] in self._refused for event in delivery.events):
                return 500
            answers = self._answers[delivery.path]
            return answers.popleft() if answers else ACCEPTED

    def deliveries(self, path: str) -> list[Delivery]:
        """The requests to *path* so far, in the order in which they came."""
        with self._arrived:
            return [delivery for delivery in self._deliveries if delivery.path == path]

    def wait(self, deadline: float) -> bool:
        """Wait for a further request until the monotonic time *deadline*; whether it is later."""
        with self._arrived:
            self._arrived.wait(max(0.0, min(deadline - time.monotonic(), 0.1)))
        return time.monotonic() > deadline


class Endpoint:
    """What one application's endpoint received; all of it is verified as it is looked at."""

    def __init__(self, receiver: Receiver, path: str, key: str, secret: str) -> None:
        self.receiver = receiver
        self.path = path
        self._key = key
        self._secret = secret

    def deliveries(self, channel: str) -> list[Delivery]:
        """The requests with an event of *channel*, in the order in which they came."""
        found = self.receiver.deliveries(self.path)
        for delivery in found:
            delivery.verify(self._key, self._secret)
        return [
            delivery
            for delivery in found
            if any(event["channel"] == channel for event in delivery.events)
        ]

    def events(self, channel: str) -> list[dict[str, Any]]:
        """The events of *channel*, in the order in which they came."""
        return [
            event
            for delivery in self.deliveries(channel)
            for event in delivery.events
            if event["channel"] == channel
        ]

    def expect(self, channel: str, number: int, *, timeout: float = DEADLINE) -> list[Delivery]:
        """Wait for *number* requests with events of *channel*; fails if there are more."""
        deadline = time.monotonic() + timeout
        while len(found := self.deliveries(channel)) < number:
            late = self.receiver.wait(deadline)
            assert not late, f"expected {number} of {channel} in {timeout} s, got {found}"
        assert len(found) == number, f"expected {number} of {channel}, got {found}"
        return found

    def until(self, channel: str, wanted: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Wait until the events of *channel* are what is *wanted*."""
        deadline = time.monotonic() + DEADLINE
        while not wanted(found := self.events(channel)):
            assert not self.receiver.wait(deadline), f"still {found}"

    def expect_events(
        self, channel: str, *expected: dict[str, Any], timeout: float = DEADLINE
    ) -> None:
        """Wait until the events of *channel* are exactly these, in this order."""
        deadline = time.monotonic() + timeout
        while (found := self.events(channel)) != list(expected):
            assert found == list(expected)[: len(found)], f"expected {expected}, got {found}"
            late = self.receiver.wait(deadline)
            assert not late, f"expected {expected} in {timeout} s, got {found}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, receiver: Receiver) -> None:
        super().__init__((HOST, 0), _Request)
        self.receiver = receiver


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = tuple(self.headers.items())
        status = self.server.receiver.take(Delivery(self.path, headers, body, time.monotonic()))
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass
