"""A client that behaves as pusher-js does and keeps account of what it was told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.frames import CloseCode

from conformance.harness.apps import App
from conformance.harness.signing import channel_string, compact, hmac_hex, user_string
from conformance.harness.websocket import Endpoint
from faults.stream import PRESENCE, Frame, MemberEvent, Stream

DEADLINE: Final = 20.0
"""Seconds within which an expected answer must come on a busy machine."""

BACK_OFF: Final = 1.0
PONG_SECONDS: Final = 30.0
_RESET: Final = struct.pack("ii", 1, 0)

Route = Callable[[], Endpoint]


class Closed(NamedTuple):
    """A connection ended: *code* is 1006 if without a word."""

    code: int
    at: float


class Client:
    """One user's page: keeps a connection, comes back as the close code says, subscribes again.

    *route* names the server for each attempt, as a load balancer would. ``streams`` has what each
    connection was told, ``trace`` every frame.
    """

    def __init__(
        self,
        route: Route,
        app: App,
        user: str,
        *,
        info: Mapping[str, Any] | None = None,
        watchlist: list[str] | None = None,
        back_off: float = BACK_OFF,
    ) -> None:
        self.route = route
        self.app = app
        self.user = user
        self.info = info
        self.watchlist = watchlist
        self.back_off = back_off
        self.streams: list[Stream] = []
        self.closes: list[Closed] = []
        self.trace: list[str] = []
        self.subscriptions: list[str] = []
        self.may_be_refused = False
        self.signs_in = False
        self.wanted = False
        self._connected = False
        self._connection: ClientConnection | None = None
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._heard = time.monotonic()
        self._began = time.monotonic()

    async def connect(self) -> None:
        """Connect, and stay so until :meth:`close`."""
        self.begin()
        await self.until(lambda: self._connected, "to be connected")

    def begin(self) -> None:
        """Connect without waiting for it."""
        self.wanted = True
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run(), name=self.user)

    async def subscribe(self, *channels: str) -> None:
        """Subscribe to *channels* and wait until that succeeded."""
        await self.ask(*channels)
        await self.subscribed(*channels)

    async def ask(self, *channels: str) -> None:
        """Subscribe without waiting for the answer."""
        for channel in channels:
            self.subscriptions.append(channel)
            if self._connected:
                await self._subscribe(channel)

    async def subscribed(self, *channels: str, seconds: float = DEADLINE) -> None:
        await self.until(lambda: self.has(*channels), f"to be on {channels}", seconds)

    def has(self, *channels: str) -> bool:
        """Whether it is connected and subscribed to *channels*."""
        known = self.stream.channels if self._connected else {}
        return all(name in known and known[name].subscribed for name in channels)

    async def unsubscribe(self, channel: str) -> None:
        """Leave *channel*; one whose answer is outstanding is waited for, as pusher-js does."""
        if self._connected:
            await self.until(lambda: not self._connected or self.has(channel), f"on {channel}")
        self.subscriptions.remove(channel)
        if self._connected:
            await self._send({"event": "pusher:unsubscribe", "data": {"channel": channel}})
            await self._send({"event": "pusher:ping", "data": {}})

    async def sign_in(self) -> None:
        """Sign in and subscribe to what is sent to the user, on this connection and later ones."""
        await self.ask_to_sign_in()
        await self.signed_in()

    async def signed_in(self) -> None:
        await self.until(lambda: self._connected and self.stream.signed_in, "to be signed in")

    async def ask_to_sign_in(self) -> None:
        self.signs_in = True
        if self._connected:
            await self._sign_in()

    async def ping(self) -> None:
        """Wait until the server has read all that was sent before."""
        before = self.stream.pongs
        await self._send({"event": "pusher:ping", "data": {}})
        await self.until(lambda: self.stream.pongs > before, "for a pong")

    async def trigger(self, channel: str, event: str, data: Any) -> None:
        await self._send({"event": event, "channel": channel, "data": data})

    async def close(self) -> None:
        """Close as a page does that is left."""
        self.wanted = False
        if self._connection is not None:
            await self._connection.close()
        await self._ended()

    async def reset(self) -> None:
        """End the connection for good, without a word."""
        self.wanted = False
        self.drop()
        await self._ended()

    def drop(self) -> None:
        """Lose the connection; a new one is made after the back-off."""
        if self._connection is not None:
            transport = self._connection.transport
            raw = transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()

    def fall_silent(self) -> None:
        """Answer nothing from now on; the socket stays open and the system takes what comes."""
        self.wanted = False
        assert self._connection is not None
        self._connection.transport.pause_reading()

    async def _ended(self) -> None:
        if self._running is not None:
            if self._connection is None:
                self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
        self._running = None

    @property
    def stream(self) -> Stream:
        """The newest connection's."""
        return self.streams[-1]

    @property
    def is_connected(self) -> bool:
        return self._connected

    def members(self, channel: str) -> set[str] | None:
        """Who is on *channel* as this page shows it now; None while it shows nobody."""
        return self.stream.members(channel) if self._connected else None

    def member_events(self, channel: str, user: str | None = None) -> list[MemberEvent]:
        """Those of all connections, of everybody or of *user*."""
        return [
            event
            for stream in self.streams
            for event in stream.member_events
            if event.channel == channel and user in (None, event.user)
        ]

    def events(self, channel: str, name: str) -> list[Any]:
        """The data of the application's events of all connections."""
        return [
            frame["data"]
            for stream in self.streams
            for frame in stream.events
            if frame["event"] == name and frame["channel"] == channel
        ]

    def invalid(self) -> list[str]:
        """What was wrong with the streams; empty if nothing was."""
        wrong = [wrong for stream in self.streams for wrong in stream.violations]
        if not self.may_be_refused:
            wrong += [
                f"refused: {refusal}"
                for stream in self.streams
                for refusal in stream.refusals
                if refusal["event"] != "pusher:error" or refusal["data"]["code"] is None
            ]
        return wrong

    async def sees(self, channel: str, users: set[str]) -> None:
        """Wait until it shows at least *users* on *channel*."""
        await self.until(lambda: users <= (self.members(channel) or set()), f"to see {users}")

    async def watches(self, online: Mapping[str, bool], seconds: float = DEADLINE) -> None:
        """Wait until it shows exactly these users online, or not."""
        await self.until(lambda: self.stream.watched == online, f"to see {online}", seconds)

    async def heard(self, channel: str, name: str, number: int) -> list[Any]:
        """Wait until *number* of the application's events have come; the data of all."""
        await self.until(lambda: len(self.events(channel, name)) >= number, f"to hear {name}")
        return self.events(channel, name)

    async def counts(self, channel: str, number: int) -> None:
        """Wait until it has been told that *channel* has *number* subscriptions."""
        await self.until(
            lambda: self.stream.channels[channel].count == number, f"to count {number}"
        )

    async def answered(self, channel: str) -> None:
        """Wait until it is on *channel* or was refused something."""
        await self.until(lambda: self.has(channel) or self.stream.refusals != [], "for an answer")

    async def closed_with(self, code: int) -> None:
        """Wait until its one connection was closed with *code*."""
        await self.until(lambda: [close.code for close in self.closes] == [code], f"for {code}")

    async def back(self, *channels: str, closes: int = 1, seconds: float = DEADLINE) -> None:
        """Wait until it has lost *closes* connections and is on *channels* again."""
        await self.until(
            lambda: len(self.closes) >= closes and self.has(*channels),
            f"to be back on {channels}",
            seconds,
        )

    async def until(
        self, condition: Callable[[], bool], what: str, seconds: float = DEADLINE
    ) -> None:
        """Wait until *condition* holds, which can only change with a frame or a close."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"{self.user} waited {seconds} s {what}:\n{self.story()}"
            ) from None

    def story(self, lines: int = 80) -> str:
        """The last of the trace."""
        left_out = max(0, len(self.trace) - lines)
        return "\n".join([f"… {left_out} lines before"] * bool(left_out) + self.trace[-lines:])

    async def _run(self) -> None:
        while self.wanted:
            code = await self._one_connection()
            self._connected = False
            self._connection = None
            self._changed.set()
            if self._stays_away(code):
                return
            if not 4200 <= code < 4300:
                await asyncio.sleep(self.back_off)

    def _stays_away(self, code: int) -> bool:
        return not self.wanted or 4000 <= code < 4100 or code >= 4300

    async def _one_connection(self) -> int:
        """Connect and listen until it ends; the close code, 0 if nobody was reached."""
        endpoint = self.route()
        uri = f"ws://{endpoint.authority}/app/{self.app.key}"
        uri += "?protocol=7&client=js&version=8.6.0&flash=false"
        try:
            self._connection = connection = await connect(
                uri,
                compression=None,
                ping_interval=None,
                max_queue=None,
                proxy=None,
                open_timeout=DEADLINE,
                close_timeout=2,
            )
        except (OSError, EOFError, InvalidHandshake, InvalidMessage, TimeoutError) as error:
            self._note("!", f"not connected to {endpoint.authority}: {error!r}")
            return 0
        self._note("=", f"connected to {endpoint.authority}")
        self.streams.append(Stream())
        if not self.wanted:
            await connection.close()
        watching = asyncio.create_task(self._watch_activity(connection))
        try:
            async for text in connection:
                await self._hear(str(text))
        except ConnectionClosed:
            pass
        finally:
            watching.cancel()
        code = connection.close_code or CloseCode.ABNORMAL_CLOSURE
        self._note("=", f"closed with {code} {connection.close_reason}")
        self.closes.append(Closed(code, time.monotonic()))
        return code

    async def _hear(self, text: str) -> None:
        self._heard = time.monotonic()
        self._note("<", text)
        frame = json.loads(text)
        stream = self.stream
        known = len(stream.violations)
        stream.received(frame)
        for wrong in stream.violations[known:]:
            self._note("!", f"INVALID: {wrong}")
        self._changed.set()
        match frame["event"]:
            case "pusher:connection_established":
                self._connected = True
                if self.signs_in:
                    await self._sign_in()
                for channel in self.subscriptions:
                    await self._subscribe(channel)
            case "pusher:ping":
                await self._send({"event": "pusher:pong", "data": {}})
            case "pusher:signin_success":
                channel = f"#server-to-user-{self.user}"
                await self._send(
                    {"event": "pusher:subscribe", "data": {"channel": channel, "auth": ""}}
                )

    async def _watch_activity(self, connection: ClientConnection) -> None:
        """Ask after a long silence whether the server is still there."""
        while True:
            patience = self.stream.activity_timeout or DEADLINE
            await asyncio.sleep(max(0.0, self._heard + patience - time.monotonic()))
            if time.monotonic() - self._heard < patience:
                continue
            asked = time.monotonic()
            await self._send({"event": "pusher:ping", "data": {}})
            await asyncio.sleep(PONG_SECONDS)
            if self._heard < asked:
                connection.transport.abort()
                return

    async def _subscribe(self, channel: str) -> None:
        data: Frame = {"channel": channel}
        signed = channel_string(self.stream.socket_id, channel)
        if channel.startswith(PRESENCE):
            member: Frame = {"user_id": self.user}
            if self.info is not None:
                member["user_info"] = self.info
            data["channel_data"] = compact(member)
            signed = channel_string(self.stream.socket_id, channel, data["channel_data"])
        if channel.startswith(("private-", PRESENCE)):
            data["auth"] = f"{self.app.key}:{hmac_hex(self.app.secret, signed)}"
        await self._send({"event": "pusher:subscribe", "data": data})

    async def _sign_in(self) -> None:
        user: Frame = {"id": self.user}
        if self.watchlist is not None:
            user["watchlist"] = self.watchlist
        user_data = compact(user)
        digest = hmac_hex(self.app.secret, user_string(self.stream.socket_id, user_data))
        data = {"auth": f"{self.app.key}:{digest}", "user_data": user_data}
        await self._send({"event": "pusher:signin", "data": data})

    async def _send(self, frame: Frame) -> None:
        connection = self._connection
        if connection is None:
            return
        text = compact(frame)
        self._note(">", text)
        self.stream.sent(frame)
        with contextlib.suppress(ConnectionClosed, OSError):
            await connection.send(text)

    def _note(self, mark: str, text: str) -> None:
        at = time.monotonic() - self._began
        self.trace.append(f"{at:8.3f} #{len(self.streams)} {mark} {text}")
