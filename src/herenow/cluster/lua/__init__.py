"""The scripts that decide for all nodes, run by the engine; each file has its own legend."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

_COUNTING: Final = ("state", "histories", "changes", "numbers")
_MEMBERS: Final = ("state", "histories", "changes", "members")
_HOOKS: Final = ("state", "hooks")
_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "admit": _COUNTING,
    "again": _HOOKS,
    "announce": _COUNTING,
    "arrivals": _HOOKS,
    "beat": (*_MEMBERS, "numbers", "sweep"),
    "bury": _HOOKS,
    "bye": ("state", "endings"),
    "cached": (),
    "channel": ("state",),
    "channels": ("state",),
    "claim": _HOOKS,
    "count": _COUNTING,
    "delivered": _HOOKS,
    "deploy": ("state",),
    "depth": _HOOKS,
    "difference": ("state", "histories"),
    "drop": _HOOKS,
    "endpoints": _HOOKS,
    "events": _HOOKS,
    "forget": _HOOKS,
    "hello": ("state",),
    "join": _MEMBERS,
    "known": _HOOKS,
    "leave": _MEMBERS,
    "miss": (),
    "note": _HOOKS,
    "occupants": _HOOKS,
    "online": ("state",),
    "present": _HOOKS,
    "probe": (),
    "publish": (),
    "ready": ("state", "endings"),
    "remains": _HOOKS,
    "request": _HOOKS,
    "restore": (*_MEMBERS, "rosters"),
    "revive": _HOOKS,
    "roster": ("state", "rosters"),
    "settle": _HOOKS,
    "spend": (),
    "tell": (),
    "terminate": ("state", "histories", "changes"),
    "told": _HOOKS,
    "totals": ("state",),
    "trim": _HOOKS,
    "unsee": ("state",),
    "user": ("state",),
    "users": ("state",),
    "waiting": _HOOKS,
}
NAMES: Final = tuple(_PARTS)


@cache
def source(name: str) -> str:
    """The text of the script *name*: the parts it is made of, then its own file."""
    return "\n".join(_read(part) for part in ("common", *_PARTS[name], name))


def _read(part: str) -> str:
    return (files(__name__) / f"{part}.lua").read_text("utf-8")


VERSION: Final = sha256("\0".join(source(name) for name in NAMES).encode()).hexdigest()[:12]
