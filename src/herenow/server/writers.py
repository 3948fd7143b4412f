"""How the subscribers of a channel are written to, all alike and in their order."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from herenow.server.connection import Connection
    from herenow.server.streams import Streams

Write = Callable[[bytes], None]


class Writers(Protocol):
    def add(self, connection: Connection) -> bool:
        """Append *connection*; ``False``: it is written to in another way than these."""

    def write(self, start: int, end: int, data: bytes, skip: Connection | None) -> int:
        """Write to those from *start* to before *end* but *skip*; the answer is to how many."""


def make_writers(connections: Collection[Connection]) -> Writers:
    direct = _Direct()
    if all(map(direct.add, connections)):
        return direct
    return _Each([connection.write for connection in connections])


class _Direct:
    """Connections whose frames go to the kernel as they are: only descriptors are touched."""

    __slots__ = ("_descriptors", "_streams")

    def __init__(self) -> None:
        self._streams: Streams | None = None
        self._descriptors = array("i")

    def add(self, connection: Connection) -> bool:
        stream = connection.direct_stream
        if stream is None:
            return False
        if self._streams is None:
            self._streams = stream.streams
        self._descriptors.append(stream.descriptor)
        return self._streams is stream.streams

    def write(self, start: int, end: int, data: bytes, skip: Connection | None) -> int:
        descriptors = self._descriptors[start:end]
        stream = None if skip is None else skip.direct_stream
        if stream is not None and stream.descriptor in descriptors:
            descriptors.remove(stream.descriptor)
        if self._streams is not None:
            self._streams.write_to_each(descriptors, data)
        return len(descriptors)


class _Each:
    """Connections of which some have a ``write`` of their own: over TLS, compressed, or behind."""

    __slots__ = ("_writes",)

    def __init__(self, writes: list[Write]) -> None:
        self._writes = writes

    def add(self, connection: Connection) -> bool:
        self._writes.append(connection.write)
        return True

    def write(self, start: int, end: int, data: bytes, skip: Connection | None) -> int:
        writes = self._writes[start:end]
        if skip is not None:
            # Nobody else has the same one, unless it is closing, like skip, and is sent nothing.
            skipped = skip.write
            writes = [write for write in writes if write is not skipped]
        for write in writes:
            write(data)
        return len(writes)
