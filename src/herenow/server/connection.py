"""One WebSocket connection: what arrives, what is written, and how it ends.

What its messages mean is decided in ``protocol/session.py``; what follows from them is done in
``commands.py``; whether its peer still lives is seen in ``liveness.py``.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from herenow.cluster.bucket import TokenBucket
from herenow.protocol import messages
from herenow.protocol.errors import NOT_AUTHORIZED_IN_TIME, SLOW_READER, CloseCode, Closing
from herenow.protocol.messages import ClientMessage
from herenow.protocol.session import Refused, Session
from herenow.protocol.websocket import (
    Decoder,
    Fault,
    Opcode,
    close_frame,
    parse_close,
    pong_frame,
    text_frame,
)
from herenow.server import commands, subscriptions
from herenow.server.backlog import Backlog
from herenow.server.compression import Deflate
from herenow.server.front import Peer
from herenow.server.hub import Hub
from herenow.server.inbox import Inbox
from herenow.server.liveness import Liveness
from herenow.server.refusing import CLOSING_SECONDS
from herenow.server.streams import HIGH_WATER_BYTES, Stream
from herenow.server.writers import Write

if TYPE_CHECKING:
    from herenow.server.node import Node
    from herenow.server.timers import Timer

BACKLOG_CHECK_SECONDS: Final = 0.5
READ_SLICE_BYTES: Final = 4_096
# A hundred bytes may inflate to the largest message.
COMPRESSED_SLICE_BYTES: Final = 512
PAUSE_SLICE: Final = 1 << 1

_PONG: Final = text_frame(messages.pong())


class Connection(asyncio.Protocol):
    """Owns its transport from the upgrade on.

    ``write`` takes framed bytes; it is the transport's own ``write`` as long as the reader keeps
    up and does not want frames compressed, which *deflate* does. Only ``write_by`` changes it.
    ``key`` is the key of the application that the client came with. ``closing`` is set once and
    for good; from then on nothing but a close frame is sent.
    """

    __slots__ = (
        "_authorization",
        "_backlog",
        "_decoder",
        "_deflate",
        "_inbox",
        "_liveness",
        "_pauses",
        "_transport",
        "_unread",
        "client",
        "client_events",
        "closing",
        "hub",
        "key",
        "node",
        "peer",
        "session",
        "since",
        "watchlist",
        "write",
    )

    def __init__(
        self,
        node: Node,
        hub: Hub,
        transport: asyncio.Transport,
        session: Session,
        peer: Peer,
        key: str,
        deflate: Deflate | None = None,
    ) -> None:
        self.node = node
        self.hub = hub
        self.session = session
        self.peer = peer
        self.key = key
        self.client = ""
        self.since = time.time()
        self.closing = False
        self.watchlist: tuple[str, ...] = ()
        self.client_events: TokenBucket | None = None
        self._transport = transport
        self._deflate = deflate
        self.write: Write
        self._write_at_once()
        self._decoder = Decoder(node.settings.max_message_bytes, compression=deflate is not None)
        self._inbox: Inbox | None = None
        self._backlog: Backlog | None = None
        self._pauses = 0
        self._unread = b""
        self._authorization: Timer | None = None
        self._liveness = Liveness(self)

    def start(self, accepted: bytes) -> None:
        """Greet the client, after the answer to its handshake, and begin to watch over it."""
        settings = self.node.settings
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        established = messages.connection_established(
            self.session.socket_id, settings.activity_timeout_seconds
        )
        greeting = text_frame(established)
        if self._deflate is not None:
            greeting = self._deflate(greeting)
        self.node.counters.messages_out += 1
        self._transport.write(accepted + greeting)
        if self._transport.get_write_buffer_size() > HIGH_WATER_BYTES:
            # Of that whoever had the transport before was told.
            self.pause_writing()
        self._liveness.start()
        app = self.hub.app
        if app.authorized_connections:
            self._authorization = self.node.timers.call_later(
                app.authorization_timeout_seconds, self._not_authorized
            )

    @property
    def transport(self) -> asyncio.Transport:
        return self._transport

    @property
    def direct_stream(self) -> Stream | None:
        """Its stream, if whatever it is sent goes there as it is."""
        stream = self._transport
        if isinstance(stream, Stream) and self.write == stream.write and not stream.is_closing():
            return stream
        return None

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
        self._liveness.heard()
        size = len(data)
        if self._unread or (size > COMPRESSED_SLICE_BYTES and size > self._slice_bytes):
            self._unread += data
            self.pause_reading(PAUSE_SLICE)
            self._read_on()
        else:
            self._receive(data)

    @property
    def _slice_bytes(self) -> int:
        return READ_SLICE_BYTES if self._deflate is None else COMPRESSED_SLICE_BYTES

    def _read_on(self) -> None:
        """Take a slice of what one read brought, so that no flood keeps the loop from others."""
        if not self._unread or self._pauses != PAUSE_SLICE:
            return
        size = self._slice_bytes
        data, self._unread = self._unread[:size], self._unread[size:]
        self._receive(data)
        if self._unread:
            self.node.loop.call_soon(self._read_on)
        else:
            self.resume_reading(PAUSE_SLICE)

    def _receive(self, data: bytes) -> None:
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
            self._liveness.watch_unfinished(decoder.unfinished, completed)

    def _text(self, payload: bytes) -> None:
        if self.closing:
            return
        self.node.counters.messages_in += 1
        message = messages.decode_client_message(payload)
        if isinstance(message, ClientMessage) and message.event == "pusher:ping":
            self.send(_PONG)
        elif not isinstance(message, ClientMessage) or message.event != "pusher:pong":
            self.inbox.receive(message, len(payload))

    def execute(self, message: ClientMessage | str) -> None:
        """Do what *message* asks, or say what is wrong with it, when its turn has come."""
        if self.closing:
            return
        if isinstance(message, str):
            self.refuse(Refused("bad_message", message))
        else:
            commands.execute(self, message)

    def authorized(self) -> None:
        """The client has shown who it is, so it may stay (protocol reference §10.7)."""
        if self._authorization is not None:
            self._authorization.cancel()
            self._authorization = None

    def _not_authorized(self) -> None:
        self.close(NOT_AUTHORIZED_IN_TIME, grace=0)

    @property
    def is_reading_paused(self) -> bool:
        """Whether the server itself has stopped reading from this client."""
        return bool(self._pauses)

    def pause_reading(self, reason: int) -> None:
        """Read no further until :meth:`resume_reading` was called for every reason."""
        if not self._pauses:
            self._transport.pause_reading()
        self._pauses |= reason

    def resume_reading(self, reason: int) -> None:
        if not self._pauses & reason:
            return
        self._pauses &= ~reason
        if self._pauses == PAUSE_SLICE:
            self.node.loop.call_soon(self._read_on)
        elif not self._pauses and not self._transport.is_closing():
            self._liveness.heard()
            self._transport.resume_reading()
            self._liveness.watch_unfinished(self._decoder.unfinished, completed=True)

    def _write_at_once(self) -> None:
        self.write_by(self._transport.write if self._deflate is None else self._write_deflated)

    def write_by(self, write: Write) -> None:
        """Change ``write``, for the channels that remember it too."""
        self.write = write
        for name in self.session.subscriptions:
            self.hub.channels[name].rewire()

    def _write_deflated(self, frame: bytes) -> None:
        assert self._deflate is not None
        self._transport.write(self._deflate(frame))

    def pause_writing(self) -> None:
        if self._backlog is None and not self.closing:
            limit = self.node.settings.write_buffer_bytes
            backlog = Backlog(limit, self._transport.get_write_buffer_size())
            self._backlog = backlog
            self.write_by(self._write_behind)
            self._check_in(backlog)

    def resume_writing(self) -> None:
        self._backlog = None
        # What was discarded leaves a gap: such a connection is about to be closed.
        if not self.closing and self.write is not _discard:
            self._write_at_once()
            self._liveness.caught_up()

    def _write_behind(self, frame: bytes) -> None:
        backlog = self._backlog
        if backlog is None:
            return
        if self._deflate is not None:
            frame = self._deflate(frame)
        self._transport.write(frame)
        backlog.add(len(frame))
        buffered = self._transport.get_write_buffer_size()
        if backlog.is_hopeless(buffered, self.node.timers.now()):
            # Who writes is in the middle of a fan-out, so the subscribers must not change now.
            self.write_by(_discard)
            self.node.loop.call_soon(self._close_slow_reader)

    def _check_in(self, backlog: Backlog) -> None:
        self.node.timers.call_later(BACKLOG_CHECK_SECONDS, partial(self._check_backlog, backlog))

    def _check_backlog(self, backlog: Backlog) -> None:
        if backlog is not self._backlog or self.closing:
            return
        buffered = self._transport.get_write_buffer_size()
        if backlog.is_hopeless(buffered, self.node.timers.now()):
            self._close_slow_reader()
        else:
            self._check_in(backlog)

    def _close_slow_reader(self) -> None:
        self.close(SLOW_READER)

    def close(self, closing: Closing, grace: float | None = None) -> None:
        """End the connection for a reason its client is told.

        *grace* is how long its user counts as present; ``None`` stands for the application's
        ``leave_grace_seconds``.
        """
        error = text_frame(messages.error(closing.message, closing.code))
        self._finish(error + close_frame(closing.code, closing.message), closing.code, grace)

    def fail(self, fault: Fault) -> None:
        """End the connection for a violation of RFC 6455."""
        self._finish(close_frame(fault.code, fault.reason), fault.code, None)

    def _finish(self, last: bytes, code: CloseCode, grace: float | None) -> None:
        if self.closing:
            return
        owed = self._owed()
        self._end(code.name.lower(), grace)
        self._transport.write(b"".join(owed) + last)
        self.node.timers.call_later(CLOSING_SECONDS, self.drop)

    def _owed(self) -> list[bytes]:
        """What the channels still have for this client, in the order it would have come.

        Nothing follows a gap: of a client that reads too slowly something was discarded.
        """
        if self.write is _discard:
            return []
        channels = self.hub.channels
        owed = [item for name in self.session.subscriptions for item in channels[name].owed(self)]
        return [frame for _, frames in sorted(owed) for frame in frames]

    def _closed_by_peer(self, payload: bytes) -> None:
        if self.closing:
            self._transport.close()
            return
        close = parse_close(payload)
        if isinstance(close, Fault):
            self.fail(close)
            return
        self._end("by_client", None)
        self._transport.write(close_frame(close.code or CloseCode.NORMAL, ""))
        self._transport.close()
        self.node.timers.call_later(CLOSING_SECONDS, self.drop)

    def _end(self, reason: str, grace: float | None) -> None:
        """Take the connection out of everything; its socket may live a moment longer."""
        self.closing = True
        self.write_by(_discard)
        self._backlog = None
        if self._pauses:
            # So that the client's answer to the close is seen.
            self._pauses = 0
            if not self._transport.is_closing():
                self._transport.resume_reading()
        self._unread = b""
        self._liveness.stop()
        self.authorized()
        if grace is None:
            grace = self.hub.app.leave_grace_seconds
        if self._inbox is not None:
            self._inbox.abandon(grace)
            # It refers to this, and memory is not to wait for the garbage collector.
            self._inbox = None
        for name in list(self.session.subscriptions):
            subscriptions.leave(self, name, grace)
        self.hub.users.sign_out(self, grace)
        self.hub.remove(self)
        self.node.counters.connections_closed[reason] += 1

    def drop(self) -> None:
        """Cut the connection, whatever waits to be written."""
        self._transport.abort()

    def eof_received(self) -> None:
        """A client that can say no more, not even that it lives, is lost."""
        unread, self._unread = self._unread, b""
        if unread and not self.closing:
            # Over TLS the end arrives although reading is paused.
            self._receive(unread)
        if not self.closing:
            self._end("lost", None)
        self.node.timers.call_later(CLOSING_SECONDS, self.drop)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closing:
            self._end("lost", None)
        self.node.released(self.peer)


def _discard(frame: bytes) -> None:
    """What a connection that is closing does with a frame."""
