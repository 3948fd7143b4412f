"""Which node reads which partition: each live one an equal share, moved as little as can be."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from herenow.webhooks.clustered_shard import Claim


class Turn:
    """One partition, as one node sees whose turn it is. *node* is its name, without incarnations.

    A node leaves a partition that nobody reads to the one whose share it is, for
    *patience_seconds*.
    """

    def __init__(self, node: str, partition: int, patience_seconds: float) -> None:
        self._node = node.encode()
        self._partition = partition
        self._patience_seconds = patience_seconds
        self._free_since: float | None = None

    def is_to_take(self, claim: Claim, now: float) -> bool:
        """Whether this node is to become the reader; *now* on any clock that does not fall."""
        if claim.before_lives:
            self._free_since = None
            return False
        if self._free_since is None:
            self._free_since = now
        if self.is_preferred(claim.nodes) or now - self._free_since > self._patience_seconds:
            self._free_since = None
            return True
        return False

    def is_preferred(self, nodes: Iterable[bytes]) -> bool:
        """Whether the partition is in this node's share, if *nodes* are those that take turns."""
        names = {self._node, *(_name(node) for node in nodes)}
        return max(names, key=self._weight) == self._node

    def _weight(self, name: bytes) -> bytes:
        # A checksum would put neighbouring partitions with the same node.
        return sha256(b"%d " % self._partition + name).digest()


def _name(node: bytes) -> bytes:
    """Of an id of one incarnation the name of its node."""
    return node.rpartition(b"-")[0]
