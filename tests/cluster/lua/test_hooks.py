"""What endpoints are told, in one step with what is kept of it."""

from __future__ import annotations

import pytest

from cluster.lua.hooked import ENDPOINT, LANE, Reading, Waiting
from cluster.lua.partition import ROOM, SECOND, Partition


@pytest.fixture
def reading(partition: Partition) -> Reading:
    return Reading(partition, partition.settled("a"))


def test_a_fact_is_told_once_until_it_no_longer_holds(reading: Reading) -> None:
    """Whatever is settled again, the events about a fact alternate."""
    assert reading.settle("+alice") == [ENDPOINT]
    assert reading.settle("+alice") == []
    assert reading.settle("-alice", "-alice", "+alice") == [ENDPOINT]
    assert reading.says() == ["+alice", "-alice", "+alice"]


def test_a_fact_that_was_never_told_is_not_taken_back(reading: Reading) -> None:
    reading.settle("-alice")
    assert reading.says() == []


def test_events_of_a_lane_are_counted_for_each_endpoint(reading: Reading) -> None:
    reading.settle("+", "+alice")
    reading.settle("+", endpoint="e2")
    reading.settle("-alice")
    numbers = [event.sequence for event in reading.waiting()]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]
    assert len({event.id for event in reading.waiting()}) == 3


def test_a_sequence_never_falls_when_a_lane_was_forgotten(
    partition: Partition, reading: Reading
) -> None:
    reading.settle("+alice", "-alice")
    last = reading.waiting()[-1].sequence
    reading.deliver(*(event.position for event in reading.waiting()))
    partition.wait(1)
    assert reading.trim(oldest=partition.time)[:2] == [0, 0]
    assert partition.key(f"w:lane:{ENDPOINT}") is None
    reading.settle("+alice")
    assert reading.waiting()[0].sequence > last


def test_a_lane_that_something_is_told_of_is_not_forgotten(
    partition: Partition, reading: Reading
) -> None:
    reading.settle("+alice")
    reading.deliver(reading.waiting()[0].position)
    partition.wait(1)
    reading.trim(oldest=partition.time)
    assert partition.key(f"w:lane:{ENDPOINT}") is not None


def test_an_endpoint_that_wants_one_direction_hears_no_other(reading: Reading) -> None:
    reading.settle("+alice", silent=True)
    assert reading.says() == []
    reading.settle("-alice")
    assert reading.says() == ["-alice"]


def test_what_was_told_silently_is_told_aloud_when_it_is_wanted(reading: Reading) -> None:
    reading.settle("+alice", silent=True)
    reading.settle("+alice")
    reading.settle("+alice")
    assert reading.says() == ["+alice"]


def test_an_entry_of_the_stream_is_settled_once_whatever_is_sent_again(reading: Reading) -> None:
    """A lost answer makes neither an addition nor a removal of its own."""
    reading.node.join("alice", 1)
    reading.node.leave(1)
    _, added, removed, _ = (entry[0] for entry in reading.arrivals())
    assert [reading.settle_entry(added, "+alice"), reading.settle_entry(removed, "-alice")] == [
        0,
        0,
    ]
    assert [reading.settle_entry(added, "+alice"), reading.settle_entry(removed, "-alice")] == [
        1,
        1,
    ]
    assert reading.says() == ["+alice", "-alice"]
    assert len(reading.arrivals()) == 2


def test_a_reader_sees_that_events_were_added_behind_his_back(reading: Reading) -> None:
    """An answer was lost, but not what it told of: the last position has moved."""
    reading.settle("+alice")
    (event,) = reading.waiting()
    assert reading.ask("arrivals", "0-1", 10)[1] == event.position
    assert reading.ask("settle", 0) == [0, event.position, event.position]


def test_the_stream_is_read_on_from_any_entry(reading: Reading) -> None:
    reading.node.join("alice", 1, '{"a":1}')
    occupied, added = reading.arrivals()
    assert added[1:5] == [b"a", b"1/p/presence-room", b"alice", b'{"a":1}']
    time, _, number = occupied[0].decode().partition("-")
    assert reading.arrivals(f"{time}-{int(number) + 1}") == [added]
    assert reading.calls().count("") == 2


