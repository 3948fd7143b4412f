"""SQLite on threads of its own, so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

from herenow.webhooks.journal import JournalUnavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

GROUP_SECONDS: Final = 0.005


class _Question(NamedTuple):
    work: Work[Any]
    future: asyncio.Future[Any]


class _Answer(NamedTuple):
    future: asyncio.Future[Any]
    result: Any
    error: Exception | None


class Reader:
    """Does what it is asked one after the other; it sees what is committed."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._questions: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()
        self._closing = False
        self._ended = asyncio.Event()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def ask(self, work: Work[T]) -> T:
        """What *work* answers; :class:`JournalUnavailable` if the database does not."""
        if self._closing:
            raise JournalUnavailable("the journal is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._questions.put(_Question(work, future))
        return await future

    async def close(self) -> None:
        """Finish what was asked for, and close the connection."""
        if not self._closing:
            self._closing = True
            self._questions.put(None)
        await self._ended.wait()

    def _run(self) -> None:
        while (question := self._questions.get()) is not None:
            self._tell(self._answer(question))
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        self._loop.call_soon_threadsafe(self._ended.set)

    def _answer(self, question: _Question) -> list[_Answer]:
        try:
            return [self._done(question)]
        except Exception as error:
            return [_Answer(question.future, None, error)]

    def _done(self, question: _Question) -> _Answer:
        return _Answer(question.future, question.work(self._connection), None)

    def _tell(self, answers: list[_Answer]) -> None:
        self._loop.call_soon_threadsafe(_resolve, answers)


class Writer(Reader):
    """Does what it is asked in transactions, one for all that comes within ``GROUP_SECONDS``.

    What shares a transaction is done together. If that fails, each is done by itself.
    """

    def _answer(self, question: _Question) -> list[_Answer]:
        group, answers = [question], []
        until = time.monotonic() + GROUP_SECONDS
        try:
            with self._transaction():
                answers.append(self._done(question))
                while time.monotonic() < until and (following := self._following()) is not None:
                    group.append(following)
                    answers.append(self._done(following))
        except Exception as error:
            if len(group) == 1:
                return [_Answer(question.future, None, error)]
            return [self._alone(member) for member in group]
        return answers

    def _alone(self, question: _Question) -> _Answer:
        try:
            with self._transaction():
                return self._done(question)
        except Exception as error:
            return _Answer(question.future, None, error)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except Exception:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _following(self) -> _Question | None:
        """What else is asked already; nothing if that is to end."""
        try:
            question = self._questions.get_nowait()
        except queue.Empty:
            return None
        if question is None:
            self._questions.put(None)
        return question


def _resolve(answers: list[_Answer]) -> None:
    for future, result, error in answers:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        elif isinstance(error, sqlite3.Error):
            future.set_exception(JournalUnavailable(str(error)))
        else:
            future.set_exception(error)
