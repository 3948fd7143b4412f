"""How many subscriptions and connections there are on all nodes, and who is told."""

from __future__ import annotations

from cluster.lua.partition import DECIDES, HOOKS, ROOM, SECOND, START, Node, Partition

BOTH = HOOKS | DECIDES
AGAIN = 4


def announce(node: Node, number: int, name: str = "1/room") -> list[object]:
    return [*node.ask("announce", name, number, BOTH, 5 * SECOND, 100)]


def test_a_sum_is_over_all_nodes(partition: Partition) -> None:
    a, b = partition.settled("a"), partition.node("b")
    a.count("1/room", 3)
    assert b.ask("count", "1/room", 2, BOTH, "1/other", 7, BOTH, "1", 9, 0) == [b"counted"]
    assert a.channel("room") == [5, 0]
    assert a.totals() == [9, 2, 0, 0]
    a.count("1/room", 0)
    assert a.channel("room") == [2, 0]
    b.ask("count", "1/room", 0, BOTH, "1/other", 0, BOTH, "1", 0, 0)
    assert partition.names() == set()


def test_a_channel_with_a_slash_is_counted(partition: Partition) -> None:
    a = partition.settled("a")
    a.count("1/a/b c", 3)
    assert a.channel("a/b c") == [3, 0]


def test_saying_the_same_number_again_changes_nothing(partition: Partition) -> None:
    a = partition.settled("a")
    a.count("1/room", 3)
    before = partition.server.dump()
    a.count("1/room", 3)
    assert partition.server.dump() == before


def test_a_dead_nodes_number_goes_with_it(partition: Partition) -> None:
    """Sums never drift: each node's number has its own record."""
    a, b = partition.settled("a"), partition.node("b")
    a.ask("count", "1/room", 1, BOTH, "1", 2, 0)
    b.ask("count", "1/room", 5, BOTH, "1/other", 4, BOTH, "1", 8, 0)
    b.ask("bye")
    a.beat()
    assert a.channel("room") == [1, 0]
    assert a.totals() == [2, 1, 0, 0]
    assert partition.outbox() == ["o 1/room", "o 1/other", "v 1/other"]


def test_a_channel_is_occupied_and_vacated_once(partition: Partition) -> None:
    """outbox: when the sum of all nodes leaves and becomes 0."""
    a, b = partition.settled("a"), partition.node("b")
    a.count("1/room", 1)
    b.count("1/room", 2)
    a.count("1/room", 0)
    partition.wait(1)
    b.count("1/room", 0)
    assert partition.outbox() == ["o 1/room", "v 1/room"]
    assert partition.outbox_times() == [2, 3]


def test_a_presence_channel_is_not_occupied_by_its_number(partition: Partition) -> None:
    a = partition.settled("a")
    a.count("1/presence-room", 1, HOOKS)
    assert a.channel("presence-room") == [1, 0]
    assert a.totals() == [0, 0, 0, 0]
    assert partition.outbox() == []


def test_without_webhooks_nothing_is_written(partition: Partition) -> None:
    a = partition.settled("a")
    a.count("1/room", 1, DECIDES)
    a.count("1/room", 0, DECIDES)
    assert partition.outbox() == []


def test_a_vacancy_in_a_young_epoch_waits(partition: Partition) -> None:
    """recover: other nodes may be about to say that they have subscriptions."""
    a = partition.node("a")
    a.count("1/room", 1)
    a.count("1/room", 0)
    a.beat()
    assert partition.outbox() == ["o 1/room"]
    partition.wait(2.5)
    a.beat()
    assert partition.outbox() == ["o 1/room", "v 1/room"]
    assert partition.names() == set()


def test_a_vacancy_that_waits_is_taken_back(partition: Partition) -> None:
    """The channel is occupied once more, for whoever found it vacated before that was told."""
    a, b = partition.node("a"), partition.node("b")
    a.count("1/room", 1)
    a.count("1/room", 0)
    b.count("1/room", 1)
    partition.wait(2.5)
    a.beat()
    assert partition.outbox() == ["o 1/room", "o 1/room"]
    assert partition.key("due") is None


def test_a_new_epoch_puts_a_vacancy_off(partition: Partition) -> None:
    a = partition.node("a")
    a.count("1/room", 1)
    a.count("1/room", 0)
    partition.history = "history-2"
    b = partition.node("b")
    for _ in range(9):
        partition.wait(1)
        b.beat()
    assert partition.outbox() == ["o 1/room"]
    partition.wait(1)
    b.beat()
    assert partition.outbox() == ["o 1/room", "v 1/room"]


def test_a_sum_is_announced(partition: Partition) -> None:
    a, b = partition.settled("a"), partition.node("b")
    b.count("1/room", 2)
    partition.heard()
    assert announce(a, 3) == [b"announced", 5]
    assert partition.heard() == ["b:1/room: n 5"]
    assert a.channel("room") == [5, 0]


def test_a_sum_that_a_dead_node_changed_is_announced(partition: Partition) -> None:
    """Nobody came or went, so no node would."""
    a, b = partition.settled("a"), partition.node("b")
    for node in (a, b):
        node.count("1/never announced", 2)
        node.count("1/room", 3)
    announce(a, 3)
    partition.heard()
    for _ in range(4):
        partition.wait(2)
        a.beat()
    assert [told for told in partition.heard() if told != "tick"] == ["b:1/room: n 3"]
    assert a.channel("room") == [3, 0]


