"""A real server that runs the engine's scripts, seen as the fake one is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from cluster.lua.fake import Dump
from herenow.cluster.lua import source
from herenow.cluster.partitions.engine import Argument, Reply


class RealServer:
    """Runs scripts by their SHA. ``published`` has every message until it was last read."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._client.response_callbacks.clear()
        self._shas: dict[str, bytes] = {}
        self._pubsub = client.pubsub()  # type: ignore[no-untyped-call]
        self._pubsub.psubscribe("*")
        self._heard: list[tuple[bytes, bytes]] = []

    @property
    def published(self) -> list[tuple[bytes, bytes]]:
        # What a script published was sent to this connection before the answer to a later ping.
        self._pubsub.ping("heard")
        while True:
            message = self._pubsub.get_message(timeout=10)
            assert message is not None, "no answer to a ping"
            if message["type"] == "pmessage":
                self._heard.append((message["channel"], message["data"]))
            elif message["type"] == "pong":
                return self._heard

    def call(self, script: str, keys: Sequence[Argument], args: Sequence[Argument]) -> Reply:
        sha = self._shas.get(script)
        if sha is None:
            sha = self._shas[script] = self.command("SCRIPT", "LOAD", source(script))
        reply: Reply = self.command("EVALSHA", sha, len(keys), *keys, *args)
        return reply

    def command(self, *arguments: Argument) -> Any:
        """The answer to one command, as it is sent."""
        return self._client.execute_command(*arguments)  # type: ignore[no-untyped-call]

    def flush(self) -> None:
        self.command("FLUSHALL")
        self.published.clear()

    def close(self) -> None:
        self._pubsub.close()
        self._client.close()

    def dump(self) -> Dump:
        return {key: self._value(key) for key in sorted(self.command("KEYS", "*"))}

    def _value(self, key: bytes) -> object:
        kind = self.command("TYPE", key)
        if kind == b"hash":
            return ("hash", dict(sorted(_pairs(self.command("HGETALL", key)))))
        if kind == b"zset":
            scores = _pairs(self.command("ZRANGE", key, 0, -1, "WITHSCORES"))
            return ("zset", [(member, int(float(score))) for member, score in scores])
        if kind == b"stream":
            entries = self.command("XRANGE", key, "-", "+")
            return ("stream", [dict(_pairs(fields)) for _, fields in entries])
        return ("string", self.command("GET", key))


def _pairs(flat: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))
