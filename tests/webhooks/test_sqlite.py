"""The journal in SQLite: what becomes an event, in which order, and what outlives a process."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from herenow.webhooks.journal import Change, Condition, Fact, JournalUnusable
from herenow.webhooks.sqlite import SqliteJournal
from webhooks.journals import ENDPOINT, OTHER, Time, comes, goes, journal, told, waiting

pytestmark = pytest.mark.anyio

ROOM = Fact("cpresence-room")
ANNA = Fact("cpresence-room", "anna")
BEN = Fact("cpresence-room", "ben")
LOBBY = Fact("clobby")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "herenow.db"


async def test_a_change_becomes_an_event_once(path: Path) -> None:
    """What an endpoint was told already is no news: additions and removals alternate."""
    changes = [comes(ANNA), comes(ANNA), goes(ANNA), goes(ANNA), comes(ANNA), goes(BEN)]
    async with journal(path) as opened:
        await opened.settle(changes)
        await opened.settle(changes[:2])
        assert [entry.holds for entry in await waiting(opened)] == [True, False, True]
        assert await told(opened) == [ANNA]


async def test_a_settled_batch_says_where_each_change_ended(path: Path) -> None:
    """Positions rise by one with each event; a change that is no news leaves them as they are."""
    async with journal(path) as opened:
        settled = await opened.settle([comes(ANNA), comes(ANNA), comes(BEN)])
        assert settled.ends == [0, 1, 1, 2]
        assert settled.endpoints == {ENDPOINT}
        assert (await opened.settle([comes(ANNA)])).ends == [2, 2]


async def test_the_sequence_counts_the_events_of_a_lane(path: Path) -> None:
    """It begins at the milliseconds since 1970 and goes up by one, for each endpoint by itself."""
    time = Time(1_760_000_000.0)
    async with journal(path, time) as opened:
        await opened.settle([comes(ROOM), comes(ANNA), comes(LOBBY), comes(ROOM, endpoint=OTHER)])
        time.now += 3600
        await opened.settle([goes(ANNA)])
        begin = 1_760_000_000_000
        sequences = [(entry.fact.lane, entry.sequence) for entry in await waiting(opened)]
        assert sequences == [
            (ROOM.lane, begin),
            (ROOM.lane, begin + 1),
            (LOBBY.lane, begin),
            (ROOM.lane, begin + 2),
        ]
        assert [entry.sequence for entry in await waiting(opened, OTHER)] == [begin]


async def test_everything_outlives_the_process(path: Path) -> None:
    """Entries, ids, sequences, what was told and how an endpoint did are there after a restart."""
    failing = Condition(failing_since=5.0, answer="500", attempted=6.0)
    info = '{"name":"Ännä"}'.encode()
    async with journal(path) as opened:
        await opened.settle([comes(ROOM), comes(ANNA, info)])
        await opened.note(ENDPOINT, failing)
        before = await waiting(opened)
    async with journal(path) as opened:
        assert await waiting(opened) == before
        assert before[1].info == info
        assert await opened.condition(ENDPOINT) == failing
        await opened.settle([comes(ROOM), goes(ANNA)])
        after = await waiting(opened)
        begin = before[0].sequence
        assert [entry.sequence for entry in after] == [begin, begin + 1, begin + 2]
        assert len({entry.id for entry in after}) == 3


async def test_a_copy_of_the_file_gives_no_id_twice(path: Path, tmp_path: Path) -> None:
    """A file that was restored goes on with ids that no event had before."""
    async with journal(path) as opened:
        await opened.settle([comes(ROOM)])
    copy = tmp_path / "copy.db"
    await asyncio.to_thread(shutil.copy, path, copy)
    ids = set()
    for file in (path, copy):
        async with journal(file) as opened:
            await opened.settle([comes(LOBBY)])
            ids.add((await waiting(opened))[-1].id)
    assert len(ids) == 2


async def test_a_silent_change_counts_as_told_without_an_event(path: Path) -> None:
    """An endpoint that wants removals only gets them, and alternates as every other."""
    silent = Change(ENDPOINT, ANNA, True, b"", silent=True)
    async with journal(path) as opened:
        await opened.settle([silent, silent, goes(ANNA), goes(ANNA)])
        assert [entry.holds for entry in await waiting(opened)] == [False]


async def test_what_was_told_silently_is_told_aloud_when_it_is_wanted(path: Path) -> None:
    """A filter that now has additions makes them events."""
    async with journal(path) as opened:
        await opened.settle([Change(ENDPOINT, ANNA, True, b"", silent=True), comes(ANNA)])
        assert [entry.holds for entry in await waiting(opened)] == [True]


async def test_a_removal_without_info_has_that_of_its_addition(path: Path) -> None:
    """Who is found to be gone later is told with what was known of him."""
    async with journal(path) as opened:
        await opened.settle([comes(ANNA, b'{"a":1}'), goes(ANNA)])
        assert [entry.info for entry in await waiting(opened)] == [b'{"a":1}', b'{"a":1}']


async def test_windows_are_read_by_position_and_by_lane(path: Path) -> None:
    """A reader gets what is beyond a position: of every lane, or of one; never what is buried."""
    async with journal(path) as opened:
        await opened.settle([comes(ROOM), comes(LOBBY), comes(ANNA), comes(BEN)])
        await opened.bury(ENDPOINT, [3])
        assert [entry.position for entry in await opened.read(ENDPOINT, 1, 2)] == [2, 4]
        lane = await opened.read(ENDPOINT, 0, 9, ROOM.lane)
        assert [entry.fact for entry in lane] == [ROOM, BEN]


async def test_what_is_delivered_is_forgotten(path: Path) -> None:
    """It is gone, and so is its weight on the depth of the backlog."""
    async with journal(path) as opened:
        await opened.settle([comes(ROOM), comes(ANNA), comes(BEN)])
        await opened.delivered(ENDPOINT, [1])
        await opened.bury(ENDPOINT, [2])
        depth = await opened.depth(ENDPOINT)
        assert (depth.waiting, depth.buried, depth.oldest) == (1, 1, Time()())


async def test_buried_entries_are_revived_where_they_were(path: Path) -> None:
    """An operator has one delivered after all, or every one, each in its old place."""
    async with journal(path) as opened:
        await opened.settle([comes(ROOM), comes(ANNA), comes(BEN)])
        await opened.bury(ENDPOINT, [1, 2])
        buried, cursor = await opened.page(ENDPOINT, "", 1, buried_only=True)
        assert [entry.position for entry in buried] == [1]
        assert await opened.revive(ENDPOINT, [buried[0].id, "unknown"]) == 1
        assert [entry.position for entry in await waiting(opened)] == [1, 3]
        buried, cursor = await opened.page(ENDPOINT, cursor, 5, buried_only=True)
        assert ([entry.position for entry in buried], cursor) == ([2], "")
        assert await opened.revive(ENDPOINT, None) == 1
        assert [entry.position for entry in await waiting(opened)] == [1, 2, 3]


async def test_told_additions_are_repeated_with_their_id_and_sequence(path: Path) -> None:
    """Receivers know them again; those that wait anyway are not told twice."""
    async with journal(path) as opened:
        await opened.settle([comes(ROOM), comes(ANNA), comes(LOBBY), comes(BEN), goes(BEN)])
        first = await waiting(opened)
        await opened.delivered(ENDPOINT, [1, 2])
        assert (await opened.repeat(ENDPOINT)).entries == 2
        assert (await opened.repeat(ENDPOINT)).entries == 0
        repeats = [entry for entry in await waiting(opened) if entry.repeat]
        assert [(entry.fact, entry.id, entry.sequence) for entry in repeats] == [
            (entry.fact, entry.id, entry.sequence) for entry in first[:2]
        ]


async def test_repeats_are_made_lane_by_lane(path: Path) -> None:
    """Each step takes so many lanes, until there is none left."""
    async with journal(path) as opened:
        await opened.settle([comes(Fact(f"c{number}")) for number in range(5)])
        await opened.delivered(ENDPOINT, range(1, 6))
        steps, after = [], ""
        while (step := await opened.repeat(ENDPOINT, after, 2)).after is not None:
            steps.append(step.entries)
            after = step.after
        assert steps == [2, 2, 1]


async def test_told_facts_are_paged_members_before_their_channel(path: Path) -> None:
    """Whoever compares them removes members first, on whatever page the channel is."""
    members = [Fact("cpresence-room", str(number)) for number in range(5)]
    async with journal(path) as opened:
        await opened.settle([comes(fact) for fact in (LOBBY, ROOM, *members)])
        facts: list[Fact] = []
        page = await opened.told(ENDPOINT, most=2)
        while page.after is not None:
            facts += page.facts
            page = await opened.told(ENDPOINT, page.after, 2)
        facts += page.facts
        assert facts == [LOBBY, *reversed(members), ROOM]


async def test_nobody_else_can_read_the_file(path: Path) -> None:
    """What users are called and said to be is for the server alone, in each of its files."""
    async with journal(path) as opened:
        await opened.settle([comes(ROOM)])
        files = sorted(path.parent.glob("herenow.db*"))
        assert len(files) == 4
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_a_second_server_is_refused(path: Path) -> None:
    """One process uses a file as its outbox; the error names both ways out."""
    async with journal(path):
        with pytest.raises(JournalUnusable, match=r"cluster\.url.*store\.outbox"):
            await SqliteJournal.open(path, Time())
    async with journal(path):
        pass


async def test_a_damaged_file_is_refused_with_what_to_do(path: Path) -> None:
    """A file that is no database is named, with the way to a new one."""
    write = path.write_bytes
    await asyncio.to_thread(write, b"no database, but long enough to be looked at as one" * 100)
    with pytest.raises(JournalUnusable, match="move it away"):
        await SqliteJournal.open(path, Time())


async def test_a_file_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """The error names the setting that says where the file is."""
    with pytest.raises(JournalUnusable, match=r"store\.outbox"):
        await SqliteJournal.open(tmp_path / "absent" / "herenow.db", Time())


async def test_work_that_fails_undoes_nothing_that_shared_its_transaction(path: Path) -> None:
    """The others of its group are written."""

    def breaks(connection: sqlite3.Connection) -> None:
        raise RuntimeError("unexpected")

    async with journal(path) as opened:
        answers = await asyncio.gather(
            opened.settle([comes(ANNA)]),
            opened._writer.ask(breaks),
            opened.settle([comes(BEN)]),
            return_exceptions=True,
        )
        assert [isinstance(answer, RuntimeError) for answer in answers] == [False, True, False]
        assert [entry.fact for entry in await waiting(opened)] == [ANNA, BEN]
