"""One connection to the engine: commands of a turn leave in one write, answers come in order."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

import hiredis

Answered: TypeAlias = Callable[[Any], None]

TICKS: Final = 4
_NOTHING: Final = object()
_TLS_REASONS: Final = {"WRONG_VERSION_NUMBER": "it does not speak TLS"}
_GARBAGE: Final = "what came is not the Redis protocol"


class ErrorReply(Exception):
    """The engine's answer to a command is an error; the text is the engine's."""


class ConnectionGivenUp(Exception):
    """There was no answer, because the connection was lost or given up."""


def pack(*command: bytes | str | int) -> bytes:
    """The bytes of one command."""
    return cast("bytes", hiredis.pack_command(command))  # type: ignore[arg-type]


class Connection(asyncio.Protocol):
    """Commands and their answers; what comes without having been asked for goes to *pushed*.

    A connection is given up when it breaks, when a command has had no answer within *limit*
    seconds (at the earliest after four fifths of it), when nothing at all came for as long after
    :meth:`beat`, and when an answer is an error while it is ``strict``. Every command without an
    answer is then answered with None, in order, and after that *closed* is told why.
    """

    def __init__(
        self,
        limit: float,
        closed: Callable[[str], None],
        pushed: Callable[[list[Any]], None] | None = None,
        *,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.strict = False
        self._loop = loop
        self._tick_seconds = limit / (TICKS + 1)
        self._closed = closed
        self._pushed = pushed
        self._reader = hiredis.Reader(replyError=ErrorReply, notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Answered] = deque()
        self._out: list[bytes] = []
        self._reason: str | None = None
        self._sent = 0
        self._watch: asyncio.TimerHandle | None = None
        self._pulse: asyncio.TimerHandle | None = None
        self._marks: deque[int] = deque(maxlen=TICKS + 1)
        self._heard = False
        self._beat: Callable[[], None] | None = None
        self._silent_ticks = 0

    @property
    def reason(self) -> str | None:
        """Why it was given up, if it was."""
        return self._reason

    @property
    def outstanding(self) -> int:
        """How many commands have no answer yet."""
        return len(self._waiting)

    def send(self, packed: bytes, answered: Answered) -> None:
        """Have a packed command executed; *answered* gets the answer, or None."""
        self._waiting.append(answered)
        self._sent += 1
        if self._reason is not None:
            # While the others are being answered with None, this waits for its turn.
            if self._transport is None:
                self._answer_none()
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packed)

    def post(self, packed: bytes) -> None:
        """Send a packed command whose answer is pushed."""
        if self._reason is not None:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packed)

    async def request(self, *command: bytes | str | int) -> Any:
        """The answer to one command; raises :class:`ErrorReply` or :class:`ConnectionGivenUp`."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def answered(answer: Any) -> None:
            if future.done():
                return
            if answer is None and self._reason is not None:
                future.set_exception(ConnectionGivenUp(self._reason))
            elif isinstance(answer, ErrorReply):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        self.send(pack(*command), answered)
        return await future

    def beat(self, beat: Callable[[], None]) -> None:
        """Call *beat* several times in each limit from now on; silence is death."""
        self._beat = beat
        self._watch_silence()

    def give_up(self, reason: str) -> None:
        """Close it at once, tell every command without an answer and then say why."""
        if self._reason is not None:
            return
        self._reason = reason
        self._out.clear()
        for timer in (self._watch, self._pulse):
            if timer is not None:
                timer.cancel()
        self._answer_none()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self._closed(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.give_up(reason_of(exc) if exc is not None else "it closed the connection")

    def data_received(self, data: bytes) -> None:
        self._heard = True
        reader, waiting = self._reader, self._waiting
        reader.feed(data)
        while self._reason is None:
            try:
                answer = reader.gets()
            except hiredis.ProtocolError:
                self.give_up(_GARBAGE)
                return
            if answer is _NOTHING:
                return
            if answer.__class__ is ErrorReply and (self.strict or not waiting):
                self.give_up(reason_of(answer))
                return
            try:
                if waiting:
                    waiting.popleft()(answer)
                elif self._pushed is not None:
                    self._pushed(answer)
                else:
                    self.give_up(_GARBAGE)
            except Exception as error:
                self._report(error)

    def _flush(self) -> None:
        if self._transport is None:
            return
        self._transport.write(b"".join(self._out))
        self._out.clear()
        if self._watch is None and self._waiting:
            self._watch_answers()

    def _watch_answers(self) -> None:
        """Count what was sent at each tick: a full row of ticks later it is to be answered.

        A process that stood still sees one tick late, and reads its answers before the next.
        """
        self._watch = None
        if not self._waiting:
            self._marks.clear()
            return
        self._marks.append(self._sent)
        answered = self._sent - len(self._waiting)
        if len(self._marks) > TICKS and answered < self._marks[0]:
            self.give_up("it did not answer in time")
            return
        self._watch = self._loop.call_later(self._tick_seconds, self._watch_answers)

    def _watch_silence(self) -> None:
        self._silent_ticks = 0 if self._heard else self._silent_ticks + 1
        self._heard = False
        if self._silent_ticks >= TICKS:
            self.give_up("nothing came from it")
            return
        if self._beat is not None:
            self._beat()
        self._pulse = self._loop.call_later(self._tick_seconds, self._watch_silence)

    def _answer_none(self) -> None:
        while self._waiting:
            try:
                self._waiting.popleft()(None)
            except Exception as error:
                self._report(error)

    def _report(self, error: Exception) -> None:
        self._loop.call_exception_handler(
            {"message": "an answer of the engine could not be taken", "exception": error}
        )


def reason_of(error: BaseException) -> str:
    """Why a connection could not be made or was lost, in words that follow an address."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted: {error.verify_message.rstrip('.')}"
        case ssl.SSLError():
            reason = getattr(error, "reason", None) or str(error)
            return _TLS_REASONS.get(reason, f"TLS failed: {reason}")
        case ConnectionRefusedError():
            return "it refused the connection"
        case ConnectionError():
            return "it closed the connection"
        case TimeoutError():
            return "it did not answer in time"
        case FileNotFoundError():
            return "there is no such socket"
        case OSError() if error.errno is not None and error.errno > 0:
            return os.strerror(error.errno).lower()
        case OSError():
            return (error.strerror or str(error)).lower() or "it cannot be reached"
        case ErrorReply():
            return f"it answered {error}"
        case _:
            return str(error) or type(error).__name__
