"""The server in this process: what tests of faults do with it."""

from __future__ import annotations

import pytest

from cluster.lua.fake import FakeServer, ScriptError
from cluster.lua.keyspace import CommandError
from cluster.lua.partition import BASE, Partition
from herenow.cluster.lua import NAMES, VERSION, source


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer()


def run(server: FakeServer, text: str, *args: str) -> object:
    server.sources["probe"] = text
    return server.call("probe", [BASE], list(args))


def test_going_back_to_older_data(fake: FakeServer) -> None:
    """As a replica that was behind does when it is promoted."""
    partition = Partition(fake)
    a = partition.settled("a")
    a.join("alice", 1)
    behind, dump = fake.snapshot(), fake.dump()
    a.join("bob", 2)
    a.leave(1)
    fake.restore(behind)
    assert fake.dump() == dump
    a.join("carol", 3)
    fake.restore(behind)
    assert a.users() == ["alice"]


def test_losing_all_data(fake: FakeServer) -> None:
    Partition(fake).settled("a")
    fake.flush()
    assert fake.dump() == {}


def test_a_script_can_be_replaced() -> None:
    """For one server; others run what is deployed."""
    text = source("leave").replace('return answer("left")', 'return answer("kept")')
    faulty, sound = FakeServer({"leave": text}), FakeServer()
    assert Partition(faulty).settled("a").leave(1) == [b"kept"]
    assert Partition(sound).settled("a").leave(1) == [b"left"]


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("return 2.9", 2),
        ("return -2.9", -2),
        ("return true", 1),
        ("return false", None),
        ("return 'a' .. '\\0'", b"a\0"),
        ("return {1, 'b', {2.5, {}}, false, 'c'}", [1, b"b", [2, []], None, b"c"]),
        ("return {1, nil, 3}", [1]),
        ("return redis.call('SET', 'k', 'v', 'PX', '5')", b"OK"),
        ("return redis.call('HGET', 'missing', 'f')", None),
        ("return redis.call('HMGET', 'missing', 'f', 'g')", [None, None]),
        ("return {KEYS[1], #KEYS, ARGV[1], #ARGV}", [BASE.encode(), 1, b"x", 1]),
    ],
)
def test_answers_are_converted_as_a_server_does(fake: FakeServer, text: str, reply: object) -> None:
    assert run(fake, text, "x") == reply


def test_long_lists_go_both_ways(fake: FakeServer) -> None:
    assert run(fake, "return ARGV", *map(str, range(9000))) == [b"%d" % n for n in range(9000)]


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        "return x",
        "return os.time()",
        "error('broken')",
        "return {err = 'ERR refused'}",
        "syntax error",
    ],
)
def test_an_error_of_a_script_is_told(fake: FakeServer, text: str) -> None:
    with pytest.raises(ScriptError):
        run(fake, text)


@pytest.mark.parametrize(
    "text",
    [
        "return redis.call('KEYS', '*')",
        "return redis.call('SET', 'k', 'v')",
        "return redis.call('ZADD', 'z', 'NX', '1', 'm', 'x')",
        "return redis.call('ZRANGE', 'z', '0', '-1', 'REV')",
        "return redis.call('HSET', 'h', 'f')",
        "return redis.call('HGET', 'h', {})",
        "redis.call('HSET', 'h', 'f', 'v') return redis.call('GET', 'h')",
    ],
)
def test_what_it_does_not_know_is_an_error(fake: FakeServer, text: str) -> None:
    with pytest.raises((CommandError, ValueError)):
        run(fake, text)


@pytest.mark.parametrize("name", NAMES)
def test_every_script_says_what_it_takes_and_answers(name: str) -> None:
    own = source(name)[-3000:]
    assert "-- Answer: " in own
    assert "ARGV[7" in own or "ARGV from 7" in own


def test_scripts_have_a_version() -> None:
    assert len(VERSION) == 12
