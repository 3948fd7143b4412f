"""What the configurations in a directory call secret, searched for in all else that is there."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from outbox.marks import Leak, Marks

NAMES: Final = frozenset({"secret", "secret_key", "password"})
SHORTEST: Final = 16
"""A shorter secret is a word that stands in other texts too."""

HOLD_SECRETS: Final = frozenset({".toml", ".py", ".js", ".mjs", ".json", ".java", ".env", ".conf"})
"""Configurations and programs, which tests write and which are given the secrets."""


def secrets_of(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Each secret of a configuration, with where it stands there."""
    for name, value in content.items():
        where = f"{path}.{name}".strip(".")
        if isinstance(value, Mapping):
            yield from secrets_of(value, where)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Mapping):
                    yield from secrets_of(item, f"{where}[{index}]")
        elif isinstance(value, str):
            password = value if name in NAMES else _password(value)
            if len(password) >= SHORTEST:
                yield where, password


def leaks_below(directory: Path) -> list[Leak]:
    """The secrets of all configurations below *directory* that stand in other files there."""
    files = [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]
    marks = Marks()
    for path in files:
        if path.suffix == ".toml":
            for name, secret in _configured(path):
                marks.add(f"{path.name}: {name}", secret)
    others = [path for path in files if path.suffix not in HOLD_SECRETS]
    return list(marks.leaks_of_files(others)) if marks else []


def _configured(path: Path) -> list[tuple[str, str]]:
    try:
        return list(secrets_of(tomllib.loads(path.read_text())))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return []


def _password(text: str) -> str:
    """The password of a URL, or nothing."""
    try:
        return unquote(urlsplit(text).password or "") if "://" in text else ""
    except ValueError:
        return ""
