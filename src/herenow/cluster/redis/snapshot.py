"""Everything a partition holds, read in one step."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from herenow.cluster.partitions.placement import decode
from herenow.cluster.redis import hooked
from herenow.cluster.redis.client import Client
from herenow.cluster.redis.names import Names

_KEYS_A_SCAN: Final = 1_000
_MICROSECONDS: Final = 1_000_000
# What passes by itself: cached events, the outbox and who takes turns at reading it, the buckets of
# the event rate, who was seen, and how rosters changed.
_PASSING: Final = (b"l", b"out", b"turns", b"r", b"ends", b"seen", b"asked", b"h", b"miss")

_READ: Final = """
local read = { redis.call("TIME") }
for i, key in ipairs(KEYS) do
  local kind = redis.call("TYPE", key).ok
  if kind == "hash" and (key:find("}:w:x:", 1, true) or key:find("}:w:told:", 1, true)) then
    read[i + 1] = {}
    for n, name in ipairs(redis.call("HKEYS", key)) do
      read[i + 1][2 * n - 1], read[i + 1][2 * n] = name, ""
    end
  elseif kind == "hash" then
    read[i + 1] = redis.call("HGETALL", key)
  elseif kind == "zset" then
    read[i + 1] = redis.call("ZRANGE", key, 0, -1, "WITHSCORES")
  else
    read[i + 1] = {}
  end
end
return read
"""
_MEMBER: Final = re.compile(rb"(\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (.*)", re.DOTALL)
_ENTRY: Final = re.compile(rb"(\d+) (\d+) (\d+) (\d+) (.*)", re.DOTALL)
_NUMBER: Final = re.compile(rb"(\d+) (\d+)")
_DEPARTURE: Final = re.compile(rb"m (\d+) (.*)", re.DOTALL)


class Member(NamedTuple):
    """A user of a subject. Times in µs: *held* of the ledger's clock, the others of the engine."""

    connections: int
    held: int
    since: int
    left: int
    info: bytes


class Entry(NamedTuple):
    """A subscription by which a user is there."""

    subject: bytes
    user: bytes
    grace: int


class Number(NamedTuple):
    """What one node has of a channel's subscriptions, or of an application's connections."""

    number: int
    flags: int


