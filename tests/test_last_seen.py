"""When users were last seen outlives the process, in a file that is there already."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from herenow.cluster.base import Refusal
from herenow.cluster.seen import Seen, UserKey
from herenow.last_seen import SeenFile
from server.serving import eventually

pytestmark = pytest.mark.anyio

ANNA = UserKey("1", "anna")
ODD = UserKey("1", 'b/\x00"\ud800☕')
NOW = 1_700_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store in which something else is kept."""
    path = tmp_path / "store.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE others (id TEXT)")
    connection.commit()
    connection.close()
    return path


def later_there(path: Path, as_: Path) -> None:
    path.rename(as_)


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def bytes_of(path: Path) -> bytes:
    return b"".join(part.read_bytes() for part in path.parent.glob(f"{path.name}*"))


async def started(path: Path, seen: Seen, now: Callable[[], float] = lambda: NOW) -> SeenFile:
    file = SeenFile(path, seen, now)
    await file.start()
    return file


async def read_back(path: Path, keep: float = 3_600, now: float = NOW) -> dict[UserKey, float]:
    seen = Seen(keep)
    file = await started(path, seen, lambda: now)
    await file.stop()
    return seen.all()


async def forget(seen: Seen, key: UserKey) -> bool | Refusal:
    answers: list[bool | Refusal] = []
    seen.forget(key, answers.append)
    await eventually(lambda: bool(answers))
    return answers[0]


async def test_what_was_learnt_is_there_after_a_restart(path: Path) -> None:
    """The later of two moments, and ids of any characters."""
    seen = Seen(3_600)
    file = await started(path, seen)
    seen.record(ANNA, NOW - 20)
    seen.record(ODD, NOW - 5)
    seen.record(ANNA, NOW - 10)
    await file.stop()
    assert await read_back(path) == {ANNA: NOW - 10, ODD: NOW - 5}


async def test_it_is_written_while_the_server_runs(path: Path) -> None:
    """A process that dies loses a second, not everything."""
    seen = Seen(3_600)
    file = await started(path, seen)
    seen.record(ANNA, NOW)
    reader = sqlite3.connect(path)
    await eventually(lambda: reader.execute("SELECT at FROM users_seen").fetchall() == [(NOW,)])
    reader.close()
    await file.stop()


async def test_no_file_is_made(tmp_path: Path) -> None:
    """Without one it is remembered in memory alone."""
    seen = Seen(3_600)
    file = await started(tmp_path / "absent.db", seen)
    seen.record(ANNA, NOW)
    assert await forget(seen, ODD) is True
    await file.stop()
    assert seen.get(ANNA, NOW) == NOW
    assert not any(map(bytes_of, [tmp_path / "absent.db"]))


async def test_a_file_that_is_made_later_gets_everything(tmp_path: Path, path: Path) -> None:
    """What was learnt before goes in, too, and what was in it is taken in."""
    seen = Seen(3_600)
    file = await started(path, seen)
    seen.record(ODD, NOW - 5)
    await file.stop()
    later = tmp_path / "later.db"
    seen = Seen(3_600)
    file = await started(later, seen)
    seen.record(ANNA, NOW)
    later_there(path, later)
    await eventually(lambda: ODD in seen.all())
    await file.stop()
    assert await read_back(later) == {ANNA: NOW, ODD: NOW - 5}


async def test_who_is_forgotten_is_in_no_byte_of_the_file(path: Path) -> None:
    """The answer comes when he is gone from it."""
    key = UserKey("1", "somebody-with-a-name-to-search-for")
    seen = Seen(3_600)
    file = await started(path, seen)
    seen.record(key, NOW)
    seen.record(ANNA, NOW)
    await file.stop()
    file = await started(path, seen)
    assert await forget(seen, key) is True
    await file.stop()
    assert await read_back(path) == {ANNA: NOW}
    assert key.user.encode() not in bytes_of(path)


async def test_nobody_is_said_to_be_forgotten_while_the_file_cannot_be_written(path: Path) -> None:
    """Somebody else holds it; afterwards it can be done."""
    seen = Seen(3_600)
    file = await started(path, seen)
    seen.record(ANNA, NOW)
    await file.stop()
    file = await started(path, seen)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    asking = asyncio.create_task(forget(seen, ANNA))
    assert await asking is Refusal.UNAVAILABLE
    other.execute("ROLLBACK")
    other.close()
    assert await forget(seen, ANNA) is True
    await file.stop()


async def test_nobody_is_said_to_be_forgotten_while_the_file_cannot_be_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else held it as the server started; the next start would know him again."""
    seen = Seen(3_600)
    file = await started(path, seen)
    seen.record(ANNA, NOW)
    await file.stop()
    monkeypatch.setattr("herenow.last_seen.BUSY_SECONDS", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    seen = Seen(3_600)
    file = await started(path, seen)
    assert await forget(seen, ANNA) is Refusal.UNAVAILABLE
    other.execute("ROLLBACK")
    other.close()
    await eventually(lambda: ANNA in seen.all())
    assert await forget(seen, ANNA) is True
    await file.stop()
    assert await read_back(path) == {}


async def test_what_is_too_old_is_not_kept(path: Path) -> None:
    """Neither in the file nor in memory; with 0 nothing is."""
    seen = Seen(3_600)
    file = await started(path, seen)
    seen.record(ANNA, NOW - 3_000)
    seen.record(ODD, NOW)
    await file.stop()
    assert await read_back(path, now=NOW + 1_000) == {ODD: NOW}
    assert await read_back(path, keep=0, now=NOW + 1_000) == {}
    assert await read_back(path) == {}


async def test_a_file_that_is_no_database_is_told_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server goes on with what it has in memory."""
    path = tmp_path / "notes.txt"
    before = b"not a database, but somebody's notes" * 100
    write(path, before)
    seen = Seen(3_600)
    file = await started(path, seen)
    seen.record(ANNA, NOW)
    await file.stop()
    assert bytes_of(path) == before
    assert "cannot be kept" in caplog.text


def test_memory_is_bounded_and_the_oldest_go() -> None:
    """So many users and no more."""
    seen = Seen(3_600, most=3)
    for number in range(5):
        seen.record(UserKey("1", str(number)), NOW + number)
    assert [key.user for key in seen.all()] == ["2", "3", "4"]