def test_entries_are_numbered_so_that_a_cut_is_noticed(reading: Reading) -> None:
    """The reader hears of the last number, too, if there is nothing left to read."""
    partition = reading.partition
    before = reading.ask("arrivals", "0-1", 1)[2]
    partition.outbox_length = 1
    for number in range(300):
        reading.node.join(f"user{number}", number)
    numbers = [int(entry[6]) for entry in reading.arrivals(most=1000)]
    written = before + 301
    assert reading.ask("arrivals", "0-1", 1)[2] == written
    assert numbers == list(range(numbers[0], written + 1))
    assert numbers[0] > before + 1


def test_numbers_of_entries_leap_when_entries_may_be_lost(reading: Reading) -> None:
    before = reading.ask("arrivals", "0-1", 1)[2]
    reading.partition.history = "history-2"
    reading.partition.ask("totals", "1")
    reading.node.epoch = reading.partition.epoch
    reading.node.hello(2, create=1)
    assert reading.ask("arrivals", "0-1", 1)[2] > before + 1000


def test_a_vacancy_that_is_due_is_not_yet_true(partition: Partition) -> None:
    """Nobody is told that a channel is vacated to which a client returns before it is told."""
    reading = Reading(partition, partition.node("a"))
    reading.node.count("1/room", 1)
    reading.settle("+", lane="croom")
    reading.node.count("1/room", 0)
    partition.wait(2.5)
    assert not reading.node.is_uncertain()
    assert reading.told() == {"c room": 1}
    reading.node.beat()
    assert partition.outbox() == ["o 1/room", "v 1/room"]
    assert reading.told() == {"c room": 0}


def test_a_lane_is_read_beyond_its_buried_events(reading: Reading) -> None:
    reading.settle(*(f"+user{number}" for number in range(7)))
    events = reading.waiting()
    reading.bury(*(events[i].position for i in (0, 1, 2, 4)))
    assert [each.says for each in reading.waiting(LANE, most=2)] == ["+user3", "+user5"]
    assert reading.waiting(LANE, events[3].position, 3) == [events[5], events[6]]


def test_delivered_events_are_gone(reading: Reading) -> None:
    reading.settle("+", "+alice", "+bob")
    first, second, _ = reading.waiting()
    reading.deliver(first.position, second.position)
    assert reading.says() == ["+bob"]
    assert [event.says for event in reading.waiting(after=second.position)] == ["+bob"]


def test_a_lane_is_read_alone(reading: Reading) -> None:
    reading.settle("+alice", "+bob")
    reading.settle("+", lane="uzoe")
    assert [event.says for event in reading.waiting(lane="uzoe")] == ["+"]
    first = reading.waiting()[0].position
    assert [e.says for e in reading.waiting(lane="cpresence-room", after=first)] == ["+bob"]
    assert [e.says for e in reading.waiting(lane="cpresence-room", most=1)] == ["+alice"]


def test_buried_events_wait_no_more_until_they_are_revived(reading: Reading) -> None:
    reading.settle("+alice", "+bob")
    first, second = reading.waiting()
    reading.bury(first.position)
    assert reading.says() == ["+bob"]
    assert [(e.says, e.buried) for e in reading.events()] == [("+alice", True), ("+bob", False)]
    assert [e.says for e in reading.events(buried=1)] == ["+alice"]
    assert reading.depth()[:2] == (1, 1)
    reading.calls()
    assert reading.ask("revive", ENDPOINT, 0, second.id, first.id, "3-1-1") == [1]
    assert reading.calls() == [f"r {ENDPOINT}"]
    assert reading.says() == ["+alice", "+bob"]


def test_all_that_is_buried_is_revived_in_batches(reading: Reading) -> None:
    reading.settle("+alice", "+bob")
    reading.bury(*(event.position for event in reading.waiting()))
    assert [reading.ask("revive", ENDPOINT, 1) for _ in range(3)] == [[1], [1], [0]]


