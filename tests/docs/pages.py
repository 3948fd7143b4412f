"""The code blocks of the pages in ``docs/``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"

_FENCE: Final = re.compile(
    r'^(?P<indent> *)```(?P<language>\w+)(?: title="(?P<title>[^"]*)")?\n'
    r"(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Snippet:
    """One block; ``title`` is empty where the page gives none."""

    language: str
    title: str
    text: str


def snippets(page: str, title: str | None = None) -> list[Snippet]:
    """The blocks of *page* in their order, or those with this *title*."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = [
        Snippet(block["language"], block["title"] or "", _unindented(block))
        for block in _FENCE.finditer(text)
    ]
    return [block for block in found if title is None or block.title == title]


def _unindented(block: re.Match[str]) -> str:
    """The text without the indentation of its fence; its own stays."""
    indent = block["indent"]
    return "".join(line.removeprefix(indent) for line in block["text"].splitlines(keepends=True))


def snippet(page: str, title: str, language: str | None = None) -> str:
    """The text of the one block with this *title*, where needed of this *language*."""
    [found] = [
        block for block in snippets(page, title) if language is None or block.language == language
    ]
    return found.text


def pages() -> list[str]:
    return sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
