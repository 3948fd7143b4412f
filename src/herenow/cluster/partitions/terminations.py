"""Terminations travel on the feed; what was missed there is asked for with a beat."""

from __future__ import annotations

from herenow.cluster.partitions.feed import Feed


class Terminations:
    """Up to where this node has applied the terminations of a partition.

    That is the feed's position, but for what was lost on the way to it.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._since: int | None = None
        self._missed_to = 0

    @property
    def applied(self) -> int:
        return self._feed.position if self._since is None else self._since

    @property
    def since(self) -> int | None:
        """After what number terminations have to be asked for, if they have."""
        return self._since

    def start(self, seq: int) -> None:
        """Nobody is signed in here before *seq*."""
        self._since = self._missed_to = seq

    def missed(self, after: int, seq: int) -> None:
        """What came after *after*, up to *seq*, was not heard."""
        if self._since is None:
            self._since = after
        self._missed_to = seq

    def caught_up(self, seq: int) -> None:
        """Those up to *seq* were asked for and have been applied."""
        self._since = seq if seq < self._missed_to else None
