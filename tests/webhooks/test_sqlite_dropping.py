"""Entries that are never delivered lead nobody astray."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herenow.webhooks.journal import Bounds, Change, Entry, Fact
from herenow.webhooks.sqlite import SqliteJournal
from webhooks.journals import ENDPOINT, OTHER, Picture, Time, comes, goes, journal, told, waiting

pytestmark = pytest.mark.anyio

ROOM = Fact("cpresence-room")
ANNA = Fact("cpresence-room", "anna")
BEN = Fact("cpresence-room", "ben")
UNBOUNDED = Bounds(keep_seconds=1e9, max_backlog=0, retry_seconds=300)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "herenow.db"


async def test_an_entry_goes_with_the_one_that_undoes_it(path: Path) -> None:
    """A receiver that heard of neither believes what is so; the endpoint is not adrift."""
    async with journal(path) as opened:
        await opened.settle([comes(ANNA), comes(BEN), goes(ANNA)])
        first = (await waiting(opened))[0]
        dropped = await opened.drop(ENDPOINT, [first.id])
        assert dropped.numbers == {ENDPOINT: 2}
        assert [entry.fact for entry in await waiting(opened)] == [BEN]
        assert not (await opened.condition(ENDPOINT)).adrift


async def test_an_entry_that_nothing_undoes_counts_as_not_told(path: Path) -> None:
    """The endpoint is adrift, so that it is told anew when it answers."""
    async with journal(path) as opened:
        await opened.settle([comes(ANNA)])
        dropped = await opened.drop(ENDPOINT, [(await waiting(opened))[0].id])
        assert dropped.adrift == {ENDPOINT}
        assert (await opened.condition(ENDPOINT)).adrift
        assert await told(opened) == []
        await opened.settle([comes(ANNA)])
        assert len(await waiting(opened)) == 1


async def test_a_dropped_removal_leaves_the_addition_told_that_was_delivered(path: Path) -> None:
    """What is repeated later has the id that the receiver knows."""
    async with journal(path) as opened:
        await opened.settle([comes(ANNA, b'{"a":1}')])
        (addition,) = await waiting(opened)
        await opened.delivered(ENDPOINT, [addition.position])
        await opened.settle([goes(ANNA), comes(ANNA)])
        await opened.drop(ENDPOINT, [(await waiting(opened))[0].id])
        await opened.repeat(ENDPOINT)
        (repeat,) = await waiting(opened)
        assert (repeat.id, repeat.info) == (addition.id, addition.info)


async def test_dropping_everything_sets_back_what_was_told(path: Path) -> None:
    """After that, the told facts are those whose additions were delivered."""
    async with journal(path) as opened:
        await opened.settle([comes(ROOM), comes(ANNA)])
        await opened.delivered(ENDPOINT, [1, 2])
        await opened.settle([goes(ANNA), comes(BEN), comes(ROOM, endpoint=OTHER)])
        assert (await opened.drop(ENDPOINT, None)).numbers == {ENDPOINT: 2}
        assert await told(opened) == [ANNA, ROOM]
        assert len(await waiting(opened, OTHER)) == 1


async def test_entries_older_than_the_keeping_go(path: Path) -> None:
    """Younger ones stay."""
    time = Time()
    async with journal(path, time) as opened:
        await opened.settle([comes(ANNA)])
        time.now += 100
        await opened.settle([comes(BEN)])
        bounds = UNBOUNDED._replace(keep_seconds=50)
        assert await opened.too_many(bounds) == {ENDPOINT: [1]}
        await opened.drop_at([1])
        assert await opened.too_many(bounds) == {}
        assert [entry.fact for entry in await waiting(opened)] == [BEN]


async def test_of_too_many_the_dead_letters_go_first(path: Path) -> None:
    """Buried entries and those of endpoints given up go before older ones; then the oldest."""
    changes = [comes(Fact(f"c{number}")) for number in range(4)]
    async with journal(path) as opened:
        await opened.settle([*changes, comes(ROOM, endpoint=OTHER)])
        await opened.bury(ENDPOINT, [3])
        await opened.note(OTHER, (await opened.condition(OTHER))._replace(failing_since=1.0))
        bounds = UNBOUNDED._replace(max_backlog=2)
        steps = []
        while step := await opened.too_many(bounds):
            steps.append(step)
            await opened.drop_at(position for positions in step.values() for position in positions)
        assert steps == [{ENDPOINT: [3], OTHER: [5]}, {ENDPOINT: [1]}]
        assert [entry.position for entry in await waiting(opened)] == [2, 4]


async def test_an_endpoint_long_unknown_is_forgotten(path: Path) -> None:
    """With its entries, what it was told and its sequences."""
    time = Time()
    async with journal(path, time) as opened:
        await opened.forget_unused([ENDPOINT, OTHER], 50)
        await opened.settle([comes(ROOM), comes(ROOM, endpoint=OTHER)])
        time.now += 100
        assert await opened.forget_unused([ENDPOINT], 50) == [OTHER]
        assert await told(opened) == [ROOM]
        assert await told(opened, OTHER) == []
        assert await waiting(opened, OTHER) == []


async def test_the_sequence_of_a_forgotten_lane_does_not_fall(path: Path) -> None:
    """It begins anew at the time, which has gone on."""
    time = Time()
    async with journal(path, time) as opened:
        await opened.settle([comes(ROOM), goes(ROOM)])
        last = (await waiting(opened))[-1]
        await opened.delivered(ENDPOINT, [1, 2])
        time.now += 100
        await opened.forget_unused([ENDPOINT], 50)
        await opened.settle([comes(ROOM)])
        assert (await waiting(opened))[0].sequence > last.sequence + 1


async def test_what_is_under_way_is_not_dropped(path: Path) -> None:
    """A receiver may have it already."""
    async with journal(path) as opened:
        await opened.settle([comes(ROOM), comes(ANNA)])
        assert (await opened.drop(ENDPOINT, None, {1})).numbers == {ENDPOINT: 1}
        assert await told(opened) == [ROOM]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("settle"), st.sampled_from([ROOM, ANNA, BEN]), st.booleans()),
        st.tuples(st.just("deliver"), st.integers(0, 3), st.none()),
        st.tuples(st.just("drop"), st.integers(0, 5), st.none()),
        st.tuples(st.sampled_from(["drop all", "repeat"]), st.none(), st.none()),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_is_dropped_receivers_alternate_and_end_with_what_is_told(
    steps: list[tuple[str, object, bool | None]],
) -> None:
    """Distinct events of a fact alternate; at last the receiver believes what counts as told."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with journal(Path(directory) / "herenow.db") as opened:
                picture = Picture()

                async def deliver(entries: list[Entry]) -> None:
                    for entry in entries:
                        picture.take(entry)
                    await opened.delivered(ENDPOINT, [entry.position for entry in entries])

                for name, value, holds in steps:
                    if name == "settle":
                        assert isinstance(value, Fact)
                        await opened.settle([Change(ENDPOINT, value, bool(holds))])
                    elif name == "deliver":
                        assert isinstance(value, int)
                        await deliver((await waiting(opened))[:value])
                    elif name == "drop":
                        assert isinstance(value, int)
                        chosen = (await waiting(opened))[value : value + 1]
                        await opened.drop(ENDPOINT, [entry.id for entry in chosen])
                    elif name == "drop all":
                        await opened.drop(ENDPOINT, None)
                    else:
                        await opened.repeat(ENDPOINT)
                await deliver(await waiting(opened))
                assert picture.holding == set(await told(opened))

    asyncio.run(run())


