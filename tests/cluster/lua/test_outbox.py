"""What is left for webhooks, in the same step as the transition."""

from __future__ import annotations

from cluster.lua.partition import ROOM, Partition


def test_transitions_are_in_the_outbox_once_and_in_order(partition: Partition) -> None:
    """outbox: occupied before the first addition, vacated after the last removal."""
    a, b = partition.settled("a"), partition.node("b")
    a.join("alice", 1)
    b.join("alice", 2)
    b.join("bob", 3)
    a.leave(1)
    b.leave(2)
    b.leave(3)
    assert partition.outbox() == [
        "o 1/presence-room",
        f"a {ROOM} alice",
        f"a {ROOM} bob",
        f"r {ROOM} alice",
        f"r {ROOM} bob",
        "v 1/presence-room",
    ]


def test_a_departure_that_was_cancelled_is_not_in_the_outbox(partition: Partition) -> None:
    a = partition.settled("a")
    a.join("alice", 1)
    a.leave(1, grace=3)
    a.join("alice", 2)
    partition.wait(2)
    a.beat()
    partition.wait(2)
    a.beat()
    assert partition.outbox() == ["o 1/presence-room", f"a {ROOM} alice"]


def test_an_entry_has_what_a_webhook_needs(partition: Partition) -> None:
    a = partition.settled("a")
    joined = partition.time
    a.join("alice", 1, '{"name":"Alice"}')
    partition.wait(1)
    left = partition.time
    a.leave(1, grace=2)
    partition.wait(2)
    a.beat()
    first, second, third, fourth = (dict(entry) for entry in entries(partition))
    numbers = [int(entry.pop(b"n")) for entry in (first, second, third, fourth)]
    assert numbers == list(range(numbers[0], numbers[0] + 4))
    seq = partition.seq - 1
    assert second == {
        b"k": b"a",
        b"s": ROOM.encode(),
        b"u": b"alice",
        b"i": b'{"name":"Alice"}',
        b"q": b"%d" % seq,
        b"t": b"%d" % joined,
    }
    assert first == {**second, b"k": b"o", b"s": b"1/presence-room", b"u": b"", b"i": b""}
    assert third == {**second, b"k": b"r", b"q": b"%d" % (seq + 1), b"t": b"%d" % left}
    assert fourth == {**first, b"k": b"v", b"q": b"%d" % (seq + 1), b"t": b"%d" % left}


def entries(partition: Partition) -> list[dict[bytes, bytes]]:
    stream = partition.key("out")
    assert isinstance(stream, list)
    return stream


def test_an_app_without_webhooks_leaves_nothing(partition: Partition) -> None:
    a = partition.settled("a")
    a.join("alice", 1, flags=0)
    a.leave(1)
    assert partition.outbox() == []


def test_an_app_may_have_got_webhooks_meanwhile(partition: Partition) -> None:
    a = partition.settled("a")
    a.join("alice", 1, flags=0)
    a.join("alice", 2, flags=1)
    a.leave(1)
    a.leave(2)
    assert partition.outbox() == [f"r {ROOM} alice", "v 1/presence-room"]


def test_without_an_outbox_none_is_written(partition: Partition) -> None:
    partition.outbox_length = 0
    a = partition.settled("a")
    a.join("alice", 1)
    assert partition.outbox() == []


def test_the_outbox_is_bounded(partition: Partition) -> None:
    partition.outbox_length = 100
    a = partition.settled("a")
    for number in range(600):
        a.join(f"user{number}", number)
    lines = partition.outbox()
    assert 100 <= len(lines) <= 300
    assert lines[-1] == f"a {ROOM} user599"
