"""What is in the journal, and small changes of it that no other entry depends on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from herenow.webhooks.journal import Condition, Depth, Entry, Fact

_COLUMNS: Final = (
    "position, endpoint, lane, member, holds, info, id, sequence, made, repeat, buried"
)
_AS_JSON: Final = f"SELECT json_group_array(json_array({_COLUMNS})) FROM"
_REPEAT: Final = """
INSERT INTO webhooks_entries
(position, endpoint, lane, member, holds, info, id, sequence, made, repeat, buried, before)
SELECT ? + row_number() OVER (ORDER BY lane, member),
endpoint, lane, member, 1, info, id, sequence, ?, 1, 0, ''
FROM webhooks_told AS t WHERE endpoint = ? AND lane > ? AND lane <= ?
AND id <> '' AND NOT EXISTS (SELECT 1 FROM webhooks_entries AS e
WHERE e.endpoint = t.endpoint AND e.lane = t.lane AND e.member = t.member
AND e.id = t.id AND e.buried = 0)
"""

_LAST_OF_FACTS: Final = """
SELECT json_group_array(json_array(lane, member, last)) FROM (SELECT lane, member,
max(position) AS last FROM webhooks_entries WHERE endpoint = ?
AND position IN (SELECT value FROM json_each(?)) GROUP BY lane, member)
"""
# From what is delivered to what is there of the same facts: that is little, usually nothing.
_PASS: Final = """
UPDATE webhooks_entries SET passed = 1 WHERE passed = 0 AND position IN
(SELECT e.position FROM json_each(?1) AS d CROSS JOIN webhooks_entries AS e
INDEXED BY webhooks_entries_fact WHERE e.endpoint = ?2
AND e.lane = json_extract(d.value, '$[0]') AND e.member = json_extract(d.value, '$[1]')
AND e.position < json_extract(d.value, '$[2]'))
"""

FIRST_FACT: Final = Fact("")


class ToldPage(NamedTuple):
    """Facts that count as told; ``after`` is where the next page begins, None if there is none."""

    facts: list[Fact]
    after: Fact | None


class Repeated(NamedTuple):
    """How many entries came, and the lane after which to go on; None if there is none."""

    entries: int
    after: str | None


def window(
    connection: sqlite3.Connection, endpoint: str, after: int, most: int, lane: str | None
) -> list[Entry]:
    """The first *most* entries beyond *after* that are not buried: of a lane, or of all."""
    # Named, or the planner may walk the lanes for what has to come in the order of positions.
    index = "webhooks_entries_endpoint" if lane is None else "webhooks_entries_lane"
    of_lane = "" if lane is None else " AND lane = ?"
    query = (
        f"{_AS_JSON} (SELECT {_COLUMNS} FROM webhooks_entries INDEXED BY {index}"
        f" WHERE endpoint = ? AND buried = 0 AND position > ?{of_lane} ORDER BY position LIMIT ?)"
    )
    values = (endpoint, after, most) if lane is None else (endpoint, after, lane, most)
    return _entries(connection, query, values)


def page(
    connection: sqlite3.Connection, endpoint: str, after: int, most: int, buried_only: bool
) -> list[Entry]:
    of_buried = " AND buried = 1" if buried_only else ""
    query = (
        f"{_AS_JSON} (SELECT {_COLUMNS} FROM webhooks_entries"
        f" WHERE endpoint = ? AND position > ?{of_buried} ORDER BY position LIMIT ?)"
    )
    return _entries(connection, query, (endpoint, after, most))


def _entries(connection: sqlite3.Connection, query: str, values: tuple[Any, ...]) -> list[Entry]:
    (answer,) = connection.execute(query, values).fetchone()
    return [
        Entry(
            position,
            endpoint,
            Fact(lane, member or None),
            bool(holds),
            info.encode(),
            event,
            sequence,
            made,
            bool(repeat),
            bool(buried),
        )
        for (
            position,
            endpoint,
            lane,
            member,
            holds,
            info,
            event,
            sequence,
            made,
            repeat,
            buried,
        ) in json.loads(answer)
    ]


def positions_of(
    connection: sqlite3.Connection, endpoint: str, ids: Sequence[str] | None
) -> list[int]:
    """Where the events with these ids are, or all; one that is told again is in two places."""
    chosen = "" if ids is None else " AND id IN (SELECT value FROM json_each(?))"
    values = (endpoint,) if ids is None else (endpoint, json.dumps(list(ids)))
    (answer,) = connection.execute(
        f"SELECT json_group_array(position) FROM webhooks_entries WHERE endpoint = ?{chosen}",
        values,
    ).fetchone()
    positions: list[int] = json.loads(answer)
    return positions


def forget(connection: sqlite3.Connection, endpoint: str, positions: Sequence[int]) -> int:
    """Forget what is delivered; earlier entries of the same facts are passed by that."""
    delivered = endpoint, json.dumps(list(positions))
    (facts,) = connection.execute(_LAST_OF_FACTS, delivered).fetchone()
    gone = connection.execute(
        "DELETE FROM webhooks_entries WHERE endpoint = ?"
        " AND position IN (SELECT value FROM json_each(?))",
        delivered,
    ).rowcount
    connection.execute(_PASS, (facts, endpoint))
    return gone


def bury(connection: sqlite3.Connection, endpoint: str, positions: Sequence[int]) -> int:
    return connection.execute(
        "UPDATE webhooks_entries SET buried = 1 WHERE endpoint = ? AND buried = 0"
        " AND position IN (SELECT value FROM json_each(?))",
        (endpoint, json.dumps(list(positions))),
    ).rowcount


def revive(connection: sqlite3.Connection, endpoint: str, ids: Sequence[str] | None) -> int:
    """Entries keep the place that they had."""
    chosen = "" if ids is None else " AND id IN (SELECT value FROM json_each(?))"
    values = (endpoint,) if ids is None else (endpoint, json.dumps(list(ids)))
    return connection.execute(
        f"UPDATE webhooks_entries SET buried = 0 WHERE endpoint = ? AND buried = 1{chosen}", values
    ).rowcount


def condition(connection: sqlite3.Connection, endpoint: str) -> Condition:
    found = connection.execute(
        "SELECT failing_since, answer, attempted, adrift FROM webhooks_endpoints WHERE id = ?",
        (endpoint,),
    ).fetchone()
    if found is None:
        return Condition()
    failing_since, answer, attempted, adrift = found
    return Condition(failing_since, answer, attempted, bool(adrift))


def note(connection: sqlite3.Connection, endpoint: str, noted: Condition, now: float) -> None:
    """Keep how *endpoint* does; whether it is adrift is for whoever drops and reconciles."""
    connection.execute(
        "INSERT INTO webhooks_endpoints (id, seen, failing_since, answer, attempted)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " failing_since = excluded.failing_since, answer = excluded.answer,"
        " attempted = excluded.attempted",
        (endpoint, now, noted.failing_since, noted.answer, noted.attempted),
    )


def clear_adrift(connection: sqlite3.Connection, endpoint: str) -> None:
    connection.execute("UPDATE webhooks_endpoints SET adrift = 0 WHERE id = ?", (endpoint,))


def depth(connection: sqlite3.Connection, endpoint: str) -> Depth:
    counted = "SELECT count(*) FROM webhooks_entries WHERE endpoint = ? AND buried = ?"
    (waiting,) = connection.execute(counted, (endpoint, 0)).fetchone()
    (buried,) = connection.execute(counted, (endpoint, 1)).fetchone()
    oldest = connection.execute(
        "SELECT made FROM webhooks_entries INDEXED BY webhooks_entries_endpoint"
        " WHERE endpoint = ? AND buried = 0 ORDER BY position LIMIT 1",
        (endpoint,),
    ).fetchone()
    made = None if oldest is None else oldest[0]
    return Depth(waiting, buried, made, condition(connection, endpoint))


def told(connection: sqlite3.Connection, endpoint: str, after: Fact, most: int) -> ToldPage:
    (answer,) = connection.execute(
        "SELECT json_group_array(json_array(lane, member)) FROM (SELECT lane, member"
        " FROM webhooks_told WHERE endpoint = ?1 AND lane >= ?2 AND (lane > ?2 OR member < ?3)"
        " ORDER BY lane, member DESC LIMIT ?4)",
        (endpoint, after.lane, after.member or "", most),
    ).fetchone()
    facts = [Fact(lane, member or None) for lane, member in json.loads(answer)]
    return ToldPage(facts, facts[-1] if len(facts) == most else None)


def repeat(
    connection: sqlite3.Connection, endpoint: str, after: str, most: int, now: float
) -> Repeated:
    """Tell the additions of *most* lanes beyond *after* once more, unless they wait."""
    (last,) = connection.execute(
        "SELECT max(lane) FROM (SELECT DISTINCT lane FROM webhooks_told"
        " WHERE endpoint = ? AND lane > ? ORDER BY lane LIMIT ?)",
        (endpoint, after, most),
    ).fetchone()
    if last is None:
        return Repeated(0, None)
    (position,) = connection.execute("SELECT position FROM webhooks_journal").fetchone()
    number = connection.execute(_REPEAT, (position, now, endpoint, after, last)).rowcount
    connection.execute("UPDATE webhooks_journal SET position = position + ?", (number,))
    return Repeated(number, last)
