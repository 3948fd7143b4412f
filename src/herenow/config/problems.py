"""What is wrong with a configuration, collected so that all of it is told at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConfigError(Exception):
    """The configuration cannot be used. Each problem names the key, the value and the rule."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(_printable(problem) for problem in problems)
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


def _printable(text: str) -> str:
    """*text* on one line, whatever names it quotes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def nearest(name: str, near: Iterable[str], far: Iterable[str] = ()) -> str:
    """The key that was meant by *name*: among its neighbours, else one elsewhere of that name."""
    neighbours = list(near)
    if close := difflib.get_close_matches(name, neighbours, n=1, cutoff=0.7):
        return close[0]
    for key in far:
        if key.rpartition(".")[2] == name:
            return key
    return difflib.get_close_matches(name, neighbours, n=1, cutoff=0.0)[0]
