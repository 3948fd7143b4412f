"""A roster with what is known of its members, and how it changed since somebody asked."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from server.serving import APP, Serving, eventually, serving

pytestmark = pytest.mark.anyio

ROOM = "presence-room"
USERS = f"/apps/{APP.id}/channels/{ROOM}/users"


@pytest.fixture
async def started() -> AsyncIterator[Serving]:
    async with serving() as started:
        yield started


async def ask(started: Serving, query: str = "", path: str = USERS) -> Any:
    answer = await started.call("GET", path, query=query)
    assert answer.status == 200, answer
    return json.loads(answer.body)


async def test_without_parameters_it_is_the_roster_of_the_protocol(started: Serving) -> None:
    """The ids and nothing else."""
    client = await started.established()
    await client.enter(ROOM, "anna", {"name": "Anna"})
    assert await ask(started) == {"users": [{"id": "anna"}]}


async def test_the_roster_has_what_is_asked_for(started: Serving) -> None:
    """The info as the endpoint of the application gave it, as JSON."""
    one, two = await started.established(), await started.established()
    before = time.time()
    await one.enter(ROOM, "anna", {"name": "Ånna ☕", "n": [1.5, None]})
    await two.enter(ROOM, "bert")
    answer = await ask(started, "info=user_info,joined_at")
    assert answer["complete"] is True
    assert isinstance(answer["revision"], int)
    anna, bert = answer["users"]
    assert before - 1 <= anna.pop("joined_at") <= bert["joined_at"] <= time.time() + 1
    assert anna == {"id": "anna", "user_info": {"name": "Ånna ☕", "n": [1.5, None]}}
    assert (await ask(started, "info=user_info"))["users"][0].keys() == {"id", "user_info"}


async def test_the_difference_since_a_revision(started: Serving) -> None:
    """The first answer is everybody; then who came, who has other info, who went."""
    anna, bert = await started.established(), await started.established()
    await anna.enter(ROOM, "anna", {"n": 1})
    await bert.enter(ROOM, "bert", {"n": 1})
    first = await ask(started, "info=user_info&since=0")
    assert first.keys() == {"users", "revision", "full", "complete"}
    assert first["full"] is True
    other, cleo = await started.established(), await started.established()
    await other.enter(ROOM, "anna", {"n": 2})
    await cleo.enter(ROOM, "cleo", {"n": 3})
    await bert.leave()
    await eventually(lambda: len(started.hub.connections) == 3)
    second = await ask(started, f"info=user_info&since={first['revision']}")
    revision = second.pop("revision")
    assert revision > first["revision"]
    assert second == {
        "added": [{"id": "cleo", "user_info": {"n": 3}}],
        "updated": [{"id": "anna", "user_info": {"n": 2}}],
        "removed": [{"id": "bert"}],
        "full": False,
        "complete": True,
    }
    assert await ask(started, f"since={revision}") == {
        "added": [],
        "updated": [],
        "removed": [],
        "revision": revision,
        "full": False,
        "complete": True,
    }


async def test_an_unknown_revision_gets_everybody(started: Serving) -> None:
    """Also of a channel that is empty."""
    assert (await ask(started, "since=12345"))["users"] == []
    client = await started.established()
    await client.enter(ROOM, "anna")
    for since in ("1", "9" * 20):
        answer = await ask(started, f"since={since}")
        assert (answer["full"], answer["users"]) == (True, [{"id": "anna"}])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("info=name", "Unknown info attribute name: expected user_info or joined_at"),
        ("since=", "Invalid since: expected the revision of an earlier answer"),
        ("since=-1", "Invalid since: expected the revision of an earlier answer"),
        ("since=%C2%B2", "Invalid since: expected the revision of an earlier answer"),
        ("since=" + "1" * 21, "Invalid since: expected the revision of an earlier answer"),
        ("since=1&sort=id", "The following query string parameters are extraneous: sort"),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    started: Serving, query: str, expected: str
) -> None:
    """The error says what was expected."""
    answer = await started.call("GET", USERS, query=query)
    assert (answer.status, answer.text) == (400, expected + "\n")


async def test_only_presence_channels_have_a_roster(started: Serving) -> None:
    """With parameters as without."""
    path = f"/apps/{APP.id}/channels/news/users"
    for query in ("info=joined_at", "since=0"):
        assert (await started.call("GET", path, query=query)).status == 400
