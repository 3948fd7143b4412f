"""Who is in a subject: joins, leaves, graces, limits."""

from __future__ import annotations

from cluster.lua.fake import FakeServer
from cluster.lua.partition import LEASE, ROOM, SECOND, START, Partition

USER = "1/u/alice"


def test_the_first_subscription_adds_the_user_once(partition: Partition) -> None:
    """A user is a member from his first subscription on any node, and is told once."""
    a, b = partition.settled("a"), partition.node("b")
    seq = partition.seq
    assert a.join("alice", 1) == [b"joined", 1, seq + 1, 0]
    assert b.join("alice", 2) == [b"joined", 0, seq + 1, 0]
    assert partition.heard() == [f"a {ROOM} alice {{}}"]
    assert a.roster()["alice"] == (b"{}", seq + 1, seq + 1, 2, partition.time)


def test_the_last_leave_removes_the_user_once(partition: Partition) -> None:
    a, b = partition.settled("a"), partition.node("b")
    a.join("alice", 1)
    b.join("alice", 2)
    partition.heard()
    assert a.leave(1) == [b"left"]
    assert a.users() == ["alice"]
    assert b.leave(2) == [b"left"]
    assert partition.heard() == [f"r {ROOM} alice {{}}"]
    assert a.users() == []
    assert partition.names() == set()


def test_a_delta_has_everything_a_replica_needs(partition: Partition) -> None:
    """Names and infos may hold anything, so their lengths are told."""
    a = partition.settled("a")
    a.join("a b\nc", 1, "{\n}\0 d")
    seq = partition.seq
    assert partition.feed() == [
        b"d %d %d a %d %d 17 5\n1/p/presence-rooma b\nc{\n}\0 d"
        % (partition.epoch, seq, seq, partition.time)
    ]
    left = partition.time
    a.leave(1, grace=2)
    partition.wait(2)
    a.beat()
    assert partition.feed()[0] == (
        b"d %d %d r %d %d 17 5\n1/p/presence-rooma b\nc{\n}\0 d"
        % (partition.epoch, seq + 1, seq, left)
    )


def test_each_delta_raises_seq_by_one(partition: Partition) -> None:
    a = partition.settled("a")
    before = partition.seq
    a.join("alice", 1)
    a.join("alice", 2, '{"new":1}')
    a.join("bob", 3)
    a.leave(3)
    numbers = [int(message.split(b" ")[2]) for message in partition.feed()]
    assert numbers == [before + 1, before + 2, before + 3, before + 4]
    assert partition.seq == before + 4


def test_the_same_subscription_again_changes_nothing(partition: Partition) -> None:
    """again: an operation whose answer was lost is sent once more."""
    a = partition.settled("a")
    first = a.join("alice", 1)
    partition.heard()
    before = partition.server.dump()
    assert a.join("alice", 1, '{"other":1}') == [b"joined", 0, first[2], 0]
    assert partition.heard() == []
    assert partition.server.dump() == before


def test_an_unknown_leave_changes_nothing(partition: Partition) -> None:
    a = partition.settled("a")
    a.join("alice", 1)
    before = partition.server.dump()
    assert a.leave(2) == [b"left"]
    assert partition.server.dump() == before


def test_a_leave_of_another_nodes_subscription_changes_nothing(partition: Partition) -> None:
    a, b = partition.settled("a"), partition.node("b")
    a.join("alice", 1)
    b.leave(1)
    assert a.users() == ["alice"]


def test_newer_info_is_told(partition: Partition) -> None:
    """stamp: it has the seq at which it was set."""
    a = partition.settled("a")
    a.join("alice", 1, "1")
    partition.heard()
    _, first, stamp, _ = a.join("alice", 2, "2")
    assert (first, stamp) == (0, partition.seq)
    assert partition.heard() == [f"i {ROOM} alice 2"]
    assert a.roster()["alice"].info == b"2"


def test_a_departing_member_stays_until_its_grace_has_passed(partition: Partition) -> None:
    """due: no sooner, and then by any node's beat."""
    a, b = partition.settled("a"), partition.node("b")
    a.join("alice", 1)
    a.leave(1, grace=3)
    partition.heard()
    partition.wait(2)
    b.beat()
    partition.wait(0.999_999)
    b.beat()
    assert b.roster()["alice"].connections == 0
    assert [m for m in partition.heard() if m != "tick"] == []
    partition.wait(0.000_001)
    b.beat()
    assert [m for m in partition.heard() if m != "tick"] == [f"r {ROOM} alice {{}}"]
    assert partition.names() == set()


def test_a_return_within_the_grace_is_seen_by_nobody(partition: Partition) -> None:
    a, b = partition.settled("a"), partition.node("b")
    _, _, stamp, _ = a.join("alice", 1)
    a.leave(1, grace=3)
    partition.heard()
    partition.wait(2)
    assert b.join("alice", 2) == [b"joined", 0, stamp, 1]
    partition.wait(2)
    a.beat()
    b.beat()
    assert b.roster()["alice"].connections == 1
    assert [m for m in partition.heard() if m != "tick"] == []
    assert partition.key("due") is None


def test_a_grace_is_remembered_when_another_subscription_is_left(partition: Partition) -> None:
    """hold: a tab closes with a grace, then the other one without."""
    a = partition.settled("a")
    a.join("alice", 1)
    a.join("alice", 2)
    a.leave(1, grace=2)
    partition.wait(1)
    a.leave(2)
    assert a.users() == ["alice"]
    partition.wait(1)
    a.beat()
    assert a.users() == []


