"""A connection: one write a turn, answers in order, and what becomes of them when it is lost."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from functools import partial
from typing import Any

import pytest

from cluster.redis.recording import until
from herenow.cluster.redis.wire import (
    Connection,
    ConnectionGivenUp,
    ErrorReply,
    pack,
    reason_of,
)

pytestmark = pytest.mark.anyio

PING = pack("PING")


class Writes(asyncio.Transport):
    """Keeps what is written, and whether it was aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True


class Opened:
    """A connection, what it writes and what it told."""

    def __init__(self, limit: float = 30, *, pushed: bool = False) -> None:
        self.told: list[Any] = []
        self.transport = Writes()
        self.connection = Connection(
            limit,
            lambda reason: self.told.append(("closed", reason)),
            self.told.append if pushed else None,
            loop=asyncio.get_running_loop(),
        )
        self.connection.connection_made(self.transport)

    def ask(self, *numbers: int) -> None:
        for number in numbers:
            self.connection.send(PING, partial(self._answer, number))

    def _answer(self, number: int, answer: Any) -> None:
        self.told.append((number, answer))


async def turn() -> None:
    await asyncio.sleep(0)


async def test_commands_of_one_turn_leave_in_one_write() -> None:
    opened = Opened()
    opened.ask(1, 2, 3)
    assert opened.transport.written == []
    await turn()
    opened.ask(4)
    await turn()
    assert opened.transport.written == [PING * 3, PING]


async def test_answers_come_in_the_order_of_the_commands() -> None:
    opened = Opened()
    opened.ask(1, 2, 3)
    opened.connection.data_received(b"+one\r\n:2\r\n$-1\r\n")
    assert opened.told == [(1, b"one"), (2, 2), (3, None)]


async def test_an_answer_may_come_in_pieces() -> None:
    opened = Opened()
    opened.ask(1, 2)
    for byte in b"*2\r\n$3\r\nab\n\r\n*1\r\n:7\r\n:8\r\n":
        opened.connection.data_received(bytes([byte]))
    assert opened.told == [(1, [b"ab\n", [7]]), (2, 8)]


async def test_what_nobody_asked_for_is_pushed() -> None:
    opened = Opened(pushed=True)
    opened.ask(1)
    opened.connection.data_received(b"+one\r\n*2\r\n$7\r\nmessage\r\n$1\r\nx\r\n")
    assert opened.told == [(1, b"one"), [b"message", b"x"]]


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n", b"+too much\r\n"])
async def test_a_server_that_speaks_something_else_is_given_up(data: bytes) -> None:
    opened = Opened()
    opened.connection.data_received(data)
    assert opened.told == [("closed", "what came is not the Redis protocol")]
    assert opened.transport.aborted


async def test_every_command_without_an_answer_is_told_before_the_loss_is() -> None:
    opened = Opened()
    opened.ask(1, 2)
    opened.connection.data_received(b"+one\r\n")
    await turn()
    opened.ask(3)
    opened.connection.connection_lost(None)
    assert opened.told == [
        (1, b"one"),
        (2, None),
        (3, None),
        ("closed", "it closed the connection"),
    ]


async def test_a_command_sent_while_the_loss_is_told_waits_for_its_turn() -> None:
    opened = Opened()
    opened.connection.send(PING, lambda _: opened.ask(3))
    opened.ask(2)
    opened.connection.give_up("enough")
    opened.ask(4)
    assert opened.told == [(2, None), (3, None), ("closed", "enough"), (4, None)]


async def test_what_arrives_after_it_was_given_up_means_nothing() -> None:
    opened = Opened()
    opened.ask(1, 2)
    opened.connection.give_up("enough")
    opened.connection.data_received(b"+one\r\n+two\r\n")
    opened.connection.connection_lost(ConnectionResetError())
    await turn()
    assert opened.told == [(1, None), (2, None), ("closed", "enough")]
    assert opened.transport.written == []


