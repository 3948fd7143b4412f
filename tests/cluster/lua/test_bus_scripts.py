"""Scripts that need no session: publishing, cached events, rates, settings."""

from __future__ import annotations

import time

from cluster.lua.fake import FakeServer, Server
from cluster.lua.partition import BASE, LEASE, Partition
from herenow.cluster.partitions.engine import Argument, Reply

HEAD: list[Argument] = ["", "", LEASE, "", "PUBLISH", 0]


def publish(server: Server, *items: tuple[int, str, str, int, str], command: str = "") -> Reply:
    """Each item: partition, name, message, ms to keep it, data."""
    keys = [f"herenow:{{{partition}}}" for partition, *_ in items]
    args: list[Argument] = []
    for partition, name, message, milliseconds, data in items:
        args += [f"bus:{{{partition}}}", name, message, milliseconds, data]
    head: list[Argument] = [*HEAD[:4], command or "PUBLISH", 0]
    return server.call("publish", keys, [*head, *args])


def test_events_are_published_in_their_order(server: Server) -> None:
    """Of several partitions too, where one server has them all."""
    items = [(3, "1/room", "e 0 -\n{1}", 0, ""), (9, "1/other", "e 0 -\n{2}", 0, "")]
    assert publish(server, *items, items[0]) == [b"published", 0, 0]
    first, second = (b"bus:{3}:b:1/room", b"e 0 -\n{1}"), (b"bus:{9}:b:1/other", b"e 0 -\n{2}")
    assert server.published == [first, second, first]
    assert server.dump() == {}


def test_shard_channels_are_used_where_asked_for() -> None:
    server = FakeServer()
    publish(server, (3, "1/room", "e", 0, ""), command="SPUBLISH")
    assert server.published == [(b"bus:{3}:b:1/room", b"e")]


def test_a_cached_event_is_kept_with_its_data(server: Server) -> None:
    publish(server, (3, "1/cache-room", "e 1 -\n{} ", 60_000, ' "data" '))
    status, _, _, *event = listed(server.call("cached", [BASE], [*HEAD, "1/cache-room"]))
    assert [status, *event[:2]] == [b"cached", b"e 1 -\n{} ", b' "data" ']
    left = event[2]
    assert isinstance(left, int)
    assert 50_000 < left <= 60_000
    assert server.call("cached", [BASE], [*HEAD, "1/cache-other"]) == [b"missing", 0, 0]


def test_a_cached_event_expires(server: Server) -> None:
    publish(server, (3, "1/cache-room", "e", 100, "data"))
    pass_time(server, 0.2)
    assert server.call("cached", [BASE], [*HEAD, "1/cache-room"]) == [b"missing", 0, 0]
    assert server.dump() == {}


def test_the_last_cached_event_counts(server: Server) -> None:
    publish(server, (3, "1/cache-a", "e1", 60_000, "1"), (3, "1/cache-a", "e2", 60_000, "2"))
    publish(server, (3, "1/cache-a", "e3", 0, "3"))
    assert listed(server.call("cached", [BASE], [*HEAD, "1/cache-a"]))[3:5] == [b"e2", b"2"]


def test_one_miss_is_the_first_until_something_is_kept(server: Server) -> None:
    for expected in (b"first", b"again"):
        miss = server.call("miss", [BASE], [*HEAD, "1/cache-room", 60_000])
        assert miss == [expected, 0, 0]
    publish(server, (3, "1/cache-room", "e", 100, "data"))
    assert server.call("miss", [BASE], [*HEAD, "1/cache-room", 100]) == [b"first", 0, 0]
    pass_time(server, 0.2)
    assert server.dump() == {}


def test_all_nodes_are_told(partition: Partition) -> None:
    assert partition.ask("tell", "a 1") == [b"told"]
    assert partition.heard() == ["control: a 1"]


def test_a_rate_is_spent_and_gained(partition: Partition) -> None:
    """The bucket holds what it gains in a second."""
    assert [partition.ask("spend", "1", 4, 10) for _ in range(3)] == [
        [b"spent", 0],
        [b"spent", 0],
        [b"spent", 200_000],
    ]
    assert partition.ask("spend", "2", 4, 10) == [b"spent", 0]
    partition.wait(0.1)
    assert partition.ask("spend", "1", 4, 10) == [b"spent", 100_000]
    partition.wait(0.1)
    assert partition.ask("spend", "1", 4, 10) == [b"spent", 0]


def test_a_bucket_is_never_more_than_full(partition: Partition) -> None:
    partition.ask("spend", "1", 1, 3)
    partition.wait(60)
    assert [partition.ask("spend", "1", 1, 3)[1] for _ in range(4)] == [0, 0, 0, 333_332]


def test_more_events_than_the_bucket_holds_empty_it(partition: Partition) -> None:
    assert partition.ask("spend", "1", 10, 5) == [b"spent", 0]
    assert partition.ask("spend", "1", 10, 5) == [b"spent", 1_000_000]
    partition.wait(1)
    assert partition.ask("spend", "1", 10, 5) == [b"spent", 0]


def test_a_clock_that_jumps_back_costs_a_second_at_most(partition: Partition) -> None:
    partition.ask("spend", "1", 5, 5)
    partition.wait(-3600)
    assert partition.ask("spend", "1", 5, 5) == [b"spent", 1_000_000]


def test_a_bucket_that_is_full_again_is_forgotten(server: Server) -> None:
    partition = Partition(server)
    partition.ask("spend", "1", 1, 10)
    assert partition.names() == {"r:1"}
    pass_time(server, 0.2)
    assert partition.names() == set()


def test_the_first_settings_hold(partition: Partition) -> None:
    assert partition.ask("deploy", "v1", LEASE, 64) == [b"ok"]
    assert partition.ask("deploy", "v1", LEASE, 64) == [b"ok"]
    partition.node("a")
    assert partition.ask("deploy", "v1", LEASE, 64) == [b"ok"]


def test_other_settings_are_refused_while_a_node_is_alive(partition: Partition) -> None:
    """With what is stored, so that both can be told."""
    partition.ask("deploy", "v1", LEASE, 64)
    node = partition.node("a")
    stored = [b"differs", b"v1", LEASE, 64]
    for settings in (("v2", LEASE, 64), ("v1", 2 * LEASE, 64), ("v1", LEASE, 128)):
        assert partition.ask("deploy", *settings) == stored
    node.ask("bye")
    assert partition.ask("deploy", "v2", LEASE, 128) == [b"ok"]
    assert partition.ask("deploy", "v1", LEASE, 64) == [b"ok"]


def test_settings_are_free_when_the_last_lease_has_ended(partition: Partition) -> None:
    """Of a node that was killed: asking goes on, so time does."""
    partition.ask("deploy", "v1", LEASE, 64)
    partition.node("a")
    partition.wait(60)
    for _ in range(5):
        assert partition.ask("deploy", "v2", 60_000_000, 64)[0] == b"differs"
        partition.wait(1)
    assert partition.ask("deploy", "v2", 60_000_000, 64) == [b"ok"]


def listed(reply: Reply) -> list[Reply]:
    assert isinstance(reply, list)
    return reply


def pass_time(server: Server, seconds: float) -> None:
    """Expiry is by the server's own clock."""
    if isinstance(server, FakeServer):
        server.time += round(seconds * 1_000_000)
    else:
        time.sleep(seconds)
