"""Why somebody is shown as online in a channel, or is not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from herenow.cluster.base import Subject, SubjectKind
from herenow.cluster.partitions.placement import encode, partition_of, subject_key
from herenow.cluster.redis.address import parse
from herenow.cluster.redis.client import connect
from herenow.cluster.redis.names import Names
from herenow.cluster.redis.snapshot import Snapshot, keys_of, read, readable

_MICROSECONDS = 1_000_000
_DEFAULT_LEASE = 5_000_000


@dataclass(frozen=True, slots=True)
class Reason:
    """A subscription by which he is there; a lease without seconds left is not there any more."""

    node: str
    subscription: str
    lease_seconds_left: float | None


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Whether a user is a member, and why.

    ``since`` and ``left`` are times of the engine, in seconds since 1970. ``left`` is when his
    last connection went; he is then held for ``held_seconds`` more.
    """

    app: str
    channel: str
    user: str
    partition: int
    online: bool
    since: float | None = None
    left: float | None = None
    held_seconds: float | None = None
    reasons: tuple[Reason, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def why(
    url: str, prefix: str, partitions: int, app: str, channel: str, user: str
) -> Whereabouts:
    """Which connections make *user* a member of *channel*, or until when he is held.

    Raises ``EngineUnreachable``, and ValueError for a URL.
    """
    address = parse(url)
    names = Names(prefix, address.database, partitions)
    partition = partition_of(app, channel, partitions)
    async with connect(address, names) as client:
        keys = await keys_of(client, names, partition)
        snapshot = await read(client, names, partition, keys.get(partition, ()))
        first = await read(client, names, 0, [names.base(0) + b":deployment"])
    return _whereabouts(snapshot, first.lease or _DEFAULT_LEASE, app, channel, user)


def _whereabouts(snapshot: Snapshot, lease: int, app: str, channel: str, user: str) -> Whereabouts:
    subject, name = subject_key(Subject(app, SubjectKind.PRESENCE, channel)), encode(user)
    clock = snapshot.clock(lease)
    reasons = tuple(
        Reason(readable(node), readable(subscription), _left(snapshot.leases.get(node), clock))
        for node, entries in snapshot.entries.items()
        for subscription, entry in entries.items()
        if (entry.subject, entry.user) == (subject, name)
    )
    member = snapshot.members.get(subject, {}).get(name)
    if member is None:
        return Whereabouts(app, channel, user, snapshot.partition, online=False, reasons=reasons)
    deadline = snapshot.departing.get(subject, {}).get(name)
    return Whereabouts(
        app,
        channel,
        user,
        snapshot.partition,
        online=True,
        since=member.since / _MICROSECONDS,
        left=member.left / _MICROSECONDS if deadline is not None else None,
        held_seconds=_left(deadline, clock),
        reasons=reasons,
    )


def _left(deadline: int | None, clock: int) -> float | None:
    return None if deadline is None else max(0, deadline - clock) / _MICROSECONDS
