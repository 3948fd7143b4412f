"""A node's standing with one partition: who it is, and what it has asked for without an answer.

Operations are executed in the order in which they were asked for. A connection that broke may
still have what it carried executed, at any time or never; so the node says hello with a higher
token, which fences all of that, and sends again what is still wanted. A node whose lease is gone
comes back under an id never used before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Any, Final, Protocol, cast

from herenow.cluster.base import Clock
from herenow.cluster.partitions.counters import Counters
from herenow.cluster.partitions.engine import Answer, Argument, Engine
from herenow.cluster.partitions.placement import encode
from herenow.cluster.partitions.telling import Telling

HELLOS_A_TICK: Final = 10


class Operation:
    """Something asked of the engine. ``arguments`` is called each time it is sent.

    ``lasting``: it means the same under another id of this node.
    """

    __slots__ = ("answered", "arguments", "lasting", "script", "wanted")

    def __init__(
        self,
        script: str,
        arguments: Callable[[], Sequence[Argument]],
        answered: Callable[[list[Any]], None],
        *,
        wanted: Callable[[], bool] | None = None,
        lasting: bool = False,
    ) -> None:
        self.script = script
        self.arguments = arguments
        self.answered = answered
        self.wanted = wanted
        self.lasting = lasting


class State(Enum):
    DOWN = "no connection"
    HELLO = "hello under way"
    UP = "up"
    ENDED = "has said goodbye"


class Owner(Protocol):
    """Who has a session, and what it holds in the engine."""

    def began(self, seq: int, changed: bool, first: bool) -> None:
        """There is a new lease under a new id as of *seq*, and nothing is registered under it.

        *changed*: the epoch is another one than before.
        """

    def resumed(self) -> None:
        """The lease held, and what had no answer has been sent again."""


class NodeSession:
    """The command connection of a node to a partition. Implements ``engine.Session``.

    ``seq`` is the latest position of the partition that any answer told, ``alive_at`` when an
    answer last proved the lease.
    """

    def __init__(
        self,
        engine: Engine,
        partition: int,
        clock: Clock,
        new_id: Callable[[], str],
        telling: Telling,
        counters: Counters,
        owner: Owner,
    ) -> None:
        self.epoch = 0
        self.seq = 0
        self.alive_at = clock.time()
        self._engine = engine
        self._partition = partition
        self._clock = clock
        self._new_id = new_id
        self._telling = telling
        self._counters = counters
        self._owner = owner
        self._state = State.DOWN
        self._id = b""
        self._token = 0
        self._creating = True
        self._old = b""
        self._suspect = False
        self._hello_sent = False
        self._connection = 0
        self._hellos = 0
        self._outstanding: dict[Operation, None] = {}

    @property
    def is_up(self) -> bool:
        return self._state is State.UP

    @property
    def old(self) -> bytes:
        """The id this node had before, until everything is registered under the present one."""
        return self._old

    @property
    def outstanding(self) -> int:
        return len(self._outstanding)

    def registered(self) -> None:
        """The engine is told now that the old id is needed no more."""
        self._old = b""

    def send(self, operation: Operation) -> None:
        """Have *operation* executed after all others, now or when there is a session."""
        if self._state is State.ENDED:
            return
        self._outstanding[operation] = None
        if self._state is State.UP:
            self._post(operation)

    def send_unfenced(
        self, script: str, arguments: Sequence[Argument], answered: Callable[[Answer], None]
    ) -> None:
        """Call a script for which it does not matter who asks; it is not asked again."""

        def told(answer: Answer) -> None:
            answered(answer)
            self._telling.run()

        if self._state in (State.DOWN, State.ENDED):
            told(None)
        else:
            self._engine.call(script, self._partition, arguments, told)

    def drop(self, operation: Operation) -> None:
        """Forget *operation*: its answer means nothing any more, nor is it sent again."""
        self._outstanding.pop(operation, None)

    def say_hello_again(self) -> None:
        """Prove the lease anew on the same connection; earlier answers still come before."""
        if self._state is State.UP:
            self._say_hello()

    def suspect(self) -> None:
        """What is registered here seems to be gone from the engine: say hello, and trust no ok."""
        self._suspect = True
        self.say_hello_again()

    def connected(self) -> None:
        if self._state is State.ENDED:
            return
        self._connection += 1
        self._hellos = 0
        self._say_hello()
        self._telling.run()

    def disconnected(self) -> None:
        if self._state is not State.ENDED:
            self._connection += 1
            self._state = State.DOWN

    def tick(self) -> None:
        self._hellos = 0
        if self._state is State.HELLO and not self._hello_sent:
            self._say_hello()

    def end(self, done: Callable[[], None]) -> None:
        """Give the lease up and send nothing any more."""
        was_up, self._state = self.is_up, State.ENDED
        self._outstanding.clear()
        if was_up:
            self._engine.call("bye", self._partition, self._signed(()), lambda _: done())
        else:
            done()

    def _signed(self, arguments: Sequence[Argument]) -> list[Argument]:
        return [self._id, self._token, self.epoch, *arguments]

    def _say_hello(self) -> None:
        self._state = State.HELLO
        self._hellos += 1
        # An engine that refuses whatever follows a hello is asked again at the next tick only.
        self._hello_sent = self._hellos <= HELLOS_A_TICK
        if not self._hello_sent:
            return
        if self._creating:
            self._id, self._token = encode(self._new_id()), 1
        else:
            self._token += 1
        arguments = self._signed((int(self._creating), self._old))
        self._engine.call(
            "hello", self._partition, arguments, partial(self._greeted, self._connection)
        )

    def _greeted(self, connection: int, answer: Answer) -> None:
        if answer is None or connection != self._connection or self._state is not State.HELLO:
            return
        status, epoch, seq = cast("list[Any]", answer)[:3]
        if status == b"stale":
            self._say_hello()
        elif status == b"lapsed" or (status == b"ok" and self._suspect):
            self._lapse()
        elif status == b"ok":
            self._heard(seq)
            self._state = State.UP
            self._resend(list(self._outstanding))
            self._owner.resumed()
        else:
            self._begin(epoch, seq)
        self._telling.run()

    def _lapse(self) -> None:
        self._counters.lapses += 1
        self._old = self._id
        self._creating = True
        self._suspect = False
        self._say_hello()

    def _begin(self, epoch: int, seq: int) -> None:
        changed, first = epoch != self.epoch, self.epoch == 0
        self._counters.epochs += changed and not first
        self._creating = self._suspect = False
        self.epoch = epoch
        lasting = [operation for operation in self._outstanding if operation.lasting]
        self._outstanding = dict.fromkeys(lasting)
        self._state = State.UP
        # ``alive_at`` is still the time of the lease that was lost.
        self._owner.began(seq, changed, first)
        self._heard(seq)
        self._resend(lasting)

    def _heard(self, seq: int) -> None:
        self.seq = max(self.seq, seq)
        self.alive_at = self._clock.time()

    def _resend(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            if operation.wanted is not None and not operation.wanted():
                self.drop(operation)
            elif operation in self._outstanding and self._state is State.UP:
                self._post(operation)

    def _post(self, operation: Operation) -> None:
        self._engine.call(
            operation.script,
            self._partition,
            self._signed(operation.arguments()),
            partial(self._answered, operation),
        )

    def _answered(self, operation: Operation, answer: Answer) -> None:
        if answer is None:
            return
        reply = cast("list[Any]", answer)
        if reply[0] == b"fenced":
            self._counters.fenced += 1
            self.say_hello_again()
        elif operation in self._outstanding:
            del self._outstanding[operation]
            self._hellos = 0
            self.seq = max(self.seq, reply[2])
            if operation.script == "beat":
                self.alive_at = self._clock.time()
            operation.answered(reply)
        self._telling.run()
