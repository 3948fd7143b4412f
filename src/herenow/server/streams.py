"""TCP connections on one epoll instance, which the event loop sees as a single descriptor.

A transport of the event loop is made for every purpose: it keeps over a kilobyte, and a write goes
through several objects. A stream keeps a hundred bytes, and what many are sent alike goes from a
list of descriptors straight to the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import select
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from herenow.server.peers import peer_address

AVAILABLE: Final = hasattr(select, "epoll")
READ_BYTES: Final = 16_384
MAX_EVENTS: Final = 256
ACCEPT_BURST: Final = 32
ACCEPT_AGAIN_SECONDS: Final = 1.0
# Other errors are about the one that would have been accepted.
_SHORTAGES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# Above it a client counts as behind; also what the event loop's transports have.
HIGH_WATER_BYTES: Final = 65_536
LOW_WATER_DIVISOR: Final = 4

# As in the module select, where there is epoll.
_EPOLLIN: Final = 0x001
_EPOLLOUT: Final = 0x004

_READING: Final = 1 << 0
_BLOCKED: Final = 1 << 1
_QUEUED: Final = 1 << 2
_PAUSED: Final = 1 << 3
_ENDING: Final = 1 << 4
_CLOSING: Final = 1 << 5
_LOST: Final = 1 << 6
_ENDED_BY_PEER: Final = 1 << 7

log = logging.getLogger("herenow.streams")


class Streams:
    """The sockets of one port: those that listen, and the connections accepted by them.

    What is written to a connection in one turn of the loop leaves together, at its end.
    ``blocked`` are the descriptors that nothing can be written to past their streams: the kernel's
    buffers are full, or they are about to be closed.
    """

    def __init__(
        self, sockets: list[socket.socket], make: Callable[[str], asyncio.Protocol], backlog: int
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.epoll = select.epoll()
        self.blocked: set[int] = set()
        self._owners: list[Stream | _Listening | None] = []
        self._open = 0
        self._unflushed: list[Stream] = []
        self._polling = False
        self._listening = [_Listening(self, one, make, backlog) for one in sockets]
        self.loop.add_reader(self.epoll.fileno(), self._poll)

    def close(self) -> None:
        """Accept no more; what was accepted stays."""
        for listening in self._listening:
            listening.close()
        self._listening.clear()

    def add(self, descriptor: int, owner: Stream | _Listening) -> None:
        owners = self._owners
        self.epoll.register(descriptor, _EPOLLIN)
        if descriptor >= len(owners):
            owners.extend([None] * (descriptor + 1 - len(owners)))
        owners[descriptor] = owner
        self._open += 1

    def discard(self, descriptor: int) -> None:
        """Forget a descriptor that is about to be closed; with the last one all ends."""
        self._owners[descriptor] = None
        self._open -= 1
        if not self._open:
            self.loop.remove_reader(self.epoll.fileno())
            self.epoll.close()

    def _poll(self) -> None:
        owners = self._owners
        self._polling = True
        try:
            for descriptor, events in self.epoll.poll(0, MAX_EVENTS):
                owner = owners[descriptor]
                if owner is not None:
                    owner.ready(events)
        finally:
            self._polling = False
            if self._unflushed:
                self.flush()

    def queue(self, stream: Stream) -> None:
        """Have *stream* flushed at the end of this turn."""
        if not self._unflushed and not self._polling:
            self.loop.call_soon(self.flush)
        self._unflushed.append(stream)

    def flush(self) -> None:
        """Hand to the kernel what was written in this turn."""
        unflushed, self._unflushed = self._unflushed, []
        for stream in unflushed:
            stream.flush()

    def write_to_each(self, descriptors: Iterable[int], data: bytes) -> None:
        """Write *data* to many connections, after what was written to them before."""
        if self._unflushed:
            self.flush()
        write, blocked, size = os.write, self.blocked, len(data)
        for descriptor in descriptors:
            try:
                sent = 0 if descriptor in blocked else write(descriptor, data)
            except OSError:
                # What it is shows when it is tried once more.
                sent = 0
            if sent == size:
                continue
            stream = self._owners[descriptor]
            if isinstance(stream, Stream):
                stream.write(data[sent:])
                stream.flush()


class _Listening:
    """A socket that connections are accepted on."""

    def __init__(
        self,
        streams: Streams,
        listening: socket.socket,
        make: Callable[[str], asyncio.Protocol],
        backlog: int,
    ) -> None:
        self._streams = streams
        self._socket = listening
        self._make = make
        listening.setblocking(False)
        # The sockets that are accepted inherit it.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        listening.listen(backlog)
        streams.add(listening.fileno(), self)

    def ready(self, events: int) -> None:
        for _ in range(ACCEPT_BURST):
            try:
                # What ``accept`` calls: a socket made of the descriptor would cost as much again.
                descriptor, name = self._socket._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _SHORTAGES:
                    log.warning("a connection could not be accepted: %s", error)
                    self._pause()
                    return
                continue
            self._begin(descriptor, name)

    def _begin(self, descriptor: int, name: object) -> None:
        try:
            os.set_blocking(descriptor, False)
            stream = Stream(self._streams, descriptor, self._make(peer_address(name)))
            self._streams.add(descriptor, stream)
        except Exception:
            os.close(descriptor)
            raise
        stream.begin()

    def _pause(self) -> None:
        self._streams.epoll.unregister(self._socket.fileno())
        self._streams.loop.call_later(ACCEPT_AGAIN_SECONDS, self._accept_again)

    def _accept_again(self) -> None:
        if self._socket.fileno() >= 0:
            self._streams.epoll.register(self._socket.fileno(), _EPOLLIN)

    def close(self) -> None:
        self._streams.discard(self._socket.fileno())
        self._socket.close()


class Stream(asyncio.Transport):
    """One connection.

    ``_unsent`` was written in this turn; or the kernel does not take it before the peer has read
    more: then ``_BLOCKED`` is set. ``descriptor`` is -1 in the end.
    """

    __slots__ = ("_high", "_protocol", "_state", "_unsent", "descriptor", "streams")

    def __init__(self, streams: Streams, descriptor: int, protocol: asyncio.Protocol) -> None:
        self.streams = streams
        self.descriptor = descriptor
        self._protocol: asyncio.Protocol | None = protocol
        self._state = _READING
        self._high = HIGH_WATER_BYTES
        self._unsent: bytes | bytearray = b""

    def begin(self) -> None:
        assert self._protocol is not None
        try:
            self._protocol.connection_made(self)
        except Exception as error:
            self._fail(error)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "socket":
            return Borrowed(self.descriptor)
        return default

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol
        if self._state & _PAUSED:
            # Another one was told.
            self._state &= ~_PAUSED
            self._tell_how_much_waits()

    def is_closing(self) -> bool:
        return bool(self._state & _CLOSING)

    def is_reading(self) -> bool:
        return bool(self._state & _READING)

    def pause_reading(self) -> None:
        self._become(self._state & ~_READING)

    def resume_reading(self) -> None:
        if not self._state & (_CLOSING | _ENDED_BY_PEER):
            self._become(self._state | _READING)

    def _become(self, state: int) -> None:
        """Take on another state, and have the kernel tell what matters in it."""
        before, after = _events(self._state), _events(state)
        self._state = state
        if after == before:
            return
        streams, descriptor = self.streams, self.descriptor
        if not before:
            streams.epoll.register(descriptor, after)
        elif not after:
            # The kernel would go on to tell of a peer that is gone.
            streams.epoll.unregister(descriptor)
        else:
            streams.epoll.modify(descriptor, after)

    def ready(self, events: int) -> None:
        """Do what the kernel says is possible; an error shows when it is done."""
        if events & ~_EPOLLOUT and self._state & _READING:
            self._receive()
        if events & ~_EPOLLIN and self._state & _BLOCKED:
            self._send()

    def _receive(self) -> None:
        assert self._protocol is not None
        try:
            data = os.read(self.descriptor, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        try:
            if data:
                self._protocol.data_received(data)
                return
            self._become(self._state & ~_READING | _ENDED_BY_PEER)
            if not self._protocol.eof_received():
                self.close()
        except Exception as error:
            self._fail(error)

    def get_write_buffer_size(self) -> int:
        """How many bytes the kernel does not take yet."""
        self.flush()
        return len(self._unsent)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Have the protocol pause above *high* bytes; it resumes at a quarter of them."""
        self._high = HIGH_WATER_BYTES if high is None else high

    def write(self, data: bytes | bytearray | memoryview) -> None:
        state = self._state
        if state & (_CLOSING | _ENDING):
            return
        if not self._unsent:
            self._unsent = bytes(data)
            if not state & _QUEUED:
                self._state = state | _QUEUED
                self.streams.queue(self)
            return
        if isinstance(self._unsent, bytes):
            self._unsent = bytearray(self._unsent)
        self._unsent += data
        if state & _BLOCKED:
            self._tell_how_much_waits()
        elif len(self._unsent) > self._high:
            self._send()

    def flush(self) -> None:
        """Hand to the kernel what was written."""
        self._state &= ~_QUEUED
        if self._unsent and not self._state & _BLOCKED:
            self._send()

    def _send(self) -> None:
        unsent = self._unsent
        try:
            sent = os.write(self.descriptor, unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(error)
            return
        if sent < len(unsent):
            if isinstance(unsent, bytes):
                self._unsent = bytearray(memoryview(unsent)[sent:])
            else:
                del unsent[:sent]
            if not self._state & _BLOCKED:
                self.streams.blocked.add(self.descriptor)
                self._become(self._state | _BLOCKED)
            self._tell_how_much_waits()
            return
        self._unsent = b""
        if self._state & (_BLOCKED | _ENDING | _CLOSING):
            self._sent_all()

    def _sent_all(self) -> None:
        if self._state & _BLOCKED:
            self.streams.blocked.discard(self.descriptor)
            self._become(self._state & ~_BLOCKED)
        if self._state & _CLOSING:
            self._lose(None)
            return
        if self._state & _ENDING:
            self._end()
        self._tell_how_much_waits()

    def _tell_how_much_waits(self) -> None:
        assert self._protocol is not None
        try:
            if len(self._unsent) > self._high and not self._state & _PAUSED:
                self._state |= _PAUSED
                self._protocol.pause_writing()
            elif self._state & _PAUSED and len(self._unsent) <= self._high // LOW_WATER_DIVISOR:
                self._state &= ~_PAUSED
                self._protocol.resume_writing()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """The protocol could not deal with its connection; that is no other's concern."""
        message = "a connection could not be served and is closed"
        self.streams.loop.call_exception_handler({"message": message, "exception": error})
        self._lose(None)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._state & (_CLOSING | _ENDING):
            return
        self._state |= _ENDING
        self._finish()

    def _end(self) -> None:
        # The peer may have gone meanwhile, which is seen when it is read from.
        with contextlib.suppress(OSError):
            Borrowed(self.descriptor).shutdown(socket.SHUT_WR)

    def close(self) -> None:
        if self._state & _CLOSING:
            return
        self._become(self._state & ~_READING | _CLOSING)
        self._finish()

    def _finish(self) -> None:
        """Do what follows once everything is sent: now, or when it is."""
        if self._unsent:
            self.flush()
        else:
            self._sent_all()

    def abort(self) -> None:
        """Close at once; what was written before this turn and has not left is lost."""
        self.flush()
        self._lose(None)

    def _lose(self, error: OSError | None) -> None:
        if self._state & _LOST:
            return
        self._become(self._state & ~(_READING | _BLOCKED) | _CLOSING | _LOST)
        self._unsent = b""
        self.streams.blocked.add(self.descriptor)
        self.streams.loop.call_soon(self._lost, error)

    def _lost(self, error: OSError | None) -> None:
        protocol, self._protocol = self._protocol, None
        assert protocol is not None
        try:
            protocol.connection_lost(error)
        finally:
            # Not before: as long as somebody may write to the descriptor it must not be another's.
            self.streams.blocked.discard(self.descriptor)
            self.streams.discard(self.descriptor)
            os.close(self.descriptor)
            self.descriptor = -1


def _events(state: int) -> int:
    return (_EPOLLIN if state & _READING else 0) | (_EPOLLOUT if state & _BLOCKED else 0)


class Borrowed:
    """Some methods of a socket, on a descriptor that stays somebody else's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        with self._borrow() as borrowed:
            return borrowed.getsockopt(level, option, size)

    def shutdown(self, how: int) -> None:
        with self._borrow() as borrowed:
            borrowed.shutdown(how)

    @contextlib.contextmanager
    def _borrow(self) -> Iterator[socket.socket]:
        borrowed = socket.socket(fileno=self._descriptor)
        try:
            yield borrowed
        finally:
            borrowed.detach()
