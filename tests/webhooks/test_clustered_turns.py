"""Whose turn it is to read a partition."""

from __future__ import annotations

from collections import Counter

from herenow.webhooks.clustered_shard import Claim
from herenow.webhooks.clustered_turns import Turn

NODES = (b"a:1-3", b"b:1-9", b"c:1-64")
NAMES = ("a:1", "b:1", "c:1")


def claim(*, lives: bool, nodes: tuple[bytes, ...] = NODES) -> Claim:
    return Claim(False, b"x-1" if lives else b"", lives, False, None, nodes)


def preferred(partition: int, nodes: tuple[bytes, ...]) -> list[str]:
    names = [node.decode().rpartition("-")[0] for node in nodes]
    return [name for name in names if Turn(name, partition, 5).is_preferred(nodes)]


def test_every_partition_is_in_the_share_of_one_node() -> None:
    """The shares of three nodes are about the same."""
    shares = Counter(name for partition in range(64) for name in preferred(partition, NODES))
    assert shares.total() == 64
    assert min(shares.values()) >= 12


def test_a_node_that_goes_leaves_the_shares_of_others_as_they_are() -> None:
    for partition in range(64):
        (before,) = preferred(partition, NODES)
        if before != "c:1":
            assert preferred(partition, NODES[:2]) == [before]


def test_a_partition_with_a_reader_is_left_to_him() -> None:
    for name in NAMES:
        assert not Turn(name, 7, 5).is_to_take(claim(lives=True), 0)


def test_nobody_waits_for_ever_for_the_node_whose_share_it_is() -> None:
    (owner,) = preferred(7, NODES)
    for name in NAMES:
        turn = Turn(name, 7, 5)
        assert turn.is_to_take(claim(lives=False), 100) == (name == owner)
        if name != owner:
            assert not turn.is_to_take(claim(lives=False), 105)
            assert turn.is_to_take(claim(lives=False), 105.1)


def test_patience_begins_anew_when_there_was_a_reader() -> None:
    name = next(name for name in NAMES if name not in preferred(7, NODES))
    turn = Turn(name, 7, 5)
    turn.is_to_take(claim(lives=False), 100)
    turn.is_to_take(claim(lives=True), 104)
    assert not turn.is_to_take(claim(lives=False), 106)
