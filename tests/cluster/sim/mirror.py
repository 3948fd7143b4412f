"""The server in this process and a real one, given the same calls: any difference is a failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluster.lua.fake import FakeServer
from cluster.lua.real import RealServer
from herenow.cluster.partitions.engine import Argument, Reply

HEAD = 4


class Mirror(FakeServer):
    """Answers as the server in this process does, once the real one has answered the same.

    What either keeps is compared after each call, or when ``compare`` is called.
    """

    def __init__(self, real: RealServer, *, compares_keys_each_time: bool = False) -> None:
        super().__init__()
        self._real = real
        self._compares = compares_keys_each_time
        self.flush()

    def call(self, script: str, keys: Sequence[Argument], args: Sequence[Argument]) -> Reply:
        if script == "spend":
            self._agree_on_buckets()
        already = len(self.published)
        answer = super().call(script, keys, args)
        expected = self._real.call(script, keys, args)
        assert in_order(answer) == in_order(expected), f"{script} {args}"
        heard = self._real.published
        assert self.published[already:] == heard, f"{script} {args}"
        heard.clear()
        if self._compares:
            self.compare()
        return answer

    def flush(self) -> None:
        super().flush()
        self._real.flush()

    def _agree_on_buckets(self) -> None:
        """A bucket expires by each server's own clock: the real one has what is left here."""
        self.dump()  # what has expired is gone then
        ours = {key: value for key, value in self.keys.items() if b":r:" in key}
        for key in self._real.command("KEYS", "*:r:*"):
            if key not in ours:
                self._real.command("DEL", key)
        for key, value in ours.items():
            assert isinstance(value, bytes)
            self._real.command("SET", key, value)

    def compare(self) -> None:
        ours, theirs = self.dump(), self._real.dump()
        assert _without_buckets(ours) == _without_buckets(theirs)


def in_order(reply: Reply) -> Any:
    """A roster comes in whatever order a server keeps its hash."""
    if not isinstance(reply, list) or reply[0] not in (b"roster", b"difference"):
        return reply
    if reply[0] == b"difference" and reply[HEAD] == 0:
        return reply
    head = HEAD if reply[0] == b"roster" else HEAD + 1
    members = zip(reply[head::2], reply[head + 1 :: 2], strict=True)
    return [*reply[:head], *sorted(members, key=repr)]


def _without_buckets(dump: dict[bytes, Any]) -> dict[bytes, Any]:
    """Buckets and cached events expire, in a real server by its own clock."""
    return {key: value for key, value in dump.items() if b":r:" not in key and b":l:" not in key}