def test_the_oldest_event_is_seen_however_deep_it_lies(
    partition: Partition, reading: Reading
) -> None:
    made = partition.time
    reading.settle("+alice")
    reading.bury(reading.waiting()[0].position)
    partition.wait(2)
    reading.settle("+bob")
    assert reading.depth() == (1, 1, made)


def test_an_event_is_dropped_with_the_one_that_undoes_it(reading: Reading) -> None:
    reading.settle("+alice", "+bob", "-alice")
    assert reading.drop(reading.waiting()[0].id) == 2
    assert reading.says() == ["+bob"]
    assert reading.condition() == {}


def test_a_dropped_addition_that_nothing_undoes_counts_as_not_told(reading: Reading) -> None:
    reading.settle("+alice")
    assert reading.drop(reading.waiting()[0].id) == 1
    assert reading.condition() == {"adrift": "1"}
    assert reading.told() == {}
    reading.settle("+alice")
    assert reading.says() == ["+alice"]


def test_a_dropped_removal_that_nothing_undoes_counts_as_not_told(reading: Reading) -> None:
    """The receiver still believes in the member: he is not announced again, but removed."""
    reading.settle("+alice")
    added = reading.waiting()[0]
    reading.deliver(added.position)
    reading.settle("-alice")
    assert reading.drop(reading.waiting()[0].id) == 1
    reading.settle("+alice")
    assert reading.says() == []
    reading.ask("again", ENDPOINT, "0", 100)
    (again,) = reading.waiting()
    assert (again.id, again.sequence) == (added.id, added.sequence)


def test_dropping_what_was_followed_by_a_delivered_event_changes_nothing_else(
    reading: Reading,
) -> None:
    """An addition that is buried long, while the member has left: nobody is led astray."""
    reading.settle("+alice", "-alice", "+alice")
    first, second, third = reading.waiting()
    reading.bury(first.position)
    reading.deliver(second.position, third.position)
    assert reading.drop(first.id) == 1
    assert reading.told() == {"c presence-room alice": 0}
    assert reading.condition() == {}


def test_what_stood_before_a_dropped_pair_is_the_last_word(reading: Reading) -> None:
    reading.settle("+alice", "-alice", "+alice")
    first, second, _ = reading.waiting()
    assert reading.drop(second.id) == 2
    assert reading.says() == ["+alice"]
    assert reading.drop(first.id) == 1
    assert reading.told() == {}


def test_everything_is_dropped_in_batches(reading: Reading) -> None:
    reading.settle("+", "+alice", "+bob")
    reading.bury(reading.waiting()[1].position)
    while reading.drop(most=1):
        pass
    assert reading.events() == []
    assert reading.told() == {}


def test_old_events_are_trimmed_and_younger_ones_stay(
    partition: Partition, reading: Reading
) -> None:
    reading.settle("+alice")
    partition.wait(10)
    reading.settle("+bob")
    assert reading.trim(oldest=partition.time)[:2] == [1, 0]
    assert reading.says() == ["+bob"]


def test_beyond_the_limit_buried_events_go_first_then_the_oldest(reading: Reading) -> None:
    reading.settle("+alice", "+bob", "+carol", "+dave")
    reading.bury(reading.waiting()[2].position)
    assert reading.trim(limit=2)[0] == 2
    assert reading.says() == ["+bob", "+dave"]
    assert reading.trim(limit=1, most=1)[0] == 1


def test_told_additions_are_told_again_with_the_same_id_and_sequence(reading: Reading) -> None:
    reading.settle("+", "+alice", info='{"name":"Alice"}')
    before = {event.says: (event.id, event.sequence, event.info) for event in reading.waiting()}
    reading.deliver(*(event.position for event in reading.waiting()))
    reading.calls()
    events, cursor = reading.ask("again", ENDPOINT, "0", 100)
    assert (events, cursor) == (2, b"0")
    assert {e.says: (e.id, e.sequence, e.info) for e in reading.waiting()} == before
    assert all(event.again for event in reading.waiting())
    assert reading.calls() == [f"c {ENDPOINT}"]
    assert reading.ask("again", ENDPOINT, "0", 100)[0] == 0


