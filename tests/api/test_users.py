"""Who is online, where, and since when: asked over HTTP, with real connections."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from herenow.apps.base import Key
from server.serving import APP, Answer, Serving, eventually, serving

pytestmark = pytest.mark.anyio

BASE = f"/apps/{APP.id}"
STATUS = f"{BASE}/users/status"


@pytest.fixture
async def started() -> AsyncIterator[Serving]:
    async with serving() as started:
        yield started


def body_of(answer: Answer) -> Any:
    assert answer.status == 200, answer
    return json.loads(answer.body)


async def ask(started: Serving, user: str) -> Any:
    return body_of(await started.call("GET", f"{BASE}/users/{user}"))


async def statuses(started: Serving, *users: str) -> Any:
    return body_of(await started.call("POST", STATUS, {"ids": list(users)}))


async def test_an_unknown_user_is_offline_and_was_never_seen(started: Serving) -> None:
    """That is an answer, not an error."""
    assert await ask(started, "nobody") == {
        "user_id": "nobody",
        "online": False,
        "since": None,
        "last_seen": None,
        "connections": 0,
        "channels": [],
        "complete": True,
    }


async def test_a_user_is_online_by_all_his_connections(started: Serving) -> None:
    """Since the first of them, in the channels that he is a member of by this id."""
    before = time.time()
    one, two = await started.established(), await started.established()
    await one.sign_in("anna")
    await two.sign_in("anna")
    await two.enter("presence-b", "anna")
    await one.enter("presence-a", "anna")
    await one.enter("presence-c", "bert")
    answer = await ask(started, "anna")
    assert (answer["online"], answer["connections"]) == (True, 2)
    assert answer["channels"] == ["presence-a", "presence-b"]
    assert before - 1 <= answer["since"] <= answer["last_seen"] <= time.time() + 1
    assert (await ask(started, "bert"))["channels"] == ["presence-c"]
    assert (await ask(started, "bert"))["online"] is False


async def test_a_user_who_went_was_last_seen_then(started: Serving) -> None:
    """Both kinds are remembered: who signed in, and who was only a member."""
    signed_in, member = await started.established(), await started.established()
    await signed_in.sign_in("anna")
    await member.enter("presence-a", "bert")
    before = time.time()
    await signed_in.leave()
    await member.leave()
    await eventually(lambda: not started.hub.connections)
    answer = await statuses(started, "anna", "bert", "cleo")
    assert answer["complete"] is True
    for user in ("anna", "bert"):
        status = answer["users"][user]
        assert before - 1 <= status.pop("last_seen") <= time.time() + 1
        assert status == {"online": False, "since": None, "connections": 0}
    assert answer["users"]["cleo"]["last_seen"] is None


async def test_a_departing_user_is_online_without_connections() -> None:
    """For as long as his grace, and was last seen when the connection went."""
    async with serving(replace(APP, leave_grace_seconds=60)) as started:
        client = await started.established()
        await client.sign_in("anna")
        await client.enter("presence-a", "anna")
        await client.leave()
        await eventually(lambda: not started.hub.connections)
        answer = await ask(started, "anna")
        assert (answer["online"], answer["connections"]) == (True, 0)
        assert answer["channels"] == ["presence-a"]
        assert (await ask(started, "anna"))["last_seen"] == answer["last_seen"]


async def test_a_user_is_forgotten_by_one_call(started: Serving) -> None:
    """When he was seen is erased; asked again, it is as if he had never been there."""
    client = await started.established()
    await client.enter("presence-a", "anna")
    await client.leave()
    await eventually(lambda: not started.hub.connections)
    assert (await ask(started, "anna"))["last_seen"] is not None
    for _ in range(2):
        answer = await started.call("POST", f"{BASE}/users/anna/forget", {})
        assert body_of(answer) == {"complete": True}
    assert (await ask(started, "anna"))["last_seen"] is None


async def test_a_user_may_be_called_status(started: Serving) -> None:
    """The same path asked with GET is about him."""
    client = await started.established()
    await client.sign_in("status")
    assert (await ask(started, "status"))["online"] is True


async def test_an_odd_id_can_be_asked_about(started: Serving) -> None:
    """Members of presence channels may have any."""
    client = await started.established()
    await client.enter("presence-a", "b c/☕")
    path = f"{BASE}/users/b%20c%2F%E2%98%95"
    assert body_of(await started.call("GET", path))["channels"] == ["presence-a"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "expected ids, a list of up to 1000 user ids, got something else"),
        ({"ids": "anna"}, "expected ids, a list of up to 1000 user ids, got something else"),
        ({"ids": ["x"] * 1_001}, "expected ids, a list of up to 1000 user ids, got 1001 of them"),
        ({"ids": ["anna", 7]}, "expected a string as ids[1]"),
        ({"ids": [""]}, "expected 1 to 1024 characters, got 0"),
        ({"ids": ["x" * 1_025]}, "expected 1 to 1024 characters, got 1025"),
    ],
)
async def test_ids_that_are_none_are_refused(started: Serving, body: object, expected: str) -> None:
    """The error says what was expected."""
    answer = await started.call("POST", STATUS, body)
    assert answer.status == 400
    assert expected in answer.text


async def test_a_thousand_users_are_answered_in_one_call(started: Serving) -> None:
    """Each of them once."""
    names = [f"user{number}" for number in range(1_000)]
    answer = await statuses(started, *names)
    assert set(answer["users"]) == set(names)
    assert (await statuses(started))["users"] == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"{BASE}/users/anna"), ("POST", STATUS), ("POST", f"{BASE}/users/anna/forget")],
)
async def test_a_call_without_a_signature_is_refused(
    started: Serving, method: str, path: str
) -> None:
    """As all others of the HTTP API."""
    impostor = replace(APP, keys=(Key(APP.keys[0].key, "somebody else's"),))
    body = {"ids": []} if method == "POST" else b""
    assert (await started.call(method, path, body, app=impostor)).status == 401
