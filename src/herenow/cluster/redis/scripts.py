"""The scripts as the engine knows them: by the digest of their text."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha1
from typing import NamedTuple

from herenow.cluster.redis.names import Names
from herenow.cluster.redis.wire import pack


class Script(NamedTuple):
    source: bytes
    sha: bytes
    # What every call of one key begins with, after the number of its parts.
    opening: bytes


class Scripts:
    """Scripts by name; ``version`` changes whenever one of them means something else."""

    def __init__(self, sources: Mapping[str, str], version: str) -> None:
        self.version = version
        self._scripts = {name: _script(source) for name, source in sources.items()}

    def __getitem__(self, name: str) -> Script:
        return self._scripts[name]

    def sources(self) -> list[bytes]:
        return [script.source for script in self._scripts.values()]

    @classmethod
    def own(cls) -> Scripts:
        """Those that come with this version."""
        from herenow.cluster import lua

        return cls({name: lua.source(name) for name in lua.NAMES}, lua.VERSION)


class Head:
    """The key and the arguments that every script of a partition begins with.

    Time and replication history are left to the engine.
    """

    PARTS = 7

    def __init__(
        self, names: Names, partition: int, lease: int, publish: bytes, outbox: int
    ) -> None:
        self.key = names.base(partition)
        self.channels = names.pubsub_base(partition)
        self.arguments = (b"", b"", lease, self.channels, publish, outbox)
        self.packed = _body(pack(self.key, *self.arguments))


def pack_call(script: Script, head: Head, arguments: tuple[bytes | str | int, ...]) -> bytes:
    """The bytes of one call. What stays the same from call to call is not packed again."""
    count = 3 + Head.PARTS + len(arguments)
    return b"*%d\r\n%b%b%b" % (count, script.opening, head.packed, _body(pack(*arguments)))


def _script(source: str) -> Script:
    encoded = source.encode()
    sha = sha1(encoded, usedforsecurity=False).hexdigest().encode()
    return Script(encoded, sha, _body(pack(b"EVALSHA", sha, 1)))


def _body(packed: bytes) -> bytes:
    return packed[packed.index(b"\n") + 1 :]
