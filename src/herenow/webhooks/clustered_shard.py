"""One partition as webhooks see it: what its scripts are asked, and what they answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from herenow.cluster.base import Done, Refusal, Subject, SubjectKind
from herenow.cluster.partitions.engine import Argument
from herenow.cluster.partitions.placement import decode, encode, subject_key
from herenow.webhooks.journal import Change, Condition, Depth, Entry, Fact, JournalUnavailable

_MICROSECONDS: Final = 1_000_000
_RECORD: Final = re.compile(rb"(\d+) (\d) (\d+) (\d) (\d+) (\d+) (\d+) (\d+) (.*)", re.DOTALL)
_POSITIONS_A_CALL: Final = 200
_MEMBER: Final = b"m"


class NotReader(JournalUnavailable):
    """Another node reads this partition, or nobody does."""


class Partitions(Protocol):
    """The partitions of the engine, asked in the name of this node."""

    @property
    def node(self) -> str: ...
    @property
    def partitions(self) -> int: ...

    def ask(
        self,
        partition: int,
        script: str,
        arguments: Sequence[Argument],
        done: Done[list[Any] | Refusal],
    ) -> None: ...


class Claim(NamedTuple):
    """Who reads the partition. ``before``: its reader so far, who may be dead, or empty.

    ``something_told``: as this node takes it, endpoints believe in something already. ``given``:
    how many seconds ago a reader gave it up who waited for no returns, or None. ``nodes`` are those
    that have endpoints, so that they take turns at reading.
    """

    mine: bool
    before: bytes
    before_lives: bool
    something_told: bool
    given: float | None
    nodes: tuple[bytes, ...]


class Arrival(NamedTuple):
    """An entry of the partition's stream, as the script ``write_outbox`` has it."""

    id: bytes
    kind: bytes
    subject: bytes
    user: bytes
    info: bytes
    since: float
    number: int


class Arrivals(NamedTuple):
    """What is in the stream, some of it.

    ``now`` is the engine's time in seconds, ``position`` that of the last event, ``written`` the
    number of the last entry that there was.
    """

    now: float
    position: int
    written: int
    entries: list[Arrival]


class Settled(NamedTuple):
    """``missing`` entries were gone; the last positions; which endpoints have new events."""

    missing: int
    before: int
    after: int
    endpoints: list[str]


class Remains(NamedTuple):
    """``used``: the partition was ever read, or entries are in its stream.

    ``more``: there is more to forget at once.
    """

    used: bool
    more: bool


class Told(NamedTuple):
    """A fact that an endpoint was told, and whether it holds."""

    fact: Fact
    holds: bool
    info: bytes


