"""Who may change anything: hello, tokens, epochs, and nodes that register again."""

from __future__ import annotations

import pytest

from cluster.lua.partition import LEASE, ROOM, START, Node, Partition

FENCED_OPERATIONS = {
    "beat": ("",),
    "join": (ROOM, "zoe", 9, "{}", 0, 0, 1),
    "leave": (1, 0),
    "roster": (ROOM,),
    "restore": (ROOM, 1, 1, 9, "zoe", "{}", 1, 0, 1, 0),
    "ready": ("old",),
    "bye": (),
    "count": ("1/room", 4, 3),
    "announce": ("1/room", 4, 3, 0, 100),
    "admit": ("1", 4, 0),
    "channel": ("1", "room"),
    "channels": ("1", ""),
    "totals": ("1",),
    "online": ("1/u/alice",),
    "terminate": ("1/u/alice",),
}


def is_fenced(node: Node) -> bool:
    """Every script refuses the node, and changes nothing."""
    partition = node.partition
    before = partition.server.dump()
    partition.heard()
    answers = {script: node.ask(script, *args) for script, args in FENCED_OPERATIONS.items()}
    assert partition.server.dump() == before
    assert partition.heard() == []
    refused = [answer == [b"fenced"] for answer in answers.values()]
    assert all(refused) or not any(refused)
    return all(refused)


def test_a_token_that_is_not_the_current_one_is_fenced(partition: Partition) -> None:
    """fence: an operation of a connection that was given up changes nothing."""
    a = partition.settled("a")
    a.join("alice", 1)
    assert a.hello(2) == b"ok"
    a.token = 1
    assert is_fenced(a)


def test_an_unknown_node_is_fenced(partition: Partition) -> None:
    a = partition.settled("a")
    stranger = Node(partition, "stranger")
    stranger.epoch = a.epoch
    assert is_fenced(stranger)


def test_another_epoch_is_fenced(partition: Partition) -> None:
    a = partition.settled("a")
    a.epoch -= 1
    assert is_fenced(a)


def test_a_fenced_answer_has_epoch_and_seq(partition: Partition) -> None:
    a = partition.settled("a")
    a.join("alice", 1)
    known = (partition.epoch, partition.seq)
    a.token = 7
    partition.epoch = partition.seq = 0
    assert a.beat() == [b"fenced"]
    assert (partition.epoch, partition.seq) == known


def test_a_connection_resumes_with_a_higher_token(partition: Partition) -> None:
    """session: a late hello of an earlier connection is stale."""
    a = partition.settled("a")
    assert a.hello(3) == b"ok"
    assert a.hello(2) == b"stale"
    assert a.hello(3) == b"stale"
    assert a.beat() == [b"beat", 0]


def test_resuming_renews_the_lease(partition: Partition) -> None:
    a, b = partition.settled("a"), partition.node("b")
    for _ in range(4):
        partition.wait(2)
        b.beat()
        a.hello(a.token + 1)
    assert a.beat() == [b"beat", 0]


def test_an_unknown_node_has_lapsed(partition: Partition) -> None:
    a = partition.settled("a")
    stranger = Node(partition, "stranger")
    stranger.epoch = a.epoch
    assert stranger.hello(2) == b"lapsed"


def test_a_node_of_another_epoch_has_lapsed(partition: Partition) -> None:
    a = partition.settled("a")
    partition.history = "history-2"
    assert a.hello(2) == b"lapsed"


def test_the_first_epoch_is_the_engines_time(partition: Partition) -> None:
    partition.node("a")
    assert partition.epoch == START
    assert partition.seq == START


def test_another_history_begins_an_epoch(partition: Partition) -> None:
    """history: a promotion or a restart; numbers never fall, whatever the new engine's clock."""
    a = partition.settled("a")
    a.join("alice", 1)
    epoch, seq = partition.epoch, partition.seq
    partition.history = "history-2"
    partition.time = START - 60_000_000
    assert a.beat() == [b"fenced"]
    assert partition.epoch > epoch
    assert partition.seq == seq + 1_000_000
    renewed = Node(partition, "a2")
    assert renewed.hello(1, create=1, old="a") == b"new"
    assert renewed.users() == ["alice"]


def test_a_new_epoch_extends_leases(partition: Partition) -> None:
    """extend: a promoted replica is behind, so leases look older than they are."""
    a = partition.settled("a")
    a.join("alice", 1)
    partition.wait(2)
    partition.history = "history-2"
    partition.node("b")
    lease = partition.key("lease")
    assert isinstance(lease, list)
    clock = START + 4_500_000
    assert dict(lease) == {b"a": clock + LEASE, b"b": clock + LEASE}


def test_a_new_epoch_extends_departures(partition: Partition) -> None:
    """extend: who returned may have been forgotten by the engine that took over."""
    a = partition.settled("a")
    a.join("alice", 1)
    a.leave(1, grace=1)
    partition.history = "history-2"
    b = partition.node("b")
    for _ in range(5):
        partition.wait(1.9)
        b.beat()
        assert b.users() == ["alice"]
    partition.wait(0.5)
    b.beat()
    assert b.users() == []


