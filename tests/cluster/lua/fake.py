"""A server in this process that runs the engine's scripts: Lua 5.1 on a key space in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from lupa import lua51  # type: ignore[import-untyped]

from cluster.lua.keyspace import (
    COMMANDS,
    OK,
    CommandError,
    Hash,
    KeySpace,
    SortedSet,
    Stream,
    Value,
)
from herenow.cluster.lua import source
from herenow.cluster.partitions.engine import Argument, Reply

Dump: TypeAlias = dict[bytes, object]


class ScriptError(Exception):
    """The error that a server answers a script with."""


class Server(Protocol):
    """What runs scripts: this one, or a real one."""

    @property
    def published(self) -> list[tuple[bytes, bytes]]:
        """Every message so far: channel, payload."""

    def call(self, script: str, keys: Sequence[Argument], args: Sequence[Argument]) -> Reply: ...

    def flush(self) -> None: ...

    def dump(self) -> Dump: ...


class Snapshot(NamedTuple):
    keys: dict[bytes, Value]
    expiries: dict[bytes, int]


_PRELUDE: Final = (Path(__file__).parent / "prelude.lua").read_bytes()


class _Runtime:
    """Lua, and the scripts compiled in it. One serves every server, which run one at a time."""

    def __init__(self) -> None:
        self.server: FakeServer | None = None
        self._lua = lua51.LuaRuntime(
            encoding=None, register_eval=False, unpack_returned_tuples=True
        )
        prelude = self._lua.execute(_PRELUDE, self._invoke)
        self._compile = prelude[b"compile"]
        self._run = prelude[b"run"]
        self._run_small = prelude[b"run_small"]
        self._chunks: dict[str, Any] = {}

    def run(self, server: FakeServer, text: str, keys: list[bytes], args: list[bytes]) -> Reply:
        self.server = server
        try:
            chunk = self._chunks.get(text)
            if chunk is None:
                chunk = self._chunks[text] = self._compile(text.encode(), b"@script")
            if len(keys) + len(args) <= 200:
                answer = self._run_small(chunk, len(keys), *keys, *args)
            else:
                lua = self._lua
                answer = self._run(chunk, lua.table_from(keys), lua.table_from(args))
        except lua51.LuaError as error:
            raise ScriptError(str(error)) from error
        finally:
            self.server = None
        return self._reply(answer)

    def _reply(self, answer: Any) -> Reply:
        kind, *values = answer if isinstance(answer, tuple) else (answer, None)
        if kind == 3:
            raise ScriptError(values[0].decode())
        if kind in (0, 2):
            return self._value(values[0])
        if kind == 4:
            table = values[0]
            values = [table[i] for i in range(1, len(table) + 1)]
        if None in values:
            values = values[: values.index(None)]
        return [
            value if type(value) is bytes or type(value) is int else self._value(value)
            for value in values
        ]

    def _value(self, value: Any) -> Reply:
        if isinstance(value, bytes) or value is None:
            return value
        if value is False:
            return None
        if isinstance(value, int | float):
            return int(value)
        values = []
        for i in range(1, len(value) + 1):
            values.append(self._value(value[i]))
        return values

    def _listed(self, value: Any) -> Any:
        if type(value) is list:
            return self._lua.table_from([self._listed(each) for each in value])
        return False if value is None else value

    def _invoke(self, name: bytes, *args: Any) -> tuple[Any, ...]:
        assert self.server is not None
        arguments = [arg if type(arg) is bytes else _argument(arg) for arg in args]
        result = self.server.execute(name.upper(), arguments)
        if type(result) is list:
            values = [self._listed(value) for value in result]
            return (1, *values) if len(values) <= 100 else (0, self._lua.table_from(values))
        if result is OK:
            return (2, OK)
        return (0, False if result is None else result)


def _argument(value: object) -> bytes:
    """What the server makes of a Lua value among the arguments of a command."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return b"%d" % value if value == int(value) else repr(value).encode()
    raise CommandError(f"ERR arguments must be strings or integers, got {value!r}")


_runtime: Final = _Runtime()


class FakeServer(KeySpace):
    """Runs scripts on its own keys.

    ``time`` is what TIME answers, in µs, ``history`` what INFO has as ``master_replid``,
    ``published`` every message in order: channel, payload. *sources* replaces scripts by name.
    """

    def __init__(self, sources: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.history = "history-1"
        self.published: list[tuple[bytes, bytes]] = []
        self.sources = dict(sources or {})

    def call(self, script: str, keys: Sequence[Argument], args: Sequence[Argument]) -> Reply:
        """The answer of *script*; ScriptError where a server answers an error."""
        text = self.sources.get(script) or source(script)
        return _runtime.run(self, text, [_encode(key) for key in keys], [_encode(a) for a in args])

    def execute(self, name: bytes, args: Sequence[bytes]) -> Any:
        """Run one command of a script."""
        command = COMMANDS.get(name)
        if command is not None:
            return command(self, args)
        if name in (b"PUBLISH", b"SPUBLISH"):
            channel, payload = args
            self.published.append((channel, payload))
            return 1
        if name == b"TIME" and not args:
            return [b"%d" % (self.time // 1_000_000), b"%d" % (self.time % 1_000_000)]
        if name == b"INFO" and list(args) == [b"replication"]:
            return b"# Replication\r\nrole:master\r\nmaster_replid:%b\r\n" % self.history.encode()
        raise CommandError(f"ERR unknown command {name!r} {args!r}")

    def snapshot(self) -> Snapshot:
        """A copy of all data, for :meth:`restore`."""
        return Snapshot(_copied(self.keys), dict(self.expiries))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to older data, as a replica that was behind does when it is promoted."""
        self.keys, self.expiries = _copied(snapshot.keys), dict(snapshot.expiries)

    def flush(self) -> None:
        """Lose all data."""
        self.keys, self.expiries = {}, {}

    def dump(self) -> Dump:
        """All keys in a form that can be compared with another server's."""
        for key in list(self.expiries):
            self._expire(key)
        return {key: _canonical(value) for key, value in sorted(self.keys.items())}


def _encode(argument: Argument) -> bytes:
    if isinstance(argument, bytes):
        return argument
    return argument.encode() if isinstance(argument, str) else b"%d" % argument


def _copied(keys: dict[bytes, Value]) -> dict[bytes, Value]:
    return {key: value if isinstance(value, bytes) else value.copy() for key, value in keys.items()}


def _canonical(value: Value) -> object:
    if isinstance(value, Hash):
        return ("hash", dict(sorted(value.items())))
    if isinstance(value, SortedSet):
        return ("zset", [(member, int(score)) for score, member in value.order()])
    if isinstance(value, Stream):
        return ("stream", [dict(zip(e[::2], e[1::2], strict=True)) for e in value])
    return ("string", value)