@dataclass(slots=True)
class Snapshot:
    """A partition's data by what it says; names are bytes as the engine has them."""

    partition: int
    time: int = 0
    state: dict[bytes, bytes] = field(default_factory=dict)
    deployment: dict[bytes, bytes] = field(default_factory=dict)
    leases: dict[bytes, int] = field(default_factory=dict)
    tokens: dict[bytes, bytes] = field(default_factory=dict)
    heirs: dict[bytes, bytes] = field(default_factory=dict)
    members: dict[bytes, dict[bytes, Member]] = field(default_factory=dict)
    departing: dict[bytes, dict[bytes, int]] = field(default_factory=dict)
    departures: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    vacancies: dict[bytes, int] = field(default_factory=dict)
    entries: dict[bytes, dict[bytes, Entry]] = field(default_factory=dict)
    numbers: dict[bytes, dict[bytes, Number]] = field(default_factory=dict)
    sums: dict[bytes, dict[bytes, int]] = field(default_factory=dict)
    present: dict[bytes, dict[bytes, int]] = field(default_factory=dict)
    totals: dict[bytes, dict[bytes, int]] = field(default_factory=dict)
    told: dict[bytes, dict[bytes, int]] = field(default_factory=dict)
    online: dict[bytes, set[bytes]] = field(default_factory=dict)
    hooked: dict[bytes, hooked.Hooked] = field(default_factory=dict)
    unreadable: list[bytes] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.state or self.leases or self.members or self.entries or self.numbers)

    @property
    def lease(self) -> int | None:
        """The lease in µs, which partition 0 knows."""
        stored = self.deployment.get(b"lease")
        return int(stored) if stored is not None else None

    def clock(self, lease: int) -> int:
        """The ledger's clock now: what it showed, and the time since if it counts."""
        step = self.time - int(self.state.get(b"wall", b"0"))
        return int(self.state.get(b"clock", b"0")) + (step if 0 < step <= lease // 2 else 0)


async def read(client: Client, names: Names, partition: int, keys: Iterable[bytes]) -> Snapshot:
    """What *keys* of *partition* hold, in one step of the engine."""
    base = names.base(partition)
    wanted = [key for key in keys if _kind(key, base)[0] not in _PASSING]
    # A partition without keys is asked for one that is not there.
    asked = wanted or [base + b":state"]
    answer: list[Any] = await client.eval(_READ, len(asked), *asked)
    seconds, microseconds = answer[0]
    snapshot = Snapshot(partition, int(seconds) * _MICROSECONDS + int(microseconds))
    for key, flat in zip(asked, answer[1:], strict=True):
        try:
            _take(snapshot, *_kind(key, base), dict(zip(flat[::2], flat[1::2], strict=True)))
        except (ValueError, KeyError):
            snapshot.unreadable.append(key)
    return snapshot


async def keys_of(
    client: Client, names: Names, partition: int | None = None
) -> dict[int, set[bytes]]:
    """The keys that there are, by partition: of all, or of one."""
    found: dict[int, set[bytes]] = defaultdict(set)
    async for key in _scan(client, names.pattern(partition)):
        number = names.partition_of_key(key)
        if number is not None:
            found[number].add(key)
    return found


async def _scan(client: Client, pattern: bytes) -> AsyncIterator[bytes]:
    async for key in client.scan_iter(match=pattern, count=_KEYS_A_SCAN):
        yield key


def readable(raw: bytes) -> str:
    """*raw* as people write it, also if it is nothing that a node writes."""
    try:
        return decode(raw)
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace")


def _kind(key: bytes, base: bytes) -> tuple[bytes, bytes]:
    """The letter or word that says what a key holds, and of what."""
    kind, _, rest = key[len(base) + 1 :].partition(b":")
    return kind, rest


def _take(snapshot: Snapshot, kind: bytes, of: bytes, read: Mapping[bytes, bytes]) -> None:
    match kind:
        case b"state":
            snapshot.state = dict(read)
        case b"deployment":
            snapshot.deployment = dict(read)
        case b"lease":
            snapshot.leases = _scores(read)
        case b"token":
            snapshot.tokens = dict(read)
        case b"heir":
            snapshot.heirs = dict(read)
        case b"m" if of.count(b"/") >= 2:
            snapshot.members[of] = {user: _member(record) for user, record in read.items()}
        case b"g":
            snapshot.departing[of] = _scores(read)
        case b"due":
            _take_due(snapshot, _scores(read))
        case b"e":
            snapshot.entries[of] = {each: _entry(record) for each, record in read.items()}
        case b"n":
            snapshot.numbers[of] = {name: _number(record) for name, record in read.items()}
        case b"c":
            snapshot.sums[of] = _integers(read)
        case b"p":
            snapshot.present[of] = _integers(read)
        case b"t":
            snapshot.totals[of] = _integers(read)
        case b"u":
            snapshot.online[of] = set(read)
        case b"w":
            hooked.take(snapshot.hooked, of, read)
        case b"told":
            snapshot.told[of] = _integers(read)
        case _:
            raise ValueError(f"expected a key of a partition, got one of kind {kind!r}")


def _take_due(snapshot: Snapshot, due: Mapping[bytes, int]) -> None:
    for item, deadline in due.items():
        if item.startswith(b"v "):
            snapshot.vacancies[item[2:]] = deadline
        else:
            length, rest = _groups(_DEPARTURE, item)
            cut = int(length)
            snapshot.departures[rest[:cut], rest[cut:]] = deadline


def _member(record: bytes) -> Member:
    connections, held, _, _, since, left, _, info = _groups(_MEMBER, record)
    return Member(int(connections), int(held), int(since), int(left), info)


def _entry(record: bytes) -> Entry:
    grace, _, _, length, rest = _groups(_ENTRY, record)
    cut = int(length)
    return Entry(rest[:cut], rest[cut:], int(grace))


def _number(record: bytes) -> Number:
    number, flags = _groups(_NUMBER, record)
    return Number(int(number), int(flags))


def _groups(pattern: re.Pattern[bytes], record: bytes) -> tuple[bytes, ...]:
    match = pattern.fullmatch(record)
    if match is None:
        raise ValueError(f"expected a record, got {record[:80]!r}")
    return match.groups()


def _integers(read: Mapping[bytes, bytes]) -> dict[bytes, int]:
    return {name: int(value) for name, value in read.items()}


def _scores(read: Mapping[bytes, bytes]) -> dict[bytes, int]:
    return {name: int(float(value)) for name, value in read.items()}
