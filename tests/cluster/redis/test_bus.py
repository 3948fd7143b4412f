"""The bus over a real server: who gets which event, in which order, and what is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cluster.redis.recording import PARTITIONS, RecordedSession, answer, running, until
from cluster.servers import Valkey
from herenow.cluster.base import CachedEvent, Publication, Refusal
from herenow.cluster.partitions.placement import partition_of
from herenow.cluster.redis.bus import RedisBus
from herenow.cluster.redis.engine import RedisEngine

pytestmark = pytest.mark.anyio


class LoopClock:
    """Implements ``base.Clock``."""

    def time(self) -> float:
        return time.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        return asyncio.get_running_loop().call_later(delay, callback)


class Node:
    """A node's end of the bus: what it was told, in order."""

    def __init__(self, engine: RedisEngine) -> None:
        self.engine = engine
        self.told: list[Any] = []
        self.bus = RedisBus(engine, LoopClock(), lambda *count: self.told.append(count))
        self.bus.attach(self)

    def deliver(self, publication: Publication) -> None:
        self.told.append(publication)

    def missed(self, app: str, channel: str) -> None:
        self.told.append(("missed", app, channel))

    def app_changed(self, app: str) -> None:
        self.told.append(("changed", app))

    @property
    def events(self) -> list[Publication]:
        return [told for told in self.told if isinstance(told, Publication)]

    @property
    def missed_channels(self) -> set[str]:
        others = [told for told in self.told if not isinstance(told, Publication)]
        return {told[2] for told in others if told[0] == "missed"}

    async def follow(self, channel: str) -> None:
        done = asyncio.Event()
        self.bus.follow("1", channel, done.set)
        await asyncio.wait_for(done.wait(), 30)

    async def publish(self, *publications: Publication) -> bool:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.bus.publish(publications, done.set_result)
        return await asyncio.wait_for(done, 30)

    async def cached(self, channel: str) -> CachedEvent | Refusal | None:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.bus.cached("1", channel, done.set_result)
        return await asyncio.wait_for(done, 30)


@asynccontextmanager
async def two_nodes(valkey: Valkey) -> AsyncIterator[tuple[Node, Node]]:
    async with running(valkey.url) as one, running(valkey.url) as other:
        yield Node(one), Node(other)


def event(channel: str, payload: bytes = b"{}", **more: Any) -> Publication:
    return Publication("1", channel, payload, **more)


async def test_an_event_reaches_the_followers_as_it_was_published(valkey: Valkey) -> None:
    async with two_nodes(valkey) as (here, there):
        await here.follow("room")
        await there.follow("room")
        payload = b'{"data":"\n' + bytes(range(256)) + b'"}'
        published = [
            event("room", payload, skip="12.34"),
            event("room", payload, sealed=True),
            event("room", payload, cached=True, sealed=True),
            event("other", payload),
            event("room", b""),
        ]
        assert await here.publish(*published)
        expected = [each for each in published if each.channel == "room"]
        await until(lambda: here.told == there.told == expected)


async def test_the_last_event_of_a_cache_channel_is_kept_for_its_time(valkey: Valkey) -> None:
    async with two_nodes(valkey) as (here, there):
        assert await here.cached("cache-room") is None
        first = event("cache-room", b"first", cached=True, data=b'"1"', ttl=60)
        second = event("cache-room", b"sec\nond", cached=True, data=b'"2"', ttl=60)
        assert await here.publish(first, second, event("cache-room", b"passing"))
        kept = await there.cached("cache-room")
        assert isinstance(kept, CachedEvent)
        assert kept[:2] == (b"sec\nond", b'"2"')
        assert 50 < kept.seconds_left <= 60
        short = event("cache-room", b"short", cached=True, data=b'"3"', ttl=0.001)
        assert await there.publish(short)
        await asyncio.sleep(0.01)
        assert await there.cached("cache-room") is None


async def test_what_is_announced_of_a_channel_goes_to_its_followers(valkey: Valkey) -> None:
    async with two_nodes(valkey) as (here, there):
        await there.follow("room")
        partition = partition_of("1", "room", PARTITIONS)
        hello = await answer(here.engine, "hello", partition, "node", 1, 0, 1, "")
        assert hello is not None
        session = ("node", 1, hello[1])
        announced = (*session, "1/room", 7, 2, 1_000_000, 100)
        assert (await answer(here.engine, "announce", partition, *announced)) is not None  # type: ignore[arg-type]
        await until(lambda: there.told == [("1", "room", 7)])
        assert here.told == []


async def test_a_changed_application_is_told_to_every_node(valkey: Valkey) -> None:
    async with two_nodes(valkey) as (here, there):
        await here.follow("room")
        await there.follow("room")
        answers: list[bool] = []
        here.bus.change_app("app-1", answers.append)
        await until(lambda: here.told == there.told == [("changed", "app-1")])
        assert answers == [True]


async def test_a_node_that_could_not_hear_is_told_what_it_may_have_missed(valkey: Valkey) -> None:
    async with running(valkey.url) as engine:
        node = Node(engine)
        await node.follow("news")
        valkey.command("CLIENT", "KILL", "TYPE", "PUBSUB")
        await until(lambda: ("missed", "1", "news") in node.told)