class Shard:
    """Asks one partition. Every method raises :class:`JournalUnavailable`.

    Implements ``journal.Backlog`` for the node that reads the partition; the methods that only a
    reader may call raise :class:`NotReader` for another one.
    """

    def __init__(self, partitions: Partitions, index: int) -> None:
        self.index = index
        self.name = str(index)
        self._partitions = partitions

    async def claim(self, wish: str) -> Claim:
        """*wish*: ``look``, ``take``, ``give``, or ``leave``: give it up while some may return."""
        mine, before, lives, told, given, *nodes = await self._ask("claim", wish)
        ago = None if given < 0 else _seconds(given)
        return Claim(bool(mine), before, bool(lives), bool(told), ago, tuple(nodes))

    async def arrivals(self, first: bytes, most: int) -> Arrivals:
        """What came into the stream from the id *first* on, at most *most* entries."""
        now, position, written, *flat = await self._ask("arrivals", first, most)
        entries = [
            Arrival(id_, kind, subject, user, info, _seconds(int(since)), int(number))
            for id_, kind, subject, user, info, since, number in _grouped(flat, 7)
        ]
        return Arrivals(_seconds(now), position, written, entries)

    async def settle(
        self, settled: Sequence[str], changes: Sequence[tuple[str, Sequence[Change]]]
    ) -> Settled:
        """Forget entries of the stream, some of them with *changes*, in one step."""
        arguments: list[Argument] = [len(settled), *settled]
        for ticket, changes_of_it in changes:
            arguments += [ticket, len(changes_of_it)]
            for change in changes_of_it:
                arguments += [change.endpoint, *_fact(change.fact), int(change.holds)]
                arguments += [int(change.silent), change.info]
        missing, before, after, *endpoints = await self._ask("settle", *arguments)
        return Settled(missing, before, after, [decode(endpoint) for endpoint in endpoints])

    async def apps(self, apps: Iterable[str]) -> None:
        """Say which applications have endpoints: these and no others."""
        names = [encode(app) for app in apps]
        await self._ask("known", len(names), *names)

    async def known(self, endpoints: Sequence[str]) -> list[str]:
        """Say that there are these endpoints; answers those that are new here."""
        new = await self._ask("known", "", *endpoints)
        return [endpoint for endpoint, is_new in zip(endpoints, new, strict=True) if is_new]

    async def unknown(self, before: float) -> list[str]:
        """Endpoints that no node has known since *before*, in the engine's time."""
        return [decode(each) for each in await self._ask("endpoints", _micros(before))]

    async def names(self, kind: str, app: str, cursor: bytes, most: int) -> tuple[bytes, list[str]]:
        """The next cursor, and some names of what holds.

        *kind*: ``c`` channels with subscriptions, ``p`` presence channels, ``u`` users.
        """
        following, *names = await self._ask("present", encode(f"{kind}:{app}"), cursor, most)
        return following, [decode(name) for name in names]

    async def members(
        self, app: str, channel: str, cursor: bytes, most: int
    ) -> tuple[bytes, list[tuple[str, bytes]]]:
        """The next cursor, and some members of *channel* with their info."""
        subject = subject_key(Subject(app, SubjectKind.PRESENCE, channel))
        following, *flat = await self._ask("present", b"m:" + subject, cursor, most)
        return following, _members(flat)

    async def occupants(
        self, app: str, channels: Sequence[str], most: int
    ) -> list[list[tuple[str, bytes]] | None]:
        """The members of each channel with their info; None where they are too many at once."""
        flat = await self._ask("occupants", encode(app), most, *map(encode, channels))
        occupants: list[list[tuple[str, bytes]] | None] = []
        last = 0
        for _ in channels:
            members = flat[last]
            end = last + 1 + 2 * max(members, 0)
            occupants.append(None if members < 0 else _members(flat[last + 1 : end]))
            last = end
        return occupants

    async def told(
        self, app: str, endpoint: str, cursor: bytes, most: int
    ) -> tuple[bool, bytes, list[Told]]:
        """Whether the answer is certain, the next cursor, and some of what *endpoint* was told."""
        uncertain, following, *flat = await self._ask("told", encode(app), endpoint, cursor, most)
        told = [
            Told(_read_fact(lane, member), bool(holds), _told_info(record))
            for lane, member, holds, record in _grouped(flat, 4)
        ]
        return not uncertain, following, told

    async def trim(
        self,
        endpoint: str,
        oldest: float,
        limit: int,
        cursor: bytes,
        most: int,
        under_way: Iterable[int],
    ) -> tuple[int, bool, bytes]:
        """How many events were dropped, whether there are more to drop, the cursor of lanes."""
        dropped, more, following = await self._ask(
            "trim", endpoint, _micros(oldest), limit, cursor, most, *under_way
        )
        return dropped, bool(more), following

    async def forget(self, endpoint: str) -> None:
        """Forget *endpoint* and all that it has here."""
        await self._ask("forget", endpoint)

    async def remains(self, keep_seconds: float, most: int) -> Remains:
        """Unless somebody reads here, forget some of what is older than *keep_seconds*.

        That is an endpoint that no node has known since, and *most* entries of the stream; if 0
        nothing is forgotten.
        """
        used, more = await self._ask("remains", _micros(keep_seconds), most)
        return Remains(bool(used), bool(more))

    async def read(
        self, endpoint: str, after: int, most: int, lane: str | None = None
    ) -> list[Entry]:
        of_lane = b"" if lane is None else encode(lane)
        flat = await self._ask("waiting", endpoint, after, most, of_lane)
        return [_entry(endpoint, *each) for each in _grouped(flat, 3)]

    async def delivered(self, endpoint: str, positions: Sequence[int]) -> None:
        await self._ask_in_batches("delivered", endpoint, positions)

    async def bury(self, endpoint: str, positions: Sequence[int]) -> None:
        await self._ask_in_batches("bury", endpoint, positions)

    async def condition(self, endpoint: str) -> Condition:
        return (await self.depth(endpoint)).condition

    async def note(self, endpoint: str, condition: Condition) -> None:
        """Note how *endpoint* does; whether it is adrift is decided here and stays as it is."""
        await self._ask(
            "note",
            endpoint,
            *("failing", _optional(condition.failing_since)),
            *("attempted", _optional(condition.attempted)),
            *("answer", encode(condition.answer)),
        )

    async def compared(self, endpoint: str) -> None:
        """Note that what *endpoint* was told is being compared: it is adrift no more."""
        await self._ask("note", endpoint, "adrift", "0")

    async def depth(self, endpoint: str) -> Depth:
        waiting, buried, oldest, *flat = await self._ask("depth", endpoint)
        fields = dict(_grouped(flat, 2))
        condition = Condition(
            failing_since=_time(fields.get(b"failing", b"")),
            answer=decode(fields.get(b"answer", b"")),
            attempted=_time(fields.get(b"attempted", b"")),
            adrift=fields.get(b"adrift") == b"1",
        )
        return Depth(waiting, buried, _seconds(oldest) if oldest else None, condition)

    async def events(
        self, endpoint: str, after: int, most: int, *, buried_only: bool
    ) -> list[Entry]:
        """The first *most* entries beyond the position *after*, buried or not, in order."""
        flat = await self._ask("events", endpoint, after, most, int(buried_only))
        entries = [_entry(endpoint, *each) for each in _grouped(flat, 3)]
        return sorted(entries, key=lambda entry: entry.position)[:most]

    async def revive(self, endpoint: str, ids: Sequence[str], most: int) -> int:
        """Let the buried entries with *ids* wait again; without any, *most* of all there are."""
        (revived,) = await self._ask("revive", endpoint, most, *ids)
        return int(revived)

    async def drop(
        self, endpoint: str, ids: Sequence[str], most: int, under_way: Iterable[int]
    ) -> int:
        """Drop the entries with *ids*, or without any *most* of all there are.

        What is *under_way* stays: a receiver may have it already.
        """
        (dropped,) = await self._ask("drop", endpoint, most, len(ids), *ids, *under_way)
        return int(dropped)

    async def ask_to_drop(self, request: str, endpoint: str, ids: Sequence[str], most: int) -> None:
        """Have the reader drop these entries, whichever node it is."""
        wanted = "\0".join((endpoint, str(most), *ids))
        await self._ask("request", request, "ask", encode(wanted))

    async def asked_to_drop(self, request: str) -> tuple[str, list[str], int] | None:
        """Endpoint, ids and how many at most; None if somebody took the request already."""
        (wanted,) = await self._ask("request", request, "take", "")
        if not wanted:
            return None
        endpoint, most, *ids = decode(wanted).split("\0")
        return endpoint, ids, int(most)

    async def answer_dropped(self, request: str, dropped: int) -> None:
        await self._ask("request", request, "answer", dropped)

    async def dropped(self, request: str) -> int | None:
        """How many the reader dropped; None while it did not answer."""
        (dropped,) = await self._ask("request", request, "look", "")
        return int(dropped) if dropped else None

    async def again(self, endpoint: str, cursor: bytes, most: int) -> tuple[int, bytes]:
        """Tell *endpoint* some of what it was told once more; how much, and the next cursor."""
        events, following = await self._ask("again", endpoint, cursor, most)
        return events, following

    async def _ask_in_batches(self, script: str, endpoint: str, positions: Sequence[int]) -> None:
        for start in range(0, len(positions), _POSITIONS_A_CALL):
            await self._ask(script, endpoint, *positions[start : start + _POSITIONS_A_CALL])

    async def _ask(self, script: str, *arguments: Argument) -> list[Any]:
        """The reply without status, epoch and position of the partition."""
        answered: asyncio.Future[list[Any] | Refusal] = asyncio.get_running_loop().create_future()

        def done(answer: list[Any] | Refusal) -> None:
            if not answered.done():
                answered.set_result(answer)

        self._partitions.ask(self.index, script, arguments, done)
        reply = await answered
        if isinstance(reply, Refusal):
            raise JournalUnavailable(f"partition {self.index} did not answer in time")
        if reply[0] == b"elsewhere":
            raise NotReader(f"this node does not read partition {self.index}")
        return reply[3:]