def test_a_sum_that_a_node_changed_by_registering_again_is_announced(partition: Partition) -> None:
    a, b = partition.settled("a"), partition.node("b")
    announce(a, 3)
    partition.heard()
    b.count("1/room", 2, BOTH | AGAIN)
    b.count("1/room", 2, BOTH | AGAIN)
    b.count("1/room", 4)
    assert partition.heard() == ["b:1/room: n 5"]
    assert a.channel("room") == [7, 0]


def test_small_sums_are_announced_at_once(partition: Partition) -> None:
    a = partition.settled("a")
    for number in (1, 2, 100):
        assert announce(a, number) == [b"announced", number]


def test_large_sums_are_announced_now_and_then(partition: Partition) -> None:
    """Whoever waits knows how long; the number is taken all the same."""
    a, b = partition.settled("a"), partition.node("b")
    assert announce(a, 101) == [b"announced", 101]
    partition.wait(2)
    partition.heard()
    assert announce(b, 1) == [b"wait", 3 * SECOND]
    assert partition.heard() == []
    assert a.channel("room") == [102, 0]
    partition.wait(2)
    assert announce(b, 2) == [b"wait", 1 * SECOND]
    partition.wait(1)
    assert announce(b, 2) == [b"announced", 103]


def test_the_last_announcement_is_forgotten_with_the_last_subscription(
    partition: Partition,
) -> None:
    a = partition.settled("a")
    announce(a, 101)
    assert announce(a, 0) == [b"announced", 0]
    assert partition.names() == set()
    assert announce(a, 101) == [b"announced", 101]


def test_connections_are_admitted_up_to_the_limit(partition: Partition) -> None:
    """The number of a refused connection is not counted."""
    a, b = partition.settled("a"), partition.node("b")
    assert a.ask("admit", "1", 1, 3) == [b"admitted", 1, 1]
    assert b.ask("admit", "1", 1, 3) == [b"admitted", 1, 2]
    assert b.ask("admit", "1", 2, 3) == [b"admitted", 1, 3]
    assert a.ask("admit", "1", 2, 3) == [b"admitted", 0, 3]
    assert a.totals()[0] == 3
    b.count("1", 1, 0)
    assert a.ask("admit", "1", 2, 3) == [b"admitted", 1, 3]


def test_without_a_limit_everybody_is_admitted(partition: Partition) -> None:
    a = partition.settled("a")
    assert a.ask("admit", "1", 1000, 0) == [b"admitted", 1, 1000]


def test_connections_counted_under_an_old_id_do_not_fill_the_limit(partition: Partition) -> None:
    """heir: while a node registers again its connections are there twice."""
    a = partition.settled("a")
    a.ask("admit", "1", 3, 4)
    renewed = partition.node("a2", epoch=partition.epoch, old="a")
    assert renewed.ask("admit", "1", 4, 4) == [b"admitted", 1, 4]
    renewed.ask("ready", "a")
    assert renewed.ask("admit", "1", 5, 4) == [b"admitted", 0, 4]
    assert renewed.ask("admit", "1", 4, 4) == [b"admitted", 1, 4]
    renewed.beat()
    assert renewed.totals()[0] == 4


def test_connections_of_a_node_that_is_gone_are_not_in_the_sum(partition: Partition) -> None:
    """Before they are reaped: the sum is what an asking node goes by while the engine is away."""
    a, b = partition.settled("a"), partition.node("b")
    b.ask("admit", "1", 3, 9)
    b.ask("bye")
    assert a.ask("admit", "1", 1, 9) == [b"admitted", 1, 1]
    assert a.ask("admit", "1", 3, 2) == [b"admitted", 0, 1]
    a.beat()
    assert a.totals()[0] == 1


def test_channels_are_listed_by_name(partition: Partition) -> None:
    a, b = partition.settled("a"), partition.node("b")
    a.count("1/room-b", 3)
    b.count("1/room-a", 1)
    b.count("1/other", 1)
    b.count("2/room-c", 1)
    a.join("alice", 1, subject="1/p/presence-room")
    b.count("1/presence-room", 2, HOOKS)
    assert a.ask("channels", "1", "room-") == [b"channels", 0, b"room-a", 1, 0, b"room-b", 3, 0]
    everything = a.ask("channels", "1", "")
    assert everything[2:8] == [b"other", 1, 0, b"presence-room", 2, 1]
    assert len(everything) == 2 + 4 * 3


def test_answers_tell_that_they_may_be_partial(partition: Partition) -> None:
    a = partition.node("a")
    questions: dict[str, tuple[str, ...]] = {
        "channel": ("1", "room"),
        "channels": ("1", ""),
        "totals": ("1",),
        "online": ("1/u/alice",),
        "roster": (ROOM,),
    }
    assert {script: a.ask(script, *args)[1] for script, args in questions.items()} == dict.fromkeys(
        questions, 1
    )
    partition.wait(2.5)
    assert {script: a.ask(script, *args)[1] for script, args in questions.items()} == dict.fromkeys(
        questions, 0
    )


def test_a_read_writes_nothing(partition: Partition) -> None:
    a = partition.settled("a")
    before = partition.server.dump()
    partition.wait(1)
    a.roster()
    a.channel("room")
    a.totals()
    a.ask("channels", "1", "")
    a.ask("online", "1/u/alice")
    assert partition.server.dump() == before
    assert partition.time == START + round(3.5 * SECOND)
