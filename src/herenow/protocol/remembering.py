"""Answers about text from outside that are not worked out twice."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")

Function = Callable[[str], T]


def remembered(most: int, longest: int) -> Callable[[Function[T]], Function[T]]:
    """Remember what a pure function answered to the last *most* texts.

    Text of any length may come from outside: what is longer than *longest* is not kept.
    """

    def decorate(function: Function[T]) -> Function[T]:
        known = lru_cache(maxsize=most)(function)

        @wraps(function)
        def answer(text: str) -> T:
            return known(text) if len(text) <= longest else function(text)

        return answer

    return decorate