def test_a_repeat_that_is_dropped_changes_nothing_else(reading: Reading) -> None:
    reading.settle("+alice")
    (event,) = reading.waiting()
    reading.deliver(event.position)
    reading.ask("again", ENDPOINT, "0", 100)
    assert reading.drop(event.id) == 1
    assert reading.told() == {"c presence-room alice": 0}
    assert reading.waiting() == []


def test_what_was_told_is_compared_with_who_is_here(reading: Reading) -> None:
    reading.node.join("alice", 1)
    reading.node.join("zoe", 2, subject="1/u/zoe")
    reading.node.count("1/news", 1)
    reading.settle("+", "+alice", "+bob")
    reading.settle("+", lane="cnews")
    reading.settle("+", lane="cold")
    reading.settle("+", lane="uzoe")
    reading.settle("+", lane="uyann")
    assert reading.told() == {
        "c presence-room": 1,
        "c presence-room alice": 1,
        "c presence-room bob": 0,
        "c news": 1,
        "c old": 0,
        "u zoe": 1,
        "u yann": 0,
    }


def test_what_holds_is_listed_for_who_was_told_nothing(reading: Reading) -> None:
    reading.node.join("alice", 1, '{"a":1}')
    reading.node.join("zoe", 2, subject="1/u/zoe")
    reading.node.count("1/news", 1)
    assert reading.ask("present", "c:1", "0", 10) == [b"0", b"news"]
    assert reading.ask("present", "p:1", "0", 10) == [b"0", b"presence-room"]
    assert reading.ask("present", "u:1", "0", 10) == [b"0", b"zoe"]
    cursor, user, record = reading.ask("present", "m:1/p/presence-room", "0", 10)
    assert (cursor, user) == (b"0", b"alice")
    assert record.endswith(b' {"a":1}')
    reading.node.leave(2)
    assert reading.ask("present", "u:1", "0", 10) == [b"0"]


def test_small_rooms_are_listed_together_and_large_ones_are_left_out(reading: Reading) -> None:
    for number, room in enumerate(("a", "a", "b", "b", "b", "c")):
        reading.node.join(f"user{number}", number, subject=f"1/p/presence-{room}")
    rooms = ("presence-a", "presence-b", "presence-c", "presence-d")
    flat = reading.ask("occupants", "1", 3, *rooms)
    assert [flat[0], flat[5], flat[6], flat[9]] == [2, -1, 1, 0]
    assert {flat[1], flat[3], flat[7]} == {b"user0", b"user1", b"user5"}


def test_a_node_that_was_superseded_settles_and_delivers_nothing(partition: Partition) -> None:
    """A frozen reader wakes: another one has taken over meanwhile."""
    old = Reading(partition, partition.settled("a"))
    old.settle("+alice")
    position = old.waiting()[0].position
    other = partition.node("b")
    partition.wait(2)
    other.beat()
    partition.wait(2)
    other.beat()
    partition.wait(2)
    new = Reading(partition, other)
    for script, *arguments in (
        ("settle", 0),
        ("delivered", ENDPOINT, position),
        ("bury", ENDPOINT, position),
        ("waiting", ENDPOINT, 0, 10, ""),
        ("arrivals", "0-1", 10),
        ("note", ENDPOINT, "answer", "x"),
        ("trim", ENDPOINT, 0, 0, "0", 10),
        ("forget", ENDPOINT),
        ("known", "", ENDPOINT),
    ):
        assert old.node.ask(str(script), *arguments) == [b"elsewhere"]
    assert new.says() == ["+alice"]


