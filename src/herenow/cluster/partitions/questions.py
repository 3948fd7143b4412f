"""Questions that are asked again for a moment, and then answered with a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from herenow.cluster.base import Done, Refusal
from herenow.cluster.partitions.engine import Argument
from herenow.cluster.partitions.session import Operation
from herenow.cluster.partitions.telling import Telling

T = TypeVar("T")

PATIENCE_SECONDS: Final = 2.0


class Question(Generic[T]):
    """Something a caller waits for. Answered once: by the engine, or when its time is up.

    ``asked`` is the operation that brings the answer, if it is one alone.
    """

    __slots__ = ("_done", "_telling", "asked", "deadline", "is_open")

    def __init__(self, deadline: float, telling: Telling, done: Done[T | Refusal]) -> None:
        self.deadline = deadline
        self.is_open = True
        self.asked: Operation | None = None
        self._telling = telling
        self._done = done

    def answer(self, answer: T | Refusal) -> None:
        if self.is_open:
            self.is_open = False
            self._telling.add(lambda: self._done(answer))

    def operation(
        self,
        script: str,
        arguments: Callable[[], Sequence[Argument]],
        read: Callable[[list[Any]], T],
    ) -> Operation:
        """What is to be sent for it; a connection that breaks has it sent again."""

        def answered(reply: list[Any]) -> None:
            if self.is_open:
                self.answer(read(reply))

        self.asked = Operation(
            script, arguments, answered, wanted=lambda: self.is_open, lasting=True
        )
        return self.asked


class Questions:
    """The questions without an answer, by their deadline."""

    def __init__(self) -> None:
        self._open: dict[Question[Any], None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, question: Question[Any]) -> None:
        self._open[question] = None

    def expire(self, now: float) -> Iterator[Question[Any]]:
        """Refuse those whose time is up."""
        while self._open:
            question = next(iter(self._open))
            if question.is_open and question.deadline > now:
                return
            del self._open[question]
            if question.is_open:
                question.answer(Refusal.UNAVAILABLE)
                yield question
