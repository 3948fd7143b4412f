"""Ledger time, leases, and what becomes of a node that is gone."""

from __future__ import annotations

from cluster.lua.partition import HOOKS, KEEP, LEASE, ROOM, SECOND, START, Partition


def beat_until(partition: Partition, seconds: float, *names: str) -> None:
    """The nodes called *names*, with their first tokens, beat each second."""
    for _ in range(round(seconds)):
        partition.wait(1)
        for name in names:
            partition.ask("beat", name, 1, partition.epoch, "", KEEP)


def test_a_node_that_does_not_beat_is_reaped(partition: Partition) -> None:
    """reap: its members leave with their graces, the lease record goes last."""
    a, b = partition.settled("a"), partition.node("b")
    b.join("bob", 1, grace=2)
    b.join("carol", 2, grace=0)
    a.join("dave", 3)
    b.join("dave", 4)
    beat_until(partition, 4, "a")
    assert a.users() == ["bob", "carol", "dave"]
    beat_until(partition, 1, "a")
    assert a.users() == ["bob", "dave"]
    assert b.beat() == [b"fenced"]
    beat_until(partition, 2, "a")
    assert a.users() == ["dave"]
    assert partition.key("e:b") is None
    assert partition.key("token") == {b"a": b"1"}


def test_reaping_is_done_in_batches(partition: Partition) -> None:
    """reap: at most 500 entries a call, in the order of their numbers; more is to be done."""
    a, b = partition.settled("a"), partition.node("b")
    for number in range(600):
        b.join(f"user{number}", number, grace=0, flags=0)
    for number in range(500):
        b.count(f"1/room{number}", 1, 2)
    partition.wait(2)
    a.beat()
    partition.wait(2)
    a.beat()
    partition.wait(1.1)
    partition.heard()
    assert a.beat() == [b"beat", 1]
    assert b.ask("leave", 599, 0) == [b"fenced"]
    told = [message.split(" ")[2] for message in partition.heard() if message != "tick"]
    assert told == [f"user{number}" for number in range(500)]
    assert a.beat() == [b"beat", 1]
    assert a.users() == []
    assert a.totals() == [0, 100, 0, 0]
    assert a.beat() == [b"beat", 0]
    assert a.totals() == [0, 0, 0, 0]
    assert partition.names() == set()


def test_departures_are_completed_in_batches(partition: Partition) -> None:
    a = partition.settled("a")
    for number in range(700):
        a.join(f"user{number}", number, flags=0)
        a.leave(number, grace=1)
    partition.wait(1)
    assert a.beat() == [b"beat", 1]
    assert len(a.users()) == 200
    assert a.beat() == [b"beat", 0]
    assert a.users() == []


def test_a_node_that_says_bye_is_reaped_at_once(partition: Partition) -> None:
    a, b = partition.settled("a"), partition.node("b")
    b.join("bob", 1, grace=2)
    b.count("1/room", 3)
    assert b.ask("bye") == [b"bye"]
    a.beat()
    assert a.roster()["bob"].connections == 0
    assert a.channel("room") == [0, 0]
    partition.wait(2)
    a.beat()
    assert a.users() == []


def test_an_expired_node_that_nobody_reaped_goes_on(partition: Partition) -> None:
    a = partition.settled("a")
    a.join("alice", 1)
    for _ in range(6):
        partition.wait(1)
        a.leave(9)
    assert a.beat() == [b"beat", 0]
    assert a.users() == ["alice"]


def test_a_silence_is_no_time(partition: Partition) -> None:
    """clock: the engine or every node was away for longer than half a lease."""
    a, b = partition.settled("a"), partition.node("b")
    b.join("bob", 1, grace=0)
    b.leave(1, grace=1)
    b.join("carol", 2, grace=0)
    partition.wait(60)
    a.beat()
    assert a.users() == ["bob", "carol"]
    beat_until(partition, 1, "a")
    assert a.users() == ["carol"]
    beat_until(partition, 3, "a")
    assert a.users() == ["carol"]
    beat_until(partition, 1, "a")
    assert a.users() == []


def test_a_read_after_a_silence_renews_leases_too(partition: Partition) -> None:
    a, b = partition.settled("a"), partition.node("b")
    b.join("bob", 1, grace=0)
    beat_until(partition, 4, "a")
    partition.wait(60)
    assert a.users() == ["bob"]
    beat_until(partition, 2, "a")
    assert a.users() == ["bob"]
    assert b.beat() == [b"beat", 0]


def test_a_clock_that_jumps_back_does_not_stop_time(partition: Partition) -> None:
    """clock: ledger time never falls, and goes on at once."""
    a, b = partition.settled("a"), partition.node("b")
    b.join("bob", 1, grace=0)
    partition.wait(-3600)
    beat_until(partition, 5, "a")
    assert a.users() == ["bob"]
    beat_until(partition, 1, "a")
    assert a.users() == []


