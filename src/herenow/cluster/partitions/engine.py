"""What a node needs of the engine that all nodes share: scripts in order, and channels.

A partition is what one script changes atomically. Calls of one partition are executed in the
order in which they were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

Reply: TypeAlias = "bytes | int | list[Reply] | None"
Argument: TypeAlias = bytes | str | int
Answer: TypeAlias = list[Reply] | None
Answered: TypeAlias = Callable[[Answer], None]


class Session(Protocol):
    """Who is told about the command connection of a partition."""

    def connected(self) -> None:
        """There is a new command connection; nothing that was sent before runs on it."""

    def disconnected(self) -> None:
        """The command connection is given up: what it carried may run at any time, or never."""


class Subscriber(Protocol):
    """Who reads one channel."""

    def subscribed(self) -> None:
        """What is published from now on arrives. Told again after each reconnect."""

    def lost(self) -> None:
        """Nothing arrives until the next ``subscribed``."""

    def message(self, payload: bytes) -> None: ...


class Engine(Protocol):
    """The engine as node logic sees it. It may call back before a method has returned.

    A ``str`` among the arguments of a script is sent as UTF-8; names that may hold anything are
    given as bytes.
    """

    @property
    def partitions(self) -> int: ...

    def attach(self, partition: int, session: Session) -> None:
        """Tell *session* about the command connection of *partition*, the present one too."""

    def call(self, script: str, partition: int, args: Sequence[Argument], done: Answered) -> None:
        """Run *script*; *done* is called once, in the order of calls.

        None: there is no connection, or it was given up before the answer came; each of them is
        told before ``disconnected``. A connection is given up when it breaks, when a call stays
        unanswered for long, and when an answer is an error.
        """

    def call_all(
        self, script: str, items: Sequence[tuple[int, Sequence[Argument]]], done: Answered
    ) -> None:
        """Run *script* on several partitions, each with its arguments, in one step if possible.

        The engine puts what the partition's channels begin with before the arguments of each.
        """

    def subscribe(self, partition: int, channel: str, subscriber: Subscriber) -> None:
        """Read *channel* of *partition*, after every reconnect too, until ``unsubscribe``."""

    def unsubscribe(self, partition: int, channel: str) -> None: ...

    def is_listening(self, partition: int) -> bool:
        """Whether what is published in *partition* can arrive now."""
