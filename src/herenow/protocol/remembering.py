"""Answers about text from outside that are not worked out twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

Function = Callable[[str], T]


class _Answers(dict[str, T]):
    """What a function answered to the texts that are keys; asked for another, it is called."""

    def __init__(self, function: Function[T], most: int, longest: int) -> None:
        self._function = function
        self._most = most
        self._longest = longest

    def __missing__(self, text: str) -> T:
        answer = self._function(text)
        if len(text) <= self._longest:
            if len(self) >= self._most:
                self.clear()
            self[text] = answer
        return answer


def remembered(most: int, longest: int) -> Callable[[Function[T]], Function[T]]:
    """Remember what a pure function answered to up to *most* texts.

    Text of any length may come from outside: what is longer than *longest* is not kept. An answer
    that is known is found without a call of any function in Python.
    """

    def decorate(function: Function[T]) -> Function[T]:
        return _Answers(function, most, longest).__getitem__

    return decorate
