"""A Pusher client that reads only when it is told to, with the WebSocket of another library.

That library is strict: a frame that it does not accept is one that browsers would not either.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import time
from collections import deque
from typing import Any, Final, NamedTuple

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from herenow.apps.base import App
from herenow.protocol.signing import channel_string, hex_digest, user_string

DEADLINE: Final = 10.0
SUCCEEDED: Final = "pusher_internal:subscription_succeeded"
MEMBER_ADDED: Final = "pusher_internal:member_added"
MEMBER_REMOVED: Final = "pusher_internal:member_removed"
WATCHLIST: Final = "pusher_internal:watchlist_events"


class Message(NamedTuple):
    """One event; ``data`` is what stands in the frame."""

    event: str
    channel: str | None
    data: Any
    user_id: str | None = None

    @property
    def decoded(self) -> Any:
        return json.loads(self.data)


class Closed(NamedTuple):
    """How the server ended the connection: its close code, ``None`` without a close frame."""

    code: int | None


class Client:
    """What is received is validated; pings are answered while the client reads."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.socket_id = ""
        self.pongs: list[bytes] = []
        self.received_bytes = 0
        self._socket = socket.socket()
        self._received: deque[Message | Closed] = deque()
        self._protocol: ClientProtocol
        self._lost = False

    async def open(
        self,
        port: int,
        target: str,
        headers: tuple[tuple[str, str], ...] = (),
        receive_buffer: int = 0,
        compression: ClientPerMessageDeflateFactory | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._socket.setblocking(False)
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._protocol = ClientProtocol(
            parse_uri(f"ws://127.0.0.1:{port}{target}"),
            max_size=None,
            extensions=[compression] if compression else None,
        )
        await loop.sock_connect(self._socket, ("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = self._protocol.connect()
        for name, value in headers:
            if name in request.headers:
                del request.headers[name]
            request.headers[name] = value
        self._protocol.send_request(request)
        await self._flush()
        deadline = time.monotonic() + DEADLINE
        while self._protocol.state.name == "CONNECTING" and not self._lost:
            await self._read(deadline)

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data and not self._lost:
                try:
                    await asyncio.get_running_loop().sock_sendall(self._socket, data)
                except ConnectionError:
                    self._lost = True

    async def _read(self, deadline: float, size: int = 65_536) -> None:
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0.001)):
                data = await asyncio.get_running_loop().sock_recv(self._socket, size)
        except ConnectionError:
            data = b""
        self.received_bytes += len(data)
        if data:
            self._protocol.receive_data(data)
        else:
            self._lost = True
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
            else:
                assert isinstance(event, Response), event
                assert event.status_code == 101, event
        assert self._protocol.parser_exc is None, self._protocol.parser_exc
        if not self._lost:
            await self._flush()
        elif not self._received or not isinstance(self._received[-1], Closed):
            self._received.append(Closed(None))

    def _take(self, frame: Frame) -> None:
        assert frame.fin, "the server fragments no message"
        if frame.opcode is Opcode.TEXT:
            self._received.append(read_message(bytes(frame.data)))
        elif frame.opcode is Opcode.PONG:
            self.pongs.append(bytes(frame.data))
        elif frame.opcode is Opcode.CLOSE:
            (code,) = struct.unpack("!H", bytes(frame.data)[:2])
            bytes(frame.data)[2:].decode()
            self._received.append(Closed(code))
        else:
            assert frame.opcode is Opcode.PING, frame

    async def receive(self, timeout: float = DEADLINE) -> Message | Closed:
        """The next message, or the close."""
        deadline = time.monotonic() + timeout
        while not self._received:
            await self._read(deadline)
        return self._received.popleft()

    @property
    def compresses(self) -> bool:
        """Whether permessage-deflate was negotiated."""
        return bool(self._protocol.extensions)

    @property
    def pending(self) -> int:
        """Messages that are read and not yet received."""
        return len(self._received)

    async def read_some(self, size: int) -> None:
        """Read at most *size* bytes; what they complete waits for :meth:`receive`."""
        await self._read(time.monotonic() + DEADLINE, size)

    async def next(self) -> Message:
        message = await self.receive()
        assert isinstance(message, Message), message
        return message

    async def expect(self, event: str, channel: str | None = None) -> Message:
        message = await self.next()
        assert (message.event, message.channel) == (event, channel), message
        return message

    async def expect_established(self) -> None:
        message = await self.expect("pusher:connection_established")
        self.socket_id = message.decoded["socket_id"]

    async def expect_subscribed(self, channel: str) -> Message:
        return await self.expect(SUCCEEDED, channel)

    async def expect_error(self, code: int | None = None) -> str:
        message = await self.expect("pusher:error")
        assert message.data["code"] == code, message
        text = message.data["message"]
        assert isinstance(text, str)
        return text

    async def expect_closed(self, code: int | None) -> None:
        """The close with *code*, told by an error before it; ``None`` is the end of TCP alone."""
        if code is not None and code >= 4000:
            await self.expect_error(code)
        assert await self.receive() == Closed(code)

    async def read_until_closed(self) -> list[Message | Closed]:
        """Everything until the close, which is the last of it."""
        found = [await self.receive()]
        while not isinstance(found[-1], Closed):
            found.append(await self.receive())
        return found

    async def barrier(self) -> list[Message]:
        """Everything that the server has for this client now.

        Events leave at the end of a turn, pongs at once: so it takes two pings.
        """
        for _ in range(2):
            mark = os.urandom(8)
            self._protocol.send_ping(mark)
            await self._flush()
            deadline = time.monotonic() + DEADLINE
            while mark not in self.pongs:
                await self._read(deadline)
        found = [item for item in self._received if isinstance(item, Message)]
        assert len(found) == len(self._received), self._received
        self._received.clear()
        return found

    async def expect_nothing(self) -> None:
        assert await self.barrier() == []

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes past the WebSocket library."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def send_text(self, *texts: str | bytes) -> None:
        for text in texts:
            self._protocol.send_text(text.encode() if isinstance(text, str) else text)
        await self._flush()

    async def send(self, event: str, data: object, channel: str | None = None) -> None:
        await self.send_text(self.message(event, data, channel))

    @staticmethod
    def message(event: str, data: object, channel: str | None = None) -> str:
        message = {"event": event, "data": data}
        return json.dumps(message if channel is None else {**message, "channel": channel})

    def auth(self, channel: str, channel_data: str | None = None) -> str:
        pair = self.app.keys[0]
        string = channel_string(self.socket_id, channel, channel_data)
        return f"{pair.key}:{hex_digest(pair.secret, string)}"

    def subscription(self, channel: str, user: str | None = None, info: object = None) -> str:
        """The text of a subscribe, signed as the channel needs it."""
        data: dict[str, object] = {"channel": channel}
        if user is not None:
            fields = {"user_id": user} if info is None else {"user_id": user, "user_info": info}
            data["channel_data"] = channel_data = json.dumps(fields)
            data["auth"] = self.auth(channel, channel_data)
        elif channel.startswith(("private-", "presence-")):
            data["auth"] = self.auth(channel)
        return self.message("pusher:subscribe", data)

    async def subscribe(self, channel: str, user: str | None = None, info: object = None) -> None:
        await self.send_text(self.subscription(channel, user, info))

    async def unsubscribe(self, channel: str) -> None:
        await self.send("pusher:unsubscribe", {"channel": channel})

    async def enter(self, channel: str, user: str, info: object = None) -> list[str]:
        """Subscribe to a presence channel; the answer is who is there."""
        await self.subscribe(channel, user, info)
        return roster_ids(await self.expect_subscribed(channel))

    def signin(self, user: str, watchlist: tuple[str, ...] = ()) -> str:
        """The text of a sign-in."""
        user_data = json.dumps({"id": user, "watchlist": list(watchlist)})
        pair = self.app.keys[0]
        digest = hex_digest(pair.secret, user_string(self.socket_id, user_data))
        return self.message(
            "pusher:signin", {"auth": f"{pair.key}:{digest}", "user_data": user_data}
        )

    async def sign_in(self, user: str, watchlist: tuple[str, ...] = ()) -> None:
        await self.send_text(self.signin(user, watchlist))
        await self.expect("pusher:signin_success")

    async def leave(self) -> None:
        """Close as a client does."""
        self._protocol.send_close(1000)
        await self._flush()
        assert (await self.read_until_closed())[-1] == Closed(1000)
        self.close()

    def reset(self) -> None:
        """Go as a machine that crashes."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def end(self) -> None:
        """Send no more, but stay."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._lost = True
        self._socket.close()


def read_message(payload: bytes) -> Message:
    """One frame of the server: JSON, with the members that every client counts on."""
    frame = json.loads(payload.decode())
    assert isinstance(frame, dict), frame
    assert frame.keys() <= {"event", "channel", "data", "user_id"}, frame
    assert isinstance(frame["event"], str), frame
    kind = dict if frame["event"] == "pusher:error" else str
    assert isinstance(frame["data"], kind), frame
    return Message(frame["event"], frame.get("channel"), frame["data"], frame.get("user_id"))


def roster_ids(message: Message) -> list[str]:
    """The members that a ``subscription_succeeded`` names, which must agree in all three forms."""
    presence = message.decoded["presence"]
    assert presence["count"] == len(presence["ids"]) == len(presence["hash"])
    assert set(presence["ids"]) == set(presence["hash"])
    ids: list[str] = presence["ids"]
    return ids