async def test_a_message_cannot_be_forged_by_the_id_to_skip(valkey: Valkey) -> None:
    async with running(valkey.url) as engine:
        node = Node(engine)
        await node.follow("news")
        await node.publish(Publication("1", "news", b"{}", 'x\n{"event":"forged"}'))
        await node.publish(Publication("1", "news", b'{"event":"e"}', "1.2"))
        await until(lambda: len(node.told) == 2)
        assert node.told[0].payload == b"{}"
        assert node.told[0].skip is None


async def test_what_somebody_else_publishes_there_is_ignored(valkey: Valkey) -> None:
    async with running(valkey.url) as engine:
        node = Node(engine)
        await node.follow("room")
        channel = b"herenow:{%d}:b:1/room" % partition_of("1", "room", PARTITIONS)
        for message in (b"", b"e", b"e x -\nhello", b"n many", b"x 1", b"\xff\xfe"):
            valkey.command("PUBLISH", channel, message)
        valkey.command("PUBLISH", "herenow:{0}:control", b"\xff")
        assert await node.publish(event("room"))
        await until(lambda: node.told == [event("room")])


async def test_following_is_answered_when_what_is_published_then_arrives(valkey: Valkey) -> None:
    async with two_nodes(valkey) as (here, there):
        for number in range(50):
            await there.follow(f"room-{number}")
            assert await here.publish(event(f"room-{number}"))
        await until(lambda: len(there.told) == 50)


async def test_a_channel_that_is_left_is_heard_no_more(valkey: Valkey) -> None:
    async with running(valkey.url) as engine:
        node = Node(engine)
        await node.follow("room")
        await node.follow("other")
        node.bus.unfollow("1", "room")
        node.bus.unfollow("1", "never followed")
        assert await node.publish(event("room"), event("other"))
        await until(lambda: node.told == [event("other")])
        answered: list[str] = []
        node.bus.follow("1", "room", lambda: answered.append("first"))
        node.bus.unfollow("1", "room")
        assert answered == ["first"]


async def test_while_the_engine_is_away_nothing_is_published_and_nobody_waits(
    valkey: Valkey,
) -> None:
    async with running(valkey.url) as engine:
        node = Node(engine)
        session = RecordedSession()
        engine.attach(0, session)
        await node.follow("room")
        valkey.kill()
        await until(lambda: session.told[-1] == "disconnected" and not engine.is_listening(0))
        answered: list[str] = []
        node.bus.follow("1", "new room", lambda: answered.append("new room"))
        assert answered == ["new room"]
        assert not await node.publish(event("room"), event("new room"))
        changed: list[bool] = []
        node.bus.change_app("1", changed.append)
        assert changed == [False]
        asked_at = time.monotonic()
        assert await node.cached("cache-room") is Refusal.UNAVAILABLE
        assert time.monotonic() - asked_at >= 1.5
        valkey.start()
        await until(lambda: engine.is_connected)
        await node.follow("new room")
        assert await node.publish(event("room"), event("new room"))
        await until(lambda: node.events == [event("room"), event("new room")])
        assert node.missed_channels == {"room", "new room"}


async def test_a_question_asked_in_a_short_outage_is_answered_after_it(valkey: Valkey) -> None:
    async with running(valkey.url) as engine:
        node = Node(engine)
        session = RecordedSession()
        engine.attach(0, session)
        kept = event("cache-room", b"first", cached=True, data=b'"1"', ttl=60)
        assert await node.publish(kept)
        valkey.command("CLIENT", "KILL", "TYPE", "normal")
        await until(lambda: "disconnected" in session.told)
        found = await node.cached("cache-room")
        assert isinstance(found, CachedEvent)
        assert found.payload == b"first"


async def test_whoever_waits_to_follow_is_answered_when_the_engine_goes(valkey: Valkey) -> None:
    async with running(valkey.url) as engine:
        node = Node(engine)
        valkey.pause()
        following = asyncio.create_task(node.follow("room"))
        await asyncio.sleep(0)
        valkey.kill()
        await following
        assert not engine.is_listening(0)
        valkey.start()
        await until(lambda: engine.is_connected)
        await node.follow("room")
        assert await node.publish(event("room"))
        await until(lambda: node.events == [event("room")])
        assert node.missed_channels == {"room"}


async def test_a_frozen_engine_is_waited_for_only_a_moment(valkey: Valkey) -> None:
    """Whoever subscribes then hears what is published as soon as the engine goes on."""
    async with running(valkey.url, lease_seconds=20) as engine:
        node = Node(engine)
        valkey.pause()
        began = time.monotonic()
        await asyncio.gather(node.follow("room"), node.follow("room"), node.follow("other"))
        assert 0.9 < time.monotonic() - began < 10
        assert engine.is_listening(0)
        valkey.resume()
        await node.follow("room")
        assert await node.publish(event("room"))
        await until(lambda: event("room") in node.told)