def test_a_reader_with_a_lease_keeps_its_partition(partition: Partition) -> None:
    first = Reading(partition, partition.settled("a"))
    second = partition.node("b")
    _, mine, before, lives, _, given, *nodes = second.ask("claim", "take")
    assert (mine, before, lives, given) == (0, b"a", 1, -1)
    assert nodes == [b"a", b"b"]
    assert first.claim("look")[0] == 1
    first.claim("give")
    _, mine, _, _, _, given, *_ = second.ask("claim", "take")
    assert mine == 1
    assert isinstance(given, int)
    assert given >= 0


def test_only_nodes_that_say_so_take_turns(partition: Partition) -> None:
    """One without endpoints does not; one that gives up no longer does; nor who is silent."""
    first = Reading(partition, partition.settled("a"))
    second, _ = partition.node("b"), partition.node("c")
    second.ask("claim", "look")
    assert first.claim("look")[5:] == [b"a", b"b"]
    second.ask("claim", "give")
    assert first.claim("look")[5:] == [b"a"]
    second.ask("claim", "look")
    for _ in range(4):
        partition.wait(2)
        first.node.beat()
        second.beat()
    assert first.claim("look")[5:] == [b"a"]


def test_an_app_that_got_endpoints_later_is_written_of(partition: Partition) -> None:
    """Who registered before the app had webhooks is missed by receivers when he leaves."""
    reading = Reading(partition, partition.settled("a"))
    reading.node.join("alice", 1, flags=0)
    reading.node.count("1/news", 1, flags=2)
    assert reading.ask("known", 1, "1", ENDPOINT) == [1]
    assert reading.ask("known", "", ENDPOINT) == [0]
    reading.node.leave(1)
    reading.node.count("1/news", 0, flags=2)
    assert [line.split()[0] for line in partition.outbox()] == ["r", "v", "v"]
    reading.ask("known", 0)
    reading.node.join("alice", 2, flags=0)
    assert len(partition.outbox()) == 3


def test_an_app_that_no_reader_speaks_of_any_more_is_left_alone(partition: Partition) -> None:
    """Nobody would read what is written."""
    reading = Reading(partition, partition.settled("a"))
    reading.ask("known", 1, "1")
    for _ in range(300):
        partition.wait(2)
        reading.node.beat()
    reading.node.join("alice", 1, flags=0)
    assert partition.outbox() == []


def test_whoever_takes_a_partition_learns_whether_anything_was_told(reading: Reading) -> None:
    assert reading.claim("take")[3] == 0
    reading.ask("known", "", ENDPOINT)
    reading.settle("+alice")
    assert reading.claim("take")[3] == 1


def test_an_endpoint_that_nobody_knows_is_forgotten_with_all_it_had(
    partition: Partition, reading: Reading
) -> None:
    reading.ask("known", "", ENDPOINT)
    reading.settle("+", "+alice", "-alice")
    reading.bury(reading.waiting()[0].position)
    reading.ask("note", ENDPOINT, "answer", "503")
    partition.wait(1)
    assert reading.ask("endpoints", partition.time) == [ENDPOINT.encode()]
    reading.ask("forget", ENDPOINT)
    assert not [name for name in partition.names() if name.startswith("w:")]


def test_where_nobody_reads_what_is_old_is_forgotten(
    partition: Partition, reading: Reading
) -> None:
    """Endpoints, which apps have any, and what came into the outbox."""
    reading.node.join("alice", 1)
    reading.ask("known", 1, "1", ENDPOINT, "e2")
    reading.settle("+", "+alice", "-alice")
    reading.claim("give")
    partition.wait(2)
    reading.node.beat()
    reading.node.join("bob", 2)
    assert reading.ask("remains", 3 * SECOND, 1) == [1, 0]
    assert len(partition.outbox()) == 3
    assert reading.ask("remains", SECOND, 0) == [1, 0]
    for more in (1, 1, 0):
        assert reading.ask("remains", SECOND, 1) == [1, more]
    assert not [name for name in partition.names() if name.startswith("w:")]
    assert partition.outbox() == [f"a {ROOM} bob"]
    partition.wait(2)
    for more in (1, 0):
        assert reading.ask("remains", SECOND, 1) == [1, more]
    assert partition.key("out") is None