def test_an_earlier_deadline_does_not_end_a_later_departure(partition: Partition) -> None:
    """due: only what is scheduled now counts."""
    a = partition.settled("a")
    a.join("alice", 1)
    a.leave(1, grace=1)
    a.join("alice", 2)
    a.leave(2, grace=2)
    partition.wait(1.5)
    a.beat()
    assert a.users() == ["alice"]
    partition.wait(0.5)
    a.beat()
    assert a.users() == []


def test_a_removal_is_dated_by_the_last_leave(partition: Partition) -> None:
    a = partition.settled("a")
    a.join("alice", 1)
    partition.wait(1)
    left = partition.time
    a.leave(1, grace=2)
    partition.wait(2)
    a.beat()
    removal = next(m for m in partition.feed() if b" r " in m)
    assert int(removal.split(b" ")[5]) == left


def test_a_full_room_refuses_who_is_not_a_member(partition: Partition) -> None:
    """limit: checked in the script, and not for members."""
    a = partition.settled("a")
    a.join("alice", 1, limit=1)
    before = partition.server.dump()
    assert a.join("bob", 2, limit=1) == [b"full"]
    assert partition.server.dump() == before
    assert a.join("alice", 3, limit=1)[0] == b"joined"


def test_a_newcomer_takes_the_place_of_the_earliest_departure(partition: Partition) -> None:
    a = partition.settled("a")
    for number, user in enumerate(("alice", "bob", "carol"), 1):
        a.join(user, number, limit=3)
    a.leave(2, grace=2)
    a.leave(1, grace=3)
    partition.heard()
    assert a.join("dave", 4, limit=3)[:2] == [b"joined", 1]
    assert partition.heard() == [f"r {ROOM} bob {{}}", f"a {ROOM} dave {{}}"]
    assert a.users() == ["alice", "carol", "dave"]
    assert a.join("erin", 5, limit=3)[0] == b"joined"
    assert a.join("frank", 6, limit=3) == [b"full"]


def test_a_room_of_one_changes_hands_without_becoming_vacant(partition: Partition) -> None:
    a = partition.settled("a")
    a.join("alice", 1, limit=1)
    a.leave(1, grace=3)
    a.join("bob", 2, limit=1)
    assert partition.outbox()[2:] == [f"r {ROOM} alice", f"a {ROOM} bob"]


def test_as_many_departures_are_completed_as_needed(partition: Partition) -> None:
    """The limit was lowered while the room was full."""
    a = partition.settled("a")
    for number in range(4):
        a.join(f"user{number}", number, limit=4)
    for number in range(3):
        a.leave(number, grace=3)
    assert a.join("late", 9, limit=2)[0] == b"joined"
    assert a.users() == ["late", "user3"]
    assert a.join("later", 10, limit=2) == [b"full"]


def test_an_uncertain_departure_keeps_its_place(partition: Partition) -> None:
    """Its owner may be about to come back, so the newcomer is admitted beside it."""
    a = partition.node("a")
    a.join("alice", 1, limit=1)
    a.leave(1, grace=3)
    assert a.join("bob", 2, limit=1)[:2] == [b"joined", 1]
    assert a.users() == ["alice", "bob"]
    assert a.join("carol", 3, limit=1) == [b"full"]


def test_a_user_is_a_subject_like_a_channel(partition: Partition) -> None:
    a = partition.settled("a")
    a.join("alice", 1, subject=USER, flags=0)
    assert a.ask("online", USER, "1/u/bob") == [b"online", 0, 1, 0]
    assert a.totals() == [0, 0, 1, 0]
    a.leave(1)
    assert a.ask("online", USER) == [b"online", 0, 0]
    assert partition.outbox() == []
    assert partition.names() == set()


def test_members_and_occupied_rooms_are_counted(partition: Partition) -> None:
    a = partition.settled("a")
    a.join("alice", 1)
    a.join("bob", 2)
    a.join("bob", 3, subject="1/p/presence-other")
    assert a.totals() == [0, 2, 0, 3]
    assert a.channel("presence-room") == [0, 2]
    a.leave(2)
    a.leave(3)
    assert a.totals() == [0, 1, 0, 1]


def test_the_roster_has_long_lists(partition: Partition) -> None:
    """More than a Lua stack holds."""
    a = partition.settled("a")
    users = {f"user{number}" for number in range(2000)}
    for number, user in enumerate(sorted(users)):
        a.join(user, number, flags=0)
    assert set(a.roster()) == users


def test_since_is_the_engines_time(partition: Partition) -> None:
    a = partition.settled("a")
    partition.wait(1)
    a.join("alice", 1)
    assert a.roster()["alice"].since == START + round(3.5 * SECOND)
    assert LEASE == 5 * SECOND


def test_one_question_about_a_user_looks_at_some_channels(partition: Partition) -> None:
    """All of them come, in several answers where the server has a table of many."""
    a = partition.settled("a")
    for number in range(1500):
        user = "alice" if number % 3 == 0 else "bob"
        a.join(user, number, subject=f"1/p/presence-{number}")
    found: list[object] = []
    cursor, calls = b"0", 0
    while not calls or cursor != b"0":
        _, _, _, _, _, following, *names = a.ask("user", "1", "alice", cursor, 500)
        assert isinstance(following, bytes)
        cursor, calls = following, calls + 1
        found += names
    assert set(found) == {f"presence-{number}".encode() for number in range(0, 1500, 3)}
    assert calls > 1 or isinstance(partition.server, FakeServer)