async def buried(opened: SqliteJournal, change: Change) -> Entry:
    """What *change* became; it was given up."""
    await opened.settle([change])
    entry = (await waiting(opened))[-1]
    await opened.bury(ENDPOINT, [entry.position])
    return entry


async def delivered(opened: SqliteJournal, *changes: Change) -> list[Entry]:
    await opened.settle(changes)
    entries = await waiting(opened)
    await opened.delivered(ENDPOINT, [entry.position for entry in entries])
    return entries


@pytest.mark.parametrize("everything", [False, True])
async def test_a_dropped_dead_letter_does_not_undo_a_newer_addition(
    path: Path, everything: bool
) -> None:
    """Who was told of a return believes it, whatever becomes of the first arrival."""
    async with journal(path) as opened:
        first = await buried(opened, comes(ANNA))
        await delivered(opened, goes(ANNA), comes(ANNA))
        dropped = await opened.drop(ENDPOINT, None if everything else [first.id])
        assert dropped.numbers == {ENDPOINT: 1}
        assert await told(opened) == [ANNA]
        await opened.settle([comes(ANNA)])
        assert await waiting(opened) == []


async def test_a_dropped_dead_letter_leaves_the_removal_of_a_newer_addition(path: Path) -> None:
    """That removal undoes what was delivered, not what was given up."""
    async with journal(path) as opened:
        first = await buried(opened, comes(ANNA))
        await delivered(opened, goes(ANNA), comes(ANNA))
        await opened.settle([goes(ANNA)])
        assert (await opened.drop(ENDPOINT, [first.id])).numbers == {ENDPOINT: 1}
        assert [entry.holds for entry in await waiting(opened)] == [False]


@pytest.mark.parametrize("everything", [False, True])
async def test_a_dropped_dead_removal_tells_nothing_that_was_taken_back_since(
    path: Path, everything: bool
) -> None:
    """The last that was delivered says that she is gone."""
    async with journal(path) as opened:
        await delivered(opened, comes(ANNA))
        removal = await buried(opened, goes(ANNA))
        await delivered(opened, comes(ANNA), goes(ANNA))
        await opened.drop(ENDPOINT, None if everything else [removal.id])
        assert await told(opened) == []


async def test_a_dropped_dead_letter_that_was_told_again_stays_told(path: Path) -> None:
    """A repeat was delivered: the receiver knows of her."""
    async with journal(path) as opened:
        first = await buried(opened, comes(ANNA))
        await opened.repeat(ENDPOINT)
        await delivered(opened)
        await opened.drop(ENDPOINT, [first.id])
        assert await told(opened) == [ANNA]