def test_where_somebody_reads_nothing_is_forgotten_by_others(
    partition: Partition, reading: Reading
) -> None:
    reading.ask("known", 1, "1", ENDPOINT)
    reading.node.join("alice", 1)
    partition.wait(1)
    other = partition.node("b")
    assert other.ask("remains", 0, 10) == [b"remains", 1, 0]
    assert reading.ask("endpoints", partition.time) == [ENDPOINT.encode()]
    assert len(partition.outbox()) == 2


def test_where_there_never_were_webhooks_nothing_remains(partition: Partition) -> None:
    node = partition.settled("a")
    node.join("alice", 1, flags=0)
    assert node.ask("remains", 0, 0) == [b"remains", 0, 0]


def test_times_of_the_engine_come_with_what_arrives(partition: Partition) -> None:
    reading = Reading(partition, partition.settled("a"))
    partition.wait(1.5)
    assert reading.ask("arrivals", "0-1", 10)[:2] == [partition.time, 0]


def buried(reading: Reading, said: str) -> Waiting:
    reading.settle(said)
    event = reading.waiting()[-1]
    reading.bury(event.position)
    return event


def delivered(reading: Reading, *says: str) -> list[Waiting]:
    reading.settle(*says)
    events = reading.waiting()
    reading.deliver(*(event.position for event in events))
    return events


@pytest.mark.parametrize("trimmed", [False, True])
def test_a_dropped_dead_letter_does_not_undo_a_newer_addition(
    partition: Partition, reading: Reading, trimmed: bool
) -> None:
    """Who was told of a return believes it, whatever becomes of the first arrival."""
    first = buried(reading, "+alice")
    delivered(reading, "-alice", "+alice")
    if trimmed:
        partition.time += 1
        assert reading.trim(oldest=partition.time)[0] == 1
    else:
        assert reading.drop(first.id) == 1
    assert reading.told() == {"c presence-room alice": 0}
    reading.settle("+alice")
    assert reading.says() == []


def test_a_dropped_dead_removal_tells_nothing_that_was_taken_back_since(reading: Reading) -> None:
    """The last that was delivered says that she is gone."""
    delivered(reading, "+alice")
    removal = buried(reading, "-alice")
    delivered(reading, "+alice", "-alice")
    assert reading.drop(removal.id) == 1
    assert reading.told() == {}


def test_a_dropped_dead_letter_that_was_told_again_stays_told(reading: Reading) -> None:
    """A repeat was delivered: the receiver knows of her, also when she goes."""
    first = buried(reading, "+alice")
    reading.ask("again", ENDPOINT, "0", 100)
    delivered(reading)
    reading.settle("-alice")
    assert reading.drop(first.id) == 1
    assert reading.says() == ["-alice"]


def test_two_dead_letters_dropped_one_after_the_other_leave_nothing_told(reading: Reading) -> None:
    """Nobody heard of her: neither that she came nor that she went."""
    first = buried(reading, "+alice")
    second = buried(reading, "-alice")
    third = buried(reading, "+alice")
    assert [reading.drop(third.id), reading.drop(second.id), reading.drop(first.id)] == [1, 1, 1]
    assert reading.told() == {}


def test_a_dropped_return_is_told_again_as_the_arrival_that_was_heard(reading: Reading) -> None:
    """What is repeated later has the id that the receiver knows."""
    (first,) = delivered(reading, "+alice")
    reading.settle("-alice", "+alice")
    assert reading.drop(reading.waiting()[0].id) == 2
    reading.ask("again", ENDPOINT, "0", 100)
    (repeated,) = reading.waiting()
    assert (repeated.id, repeated.sequence) == (first.id, first.sequence)


def test_a_dropped_addition_takes_its_repeat_along(reading: Reading) -> None:
    """Or it would be heard of after all, and nothing would take it back."""
    first = buried(reading, "+alice")
    reading.ask("again", ENDPOINT, "0", 100)
    assert reading.drop(first.id) == 2
    assert reading.says() == []
    assert reading.told() == {}
