"""What all nodes of a deployment have to agree on, kept in the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

_MICROSECONDS = 1_000_000


class EngineUnreachable(Exception):
    """The engine could not be used in the time given."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"the engine at {self.address} could not be used: {self.reason}"


class Deployment(NamedTuple):
    """The version of the scripts, the lease in µs and the number of partitions."""

    version: str
    lease: int
    partitions: int

    @property
    def lease_seconds(self) -> float:
        return self.lease / _MICROSECONDS

    @classmethod
    def stored(cls, answer: Sequence[Any]) -> Deployment:
        """What the script ``deploy`` says is stored."""
        version, lease, partitions = answer[3:6]
        return cls(version.decode(errors="replace"), int(lease), int(partitions))


class EngineRefused(Exception):
    """Other nodes use the engine with another version of the scripts or another setting."""

    def __init__(self, address: str, stored: Deployment, own: Deployment) -> None:
        super().__init__(address, stored, own)
        self.address = address
        self.stored = stored
        self.own = own

    def __str__(self) -> str:
        return f"the engine at {self.address} is in use with {self.difference}"

    @property
    def difference(self) -> str:
        """What differs, with both values."""
        stored, own = self.stored, self.own
        pairs = (
            ("scripts of version", stored.version, own.version),
            ("a lease of", _seconds(stored.lease), _seconds(own.lease)),
            ("partitions:", str(stored.partitions), str(own.partitions)),
        )
        return "; ".join(
            f"{what} {theirs}, here {ours}" for what, theirs, ours in pairs if theirs != ours
        )


def _seconds(microseconds: int) -> str:
    return f"{microseconds / _MICROSECONDS:g} s"
