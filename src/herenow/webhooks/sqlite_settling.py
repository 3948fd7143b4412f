"""Changes become entries: what was told is toggled and the event appended, in one step.

Statements take whole batches as JSON, since each step of SQLite lets go of the interpreter and has
to wait for it again: a loop that is busy would otherwise be waited for at every row.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import compress
from typing import Any, Final, NamedTuple

from herenow.webhooks.journal import Change, Fact

_TOLD: Final = """
SELECT json_group_array(json_array(j.key, t.number, t.id, t.sequence, t.info, t.made))
FROM json_each(?) AS j JOIN webhooks_told AS t
ON t.endpoint = json_extract(j.value, '$[0]') AND t.lane = json_extract(j.value, '$[1]')
AND t.member = json_extract(j.value, '$[2]')
"""
_LANES: Final = """
SELECT json_group_array(json_array(j.key, l.sequence))
FROM json_each(?) AS j JOIN webhooks_lanes AS l
ON l.endpoint = json_extract(j.value, '$[0]') AND l.lane = json_extract(j.value, '$[1]')
"""
_SET_LANES: Final = """
INSERT INTO webhooks_lanes (endpoint, lane, sequence, used)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), ?2
FROM json_each(?1) WHERE true
ON CONFLICT (endpoint, lane) DO UPDATE SET sequence = excluded.sequence, used = excluded.used
"""
_FORGET: Final = "DELETE FROM webhooks_told WHERE number IN (SELECT value FROM json_each(?))"
_TELL: Final = """
INSERT INTO webhooks_told (endpoint, lane, member, id, sequence, info, made)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
CAST(json_extract(value, '$[6]') AS REAL)
FROM json_each(?)
"""
_APPEND: Final = """
INSERT INTO webhooks_entries
(position, endpoint, lane, member, holds, info, id, sequence, made, repeat, buried, before)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
json_extract(value, '$[6]'), json_extract(value, '$[7]'), ?2, 0, 0, json_extract(value, '$[8]')
FROM json_each(?1)
"""


class Settled(NamedTuple):
    """``ends[n]`` is the last position after the first *n* changes; ``events`` how many came.

    ``refused`` changes have text that a database does not keep.
    """

    ends: list[int]
    endpoints: frozenset[str]
    events: int
    refused: int = 0


class _Told(NamedTuple):
    """An addition that counts as told; ``id`` is empty if it was so silently."""

    id: str
    sequence: int
    info: str
    made: float


def settle(
    connection: sqlite3.Connection, changes: Sequence[Change], origin: str, now: float
) -> Settled:
    """Make events of those *changes* that are news to their endpoints.

    Ids begin with *origin*, which no other run of a journal has.
    """
    kept = [_is_kept(change) for change in changes]
    batch = _Batch(connection, list(compress(changes, kept)), origin, now)
    ends = [batch.position]
    for change, is_kept in zip(changes, kept, strict=True):
        if is_kept:
            batch.apply(change)
        ends.append(batch.position)
    batch.write()
    endpoints = frozenset(entry[1] for entry in batch.entries)
    return Settled(ends, endpoints, len(batch.entries), kept.count(False))


def _is_kept(change: Change) -> bool:
    """Whether its text can be read again: SQLite ends one at a NUL, and checks no surrogates."""
    lane, member = change.fact
    name = lane + (member or "")
    try:
        return b"\0" not in name.encode() and "\0" not in change.info.decode()
    except UnicodeError:
        return False


class _Batch:
    """The facts and lanes that changes are about, read at once and written at once."""

    def __init__(
        self, connection: sqlite3.Connection, changes: Sequence[Change], origin: str, now: float
    ) -> None:
        self._connection = connection
        self._origin = origin
        self._now = now
        keys = dict.fromkeys((change.endpoint, change.fact) for change in changes)
        lanes = dict.fromkeys((endpoint, fact.lane) for endpoint, fact in keys)
        self._numbers: dict[tuple[str, Fact], int] = {}
        self._told = self._read_told(list(keys))
        self._sequences = self._read_sequences(list(lanes))
        self._changed: set[tuple[str, Fact]] = set()
        self._used: set[tuple[str, str]] = set()
        self.entries: list[tuple[Any, ...]] = []
        (self.position,) = connection.execute("SELECT position FROM webhooks_journal").fetchone()

    def _read_told(self, keys: list[tuple[str, Fact]]) -> dict[tuple[str, Fact], _Told]:
        asked = json.dumps([(endpoint, fact.lane, fact.member or "") for endpoint, fact in keys])
        (answer,) = self._connection.execute(_TOLD, (asked,)).fetchone()
        told = {}
        for index, number, *rest in json.loads(answer):
            self._numbers[keys[index]] = number
            told[keys[index]] = _Told(*rest)
        return told

    def _read_sequences(self, lanes: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
        (answer,) = self._connection.execute(_LANES, (json.dumps(lanes),)).fetchone()
        return {lanes[index]: sequence for index, sequence in json.loads(answer)}

    def apply(self, change: Change) -> None:
        key = change.endpoint, change.fact
        told = self._told.get(key)
        if change.holds:
            if told is not None and (told.id or change.silent):
                return
            self._told[key] = self._say(change, "")
        else:
            if told is None:
                return
            info = change.info or told.info.encode()
            self._say(change._replace(info=info), json.dumps(told))
            del self._told[key]
        self._changed.add(key)

    def _say(self, change: Change, before: str) -> _Told:
        info = change.info.decode()
        if change.silent:
            return _Told("", 0, info, self._now)
        lane = change.endpoint, change.fact.lane
        sequence = self._sequences.get(lane)
        # A lane that is not known may have been forgotten: time goes on beyond any count.
        sequence = int(self._now * 1000) if sequence is None else sequence + 1
        self._sequences[lane] = sequence
        self._used.add(lane)
        self.position += 1
        event = f"{self._origin}-{self.position}"
        self.entries.append(
            (
                self.position,
                *lane,
                change.fact.member or "",
                int(change.holds),
                info,
                event,
                sequence,
                before,
            )
        )
        return _Told(event, sequence, info, self._now)

    def write(self) -> None:
        if not self._changed:
            return
        gone = [self._numbers[key] for key in self._changed if key in self._numbers]
        told = [
            (key[0], key[1].lane, key[1].member or "", *self._told[key])
            for key in self._changed
            if key in self._told
        ]
        lanes = [(*lane, self._sequences[lane]) for lane in self._used]
        execute = self._connection.execute
        execute(_FORGET, (json.dumps(gone),))
        execute(_TELL, (json.dumps(told),))
        execute(_SET_LANES, (json.dumps(lanes), self._now))
        execute(_APPEND, (json.dumps(self.entries), self._now))
        execute("UPDATE webhooks_journal SET position = ?", (self.position,))
