"""Every function that is measured by itself, by group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bench.micro import codec, ledger, messages, signatures

Subject = Callable[[], object]

GROUPS: Final[dict[str, tuple[Subject, ...]]] = {
    "codec": codec.SUBJECTS,
    "signatures": signatures.SUBJECTS,
    "messages": messages.SUBJECTS,
    "ledger": ledger.SUBJECTS,
}


def name_of(subject: Subject) -> str:
    return subject.__name__.replace("_", " ")
