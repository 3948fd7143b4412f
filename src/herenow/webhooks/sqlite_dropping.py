"""Entries that will never be delivered, and how receivers are not led astray by that.

An entry goes together with the next of the same fact, which undoes it. Without such a one what is
told is as before it, and its endpoint is adrift. One that is passed, since a later one of the same
fact was delivered, goes alone: receivers know better already.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from herenow.webhooks.journal import Bounds

_ENTRY: Final = """
SELECT position, endpoint, lane, member, holds, id, repeat, before, passed
FROM webhooks_entries WHERE position = ?
"""
_NEXT: Final = """
SELECT position, endpoint, lane, member, holds, id, repeat, before, passed
FROM webhooks_entries
WHERE endpoint = ? AND lane = ? AND member = ? AND position > ? AND repeat = 0
ORDER BY position LIMIT 1
"""
_REPEATS: Final = """
DELETE FROM webhooks_entries
WHERE endpoint = ? AND lane = ? AND member = ? AND position > ? AND position < ? AND repeat = 1
"""
_FORGET: Final = """
DELETE FROM webhooks_told WHERE endpoint = ? AND lane = ? AND member = ? AND id = ?
"""
_TELL: Final = """
INSERT OR IGNORE INTO webhooks_told (endpoint, lane, member, id, sequence, info, made)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_OLD: Final = """
SELECT endpoint, position FROM webhooks_entries WHERE made < ? ORDER BY position LIMIT ?
"""
_OLDEST: Final = "SELECT endpoint, position FROM webhooks_entries ORDER BY position LIMIT ?"
_DEAD: Final = """
SELECT endpoint, position FROM webhooks_entries WHERE buried = 1 OR endpoint IN
(SELECT id FROM webhooks_endpoints WHERE failing_since < ?) ORDER BY position LIMIT ?
"""
_LAST_POSITION: Final = 1 << 62

# The first entry of each fact that is not passed says what was told before all of them.
_FIRST: Final = """
CREATE TEMP TABLE first AS
SELECT lane, member, holds, before, min(position) AS position FROM webhooks_entries
WHERE endpoint = ? AND repeat = 0 AND passed = 0 GROUP BY lane, member
"""
_FORGET_ALL: Final = """
DELETE FROM webhooks_told AS t
WHERE endpoint = ? AND (lane, member) IN (SELECT lane, member FROM first)
AND EXISTS (SELECT 1 FROM webhooks_entries AS e WHERE e.endpoint = t.endpoint
AND e.lane = t.lane AND e.member = t.member AND e.id = t.id)
"""
_TELL_ALL: Final = """
INSERT OR IGNORE INTO webhooks_told (endpoint, lane, member, id, sequence, info, made)
SELECT ?, lane, member, json_extract(before, '$[0]'), json_extract(before, '$[1]'),
json_extract(before, '$[2]'), CAST(json_extract(before, '$[3]') AS REAL)
FROM first WHERE holds = 0
"""


class _Entry(NamedTuple):
    position: int
    endpoint: str
    lane: str
    member: str
    holds: int
    id: str
    repeat: int
    before: str
    passed: int

    @property
    def fact(self) -> tuple[str, str, str]:
        return self.endpoint, self.lane, self.member


class Dropped(NamedTuple):
    """How many entries of which endpoints are gone, and which endpoints are adrift by that."""

    numbers: dict[str, int]
    adrift: frozenset[str]


def drop(connection: sqlite3.Connection, positions: Iterable[int], now: float) -> Dropped:
    """Drop the entries at *positions* and those that undo them."""
    numbers: dict[str, int] = {}
    adrift: set[str] = set()
    for position in sorted(positions):
        found = connection.execute(_ENTRY, (position,)).fetchone()
        if found is None:
            continue
        entry = _Entry(*found)
        gone, led_astray = _drop_one(connection, entry)
        numbers[entry.endpoint] = numbers.get(entry.endpoint, 0) + gone
        if led_astray:
            adrift.add(entry.endpoint)
    _set_adrift(connection, adrift, now)
    return Dropped(numbers, frozenset(adrift))


def _drop_one(connection: sqlite3.Connection, entry: _Entry) -> tuple[int, bool]:
    """How many are gone, and whether what was told had to be set back."""
    if entry.repeat or entry.passed:
        return _delete(connection, [entry.position]), False
    found = connection.execute(_NEXT, (*entry.fact, entry.position)).fetchone()
    following = _Entry(*found) if found is not None else None
    end = following.position if following is not None else _LAST_POSITION
    gone = 0
    if entry.holds:
        # What repeats an addition that nobody hears of goes with it.
        gone += connection.execute(_REPEATS, (*entry.fact, entry.position, end)).rowcount
    if following is not None and following.holds == entry.holds:
        # What lay between them was not to be heard of.
        return gone + _delete(connection, [entry.position]), False
    if following is not None:
        gone += _delete(connection, [entry.position, following.position])
        if following.holds:
            _tell_before(connection, entry, following)
        return gone, False
    gone += _delete(connection, [entry.position])
    if entry.holds:
        changed = connection.execute(_FORGET, (*entry.fact, entry.id))
    else:
        changed = connection.execute(_TELL, (*entry.fact, *json.loads(entry.before)))
    return gone, changed.rowcount > 0


