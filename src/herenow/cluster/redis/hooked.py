"""What a partition holds of webhooks, and what has to agree in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from herenow.cluster.redis.findings import Finding, Problem


@dataclass(slots=True)
class Hooked:
    """Of one endpoint: the positions in its queues, of its events, and facts told by lane."""

    queued: Counter[bytes] = field(default_factory=Counter)
    in_lanes: Counter[bytes] = field(default_factory=Counter)
    events: set[bytes] = field(default_factory=set)
    told: Counter[bytes] = field(default_factory=Counter)
    lanes: dict[bytes, int] = field(default_factory=dict)


def take(endpoints: dict[bytes, Hooked], of: bytes, read: Mapping[bytes, bytes]) -> None:
    """Take in one key ``B:w:<of>``; ValueError if it holds something that no node writes."""
    kind, _, rest = of.partition(b":")
    endpoint, _, _ = rest.partition(b":")
    hooked = endpoints.setdefault(endpoint, Hooked()) if endpoint else Hooked()
    match kind:
        case b"q" | b"b":
            hooked.queued.update(read.keys())
        case b"l":
            hooked.in_lanes.update(read.keys())
        case b"x":
            hooked.events.update(read.keys())
        case b"told":
            hooked.told.update(map(_lane, read.keys()))
        case b"lane":
            hooked.lanes = {lane: int(record.split(b" ")[1]) for lane, record in read.items()}
        case b"f" | b"n" | b"r" | b"s" | b"ends" | b"apps" | b"ask" | b"ans":
            pass
        case _:
            raise ValueError(f"expected a key of webhooks, got one of kind {kind!r}")


def check(partition: int, endpoints: Mapping[bytes, Hooked]) -> Iterator[Finding]:
    """What does not agree: every event is in one queue and in its lane, every fact is counted."""
    for name, hooked in endpoints.items():
        endpoint = name.decode("ascii", "backslashreplace")
        expected = Counter(hooked.events)
        for queues in (hooked.queued, hooked.in_lanes):
            astray = (queues - expected) + (expected - queues)
            if astray:
                yield Finding(Problem.EVENTS_ASTRAY, partition, node=endpoint, found=astray.total())
        for lane in hooked.lanes.keys() | hooked.told.keys():
            facts, found = hooked.told[lane], hooked.lanes.get(lane, 0)
            if facts != found:
                yield Finding(
                    Problem.FACTS_DIFFER,
                    partition,
                    lane.decode("utf-8", "backslashreplace"),
                    node=endpoint,
                    expected=facts,
                    found=found,
                )


def _lane(fact: bytes) -> bytes:
    length, _, rest = fact.partition(b" ")
    return rest[: int(length)]
