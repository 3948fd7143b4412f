"""Whether one more connection of an application fits, counted over all nodes."""

from __future__ import annotations

from typing import Any

from herenow.cluster.base import Done, Refusal
from herenow.cluster.partitions.engine import Argument
from herenow.cluster.partitions.numbers import Numbers
from herenow.cluster.partitions.placement import encode
from herenow.cluster.partitions.questions import Question
from herenow.cluster.partitions.telling import Telling


class Admissions:
    """Remembers what was last heard of the other nodes, for when the engine is away."""

    def __init__(self, numbers: Numbers, telling: Telling) -> None:
        self._numbers = numbers
        self._telling = telling
        self._others: dict[bytes, int] = {}
        self._stated: dict[bytes, int] = {}
        self._limited: set[bytes] = set()

    def count(self, app: str, connections: int) -> None:
        name = encode(app)
        self._stated[name] = self._stated.get(name, 0) + 1
        # Where room is scarce, somebody may wait on another node for what is given up here.
        is_fall = connections < self._numbers.get(name)
        self._numbers.set(name, connections, at_once=is_fall and name in self._limited)

    def question(
        self, app: str, connections: int, limit: int, deadline: float, done: Done[bool | Refusal]
    ) -> Question[bool]:
        """What to ask the engine; it is judged here when its time is up."""
        name = encode(app)
        self._limited.add(name)
        self._numbers.set(name, connections)
        stated = self._stated.get(name, 0)
        sent = 0

        def arguments() -> list[Argument]:
            nonlocal sent
            sent = self._numbers.get(name)
            self._numbers.carried(name)
            return [app, sent, limit]

        def read(reply: list[Any]) -> bool:
            admitted, total = bool(reply[3]), reply[4]
            # A refused number was not taken: what this node had before is part of the total.
            own = sent if admitted else min(total, sent - 1)
            self._others[name] = max(0, total - own)
            return admitted

        def answered(answer: bool | Refusal) -> None:
            judged = answer
            if isinstance(answer, Refusal) and self._fits(name, connections, limit):
                judged = True
            if judged is not True and self._stated.get(name, 0) == stated:
                self._numbers.set(name, max(0, self._numbers.get(name) - 1))
            if answer is not True:
                self._numbers.doubt(name)
            done(judged)

        question: Question[bool] = Question(deadline, self._telling, answered)
        question.operation("admit", arguments, read)
        return question

    def _fits(self, name: bytes, connections: int, limit: int) -> bool:
        return not limit or self._others.get(name, 0) + connections <= limit
