"""What holds for every database that a store may be in."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from herenow.store.database import Conflict, Database, StoreError
from herenow.store.opening import open_database
from store.places import Place
from store.servers import PASSWORD

TABLE = "CREATE TABLE herenow_apps (id VARCHAR(64) NOT NULL PRIMARY KEY, number INTEGER NOT NULL)"
INSERT = "INSERT INTO herenow_apps (id, number) VALUES (:id, :number)"
SELECT = "SELECT id, number FROM herenow_apps ORDER BY id"


def prepared(place: Place) -> Database:
    database = open_database(place.url)
    with database.writing() as transaction:
        transaction.execute(TABLE)
    return database


def test_what_is_written_is_read_by_another(place: Place) -> None:
    """A committed row is there for a second connection, with its types."""
    writer = prepared(place)
    with writer.writing() as transaction:
        assert transaction.execute(INSERT, id="a'b:c%", number=7) == 1
    reader = open_database(place.url)
    with reader.reading() as transaction:
        assert transaction.rows(SELECT) == [("a'b:c%", 7)]
        assert transaction.has_table("herenow_apps")
        assert not transaction.has_table("herenow_no_such")
    writer.close()
    reader.close()


def test_an_exception_undoes_a_transaction(place: Place) -> None:
    """Nothing of it stays, and the database is usable at once."""
    database = prepared(place)

    def fail() -> None:
        with database.writing() as transaction:
            transaction.execute(INSERT, id="a", number=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.reading() as transaction:
        assert transaction.rows(SELECT) == []
    database.close()


def test_a_repeated_key_is_a_conflict(place: Place) -> None:
    """It is told apart from other errors."""
    database = prepared(place)
    with database.writing() as transaction:
        transaction.execute(INSERT, id="a", number=1)
    with pytest.raises(Conflict), database.writing() as transaction:
        transaction.execute(INSERT, id="a", number=2)
    with database.reading() as transaction:
        assert transaction.rows(SELECT) == [("a", 1)]
    database.close()


def test_writers_wait_for_each_other(place: Place) -> None:
    """Many that add to one row at the same time lose nothing."""
    database = prepared(place)
    with database.writing() as transaction:
        transaction.execute(INSERT, id="sum", number=0)
    database.close()

    def add() -> None:
        mine = open_database(place.url)
        for _ in range(20):
            with mine.writing() as transaction:
                transaction.execute("UPDATE herenow_apps SET number = number + 1 WHERE id = 'sum'")
        mine.close()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as transaction:
        assert transaction.rows(SELECT) == [("sum", 80)]
    database.close()


def test_wrong_sql_is_an_error_of_the_store(place: Place) -> None:
    """It names no value."""
    database = prepared(place)
    with pytest.raises(StoreError) as raised, database.writing() as transaction:
        transaction.execute("INSERT INTO herenow_none VALUES (:secret)", secret="marked-value-1")
    assert "marked-value-1" not in str(raised.value)
    database.close()


def test_a_refused_password_is_not_told(served_place: Place) -> None:
    """Neither the error nor the text of the object has it."""
    wrong = served_place.url.replace("Marked", "Wrong")
    database = open_database(wrong)
    with pytest.raises(StoreError) as raised, database.reading():
        pass
    for text in (str(raised.value), repr(raised.value), repr(database)):
        assert "Wrong" not in text
        assert PASSWORD not in text
    database.close()


def test_a_file_is_made_by_the_first_writer_for_its_owner_alone(tmp_path: Path) -> None:
    """Looking for it makes nothing."""
    path = tmp_path / "store.db"
    database = open_database(f"sqlite:///{path}")
    assert database.exists is False
    assert list(tmp_path.iterdir()) == []
    with database.writing() as transaction:
        transaction.execute(TABLE)
        assert open_database(f"sqlite:///{path}").exists
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == dict.fromkeys(modes, 0o600)
    assert len(modes) == 3, "there is a write-ahead log"
    database.close()


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    """As after it was restored from a backup, while somebody has it open."""
    path = tmp_path / "store.db"
    database = prepared(Place(f"sqlite:///{path}"))
    with database.reading() as transaction:
        assert transaction.rows(SELECT) == []
    other = prepared(Place(f"sqlite:///{tmp_path / 'other.db'}"))
    with other.writing() as transaction:
        transaction.execute(INSERT, id="restored", number=1)
    other.close()
    for name in ("store.db-wal", "store.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "other.db").replace(path)
    with database.reading() as transaction:
        assert transaction.rows(SELECT) == [("restored", 1)]
    database.close()


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    """The sentence names the file."""
    path = tmp_path / "store.db"
    path.write_text("not a database, but more than a hundred bytes of text " * 10)
    database = open_database(f"sqlite:///{path}")
    with pytest.raises(StoreError, match=r"store\.db"), database.reading():
        pass


@pytest.mark.parametrize(
    "url", ["postgresql://u:top-secret@[::1/x", "mysql://u:top-secret@h:port/x"]
)
def test_a_url_that_cannot_be_read_is_refused_without_showing_it(url: str) -> None:
    """The error says what was expected."""
    with pytest.raises(StoreError, match="expected") as raised:
        open_database(url)
    assert "top-secret" not in str(raised.value)
