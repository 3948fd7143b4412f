"""What callers are answered while the engine is away, or cannot say everything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial

import pytest

from herenow.api.calls import Call
from herenow.cluster.base import Refusal
from server.late_engine import LateBus, LateLedger, Lateness
from server.serving import APP, Answer, Serving, app_with, eventually, serving

pytestmark = pytest.mark.anyio

BASE = f"/apps/{APP.id}"
EVENT = {"name": "e", "channel": "a", "data": "x"}
PUBLISHING = [
    (f"{BASE}/events", EVENT),
    (f"{BASE}/events", EVENT | {"channel": "cache-a"}),
    (f"{BASE}/batch_events", {"batch": [EVENT, EVENT]}),
]
READS = [
    (f"{BASE}/channels", ""),
    (f"{BASE}/channels/news", ""),
    (f"{BASE}/channels/cache-a", "info=cache"),
    (f"{BASE}/channels/presence-a/users", ""),
    (f"{BASE}/channels/presence-a/users", "info=joined_at"),
    (f"{BASE}/channels/presence-a/users", "since=0"),
    (f"{BASE}/channels/presence-a/stats", ""),
    (f"{BASE}/users/anna", ""),
]


@pytest.fixture
def lateness() -> Lateness:
    return Lateness()


@pytest.fixture
async def late(lateness: Lateness) -> AsyncIterator[Serving]:
    app = app_with(events_per_second=100)
    make_ledger, make_bus = partial(LateLedger, lateness), partial(LateBus, lateness)
    async with serving(app, make_ledger=make_ledger, make_bus=make_bus) as started:
        yield started
        lateness.unavailable = False
        lateness.release_all()


def expect_unavailable(answer: Answer) -> None:
    assert answer.status == 503, answer
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "text/plain"
    assert len(answer.text.splitlines()) == 1


@pytest.mark.parametrize(("path", "body"), PUBLISHING)
async def test_what_cannot_be_published_is_refused_and_nobody_gets_it(
    late: Serving, lateness: Lateness, path: str, body: dict[str, object]
) -> None:
    client = await late.join("a")
    lateness.unavailable = True
    expect_unavailable(await late.call("POST", path, body))
    lateness.unavailable = False
    await client.expect_nothing()
    assert (await late.call("POST", path, body)).body == b"{}"


async def test_the_old_way_of_publishing_is_refused_as_well(
    late: Serving, lateness: Lateness
) -> None:
    lateness.unavailable = True
    path = f"{BASE}/channels/a/events"
    expect_unavailable(await late.call("POST", path, b"x", "name=e"))


async def test_publishing_is_answered_when_it_is_done(late: Serving, lateness: Lateness) -> None:
    client = await late.join("a")
    lateness.late = {"delivery"}
    answering = asyncio.create_task(late.trigger("a", "e"))
    await eventually(lambda: lateness.waiting("delivery") == 1)
    await client.expect_nothing()
    assert not answering.done()
    lateness.release("delivery")
    assert (await answering).body == b"{}"
    await client.expect("e", "a")


async def test_a_batch_leaves_as_one(late: Serving, lateness: Lateness) -> None:
    """All of its events, or none if the engine goes meanwhile."""
    client = await late.join("x", "y")
    lateness.late = {"delivery"}
    batch = [{"name": f"e{n}", "channel": "xy"[n % 2], "data": "x"} for n in range(4)]
    answering = asyncio.create_task(late.call("POST", f"{BASE}/batch_events", {"batch": batch}))
    await eventually(lambda: lateness.waiting("delivery") == 1)
    lateness.release("delivery")
    assert (await answering).status == 200
    told = await late.everything(client)
    assert [message.event for message in told] == ["e0", "e1", "e2", "e3"]


async def test_a_rate_that_cannot_be_told_refuses(late: Serving, lateness: Lateness) -> None:
    lateness.late = {"spend"}
    client = await late.join("a")
    answering = asyncio.create_task(late.trigger("a", "e"))
    await eventually(lambda: lateness.waiting("spend") == 1)
    await client.expect_nothing()
    lateness.release("spend")
    assert (await answering).status == 200
    await client.expect("e", "a")
    lateness.late.clear()
    lateness.unavailable = True
    expect_unavailable(await late.call("GET", f"{BASE}/channels"))


async def test_without_a_rate_the_engine_is_not_asked_about_one(lateness: Lateness) -> None:
    lateness.late = {"spend"}
    async with serving(make_ledger=partial(LateLedger, lateness)) as late:
        assert (await late.trigger("a", "e")).status == 200


@pytest.mark.parametrize(("path", "query"), READS)
async def test_a_read_that_is_not_answered_is_refused(path: str, query: str) -> None:
    lateness = Lateness()
    make_ledger, make_bus = partial(LateLedger, lateness), partial(LateBus, lateness)
    async with serving(make_ledger=make_ledger, make_bus=make_bus) as late:
        lateness.unavailable = True
        expect_unavailable(await late.call("GET", path, query=query))
        lateness.unavailable = False
        answer = await late.call("GET", path, query=query)
        assert answer.status == 200
        assert json.loads(answer.body).get("complete", True)


@pytest.mark.parametrize(("path", "query"), READS)
async def test_an_answer_that_may_be_partial_says_so(
    late: Serving, lateness: Lateness, path: str, query: str
) -> None:
    before = json.loads((await late.call("GET", path, query=query)).body)
    lateness.complete = False
    answer = json.loads((await late.call("GET", path, query=query)).body)
    assert answer == before | {"complete": False}


@pytest.mark.parametrize("unavailable", [True, False])
async def test_attributes_of_what_was_published_may_be_missing(
    late: Serving, lateness: Lateness, unavailable: bool
) -> None:
    """The event is out, so the call is not refused; what is not known is not in the answer."""
    client = await late.established()
    await client.enter("presence-a", "u")
    lateness.late = {"channel"}
    body = {"name": "e", "channels": ["presence-a"], "data": "x", "info": "user_count"}
    lateness.complete = False
    answering = asyncio.create_task(late.call("POST", f"{BASE}/events", body))
    await eventually(lambda: lateness.waiting("channel") == 1)
    if unavailable:
        ((_, answer),), lateness.held = lateness.held, []
        assert isinstance(answer, partial)
        answer.func(Refusal.UNAVAILABLE)
    lateness.release_each("channel")
    known = {} if unavailable else {"user_count": 1}
    answered = await answering
    assert answered.status == 200
    assert json.loads(answered.body) == {"channels": {"presence-a": known}, "complete": False}
    await client.expect("e", "presence-a")


async def test_terminating_that_reaches_nobody_is_refused(
    late: Serving, lateness: Lateness
) -> None:
    client = await late.established()
    await client.sign_in("anna")
    lateness.unavailable = True
    path = f"{BASE}/users/anna/terminate_connections"
    expect_unavailable(await late.call("POST", path, {}))
    await client.expect_nothing()
    lateness.unavailable = False
    assert (await late.call("POST", path, {})).body == b"{}"
    await client.expect_closed(4009)


async def test_calls_that_are_refused_are_counted_by_their_status(
    late: Serving, lateness: Lateness
) -> None:
    lateness.unavailable = True
    await late.trigger("a", "e")
    assert late.counters.api_calls["events", 503] == 1


async def test_a_failure_after_a_late_answer_is_answered(
    late: Serving, lateness: Lateness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for an answer that never comes."""

    def fail(call: Call) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(Call, "done", fail)
    lateness.late = {"delivery"}
    answering = asyncio.create_task(late.trigger("cache-a", "e"))
    await eventually(lambda: lateness.waiting("delivery") == 1)
    lateness.release("delivery")
    assert (await answering).status == 500
