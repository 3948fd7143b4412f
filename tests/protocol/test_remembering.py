"""Answers about text from outside that are kept."""

from __future__ import annotations

import pytest

from herenow.protocol.remembering import remembered

MOST, LONGEST = 8, 5


def test_a_question_is_answered_once() -> None:
    asked: list[str] = []

    @remembered(MOST, LONGEST)
    def upper(text: str) -> str:
        asked.append(text)
        return text.upper()

    assert [upper("a"), upper("b"), upper("a"), upper("")] == ["A", "B", "A", ""]
    assert asked == ["a", "b", ""]


def test_no_more_is_kept_than_was_said() -> None:
    asked: list[str] = []

    @remembered(MOST, LONGEST)
    def length(text: str) -> int:
        asked.append(text)
        return len(text)

    texts = [*map(str, range(3 * MOST)), "x" * LONGEST, "x" * (LONGEST + 1)]
    for text in texts:
        assert length(text) == len(text)
    asked.clear()
    for text in texts:
        assert length(text) == len(text)
    assert len(asked) >= len(texts) - MOST
    asked.clear()
    assert length("x" * (LONGEST + 1)) == LONGEST + 1
    assert asked


def test_what_cannot_be_answered_is_asked_again() -> None:
    @remembered(MOST, LONGEST)
    def number(text: str) -> int:
        return int(text)

    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            number("x")
    assert number("1") == 1
