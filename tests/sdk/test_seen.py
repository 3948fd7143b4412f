"""Events that come again are taken once."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from herenow import (
    AsyncChannels,
    Channels,
    EventMemory,
    InvalidArgument,
    InvalidWebhook,
    SeenEvents,
    WebhookInProgress,
)
from sdk.callers import APP_ID, KEY, SECRET
from sdk.test_numbered_webhooks import EVENTS, numbered
from sdk.test_webhooks import signed, webhook_of


@pytest.fixture
def channels() -> Channels:
    return Channels(APP_ID, KEY, SECRET)


class Failed(Exception):
    """The work that an event asks for did not succeed."""


class Table:
    """Ids in a table, whoever commits."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY)")

    def remember(self, event_id: str) -> bool:
        insert = "INSERT INTO seen (id) VALUES (?) ON CONFLICT DO NOTHING"
        return self._database.execute(insert, (event_id,)).rowcount == 1


class Awaited:
    """Another whose answer comes later."""

    def __init__(self, seen: SeenEvents) -> None:
        self._seen = seen

    async def remember(self, event_id: str) -> bool:
        await asyncio.sleep(0)
        return self._seen.remember(event_id)


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as opened:
        Table(opened)
        opened.commit()
        yield opened


def ids(body: bytes, seen: SeenEvents, channels: Channels, listed: str) -> list[str]:
    headers = numbered(body, ids=listed)
    return [event["id"] for event in channels.new_events(headers, body, seen)]


def test_only_what_is_new_is_given_and_in_order(channels: Channels) -> None:
    memory, body = EventMemory(), webhook_of(0, *EVENTS)
    with memory.transaction() as seen:
        assert ids(body, seen, channels, "a,b,c") == ["a", "b", "c"]
    with memory.transaction() as seen:
        assert ids(body, seen, channels, "c,d,a") == ["d"]


def test_an_event_that_stands_twice_in_a_webhook_is_given_once(channels: Channels) -> None:
    memory, body = EventMemory(), webhook_of(0, *EVENTS)
    with memory.transaction() as seen:
        assert ids(body, seen, channels, "a,b,a") == ["a", "b"]


def test_what_failed_is_given_again(channels: Channels) -> None:
    """What was done before in the same transaction is undone with it, so it is given as well."""
    memory, body = EventMemory(), webhook_of(0, *EVENTS)
    headers = numbered(body, ids="a,b,c")

    def fail_at(event_id: str) -> None:
        with memory.transaction() as seen:
            for event in channels.new_events(headers, body, seen):
                if event["id"] == event_id:
                    raise Failed

    with pytest.raises(Failed):
        fail_at("b")
    with memory.transaction() as seen:
        assert ids(body, seen, channels, "a,b,c") == ["a", "b", "c"]


def test_a_database_keeps_the_id_and_what_the_event_caused_or_neither(
    channels: Channels, database: sqlite3.Connection
) -> None:
    database.execute("CREATE TABLE members (id TEXT)")
    body = webhook_of(0, *EVENTS)
    headers = numbered(body)

    def take(*, failing: bool) -> None:
        with database:
            for event in channels.new_events(headers, body, Table(database)):
                database.execute("INSERT INTO members VALUES (?)", (event["id"],))
                if failing:
                    raise Failed

    for failing in (True, False, False):
        if failing:
            with pytest.raises(Failed):
                take(failing=True)
        else:
            take(failing=False)
    rows = database.execute("SELECT id FROM members ORDER BY rowid").fetchall()
    assert [row[0] for row in rows] == ["a1-7", "a1-8", "b-2"]


def test_what_is_being_taken_is_neither_discarded_nor_taken_twice(channels: Channels) -> None:
    """The first may still fail, and who discarded the second would have said that it is safe."""
    memory, body = EventMemory(), webhook_of(0, *EVENTS)
    begun, go_on = threading.Event(), threading.Event()
    taken: list[str] = []

    def slowly() -> None:
        with memory.transaction() as seen:
            for event in channels.new_events(numbered(body), body, seen):
                taken.append(event["id"])
                begun.set()
                assert go_on.wait(10)

    thread = threading.Thread(target=slowly)
    thread.start()
    assert begun.wait(10)
    with pytest.raises(WebhookInProgress) as meanwhile, memory.transaction() as seen:
        list(channels.new_events(numbered(body), body, seen))
    assert meanwhile.value.event_id == "a1-7"
    go_on.set()
    thread.join()
    assert taken == ["a1-7", "a1-8", "b-2"]
    with memory.transaction() as seen:
        assert list(channels.new_events(numbered(body), body, seen)) == []


def test_threads_that_take_the_same_events_take_each_once(channels: Channels) -> None:
    memory, body = EventMemory(), webhook_of(0, *EVENTS)
    headers, taken = numbered(body), list[str]()

    def take() -> None:
        while True:
            try:
                with memory.transaction() as seen:
                    found = [event["id"] for event in channels.new_events(headers, body, seen)]
            except WebhookInProgress:
                continue
            taken.extend(found)
            return

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == ["a1-7", "a1-8", "b-2"]


def test_memory_is_bounded_and_the_oldest_goes_first(channels: Channels) -> None:
    memory, body = EventMemory(most=3), webhook_of(0, *EVENTS)
    for listed, expected in (("a,b,c", ["a", "b", "c"]), ("d,b,c", ["d"]), ("a,b,d", ["a"])):
        with memory.transaction() as seen:
            assert ids(body, seen, channels, listed) == expected


@pytest.mark.parametrize("most", [0, -1])
def test_a_memory_of_nothing_is_none(most: int) -> None:
    with pytest.raises(InvalidArgument, match="expected 1 or more"):
        EventMemory(most)


def test_a_memory_is_given_by_its_transaction(channels: Channels) -> None:
    """Whoever passes the memory itself is told so."""
    body = webhook_of(0, *EVENTS)
    with pytest.raises(InvalidArgument, match=r"expected what memory\.transaction\(\) gives"):
        list(channels.new_events(numbered(body), body, EventMemory()))  # type: ignore[arg-type]


def test_without_ids_nothing_is_given(channels: Channels) -> None:
    """Refused by the call itself, before anything is remembered."""
    body = webhook_of(0, *EVENTS)
    with EventMemory().transaction() as seen:
        with pytest.raises(InvalidWebhook, match="X-Herenow-Event-Ids is missing"):
            channels.new_events(signed(body), body, seen)
        with pytest.raises(InvalidWebhook, match="not that of this body"):
            channels.new_events(numbered(body), body + b" ", seen)


@pytest.mark.parametrize("client", [Channels, AsyncChannels])
def test_remembering_may_have_to_be_awaited(
    client: type[Channels] | type[AsyncChannels], database: sqlite3.Connection
) -> None:
    channels, body = client(APP_ID, KEY, SECRET), webhook_of(0, *EVENTS)
    headers = numbered(body)

    async def take() -> list[str]:
        seen = Awaited(Table(database))
        return [event["id"] async for event in channels.new_events_async(headers, body, seen)]

    async def take_in_memory(memory: EventMemory) -> list[str]:
        with memory.transaction() as seen:
            return [event["id"] async for event in channels.new_events_async(headers, body, seen)]

    assert asyncio.run(take()) == ["a1-7", "a1-8", "b-2"]
    assert asyncio.run(take()) == []
    memory = EventMemory()
    assert asyncio.run(take_in_memory(memory)) == ["a1-7", "a1-8", "b-2"]
    assert asyncio.run(take_in_memory(memory)) == []
