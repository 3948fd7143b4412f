"""``herenow presence``: what it prints, and with which exit code."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from cluster.redis.recording import answer, running
from cluster.servers import Valkey, free_port
from herenow.cluster.partitions.placement import partition_of

COMMAND: Final = (sys.executable, "-m", "herenow.cli", "presence")
PARTITIONS: Final = 64
ROOM: Final = "presence-room"
PARTITION: Final = partition_of("1", ROOM, PARTITIONS)
HOUSE: Final = f"herenow:{{{PARTITION}}}"


def presence(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)


async def join(url: str, user: str) -> None:
    async with running(url, partitions=PARTITIONS, lease_seconds=60) as engine:
        hello = await answer(engine, "hello", PARTITION, "node", 1, 0, 1, "")
        assert hello is not None
        epoch = hello[1]
        assert isinstance(epoch, int)
        session = ("node", 1, epoch)
        joined = (f"1/p/{ROOM}", user, 7, "{}", 0, 0, 0)
        assert await answer(engine, "join", PARTITION, *session, *joined)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server with one member, whose id has what a terminal would obey."""
    server = Valkey(tmp_path / "valkey").start()
    try:
        asyncio.run(join(server.url, "ann\x1b[2J"))
        yield server
    finally:
        server.kill()


def test_a_clean_audit_exits_with_0(valkey: Valkey) -> None:
    done = presence("audit", "--cluster", valkey.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "0 findings in 64 partitions: 1 nodes, 1 subscriptions and sign-ins, 1 members and users\n"
    )


def test_findings_are_sentences_and_exit_with_1(valkey: Valkey) -> None:
    valkey.command("DEL", f"{HOUSE}:e:node")
    done = presence("audit", "--cluster", valkey.url)
    assert (done.returncode, done.stderr) == (1, "")
    sentence = f"ann of 1/p/{ROOM} has 1 connections on record, but 0 entries"
    assert done.stdout.splitlines()[0] == f"partition {PARTITION}: {sentence}"
    assert done.stdout.splitlines()[1].startswith("1 findings in 64 partitions")


def test_the_report_can_be_had_as_json(valkey: Valkey) -> None:
    valkey.command("DEL", f"{HOUSE}:e:node")
    done = presence("audit", "--json", "--cluster", valkey.url)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["problem"] == "count_differs"
    assert finding["user"] == "ann\x1b[2J"
    assert (finding["expected"], finding["found"]) == (0, 1)


def test_the_settings_may_come_from_a_file(valkey: Valkey, tmp_path: Path) -> None:
    config = tmp_path / "herenow.toml"
    config.write_text(f'[cluster]\nurl = "{valkey.url}"\npartitions = 32\n')
    done = presence("audit", "--config", str(config))
    assert done.returncode == 1
    assert "the engine was used with 64 partitions, asked was for 32" in done.stdout


def test_why_names_the_subscription(valkey: Valkey) -> None:
    done = presence("why", "1", ROOM, "ann\x1b[2J", "--cluster", valkey.url)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.startswith(f"ann is in {ROOM} of application 1 since 20")
    assert second.startswith("by subscription 7 on node node, whose lease lasts ")


def test_why_says_that_somebody_is_not_there(valkey: Valkey) -> None:
    done = presence("why", "1", ROOM, "bob", "--cluster", valkey.url)
    assert done.stdout == (f"bob is not in {ROOM} of application 1 (partition {PARTITION})\n")
    done = presence("why", "1", ROOM, "bob", "--json", "--cluster", valkey.url)
    assert json.loads(done.stdout)["online"] is False


def test_an_engine_that_cannot_be_reached_exits_with_1() -> None:
    port = free_port()
    done = presence("audit", "--cluster", f"redis://:secret@127.0.0.1:{port}/0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"herenow: the engine at 127.0.0.1:{port} could not be used: it refused the connection\n"
    )


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (None, "needs an engine that nodes share: name it with --cluster URL"),
        ("redis://:secret@host:0", "expected host:port"),
        ("ftp://:secret@host", "cluster.url"),
    ],
)
def test_what_cannot_be_asked_exits_with_2(url: str | None, problem: str) -> None:
    arguments = () if url is None else ("--cluster", url)
    for command in (("audit",), ("why", "1", "x", "y")):
        done = presence(*command, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert problem in done.stderr
        assert "Traceback" not in done.stderr


def test_without_the_extra_it_says_what_to_install() -> None:
    hidden = (
        "import sys, importlib.util as u; find = u.find_spec; "
        "u.find_spec = lambda name, *more: None if name == 'redis' else find(name, *more); "
        "sys.argv[1:] = ['presence', 'audit', '--cluster', 'redis://host']; "
        "from herenow.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", hidden], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == ('herenow presence needs the redis extra: pip install "herenow[redis]"\n')
