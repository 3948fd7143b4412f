"""The receiver that other tests trust."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest

from cluster.servers import free_port
from outbox.receiver import HOST, Choice, Failing, Outcome, Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


def post(receiver: Receiver, path: str = "/a", body: bytes = b"{}") -> int:
    connection = http.client.HTTPConnection(HOST, receiver.port, timeout=20)
    try:
        connection.request("POST", path, body, {"X-Some": "thing"})
        return connection.getresponse().status
    finally:
        connection.close()


def always(outcome: Outcome) -> Choice:
    return lambda path, body: outcome


def test_every_request_is_kept_as_it_came(receiver: Receiver) -> None:
    """Path, headers in their spelling, body and outcome are there, in order."""
    assert [post(receiver, f"/{i}", b"body-%d" % i) for i in range(3)] == [200] * 3
    assert [(r.path, r.body) for r in receiver.requests] == [
        (f"/{i}", b"body-%d" % i) for i in range(3)
    ]
    assert ("X-Some", "thing") in receiver.requests[0].headers
    assert receiver.requests[0].header("x-some") == "thing"


def test_it_refuses(receiver: Receiver) -> None:
    receiver.choose = always(Outcome.REFUSED)
    assert post(receiver) == 500
    assert [request.outcome for request in receiver.requests] == [Outcome.REFUSED]


@pytest.mark.parametrize("outcome", [Outcome.DROPPED, Outcome.UNHEARD])
def test_it_cuts_a_connection_after_it_has_kept_the_request(
    receiver: Receiver, outcome: Outcome
) -> None:
    receiver.choose = always(outcome)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        post(receiver)
    assert [request.outcome for request in receiver.requests] == [outcome]


def test_it_never_answers(receiver: Receiver) -> None:
    """The request is kept, and nothing comes back for as long as one waits."""
    receiver.choose = always(Outcome.SILENT)
    with socket.create_connection((HOST, receiver.port), timeout=0.3) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert [request.outcome for request in receiver.requests] == [Outcome.SILENT]


def test_it_comes_back_on_its_port() -> None:
    """Away, connections are refused; back, it has all that it had."""
    with Receiver(port=free_port()) as receiver:
        assert post(receiver) == 200
        with receiver.away(), pytest.raises(ConnectionRefusedError):
            post(receiver)
        assert post(receiver) == 200
        assert len(receiver.requests) == 2


def test_it_fails_about_the_share_that_it_shall() -> None:
    """Half of many, in each of the ways."""
    choose = Failing(0.5, seed=1)
    outcomes = [choose("/", b"") for _ in range(1_000)]
    assert 400 < outcomes.count(Outcome.ACCEPTED) < 600
    assert set(outcomes) == set(Outcome)
