"""The scripts that decide for all nodes, run by the engine; each file has its own legend."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

_COUNTING: Final = ("state", "changes", "numbers")
_MEMBERS: Final = ("state", "changes", "members")
_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "admit": _COUNTING,
    "announce": _COUNTING,
    "beat": (*_MEMBERS, "numbers", "sweep"),
    "bye": ("state", "endings"),
    "cached": (),
    "channel": ("state",),
    "channels": ("state",),
    "count": _COUNTING,
    "deploy": ("state",),
    "hello": ("state",),
    "join": _MEMBERS,
    "leave": _MEMBERS,
    "online": ("state",),
    "probe": (),
    "publish": (),
    "ready": ("state", "endings"),
    "restore": (*_MEMBERS, "rosters"),
    "roster": ("state", "rosters"),
    "spend": (),
    "tell": (),
    "terminate": ("state", "changes"),
    "totals": ("state",),
}
NAMES: Final = tuple(_PARTS)


@cache
def source(name: str) -> str:
    """The text of the script *name*: the parts it is made of, then its own file."""
    return "\n".join(_read(part) for part in ("common", *_PARTS[name], name))


def _read(part: str) -> str:
    return (files(__name__) / f"{part}.lua").read_text("utf-8")


VERSION: Final = sha256("\0".join(source(name) for name in NAMES).encode()).hexdigest()[:12]
