"""Questions about users, for both clients: what is sent, what is answered, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from conformance.harness.service import Service
from herenow import InvalidAnswer, InvalidArgument
from sdk.callers import Caller
from sdk.recorder import Recorder

Connect = Callable[..., Caller]


@pytest.fixture
def call(backend: Connect) -> Caller:
    return backend()


def test_a_user_is_asked_about(call: Caller, service: Service) -> None:
    """Where he is, although he did not sign in."""
    connection = service.connect()
    connection.join("presence-sdk-a", "zoë ☕/x")
    answer = call("user", "zoë ☕/x")
    del answer["last_seen"]  # He may have been here before.
    assert answer == {
        "user_id": "zoë ☕/x",
        "online": False,
        "since": None,
        "connections": 0,
        "channels": ["presence-sdk-a"],
        "complete": True,
    }


def test_many_users_are_asked_about_at_once(call: Caller) -> None:
    """Each is in the answer."""
    answer = call("user_statuses", ["nobody", "no one"])
    nobody = {"online": False, "since": None, "last_seen": None, "connections": 0}
    assert answer == {"users": {"nobody": nobody, "no one": nobody}, "complete": True}


@pytest.mark.parametrize("user", ["nobody", "..", ".", "status", "a@b;c"])
def test_a_user_is_forgotten(call: Caller, user: str) -> None:
    """Whatever his id, and also if nobody knew him."""
    assert call("forget_user", user) is None
    assert call("user", user)["user_id"] == user


def test_a_roster_and_what_becomes_of_it(call: Caller, service: Service) -> None:
    """The changes since a revision lead from one roster to the next."""
    room = "presence-sdk-roster"
    emily, frank = service.connect(), service.connect()
    emily.join(room, "emily", {"name": "Emily"})
    roster = call("roster", room)
    (member,) = roster["users"]
    assert (member["id"], member["user_info"]) == ("emily", {"name": "Emily"})
    first = call("roster_changes", room, 0)
    assert first["full"]
    assert (first["added"], first["updated"], first["removed"]) == (roster["users"], [], [])
    frank.join(room, "frank", {"name": "Frank"})
    second = call("roster_changes", room, first["revision"])
    assert not second["full"]
    assert [added["user_info"] for added in second["added"]] == [{"name": "Frank"}]
    assert second["complete"]


@pytest.mark.parametrize(
    ("method", "arguments", "said"),
    [
        ("user", ("",), "user_id: expected a string that is not empty"),
        ("user", ("x" * 1_025,), "user_id: expected 1 to 1024 characters, got 1025"),
        ("user", ("\ud800",), "user_id: expected Unicode text, got a surrogate"),
        ("user_statuses", ("anna",), "ids: expected a list of user ids, got str"),
        ("user_statuses", (["x"] * 1_001,), "ids: expected up to 1000 user ids, got 1001"),
        ("user_statuses", (["anna", 7],), "ids[1]: expected a string, got int"),
        ("forget_user", (7,), "user_id: expected a string, got int"),
        ("roster", ("news",), "channel"),
        ("roster_changes", ("news", 0), "channel"),
        ("roster_changes", ("presence-a", -1), "since: expected the revision of an earlier answer"),
        ("roster_changes", ("presence-a", True), "since: expected the revision"),
    ],
)
def test_what_cannot_be_asked_is_not_sent(
    recorded: Connect, method: str, arguments: tuple[Any, ...], said: str
) -> None:
    """The error names the argument and what was expected."""
    with pytest.raises(InvalidArgument) as refused:
        recorded()(method, *arguments)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("method", "arguments", "answer"),
    [
        ("user", ("anna",), {"user_id": "anna"}),
        ("user_statuses", (["anna"],), {"users": [], "complete": True}),
        ("roster", ("presence-a",), {"users": [{"id": "anna"}]}),
        ("roster_changes", ("presence-a", 1), {"revision": 1, "full": True, "complete": True}),
    ],
)
def test_an_answer_of_another_shape_is_an_error(
    recorded: Connect, recorder: Recorder, method: str, arguments: tuple[Any, ...], answer: object
) -> None:
    """As from a server that knows nothing of this."""
    recorder.answer = (200, json.dumps(answer).encode())
    with pytest.raises(InvalidAnswer):
        recorded()(method, *arguments)