def _tell_before(connection: sqlite3.Connection, removal: _Entry, addition: _Entry) -> None:
    """What was told before *removal* holds still, since *addition* is not heard of either."""
    found = connection.execute(_NEXT, (*addition.fact, addition.position)).fetchone()
    if found is None:
        connection.execute(_FORGET, (*addition.fact, addition.id))
        connection.execute(_TELL, (*removal.fact, *json.loads(removal.before)))
        return
    connection.execute(
        "UPDATE webhooks_entries SET before = ? WHERE position = ?",
        (removal.before, _Entry(*found).position),
    )


def _delete(connection: sqlite3.Connection, positions: Sequence[int]) -> int:
    return connection.execute(
        "DELETE FROM webhooks_entries WHERE position IN (SELECT value FROM json_each(?))",
        (json.dumps(positions),),
    ).rowcount


def drop_all(connection: sqlite3.Connection, endpoint: str, now: float) -> Dropped:
    """Drop everything that waits for *endpoint*: what is told is as before all of it.

    Nothing of it may be under way.
    """
    connection.execute("DROP TABLE IF EXISTS temp.first")
    connection.execute(_FIRST, (endpoint,))
    connection.execute(_FORGET_ALL, (endpoint,))
    connection.execute(_TELL_ALL, (endpoint,))
    gone = connection.execute(
        "DELETE FROM webhooks_entries WHERE endpoint = ?", (endpoint,)
    ).rowcount
    connection.execute("DROP TABLE temp.first")
    adrift = frozenset([endpoint]) if gone else frozenset()
    _set_adrift(connection, adrift, now)
    return Dropped({endpoint: gone} if gone else {}, adrift)


def _set_adrift(connection: sqlite3.Connection, endpoints: Iterable[str], now: float) -> None:
    connection.execute(
        "INSERT INTO webhooks_endpoints (id, seen, adrift)"
        " SELECT value, ?2, 1 FROM json_each(?1) WHERE true"
        " ON CONFLICT (id) DO UPDATE SET adrift = 1",
        (json.dumps(list(endpoints)), now),
    )


def too_many(
    connection: sqlite3.Connection, bounds: Bounds, now: float, most: int
) -> dict[str, list[int]]:
    """At most *most* positions of entries that have to go, by endpoint."""
    old = _positions(connection, _OLD, now - bounds.keep_seconds, most)
    if old or not bounds.max_backlog:
        return old
    excess = min(number(connection) - bounds.max_backlog, most)
    if excess <= 0:
        return {}
    dead = _positions(connection, _DEAD, now - bounds.retry_seconds, excess)
    return dead or _positions(connection, _OLDEST, excess)


def number(connection: sqlite3.Connection) -> int:
    """How many entries there are."""
    found: int = connection.execute("SELECT count(*) FROM webhooks_entries").fetchone()[0]
    return found


def _positions(connection: sqlite3.Connection, query: str, *values: Any) -> dict[str, list[int]]:
    listed = f"SELECT json_group_array(json_array(endpoint, position)) FROM ({query})"
    (answer,) = connection.execute(listed, values).fetchone()
    found: dict[str, list[int]] = {}
    for endpoint, position in json.loads(answer):
        found.setdefault(endpoint, []).append(position)
    return found


def forget_unused(
    connection: sqlite3.Connection, known: Iterable[str], keep_seconds: float, now: float
) -> list[str]:
    """Forget endpoints unknown and lanes unused for *keep_seconds*; answers those endpoints."""
    names = json.dumps(list(known))
    execute = connection.execute
    execute(
        "INSERT INTO webhooks_endpoints (id, seen) SELECT value, ?2 FROM json_each(?1) WHERE true"
        " ON CONFLICT (id) DO UPDATE SET seen = excluded.seen",
        (names, now),
    )
    unknown = [
        endpoint
        for (endpoint,) in execute(
            "SELECT id FROM webhooks_endpoints WHERE seen < ?", (now - keep_seconds,)
        ).fetchall()
    ]
    for endpoint in unknown:
        for table in ("entries", "told", "lanes"):
            execute(f"DELETE FROM webhooks_{table} WHERE endpoint = ?", (endpoint,))
        execute("DELETE FROM webhooks_endpoints WHERE id = ?", (endpoint,))
    execute(
        "DELETE FROM webhooks_lanes AS l WHERE used < ?"
        " AND NOT EXISTS (SELECT 1 FROM webhooks_told AS t"
        " WHERE t.endpoint = l.endpoint AND t.lane = l.lane)"
        " AND NOT EXISTS (SELECT 1 FROM webhooks_entries AS e"
        " WHERE e.endpoint = l.endpoint AND e.lane = l.lane)",
        (now - keep_seconds,),
    )
    return unknown