def test_ledger_time_is_what_the_steps_add_up_to(partition: Partition) -> None:
    a = partition.node("a")
    for seconds in (1, 2.5, 2.6, -10, 2, 100):
        partition.wait(seconds)
        a.beat()
    state = partition.key("state")
    assert isinstance(state, dict)
    assert int(state[b"clock"]) == START + 5_500_000
    assert int(state[b"wall"]) == partition.time


def test_a_heir_protects_the_old_node_until_it_is_ready(partition: Partition) -> None:
    """heir: an owner that lost its lease registers again, and nobody sees its users go."""
    a, b = partition.settled("a"), partition.node("b")
    b.join("bob", 1, grace=0)
    beat_until(partition, 4, "a")
    renewed = partition.node("b2", epoch=partition.epoch, old="b")
    beat_until(partition, 5, "a", "b2")
    assert a.users() == ["bob"]
    renewed.restore((1, "bob", "{}", 5))
    renewed.ask("ready", "b")
    a.beat()
    assert a.roster()["bob"].connections == 1
    assert partition.key("e:b") is None
    assert partition.key("heir") is None
    assert [m for m in partition.outbox() if m[0] in "rv"] == []


def test_a_heir_that_dies_protects_no_more(partition: Partition) -> None:
    a, b = partition.settled("a"), partition.node("b")
    b.join("bob", 1, grace=0)
    partition.node("b2", epoch=partition.epoch, old="b")
    beat_until(partition, 6, "a")
    assert a.users() == []
    assert partition.key("heir") is None


def test_nobody_goes_while_somebody_registers_in_a_young_epoch(partition: Partition) -> None:
    """heir: who is missing may be among those not registered yet; ten leases at most."""
    a = partition.settled("a")
    partition.node("b2", epoch=partition.epoch, old="b")
    a.join("alice", 1, grace=0)
    a.leave(1)
    beat_until(partition, 46, "a", "b2")
    assert a.users() == ["alice"]
    beat_until(partition, 2, "a", "b2")
    assert a.users() == []


def test_the_feed_ticks_when_it_is_silent(partition: Partition) -> None:
    """tick: about three times a lease, and not while there are deltas."""
    a = partition.settled("a")
    partition.wait(LEASE / 3 / 1_000_000)
    a.beat()
    assert partition.feed() == [b"t %d %d" % (partition.epoch, partition.seq)]
    partition.wait(1)
    a.join("alice", 1)
    partition.wait(1)
    a.beat()
    assert [m for m in partition.heard() if m == "tick"] == []
    partition.wait(1)
    a.beat()
    assert partition.heard() == ["tick"]


def test_a_beat_tells_of_terminations_since(partition: Partition) -> None:
    """For a node whose feed was broken; they are kept for ten leases."""
    a = partition.settled("a")
    before = partition.seq
    assert a.ask("terminate", "1/u/alice") == [b"terminated"]
    first = partition.seq
    assert first == before + 1
    partition.wait(1)
    a.ask("terminate", "1/u/bob o")
    assert partition.heard() == ["x 1/u/alice", "x 1/u/bob o"]
    assert a.beat() == [b"beat", 0]
    assert a.beat(before) == [b"beat", 0, b"1/u/alice", first, b"1/u/bob o", first + 1]
    assert a.beat(first) == [b"beat", 0, b"1/u/bob o", first + 1]
    beat_until(partition, 49, "a")
    assert a.beat(before) == [b"beat", 0, b"1/u/bob o", first + 1]
    beat_until(partition, 2, "a")
    assert a.beat(before) == [b"beat", 0]
    assert partition.names() == set()


def test_a_node_is_reaped_over_many_rooms(partition: Partition) -> None:
    a, b = partition.settled("a"), partition.node("b")
    rooms = [f"1/p/presence-{number}" for number in range(3)]
    for number, room in enumerate(rooms):
        b.join("bob", number, subject=room, grace=0, flags=HOOKS)
    b.ask("bye")
    a.beat()
    removed = [line for line in partition.outbox() if line[0] in "rv"]
    assert removed == [
        line
        for number, room in enumerate(rooms)
        for line in (f"r {room} bob", f"v 1/presence-{number}")
    ]
    assert ROOM not in partition.outbox()


def test_users_seen_long_ago_are_forgotten_in_batches(partition: Partition) -> None:
    a = partition.settled("a")
    for number in range(600):
        a.join(f"user{number}", number, subject=f"1/u/user{number}")
        a.leave(number)
    seen = partition.key("seen")
    assert isinstance(seen, list)
    assert len(seen) == 600
    partition.wait(KEEP / SECOND + 1)
    assert a.beat() == [b"beat", 1]
    assert a.beat() == [b"beat", 0]
    assert partition.key("seen") is None