async def test_an_error_is_an_answer_until_the_connection_is_strict() -> None:
    opened = Opened()
    opened.ask(1, 2, 3)
    opened.connection.data_received(b"-ERR no\r\n")
    opened.connection.strict = True
    opened.connection.data_received(b"-READONLY no\r\n+three\r\n")
    (number, error), *others = opened.told
    assert number == 1
    assert isinstance(error, ErrorReply)
    assert others == [(2, None), (3, None), ("closed", "it answered READONLY no")]


async def test_a_request_raises_what_came_instead_of_an_answer() -> None:
    opened = Opened()
    requests = [asyncio.create_task(opened.connection.request("GET", "x")) for _ in range(4)]
    await turn()
    opened.connection.data_received(b"+yes\r\n-ERR no\r\n$-1\r\n")
    opened.connection.give_up("enough")
    yes, no, nothing, lost = await asyncio.gather(*requests, return_exceptions=True)
    assert (yes, nothing) == (b"yes", None)
    assert isinstance(no, ErrorReply)
    assert isinstance(lost, ConnectionGivenUp)


async def test_one_answer_that_cannot_be_taken_does_not_cost_the_others() -> None:
    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    opened = Opened()

    def fail(answer: Any) -> None:
        raise ZeroDivisionError

    opened.connection.send(PING, fail)
    opened.ask(2)
    opened.connection.data_received(b"+one\r\n+two\r\n")
    loop.set_exception_handler(None)
    assert opened.told == [(2, b"two")]
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]


async def test_a_command_without_an_answer_gives_the_connection_up_in_time() -> None:
    opened = Opened(limit=0.1)
    opened.ask(1)
    started = asyncio.get_running_loop().time()
    await until(lambda: bool(opened.told))
    assert asyncio.get_running_loop().time() - started >= 0.075
    assert opened.told == [(1, None), ("closed", "it did not answer in time")]


async def test_a_connection_that_is_answered_lives_longer_than_the_limit() -> None:
    opened = Opened(limit=0.5)
    deadline = asyncio.get_running_loop().time() + 1
    number = 0
    while asyncio.get_running_loop().time() < deadline:
        number += 1
        opened.ask(number)
        await asyncio.sleep(0.01)
        opened.connection.data_received(b"+yes\r\n")
    assert opened.connection.reason is None
    assert len(opened.told) == number


async def test_a_process_that_stood_still_reads_its_answers_first() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    told: list[Any] = []
    with ours, theirs:
        _, connection = await loop.create_connection(
            lambda: Connection(0.1, told.append, loop=loop), sock=ours
        )
        connection.send(PING, told.append)
        await asyncio.sleep(0.01)
        theirs.send(b"+PONG\r\n")
        stalled_until = loop.time() + 0.3
        while loop.time() < stalled_until:
            pass
        await asyncio.sleep(0.05)
        assert told == [b"PONG"]
        connection.give_up("enough")
        await turn()


async def test_silence_is_death_while_it_beats() -> None:
    opened = Opened(limit=0.2, pushed=True)
    opened.connection.beat(lambda: opened.connection.post(PING))
    for _ in range(10):
        await asyncio.sleep(0.03)
        opened.connection.data_received(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
    assert ("closed", "nothing came from it") not in opened.told
    assert PING in opened.transport.written
    await until(lambda: opened.connection.reason is not None)
    assert opened.told[-1] == ("closed", "nothing came from it")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "it refused the connection"),
        (ConnectionResetError(), "it closed the connection"),
        (TimeoutError(), "it did not answer in time"),
        (FileNotFoundError(errno.ENOENT, "x"), "there is no such socket"),
        (OSError(errno.EHOSTUNREACH, "x"), "no route to host"),
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "name or service not known",
        ),
        (ssl.SSLError(1, "bad"), "TLS failed"),
        (ErrorReply("NOAUTH x"), "it answered NOAUTH x"),
        (KeyError(), "KeyError"),
    ],
)
def test_the_reason_of_a_loss_is_said_in_words(error: Exception, reason: str) -> None:
    assert reason_of(error).startswith(reason)
