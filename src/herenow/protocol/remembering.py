"""Answers about text from outside that are not worked out twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")

Function = Callable[[str], T]


class Memory(dict[K, T], Generic[K, T]):
    """Up to *most* entries; before one more is kept, all others are forgotten."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: K, value: T) -> None:
        if len(self) >= self._most:
            self.clear()
        self[key] = value


class _Answers(Memory[str, T]):
    """What a function answered to the texts that are keys; asked for another, it is called."""

    def __init__(self, function: Function[T], most: int, longest: int) -> None:
        super().__init__(most)
        self._function = function
        self._longest = longest

    def __missing__(self, text: str) -> T:
        answer = self._function(text)
        if len(text) <= self._longest:
            self.keep(text, answer)
        return answer


def remembered(most: int, longest: int) -> Callable[[Function[T]], Function[T]]:
    """Remember what a pure function answered to up to *most* texts, as :class:`Memory` does.

    Text of any length may come from outside: what is longer than *longest* is not kept. What takes
    the function's place is the lookup itself, so a known answer costs no call in Python, and there
    is no docstring.
    """

    def decorate(function: Function[T]) -> Function[T]:
        return _Answers(function, most, longest).__getitem__

    return decorate
