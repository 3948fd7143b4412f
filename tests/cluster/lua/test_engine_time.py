"""Time and history are the engine's own where the caller gives none."""

from __future__ import annotations

import time

from cluster.lua.fake import FakeServer, Server
from cluster.lua.partition import BASE, LEASE
from cluster.lua.real import RealServer
from herenow.cluster.partitions.engine import Argument


def hello(server: Server, node: str) -> int:
    """The epoch that *node* is told."""
    head: list[Argument] = ["", "", LEASE, "bus", "PUBLISH", 0]
    reply = server.call("hello", [BASE], [*head, node, 1, 0, 1, ""])
    assert isinstance(reply, list)
    status, epoch, _ = reply
    assert status == b"new"
    assert isinstance(epoch, int)
    return epoch


def test_the_real_servers_clock_is_read(real: RealServer) -> None:
    before = time.time() * 1_000_000
    assert before - 10_000_000 < hello(real, "a") < before + 10_000_000
    assert hello(real, "b") == hello(real, "c")


def test_the_real_servers_replication_id_is_the_history(real: RealServer) -> None:
    hello(real, "a")
    replication = real.command("INFO", "replication")
    state = real.command("HGET", f"{BASE}:state", "history")
    assert b"master_replid:" + state + b"\r\n" in replication


def test_the_fake_servers_clock_and_history_are_settable() -> None:
    server = FakeServer()
    server.time = 1_700_000_000_123_456
    assert hello(server, "a") == 1_700_000_000_123_456
    server.time += 1
    assert hello(server, "b") == 1_700_000_000_123_456
    server.history = "after-a-failover"
    assert hello(server, "c") > 1_700_000_000_123_456
