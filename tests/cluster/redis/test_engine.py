"""The engine on one real server: calls, channels, and a server that does not answer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.redis.recording import (
    PARTITIONS,
    RecordedSession,
    RecordedSubscriber,
    answer,
    listen,
    new_engine,
    publish,
    running,
    until,
)
from cluster.servers import Replica, Valkey, free_port
from herenow.cluster.redis.deployment import EngineRefused, EngineUnreachable
from herenow.cluster.redis.engine import RedisEngine
from herenow.cluster.redis.scripts import Scripts

pytestmark = pytest.mark.anyio


def scripts(version: str = "1", **more: str) -> Scripts:
    """Scripts of a test, besides one that agrees to every deployment."""
    probe = 'return { "probed", 0, 0 }'
    return Scripts({"deploy": 'return { "ok", 0, 0 }', "probe": probe, **more}, version)


async def test_a_script_is_called_with_the_head_of_its_partition(valkey: Valkey) -> None:
    echo = "local told = {} for i = 1, #ARGV do told[i] = ARGV[i] end return { KEYS[1], told }"
    settings = {"scripts": scripts(echo=echo), "outbox_entries": 7}
    async with running(valkey.url, **settings) as engine:
        head = [b"", b"", b"2000000", b"herenow:{3}", b"PUBLISH", b"7"]
        answered = await answer(engine, "echo", 3, "ä", b"\xff\n", 5)
        assert answered == [b"herenow:{3}", [*head, "ä".encode(), b"\xff\n", b"5"]]
        assert await answer(engine, "echo", 3) == [b"herenow:{3}", head]


async def test_several_partitions_are_changed_in_one_step(valkey: Valkey) -> None:
    several = "local told = {} for i = 1, #ARGV do told[i] = ARGV[i] end return { KEYS, told }"
    async with running(valkey.url, scripts=scripts(several=several)) as engine:
        answers: list[Any] = []
        engine.call_all("several", [(1, ["a", 1]), (5, ["b", 2])], answers.append)
        await until(lambda: bool(answers))
        ((keys, arguments),) = answers
        assert keys == [b"herenow:{1}", b"herenow:{5}"]
        assert arguments[6:] == [b"herenow:{1}", b"a", b"1", b"herenow:{5}", b"b", b"2"]


async def test_calls_of_one_turn_are_executed_in_their_order(valkey: Valkey) -> None:
    push = 'return { redis.call("RPUSH", KEYS[1] .. ":list", ARGV[7]) }'
    async with running(valkey.url, scripts=scripts(push=push)) as engine:
        answers: list[Any] = []
        for number in range(200):
            engine.call("push", 0, [number], answers.append)
        await until(lambda: len(answers) == 200)
        assert answers == [[length] for length in range(1, 201)]
        pushed = valkey.command("LRANGE", "herenow:{0}:list", 0, -1)
        assert pushed == [str(number).encode() for number in range(200)]


async def test_sessions_are_told_of_the_connection_they_have(valkey: Valkey) -> None:
    early, late = RecordedSession(), RecordedSession()
    engine = new_engine(valkey.url)
    engine.attach(1, early)
    assert early.told == []
    await engine.start(30)
    engine.attach(2, late)
    assert early.told == late.told == ["connected"]
    await engine.stop()
    assert early.told == late.told == ["connected", "disconnected"]


async def test_what_is_published_reaches_whoever_reads_the_channel(valkey: Valkey) -> None:
    async with running(valkey.url) as engine, running(valkey.url) as other:
        here = await listen(engine, 3, "b:1/room")
        there = await listen(other, 3, "b:1/room")
        elsewhere = await listen(other, 4, "b:1/room")
        assert await publish(engine, 3, "1/room", "hello")
        await until(lambda: bool(here.messages and there.messages))
        assert here.told == there.told == ["subscribed", b"hello"]
        other.unsubscribe(3, "b:1/room")
        assert await publish(other, 3, "1/room", "again")
        assert await publish(other, 4, "1/room", "end")
        await until(lambda: bool(elsewhere.messages))
        await until(lambda: len(here.messages) == 2)
        assert there.messages == [b"hello"]


async def test_order_on_a_channel_is_the_order_of_publishing(valkey: Valkey) -> None:
    async with running(valkey.url) as engine, running(valkey.url) as other:
        here, there = await listen(engine, 3, "b:x"), await listen(other, 3, "b:x")
        publishing = [publish(each, 3, "x", f"{n}") for n in range(100) for each in (engine, other)]
        assert all(await asyncio.gather(*publishing))
        await until(lambda: len(here.messages) == len(there.messages) == 200)
        assert here.messages == there.messages


async def test_a_channel_taken_up_again_has_only_its_new_subscriber(valkey: Valkey) -> None:
    async with running(valkey.url) as engine:
        first, second, third = (RecordedSubscriber() for _ in range(3))
        engine.subscribe(3, "b:x", first)
        engine.unsubscribe(3, "b:x")
        engine.subscribe(3, "b:x", second)
        await until(lambda: bool(second.told))
        engine.unsubscribe(3, "b:x")
        await asyncio.sleep(0)
        engine.subscribe(3, "b:x", third)
        await until(lambda: bool(third.told))
        assert await publish(engine, 3, "x", "hello")
        await until(lambda: bool(third.messages))
        assert first.told == []
        assert second.told == ["subscribed"]
        assert third.told == ["subscribed", b"hello"]


async def test_many_channels_are_read_and_read_again_after_a_reconnect(valkey: Valkey) -> None:
    async with running(valkey.url) as engine:
        subscribers = [RecordedSubscriber() for _ in range(2_500)]
        for number, subscriber in enumerate(subscribers):
            engine.subscribe(number % PARTITIONS, f"b:{number}", subscriber)
        await until(lambda: all(each.told == ["subscribed"] for each in subscribers))
        valkey.command("CLIENT", "KILL", "TYPE", "pubsub")
        expected = ["subscribed", "lost", "subscribed"]
        await until(lambda: all(each.told == expected for each in subscribers))
        assert await publish(engine, 2_499 % PARTITIONS, "2499", "hello")
        await until(lambda: subscribers[-1].messages == [b"hello"])


async def test_a_restarted_server_is_connected_to_again(valkey: Valkey) -> None:
    async with running(valkey.url) as engine:
        session = RecordedSession()
        engine.attach(2, session)
        subscriber = await listen(engine, 2, "feed")
        valkey.restart(data=False)
        await until(lambda: session.told == ["connected", "disconnected", "connected"])
        await until(lambda: subscriber.told == ["subscribed", "lost", "subscribed"])
        assert engine.is_connected
        assert await publish(engine, 2, "x", "hello")


async def test_calls_without_an_answer_are_told_before_the_session_is(valkey: Valkey) -> None:
    slow = 'local first = redis.call("TIME")[1] while redis.call("TIME")[1] - first < 3 do end'
    async with running(valkey.url, scripts=scripts(slow=slow)) as engine:
        session = RecordedSession()
        engine.attach(1, session)
        for _ in range(2):
            engine.call("slow", 1, [], session.told.append)
        await until(lambda: "disconnected" in session.told)
        engine.call("slow", 1, [], session.told.append)
        assert session.told == ["connected", None, None, "disconnected", None]
        valkey.kill()


async def test_a_server_that_stands_still_is_noticed_and_comes_back(valkey: Valkey) -> None:
    async with running(valkey.url) as engine:
        session = RecordedSession()
        engine.attach(1, session)
        subscriber = await listen(engine, 1, "feed")
        valkey.pause()
        paused_at = time.monotonic()
        engine.call("cached", 1, ["x"], session.told.append)
        await until(lambda: "disconnected" in session.told)
        assert session.told == ["connected", None, "disconnected"]
        await until(lambda: subscriber.told == ["subscribed", "lost"])
        assert not engine.is_listening(1)
        assert not engine.is_connected
        assert time.monotonic() - paused_at < 10
        valkey.resume()
        await until(lambda: engine.is_connected)
        await until(lambda: subscriber.told[-1] == "subscribed")
        assert session.told[-1] == "connected"


async def test_a_connection_on_which_nothing_happens_is_kept(valkey: Valkey) -> None:
    async with running(valkey.url) as engine:
        session = RecordedSession()
        engine.attach(1, session)
        subscriber = await listen(engine, 1, "feed")
        pings = "calls=0"

        def a_lease_has_passed() -> bool:
            nonlocal pings
            pings = valkey.info("commandstats").get("cmdstat_ping", pings)
            return int(pings.split(",")[0].removeprefix("calls=")) > 8

        await until(a_lease_has_passed)
        assert session.told == ["connected"]
        assert subscriber.told == ["subscribed"]


async def test_an_error_of_a_script_gives_the_connection_up_and_says_why(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = 'return redis.error_reply("OOM there is no room\\27[2J")'
    async with running(valkey.url, scripts=scripts(wrong=wrong)) as engine:
        session = RecordedSession()
        engine.attach(1, session)
        engine.call("wrong", 1, [], session.told.append)
        await until(lambda: session.told == ["connected", None, "disconnected", "connected"])
        (record,) = [each for each in caplog.records if each.message == "engine lost"]
        assert record.__dict__["address"] == valkey.address
        assert record.__dict__["reason"] == "it answered OOM there is no room"


async def test_scripts_that_were_flushed_under_load_are_loaded_again(valkey: Valkey) -> None:
    count = 'return { redis.call("INCR", KEYS[1] .. ":n") }'
    async with running(valkey.url, scripts=scripts(count=count)) as engine:
        session = RecordedSession()
        engine.attach(1, session)
        answers: list[Any] = []
        for number in range(1_000):
            engine.call("count", 1, [], answers.append)
            if number == 500:
                await asyncio.to_thread(valkey.command, "SCRIPT", "FLUSH")
            if number % 10 == 0:
                await asyncio.sleep(0)
        await until(lambda: len(answers) == 1_000)
        await until(lambda: session.told == ["connected", "disconnected", "connected"])
        executed = [each for each in answers if each is not None]
        assert executed == [[n] for n in range(1, len(executed) + 1)]
        assert await answer(engine, "count", 1) == [len(executed) + 1]


async def test_two_prefixes_and_two_databases_do_not_hear_each_other(valkey: Valkey) -> None:
    second = f"redis://{valkey.address}/2"
    async with (
        running(valkey.url) as first,
        running(valkey.url, prefix="other") as other_prefix,
        running(second) as other_database,
    ):
        engines = (first, other_prefix, other_database)
        subscribers = [await listen(engine, 3, "b:x") for engine in engines]
        for engine, text in zip(engines, ("one", "two", "three"), strict=True):
            assert await publish(engine, 3, "x", text)
        await until(lambda: all(each.messages for each in subscribers))
        assert [each.messages for each in subscribers] == [[b"one"], [b"two"], [b"three"]]
    with valkey.client() as client, valkey.client(db=2) as client_of_second:
        beginnings = {bytes(key)[:6] for key in client.scan_iter()}
        assert beginnings == {b"hereno", b"other:"}
        assert {bytes(key)[:6] for key in client_of_second.scan_iter()} == {b"hereno"}


async def test_a_unix_socket_is_an_address(valkey: Valkey) -> None:
    async with running(f"unix://{valkey.socket_path}?db=1") as engine:
        subscriber = await listen(engine, 3, "b:x")
        assert await publish(engine, 3, "x", "hello")
        await until(lambda: subscriber.messages == [b"hello"])


async def test_an_engine_that_is_not_there_is_unreachable_in_time() -> None:
    port = free_port()
    engine = new_engine(f"redis://:secret@127.0.0.1:{port}/0")
    with pytest.raises(EngineUnreachable) as failed:
        await engine.start(0.5)
    assert str(failed.value) == (
        f"the engine at 127.0.0.1:{port} could not be used: it refused the connection"
    )


async def test_an_engine_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    engine = new_engine(server.url)
    starting = asyncio.create_task(engine.start(30))
    await until(lambda: engine.losses >= 2)
    server.start()
    try:
        await starting
        assert engine.is_connected
        await engine.stop()
    finally:
        server.kill()


async def test_a_replica_is_not_used(valkey: Valkey, tmp_path: Path) -> None:
    replica = Replica(tmp_path / "replica", valkey).start()
    try:
        await until(replica.synchronised)
        with pytest.raises(EngineUnreachable, match="it is a replica"):
            await new_engine(replica.url).start(0.5)
    finally:
        replica.kill()


async def greet(engine: RedisEngine) -> None:
    """Take a lease in partition 0, as a node does."""
    hello = await answer(engine, "hello", 0, "node", 1, 0, 1, "")
    assert hello is not None
    assert hello[0] == b"new"


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        ({"lease_seconds": 3}, "a lease of 2 s, here 3 s"),
        ({"partitions": 16}, "partitions: 8, here 16"),
    ],
)
async def test_a_node_with_other_settings_is_refused_with_both_values(
    valkey: Valkey, settings: dict[str, Any], difference: str
) -> None:
    async with running(valkey.url) as engine:
        await greet(engine)
        with pytest.raises(EngineRefused) as refused:
            await new_engine(valkey.url, **settings).start(0.5)
    assert str(refused.value) == f"the engine at {valkey.address} is in use with {difference}"


async def test_a_node_with_other_scripts_is_refused_with_both_versions(valkey: Valkey) -> None:
    async with running(valkey.url) as engine:
        await greet(engine)
        own = Scripts.own()
        sources = {name: own[name].source.decode() for name in ("deploy", "probe")}
        newer = Scripts(sources, "newer")
        with pytest.raises(EngineRefused, match=f"of version {own.version}, here newer"):
            await new_engine(valkey.url, scripts=newer).start(0.5)


async def test_nodes_that_were_killed_stand_in_the_way_until_their_leases_have_ended(
    valkey: Valkey,
) -> None:
    async with running(valkey.url) as engine:
        await greet(engine)
    later = new_engine(valkey.url, partitions=16)
    try:
        await later.start(30)
        assert later.is_connected
    finally:
        await later.stop()


async def test_a_mismatch_later_keeps_trying_until_it_is_gone(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(valkey.url) as engine:
        session = RecordedSession()
        engine.attach(1, session)
        await greet(engine)
        valkey.command("HSET", "herenow:{0}:deployment", "partitions", 16)
        valkey.command("CLIENT", "KILL", "TYPE", "normal")
        await until(lambda: any("partitions: 16" in str(each.__dict__) for each in caplog.records))
        assert not session.is_connected
        valkey.command("HSET", "herenow:{0}:deployment", "partitions", PARTITIONS)
        await until(lambda: session.is_connected)