def test_a_cancelled_departure_stays_held_over_an_epoch(partition: Partition) -> None:
    """extend: a grace that the member was given is extended with the departure."""
    a = partition.settled("a")
    a.join("alice", 1)
    a.leave(1, grace=1)
    partition.history = "history-2"
    b = partition.node("b")
    for _ in range(3):
        partition.wait(2)
        b.beat()
    b.join("alice", 2)
    b.leave(2)
    assert b.users() == ["alice"]
    partition.wait(2)
    b.beat()
    partition.wait(2)
    b.beat()
    assert b.users() == []


@pytest.mark.parametrize(("lost", "seconds"), [(False, 2.5), (True, 10)])
def test_nobody_goes_while_an_epoch_is_young(
    partition: Partition, lost: bool, seconds: float
) -> None:
    """recover: half a lease after a first start, two leases when data was lost or rolled back."""
    a = partition.node("a")
    if lost:
        partition.wait(2.5)
        partition.history = "history-2"
        a = partition.node("a2", epoch=a.epoch, old="a")
        a.ask("ready", "a")
    a.join("alice", 1)
    partition.heard()
    a.leave(1)
    assert partition.heard() == []
    assert a.is_uncertain()
    for _ in range(10):
        a.beat()
        assert a.users() == ["alice"]
        partition.wait(seconds / 10)
    a.beat()
    assert not a.is_uncertain()
    assert a.users() == []


def test_an_empty_engine_that_somebody_knew_has_lost_data(partition: Partition) -> None:
    """recover: others will come back too, so it is waited for them."""
    partition.node("a", epoch=START - 1_000_000)
    b = partition.node("b")
    for _ in range(5):
        assert b.is_uncertain()
        partition.wait(1.99)
        b.beat()
    partition.wait(0.1)
    assert not b.is_uncertain()


def test_members_known_from_others_are_handed_back(partition: Partition) -> None:
    """known: as departing; whoever is there registers again in time."""
    a = partition.node("a", epoch=START - 1_000_000)
    partition.heard()
    answer = a.restore((1, "alice", "1", 7), known=(("bob", "2", 8), ("alice", "0", 3)))
    assert answer[:2] == [b"roster", 1]
    assert partition.heard() == [f"a {ROOM} alice 1", f"a {ROOM} bob 2"]
    roster = a.roster()
    assert (roster["alice"].stamp, roster["alice"].connections) == (7, 1)
    assert (roster["bob"].stamp, roster["bob"].connections) == (8, 0)
    b = partition.node("b", epoch=START - 1_000_000)
    assert b.restore((1, "bob", "2", 8), roster=0) == [b"restored"]
    for _ in range(6):
        partition.wait(2)
        a.beat()
        b.beat()
    assert a.users() == ["alice", "bob"]
    assert [m for m in partition.heard() if m != "tick"] == []


def test_a_member_known_from_others_who_does_not_return_goes(partition: Partition) -> None:
    a = partition.node("a", epoch=START - 1_000_000)
    a.restore((1, "alice", "1", 7), known=(("bob", "2", 8),))
    for _ in range(6):
        partition.wait(2)
        a.beat()
    assert a.users() == ["alice"]
    assert partition.names() == {"e:a", f"m:{ROOM}", "p:1", "t:1"}


def test_a_late_restore_brings_only_its_own(partition: Partition) -> None:
    """fresh: others are taken on trust only while the epoch is young."""
    a = partition.settled("a")
    for _ in range(3):
        partition.wait(2)
        a.beat()
    a.restore((1, "alice", "1", 7), known=(("bob", "2", 8),))
    assert a.users() == ["alice"]


def test_restoring_ignores_the_limit(partition: Partition) -> None:
    """overfull: who was admitted stays."""
    a = partition.settled("a")
    a.join("alice", 1, limit=1)
    a.restore((2, "bob", "{}", 7))
    assert a.users() == ["alice", "bob"]


def test_restoring_never_brings_older_info(partition: Partition) -> None:
    """stamp: the newest connection's info holds, in whatever order they register."""
    a, b = partition.settled("a"), partition.node("b")
    a.restore((1, "alice", "new", 20))
    partition.heard()
    b.restore((2, "alice", "old", 10))
    assert partition.heard() == []
    b.restore((3, "alice", "newest", 30))
    assert partition.heard() == [f"i {ROOM} alice newest"]
    member = a.roster()["alice"]
    assert (member.info, member.stamp, member.connections) == (b"newest", 30, 3)


def test_restoring_twice_counts_once(partition: Partition) -> None:
    a = partition.settled("a")
    a.restore((1, "alice", "{}", 5))
    before = partition.server.dump()
    a.restore((1, "alice", "{}", 5))
    assert partition.server.dump() == before


def test_restoring_cancels_a_departure(partition: Partition) -> None:
    a, b = partition.settled("a"), partition.node("b")
    a.join("alice", 1)
    a.leave(1, grace=2)
    b.restore((2, "alice", "{}", 5))
    partition.wait(2)
    a.beat()
    assert a.users() == ["alice"]
    assert partition.key(f"g:{ROOM}") is None
