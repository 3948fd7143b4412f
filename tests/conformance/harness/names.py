"""Names that no other test uses, so that all tests can share one server."""

from __future__ import annotations

import uuid


def unique(stem: str) -> str:
    """A name that begins with *stem*; good for channels and for user ids."""
    return f"{stem}-{uuid.uuid4().hex[:12]}"
