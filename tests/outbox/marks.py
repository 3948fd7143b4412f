"""Secrets that can be recognised wherever they turn up, however they are written."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus

SHORTEST: Final = 8
"""A form of fewer bytes would be found by chance."""


class Leak(NamedTuple):
    """The secret called *name* stands in *place*, written in *form*."""

    name: str
    place: str
    form: str


def forms(secret: bytes) -> dict[bytes, str]:
    """How *secret* may be written, and what that form is called."""
    found = {secret: "raw"}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + secret)
        # What depends on the bytes before or after says nothing of the secret.
        whole = coded[-(-shift * 8 // 6) : (shift + len(secret)) * 8 // 6]
        found[whole] = f"base64, shifted by {shift}"
        found[whole.translate(bytes.maketrans(b"+/", b"-_"))] = f"base64url, shifted by {shift}"
    found[secret.hex().encode()] = "hex"
    found[secret.hex().upper().encode()] = "hex"
    found[b"".join(b"%%%02x" % byte for byte in secret)] = "percent"
    found[b"".join(b"%%%02X" % byte for byte in secret)] = "percent"
    for text in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        found.setdefault(text.encode(), "percent")
    readable = secret.decode("utf-8", "backslashreplace")
    found.setdefault(json.dumps(readable)[1:-1].encode(), "JSON")
    found.setdefault(repr(readable)[1:-1].encode(), "Python")
    return {form: kind for form, kind in found.items() if len(form) >= SHORTEST}


class Marks:
    """Secrets by name, to be searched for in whatever was written."""

    def __init__(self, secrets: Mapping[str, str | bytes] | None = None) -> None:
        self._forms: dict[bytes, tuple[str, str]] = {}
        for name, secret in (secrets or {}).items():
            self.add(name, secret)

    def __bool__(self) -> bool:
        return bool(self._forms)

    def add(self, name: str, secret: str | bytes) -> None:
        content = secret.encode() if isinstance(secret, str) else secret
        for form, kind in forms(content).items():
            self._forms.setdefault(form, (name, kind))

    def leaks(self, place: str, content: bytes | str) -> list[Leak]:
        """The secrets that stand in *content*, which was found in *place*."""
        searched = content.encode(errors="surrogatepass") if isinstance(content, str) else content
        return [
            Leak(name, place, kind)
            for form, (name, kind) in self._forms.items()
            if form in searched
        ]

    def leaks_of_files(self, paths: Iterable[Path]) -> Iterator[Leak]:
        for path in paths:
            yield from self.leaks(str(path), path.read_bytes())
