"""One WebSocket connection: what arrives, what is written, whether its peer still lives.

What its messages mean is decided in ``protocol/session.py``; what follows from them is done in
``commands.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from herenow.protocol import messages
from herenow.protocol.errors import NOT_AUTHORIZED_IN_TIME, PONG_TIMEOUT, SLOW_READER, Closing
from herenow.protocol.messages import ClientMessage
from herenow.protocol.session import Refused, Session
from herenow.protocol.websocket import (
    Decoder,
    Fault,
    Opcode,
    close_frame,
    parse_close,
    ping_frame,
    pong_frame,
    text_frame,
)
from herenow.server import commands, subscriptions
from herenow.server.backlog import Backlog
from herenow.server.front import Peer
from herenow.server.hub import Hub
from herenow.server.inbox import Inbox
from herenow.server.limits import TokenBucket

if TYPE_CHECKING:
    from herenow.server.node import Node
    from herenow.server.timers import Timer

HIGH_WATER_BYTES: Final = 65_536
CLOSING_SECONDS: Final = 1.0
BACKLOG_CHECK_SECONDS: Final = 0.5

_PONG: Final = text_frame(messages.pong())


class Connection(asyncio.Protocol):
    """Owns its transport from the upgrade on.

    ``write`` takes framed bytes; it is the transport's own ``write`` as long as the reader keeps
    up. ``closing`` is set once and for good; from then on nothing but a close frame is sent.
    """

    __slots__ = (
        "_authorization",
        "_backlog",
        "_check",
        "_decoder",
        "_inbox",
        "_pauses",
        "_pinged",
        "_received",
        "_sent_at_ping",
        "_transport",
        "_unfinished",
        "_unfinished_since",
        "client",
        "client_events",
        "closing",
        "hub",
        "memberships",
        "node",
        "peer",
        "session",
        "since",
        "watchlist",
        "write",
    )

    def __init__(
        self, node: Node, hub: Hub, transport: asyncio.Transport, session: Session, peer: Peer
    ) -> None:
        self.node = node
        self.hub = hub
        self.session = session
        self.peer = peer
        self.client = ""
        self.since = time.time()
        self.closing = False
        self.watchlist: tuple[str, ...] = ()
        self.memberships: dict[str, int] = {}
        self.client_events: TokenBucket | None = None
        self._transport = transport
        self.write: Callable[[bytes], None] = transport.write
        self._decoder = Decoder(node.settings.max_message_bytes)
        self._inbox: Inbox | None = None
        self._backlog: Backlog | None = None
        self._pauses = 0
        self._pinged = False
        self._sent_at_ping = 0
        self._unfinished: Timer | None = None
        self._unfinished_since: float | None = None
        self._authorization: Timer | None = None
        self._received = node.timers.now()
        self._check: Timer | None = None

    def start(self) -> None:
        """Greet the client and begin to watch over it."""
        settings = self.node.settings
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        established = messages.connection_established(
            self.session.socket_id, settings.activity_timeout_seconds
        )
        self.send(text_frame(established))
        self._watch_over(settings.ping_interval_seconds)
        app = self.hub.app
        if app.authorized_connections:
            self._authorization = self.node.timers.call_later(
                app.authorization_timeout_seconds, self._not_authorized
            )

    @property
    def inbox(self) -> Inbox:
        if self._inbox is None:
            self._inbox = Inbox(self)
        return self._inbox

    def send(self, frame: bytes) -> None:
        """Write one framed message to this client alone."""
        self.node.counters.messages_out += 1
        self.write(frame)

    def refuse(self, refused: Refused) -> None:
        """Answer a request that is not done with what was wrong with it, and say so in the log."""
        frame = text_frame(messages.error(refused.message, refused.code))
        if refused.channel is not None and refused.channel_error is not None:
            kind, status = refused.channel_error
            error = messages.subscription_error(refused.channel, kind, refused.message, status)
            frame += text_frame(error)
        channel = self.hub.channels.get(refused.channel) if refused.channel else None
        if channel is not None:
            channel.reply(self, frame)
        else:
            self.send(frame)
        self.node.refused(self, refused)

    def data_received(self, data: bytes) -> None:
        self._received = self.node.timers.now()
        self._pinged = False
        decoder = self._decoder
        completed = False
        for opcode, payload in decoder.receive_data(data):
            if opcode == Opcode.TEXT:
                completed = True
                self._text(payload)
            elif opcode == Opcode.PING:
                if not self.closing:
                    self.write(pong_frame(payload))
            elif opcode == Opcode.CLOSE:
                self._closed_by_peer(payload)
            elif opcode == Opcode.BINARY:
                self.fail(commands.BINARY_REFUSED)
        if decoder.fault is not None:
            self.fail(decoder.fault)
        else:
            self._watch_unfinished(completed)

    def _watch_unfinished(self, completed: bool) -> None:
        """Give a frame or message that has begun its time; what comes of it wins no more."""
        if not self._decoder.unfinished:
            self._unfinished_since = None
            return
        if completed or self._unfinished_since is None:
            self._unfinished_since = self._received
        if self._unfinished is None:
            self._limit_unfinished(self.node.settings.head_timeout_seconds)

    def _limit_unfinished(self, seconds: float) -> None:
        if seconds and not self.closing:
            self._unfinished = self.node.timers.call_later(seconds, self._check_unfinished)

    def _check_unfinished(self) -> None:
        self._unfinished = None
        since, timeout = self._unfinished_since, self.node.settings.head_timeout_seconds
        if since is None:
            return
        remaining = since + timeout - self.node.timers.now()
        if remaining > 0:
            self._limit_unfinished(remaining)
        else:
            self._drop()

    def _text(self, payload: bytes) -> None:
        if self.closing:
            return
        self.node.counters.messages_in += 1
        message = messages.decode_client_message(payload)
        if isinstance(message, str):
            self.refuse(Refused("bad_message", message))
        elif message.event == "pusher:ping":
            self.send(_PONG)
        elif message.event != "pusher:pong":
            self.inbox.receive(message, len(payload))

    def execute(self, message: ClientMessage) -> None:
        """Do what *message* asks; the inbox calls this when its turn has come."""
        if not self.closing:
            commands.execute(self, message)

    def authorized(self) -> None:
        """The client has shown who it is, so it may stay (protocol reference §10.7)."""
        if self._authorization is not None:
            self._authorization.cancel()
            self._authorization = None

    def _not_authorized(self) -> None:
        self.close(NOT_AUTHORIZED_IN_TIME, grace=0)

    def pause_reading(self, reason: int) -> None:
        """Read no further until :meth:`resume_reading` was called for every reason."""
        if not self._pauses:
            self._transport.pause_reading()
        self._pauses |= reason
        self._watch_unfinished(completed=False)

    def resume_reading(self, reason: int) -> None:
        if self._pauses & reason:
            self._pauses &= ~reason
            if not self._pauses and not self._transport.is_closing():
                self._received = self.node.timers.now()
                self._transport.resume_reading()
                self._watch_unfinished(completed=True)

    def pause_writing(self) -> None:
        if self._backlog is None and not self.closing:
            limit = self.node.settings.write_buffer_bytes
            self._backlog = Backlog(limit, self._transport.get_write_buffer_size())
            self.write = self._write_behind
            self.node.timers.call_later(BACKLOG_CHECK_SECONDS, self._check_backlog)

    def resume_writing(self) -> None:
        self._backlog = None
        if not self.closing:
            self.write = self._transport.write

    def _write_behind(self, frame: bytes) -> None:
        backlog = self._backlog
        if backlog is None:
            return
        self._transport.write(frame)
        backlog.add(len(frame))
        buffered = self._transport.get_write_buffer_size()
        if backlog.is_hopeless(buffered, self.node.timers.now()):
            # Who writes is in the middle of a fan-out, so the subscribers must not change now.
            self.write = _discard
            self.hub.call_soon(self._close_slow_reader)

    def _check_backlog(self) -> None:
        backlog = self._backlog
        if backlog is None or self.closing:
            return
        buffered = self._transport.get_write_buffer_size()
        if backlog.is_hopeless(buffered, self.node.timers.now()):
            self._close_slow_reader()
        else:
            self.node.timers.call_later(BACKLOG_CHECK_SECONDS, self._check_backlog)

    def _close_slow_reader(self) -> None:
        self.close(SLOW_READER)

    def _watch_over(self, seconds: float) -> None:
        if seconds:
            self._check = self.node.timers.call_later(seconds, self._check_alive)

    def _check_alive(self) -> None:
        if self.closing:
            return
        settings = self.node.settings
        silent = self.node.timers.now() - self._received
        if not self._pinged:
            if silent < settings.ping_interval_seconds or self._pauses:
                self._watch_over(max(settings.ping_interval_seconds - silent, 0.1))
                return
            self._pinged = True
            self._sent_at_ping = self._sent()
            self.write(ping_frame())
            self._watch_over(settings.pong_timeout_seconds)
        elif self._backlog is not None and self._sent() > self._sent_at_ping:
            # The ping still waits behind a large frame that the client is reading.
            self._sent_at_ping = self._sent()
            self._watch_over(settings.pong_timeout_seconds)
        else:
            self.close(PONG_TIMEOUT)

    def _sent(self) -> int:
        if self._backlog is None:
            return 0
        return self._backlog.sent(self._transport.get_write_buffer_size())

    def close(self, closing: Closing, grace: float | None = None) -> None:
        """End the connection for a reason its client is told.

        *grace* is how long its user counts as present; ``None`` stands for the application's
        ``leave_grace_seconds``.
        """
        if self.closing:
            return
        self.flush()
        error = text_frame(messages.error(closing.message, closing.code))
        self._end(closing.code.name.lower(), grace)
        self._transport.write(error + close_frame(closing.code, closing.message))
        self.node.timers.call_later(CLOSING_SECONDS, self._drop)

    def fail(self, fault: Fault) -> None:
        """End the connection for a violation of RFC 6455."""
        if self.closing:
            return
        self.flush()
        self._end(fault.code.name.lower(), None)
        self._transport.write(close_frame(fault.code, fault.reason))
        self.node.timers.call_later(CLOSING_SECONDS, self._drop)

    def flush(self) -> None:
        """Write what this turn has for the connection's channels, so that nothing is lost."""
        for name in self.session.subscriptions:
            self.hub.channels[name].flush()

    def _closed_by_peer(self, payload: bytes) -> None:
        if self.closing:
            self._transport.close()
            return
        close = parse_close(payload)
        if isinstance(close, Fault):
            self.fail(close)
            return
        self._end("by_client", None)
        self._transport.write(close_frame(close.code or 1000, ""))
        self._transport.close()
        self.node.timers.call_later(CLOSING_SECONDS, self._drop)

    def _end(self, reason: str, grace: float | None) -> None:
        """Take the connection out of everything; its socket may live a moment longer."""
        self.closing = True
        self.write = _discard
        self._backlog = None
        if self._pauses:
            # So that the client's answer to the close is seen.
            self._pauses = 0
            if not self._transport.is_closing():
                self._transport.resume_reading()
        for timer in (self._check, self._unfinished, self._authorization):
            if timer is not None:
                timer.cancel()
        if grace is None:
            grace = self.hub.app.leave_grace_seconds
        if self._inbox is not None:
            self._inbox.abandon(grace)
        for name in list(self.session.subscriptions):
            subscriptions.leave(self, name, grace)
        self.hub.users.sign_out(self, grace)
        self.hub.remove(self)
        self.node.counters.connections_closed[reason] += 1

    def _drop(self) -> None:
        if not self._transport.is_closing() or self._transport.get_write_buffer_size():
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closing:
            self._end("lost", None)
        self.node.released(self.peer)


def _discard(frame: bytes) -> None:
    """What a connection that is closing does with a frame."""
