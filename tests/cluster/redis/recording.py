"""Who is told what by an engine, written down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from herenow.cluster.partitions.engine import Answer, Argument
from herenow.cluster.redis.address import parse
from herenow.cluster.redis.engine import RedisEngine

PARTITIONS: Final = 8
LEASE_SECONDS: Final = 2.0
PREFIX: Final = "herenow"


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Return when *condition* holds; fail after *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {condition}")
        await asyncio.sleep(0.005)


class RecordedSession:
    """Implements ``engine.Session``. Answers can be written into the same record."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def connected(self) -> None:
        self.told.append("connected")

    def disconnected(self) -> None:
        self.told.append("disconnected")

    @property
    def is_connected(self) -> bool:
        states = [word for word in self.told if word in ("connected", "disconnected")]
        return states[-1:] == ["connected"]


class RecordedSubscriber:
    """Implements ``engine.Subscriber``."""

    def __init__(self) -> None:
        self.told: list[str | bytes] = []

    def subscribed(self) -> None:
        self.told.append("subscribed")

    def lost(self) -> None:
        self.told.append("lost")

    def message(self, payload: bytes) -> None:
        self.told.append(payload)

    @property
    def messages(self) -> list[bytes]:
        return [told for told in self.told if isinstance(told, bytes)]


def new_engine(url: str, **settings: Any) -> RedisEngine:
    defaults = {"prefix": PREFIX, "partitions": PARTITIONS, "lease_seconds": LEASE_SECONDS}
    return RedisEngine(parse(url), **{**defaults, **settings})


@asynccontextmanager
async def running(url: str, **settings: Any) -> AsyncIterator[RedisEngine]:
    """An engine that has started, stopped at the end."""
    engine = new_engine(url, **settings)
    await engine.start(30)
    try:
        yield engine
    finally:
        await engine.stop()


async def answer(engine: RedisEngine, script: str, partition: int, *arguments: Argument) -> Answer:
    """What the engine answers to one call."""
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    engine.call(script, partition, arguments, future.set_result)
    return await asyncio.wait_for(future, 30)


async def publish(engine: RedisEngine, partition: int, name: str, message: str) -> bool:
    """Whether one event could be published."""
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    engine.call_all("publish", [(partition, [name, message, 0, ""])], future.set_result)
    return await asyncio.wait_for(future, 30) is not None


async def listen(engine: RedisEngine, partition: int, channel: str) -> RecordedSubscriber:
    """A subscriber that is subscribed."""
    subscriber = RecordedSubscriber()
    engine.subscribe(partition, channel, subscriber)
    await until(lambda: "subscribed" in subscriber.told)
    return subscriber
