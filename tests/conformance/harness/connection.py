"""A Pusher client that expects: what comes next, and that nothing else comes."""

from __future__ import annotations

import re
import struct
import time
from dataclasses import dataclass
from typing import Any, Final

from conformance.harness.apps import App
from conformance.harness.envelope import Error, Event, Roster, parse
from conformance.harness.signing import channel_string, compact, hmac_hex, user_string
from conformance.harness.websocket import (
    DEADLINE,
    ConnectionLost,
    Frame,
    Opcode,
    WebSocket,
    encode,
)

SUCCEEDED: Final = "pusher_internal:subscription_succeeded"
MEMBER_ADDED: Final = "pusher_internal:member_added"
MEMBER_REMOVED: Final = "pusher_internal:member_removed"
SUBSCRIPTION_COUNT: Final = "pusher_internal:subscription_count"
WATCHLIST: Final = "pusher_internal:watchlist_events"
CACHE_MISS: Final = "pusher:cache_miss"
SUBSCRIPTION_ERROR: Final = "pusher:subscription_error"

_MAX_REASON: Final = 123


@dataclass(frozen=True, slots=True)
class Closed:
    """The close frame of the server."""

    code: int
    reason: str


class Connection:
    """One connection. It answers WebSocket pings whenever it reads, unless told not to.

    Every frame read is checked against the envelope invariants, every close against the rules
    of close codes, whatever the test is about.
    """

    def __init__(self, websocket: WebSocket, app: App, *, answers_pings: bool = True) -> None:
        self.websocket = websocket
        self.app = app
        self.answers_pings = answers_pings
        self.socket_id = ""
        self.activity_timeout = 0
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self._previous: Event | Error | None = None

    def send_text(self, *texts: str) -> None:
        """Send raw text messages in one write."""
        self.websocket.send(*(encode(Opcode.TEXT, text.encode()) for text in texts))

    def send_frame(self, opcode: Opcode, payload: bytes, *, masked: bool = True) -> None:
        self.websocket.send(encode(opcode, payload, masked=masked))

    def send(self, event: str, data: object, channel: str | None = None, **members: object) -> None:
        envelope: dict[str, object] = {"event": event, "data": data, **members}
        if channel is not None:
            envelope["channel"] = channel
        self.send_text(compact(envelope))

    def receive(self, timeout: float = DEADLINE) -> Event | Error | Closed:
        """The next frame that means something; ``TimeoutError`` if there is none in time."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                frame = self.websocket.receive(max(deadline - time.monotonic(), 0.001))
            except ConnectionLost:
                raise AssertionError(
                    f"the TCP connection ended without a close frame after {self._previous}"
                ) from None
            if frame.opcode is Opcode.PING:
                self.pings.append(frame.payload)
                if self.answers_pings:
                    self.send_frame(Opcode.PONG, frame.payload)
            elif frame.opcode is Opcode.PONG:
                self.pongs.append(frame.payload)
            elif frame.opcode is Opcode.CLOSE:
                return self._closed(frame)
            else:
                self._previous = parse(frame)
                return self._previous

    def _closed(self, frame: Frame) -> Closed:
        assert len(frame.payload) >= 2, "the server closed without a code"
        (code,) = struct.unpack("!H", frame.payload[:2])
        reason = frame.payload[2:].decode("utf-8")
        assert 1000 <= code <= 1011 or 4000 <= code <= 4299, f"closed with {code} {reason!r}"
        assert len(frame.payload) - 2 <= _MAX_REASON, f"too long a reason: {reason!r}"
        announced = self._previous if isinstance(self._previous, Error) else None
        if code >= 4000:
            assert announced is not None, f"closed with {code} but no error before it"
            assert announced.code == code, f"announced {announced}, closed with {code}"
            assert reason == cut(announced.message), "the reason is the error's message"
        elif announced is not None and announced.code is not None:
            assert announced.code in (code, 4301, 4302), f"{announced}, then close with {code}"
        self.websocket.close()
        return Closed(code, reason)

    def expect_event(
        self,
        name: str,
        channel: str | None = None,
        data: str | None = None,
        *,
        user_id: str | None = None,
        timeout: float = DEADLINE,
    ) -> Event:
        """Expect *name* as the next frame, on exactly *channel*, with exactly *user_id*."""
        try:
            event = self.receive(timeout)
        except TimeoutError:
            raise AssertionError(f"expected {name} on {channel}, nothing came") from None
        assert isinstance(event, Event), f"expected {name}, got {event}"
        assert (event.name, event.channel) == (name, channel), f"expected {name}, got {event}"
        assert event.user_id == user_id, f"expected user_id {user_id}, got {event}"
        if data is not None:
            assert event.data == data, f"expected data {data!r}, got {event}"
        return event

    def expect_object(
        self, name: str, channel: str | None, data: dict[str, Any], *, timeout: float = DEADLINE
    ) -> None:
        """Expect *name* next, its data string holding *data*."""
        event = self.expect_event(name, channel, timeout=timeout)
        assert event.decoded() == data, f"expected {data}, got {event}"

    def expect_error(
        self, code: int | None = None, message: str | re.Pattern[str] | None = None
    ) -> Error:
        """Expect exactly one error and the connection still open: ERR of the checklist."""
        error = self.next_error(code, message)
        self.expect_nothing()
        return error

    def next_error(
        self, code: int | None = None, message: str | re.Pattern[str] | None = None
    ) -> Error:
        """Expect an error as the next frame, whatever follows."""
        try:
            error = self.receive()
        except TimeoutError:
            raise AssertionError(f"expected an error {message!r}, nothing came") from None
        assert isinstance(error, Error), f"expected an error, got {error}"
        assert error.code == code, f"expected code {code}, got {error}"
        if isinstance(message, str):
            assert error.message == message, f"expected {message!r}, got {error}"
        elif message is not None:
            assert message.search(error.message), error.message
        return error

    def expect_refusal(
        self, channel: str, message: str | re.Pattern[str] | None = None
    ) -> Event | None:
        """Expect a subscription refused: ERR and, where allowed, a ``subscription_error``."""
        self.next_error(None, message)
        rest = self.fence()
        if not rest:
            return None
        assert len(rest) == 1, f"after a refusal came {rest}"
        extra = rest[0]
        assert isinstance(extra, Event), f"after a refusal came {extra}"
        named = (extra.name, extra.channel)
        assert named == (SUBSCRIPTION_ERROR, channel), f"after a refusal came {extra}"
        assert not channel.startswith("private-encrypted-"), "encrypted channels get no error event"
        return extra

    def fence(self) -> list[Event | Error]:
        """Send a ``pusher:ping`` and collect all that came before its pong."""
        self.send("pusher:ping", {})
        before: list[Event | Error] = []
        while True:
            try:
                received = self.receive()
            except TimeoutError:
                raise AssertionError("a pusher:ping was not answered") from None
            assert not isinstance(received, Closed), f"the server closed: {received}"
            if isinstance(received, Event) and received.name == "pusher:pong":
                assert received.channel is None, f"a pong on a channel: {received}"
                return before
            before.append(received)

    def expect_nothing(self) -> None:
        """Expect that the connection is open and nothing has been sent to it."""
        before = self.fence()
        assert before == [], f"expected nothing, got {before}"

    def expect_closed(
        self, code: int, message: str | None = None, *, timeout: float = DEADLINE
    ) -> Closed:
        """Expect the server's close as the next thing, announced by its error frame."""
        try:
            received = self.receive(timeout)
            if isinstance(received, Error):
                assert received.code == code, f"expected {code}, got {received}"
                received = self.receive(timeout)
        except TimeoutError:
            raise AssertionError(f"expected a close with {code}, nothing came") from None
        assert isinstance(received, Closed), f"expected a close with {code}, got {received}"
        assert received.code == code, f"expected {code}, got {received}"
        if message is not None:
            assert received.reason == cut(message), f"expected {message!r}, got {received}"
        return received

    def expect_established(self) -> Event:
        """Expect the handshake event and remember what it says."""
        established = self.expect_event("pusher:connection_established")
        handshake = established.decoded()
        self.socket_id = handshake["socket_id"]
        self.activity_timeout = handshake["activity_timeout"]
        return established

    def auth(self, channel: str, channel_data: str | None = None) -> str:
        string = channel_string(self.socket_id, channel, channel_data)
        return f"{self.app.key}:{hmac_hex(self.app.secret, string)}"

    def user_auth(self, user_data: str) -> str:
        return f"{self.app.key}:{hmac_hex(self.app.secret, user_string(self.socket_id, user_data))}"

    def request_subscribe(self, channel: str, channel_data: str | None = None) -> None:
        """Ask for *channel*, signed if its name wants that."""
        data: dict[str, object] = {"channel": channel}
        if channel.startswith(("private-", "presence-")):
            data["auth"] = self.auth(channel, channel_data)
        if channel_data is not None:
            data["channel_data"] = channel_data
        self.send("pusher:subscribe", data)

    def subscribe(self, channel: str, channel_data: str | None = None) -> Event:
        self.request_subscribe(channel, channel_data)
        return self.expect_event(SUCCEEDED, channel)

    def join(self, channel: str, user_id: object, user_info: object = None) -> Roster:
        """Subscribe to a presence channel as *user_id*."""
        return Roster.of(self.subscribe(channel, member(user_id, user_info)))

    def unsubscribe(self, channel: str) -> None:
        self.send("pusher:unsubscribe", {"channel": channel})

    def request_sign_in(self, user_data: str) -> None:
        self.send("pusher:signin", {"auth": self.user_auth(user_data), "user_data": user_data})

    def sign_in(self, user_id: str, **members: object) -> None:
        """Sign in as *user_id* and expect success; a watchlist's first event is left unread."""
        user_data = compact({"id": user_id, **members})
        self.request_sign_in(user_data)
        self.expect_object("pusher:signin_success", None, {"user_data": user_data})

    def close(self) -> None:
        """End the connection as a client should; the server has understood when this returns."""
        self.send_frame(Opcode.CLOSE, struct.pack("!H", 1000))
        received: object = None
        while not isinstance(received, Closed):
            received = self.receive()

    def reset(self) -> None:
        """End the connection as a crash would."""
        self.websocket.reset()


def member(user_id: object, user_info: object = None) -> str:
    """The ``channel_data`` of a presence subscription."""
    data: dict[str, object] = {"user_id": user_id}
    if user_info is not None:
        data["user_info"] = user_info
    return compact(data)


def cut(message: str) -> str:
    """*message* as far as it fits into a close reason."""
    return message.encode()[:_MAX_REASON].decode("utf-8", "ignore")