def _fact(fact: Fact) -> tuple[bytes, bytes]:
    return encode(fact.lane), b"" if fact.member is None else _MEMBER + encode(fact.member)


def _read_fact(lane: bytes, member: bytes) -> Fact:
    return Fact(decode(lane), decode(member[1:]) if member else None)


def _entry(endpoint: str, position: bytes, buried: int, record: bytes) -> Entry:
    match = _RECORD.fullmatch(record)
    if match is None:
        raise ValueError(f"expected an event, got {record[:80]!r}")
    made, holds, sequence, again, *lengths, rest = match.groups()
    parts = []
    for length in map(int, lengths):
        parts.append(rest[:length])
        rest = rest[length:]
    id_, lane, member, _ = parts
    return Entry(
        position=int(position),
        endpoint=endpoint,
        fact=_read_fact(lane, member),
        holds=holds == b"1",
        info=rest,
        id=decode(id_),
        sequence=int(sequence),
        made=int(made) / _MICROSECONDS,
        repeat=again == b"1",
        buried=bool(buried),
    )


def _members(flat: Sequence[Any]) -> list[tuple[str, bytes]]:
    return [(decode(user), record.split(b" ", 7)[7]) for user, record in _grouped(flat, 2)]


def _told_info(record: bytes) -> bytes:
    _, _, length, rest = record.split(b" ", 3)
    return rest[int(length) :]


def _grouped(flat: Sequence[Any], size: int) -> Iterator[tuple[Any, ...]]:
    return zip(*[iter(flat)] * size, strict=True)


def _seconds(micros: int) -> float:
    return micros / _MICROSECONDS


def _micros(seconds: float) -> int:
    return max(0, round(seconds * _MICROSECONDS))


def _optional(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3f}"


def _time(text: bytes) -> float | None:
    return float(text) if text else None
