"""What is asked about an application's webhooks over HTTP, and what is done about them."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import pytest

from herenow.apps.base import App, Key, WebhookEndpoint
from herenow.webhooks.endpoints import endpoints_of
from herenow.webhooks.journal import Condition, Entry, Fact
from server.kept import KeptJournal
from server.serving import APP, RETRY_SECONDS, Answer, Serving, serving

pytestmark = pytest.mark.anyio

PRESENCE: Final = WebhookEndpoint(
    "https://user.example/hooks?token=hidden", ("member_added", "member_removed")
)
CHANNELS: Final = WebhookEndpoint("http://127.0.0.1:9/", ("channel_occupied",))
HOOKED: Final = replace(APP, webhooks=(PRESENCE, CHANNELS))
OTHER: Final = App("8", (Key("other-key", "other-secret"),), webhooks=(CHANNELS,))
FIRST, SECOND = (endpoint.id for endpoint in endpoints_of(HOOKED))
(FOREIGN,) = (endpoint.id for endpoint in endpoints_of(OTHER))
BASE: Final = f"/apps/{HOOKED.id}/webhooks"


@pytest.fixture
def journal() -> KeptJournal:
    return KeptJournal()


@pytest.fixture
async def started(journal: KeptJournal) -> AsyncIterator[Serving]:
    async with serving(HOOKED, OTHER, journal=journal) as running:
        yield running


def entry(position: int, *, buried: bool = False, **fields: Any) -> Entry:
    given: dict[str, Any] = {
        "fact": Fact("cpresence-room", "emily"),
        "holds": True,
        "info": b'{"name":"Emily"}',
        "made": time.time() - 100 + position,
    } | fields
    return Entry(
        position=position,
        endpoint=FIRST,
        id=f"a-{position}",
        sequence=1_000 + position,
        buried=buried,
        **given,
    )


async def asked(started: Serving, path: str, query: str = "") -> Any:
    answer = await started.call("GET", path, query=query)
    assert answer.status == 200, answer
    return json.loads(answer.body)


async def told(started: Serving, path: str, body: object) -> Any:
    answer = await started.call("POST", path, body)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def expect_refused(answer: Answer, status: int, *words: str) -> None:
    assert answer.status == status, answer
    assert len(answer.text.splitlines()) == 1
    for word in words:
        assert word in answer.text


async def test_endpoints_are_listed_with_what_waits_for_each(
    started: Serving, journal: KeptJournal
) -> None:
    journal.entries[FIRST] = [entry(1), entry(2), entry(3, buried=True)]
    failing_since = round(time.time() - 20, 3)
    journal.conditions[FIRST] = Condition(failing_since, "503 try\x1b[31m later", 5.5)
    answer = await asked(started, BASE)
    assert answer["complete"] is True
    first, second = answer["endpoints"]
    assert 99 <= first.pop("oldest_seconds") < 120
    assert first == {
        "id": FIRST,
        "url": "https://user.example/hooks?…",
        "events": ["member_added", "member_removed"],
        "waiting": 2,
        "dead": 1,
        "failing_since": failing_since,
        "last_answer": "503 try later",
        "last_attempt": 5.5,
    }
    assert second == {
        "id": SECOND,
        "url": "http://127.0.0.1:9/",
        "events": ["channel_occupied"],
        "waiting": 0,
        "dead": 0,
        "oldest_seconds": None,
        "failing_since": None,
        "last_answer": "",
        "last_attempt": None,
    }


async def test_all_are_dead_letters_while_nothing_succeeds_for_long(
    started: Serving, journal: KeptJournal
) -> None:
    journal.entries[FIRST] = [entry(1), entry(2, buried=True)]
    journal.conditions[FIRST] = Condition(time.time() - RETRY_SECONDS - 1)
    endpoint = (await asked(started, BASE))["endpoints"][0]
    assert (endpoint["waiting"], endpoint["dead"]) == (0, 2)
    events = (await asked(started, f"{BASE}/{FIRST}", "dead=true"))["events"]
    assert [(event["id"], event["dead"]) for event in events] == [("a-1", True), ("a-2", True)]


async def test_what_is_dead_for_want_of_an_answer_counts_as_retried(
    started: Serving, journal: KeptJournal
) -> None:
    journal.entries[FIRST] = [entry(1), entry(2, buried=True), entry(3)]
    journal.conditions[FIRST] = Condition(time.time() - RETRY_SECONDS - 1)
    path = f"{BASE}/{FIRST}/retry"
    assert await told(started, path, {"ids": ["a-3", "a-9"]}) == {"retried": 1}
    assert await told(started, path, {"ids": ["a-2"]}) == {"retried": 1}
    assert await told(started, path, {}) == {"retried": 3}


async def test_events_are_shown_as_they_will_be_told(
    started: Serving, journal: KeptJournal
) -> None:
    journal.entries[FIRST] = [
        entry(1, made=1_760_000_000.1234),
        entry(2, fact=Fact("uemily"), holds=False, made=1_760_000_001.0, buried=True),
    ]
    assert await asked(started, f"{BASE}/{FIRST}") == {
        "events": [
            {
                "id": "a-1",
                "name": "member_added",
                "channel": "presence-room",
                "user_id": "emily",
                "sequence": 1_001,
                "made_ms": 1_760_000_000_123,
                "dead": False,
            },
            {
                "id": "a-2",
                "name": "user_offline",
                "channel": "#server-to-user-emily",
                "user_id": "emily",
                "sequence": 1_002,
                "made_ms": 1_760_000_001_000,
                "dead": True,
            },
        ],
        "cursor": "",
    }
    dead = await asked(started, f"{BASE}/{FIRST}", "dead=true")
    assert [event["id"] for event in dead["events"]] == ["a-2"]


async def test_pages_follow_each_other(started: Serving, journal: KeptJournal) -> None:
    journal.entries[FIRST] = [entry(position) for position in range(1, 8)]
    found, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        page = await asked(started, f"{BASE}/{FIRST}", f"limit=3&cursor={cursor}")
        found += [event["id"] for event in page["events"]]
        cursor, pages = page["cursor"], pages + 1
    assert (found, pages) == ([f"a-{position}" for position in range(1, 8)], 3)


async def test_dead_letters_are_delivered_after_all(started: Serving, journal: KeptJournal) -> None:
    journal.entries[FIRST] = [entry(position, buried=True) for position in range(1, 6)]
    assert await told(started, f"{BASE}/{FIRST}/retry", {"ids": ["a-1", "a-9"]}) == {"retried": 1}
    assert [each.buried for each in journal.entries[FIRST]] == [False, True, True, True, True]
    assert await told(started, f"{BASE}/{FIRST}/retry", {}) == {"retried": 4}


async def test_events_are_dropped_by_id_or_all(started: Serving, journal: KeptJournal) -> None:
    journal.entries[FIRST] = [entry(position) for position in range(1, 6)]
    journal.entries[SECOND] = [entry(6)]
    assert await told(started, f"{BASE}/{FIRST}/drop", {"ids": ["a-2"]}) == {"dropped": 1}
    assert await told(started, f"{BASE}/{FIRST}/drop", {"all": True}) == {"dropped": 4}
    assert len(journal.entries[SECOND]) == 1


@pytest.mark.parametrize(
    "body", [{}, {"all": False}, {"ids": ["a-1"], "all": True}, {"all": 1}, {"id": ["a-1"]}, []]
)
async def test_nothing_is_dropped_by_accident(
    started: Serving, journal: KeptJournal, body: object
) -> None:
    journal.entries[FIRST] = [entry(1)]
    expect_refused(await started.call("POST", f"{BASE}/{FIRST}/drop", body), 400, "Invalid body")
    assert len(journal.entries[FIRST]) == 1


async def test_one_endpoint_or_all_are_reconciled(started: Serving, journal: KeptJournal) -> None:
    path = f"{BASE}/reconcile"
    assert await told(started, path, {"endpoint": SECOND}) == {"events": 5}
    assert journal.reconciled == [SECOND]
    assert await told(started, path, {}) == {"events": 10}
    assert journal.reconciled == [SECOND, FIRST, SECOND]


@pytest.mark.parametrize("endpoint", ["0" * 16, FOREIGN, "x", "%2e%2e", "é"])
async def test_an_endpoint_of_nobody_or_of_another_app_is_not_found(
    started: Serving, journal: KeptJournal, endpoint: str
) -> None:
    foreign = entry(1, buried=True)
    journal.entries[FOREIGN] = [foreign]
    path = f"{BASE}/{endpoint}"
    answers = [
        await started.call("GET", path),
        await started.call("POST", f"{path}/retry", {}),
        await started.call("POST", f"{path}/drop", {"all": True}),
        await started.call("POST", f"{BASE}/reconcile", {"endpoint": endpoint}),
    ]
    for answer in answers:
        expect_refused(answer, 404, "Unknown webhook endpoint")
    assert journal.entries[FOREIGN] == [foreign]
    assert journal.reconciled == []


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("limit=0", "limit: expected 1 to 1000"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=٣", "limit"),
        ("cursor=x", "cursor: expected one that an answer gave"),
        ("cursor=:", "cursor"),
        ("cursor=" + "9" * 41, "cursor"),
        ("dead=yes", "dead: expected true or false"),
    ],
)
async def test_a_page_that_there_is_not(started: Serving, query: str, word: str) -> None:
    expect_refused(await started.call("GET", f"{BASE}/{FIRST}", query=query), 400, word)


@pytest.mark.parametrize(
    "ids",
    ["a-1", [], [1], [""], ["a 1"], ["x" * 65], ["a-1"] * 1_001, {"a-1": 1}, [None]],
)
async def test_ids_that_are_none(started: Serving, ids: object) -> None:
    for call in ("retry", "drop"):
        answer = await started.call("POST", f"{BASE}/{FIRST}/{call}", {"ids": ids})
        expect_refused(answer, 400, "Invalid ids: expected")


async def test_a_journal_that_does_not_answer(started: Serving, journal: KeptJournal) -> None:
    journal.away = True
    answers = [
        await started.call("GET", BASE),
        await started.call("GET", f"{BASE}/{FIRST}"),
        await started.call("POST", f"{BASE}/{FIRST}/retry", {}),
        await started.call("POST", f"{BASE}/{FIRST}/drop", {"all": True}),
        await started.call("POST", f"{BASE}/reconcile", {}),
    ]
    for answer in answers:
        expect_refused(answer, 503, "outbox does not answer: try again, or look in the log")
        assert answer.headers["retry-after"] == "1"
    journal.away = False
    assert (await started.call("GET", BASE)).status == 200


async def test_an_app_without_webhooks_has_none(journal: KeptJournal) -> None:
    journal.away = True
    async with serving(APP, journal=journal) as running:
        assert await asked(running, BASE) == {"endpoints": [], "complete": True}
        assert await told(running, f"{BASE}/reconcile", {}) == {"events": 0}


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", BASE), ("GET", f"{BASE}/reconcile"), ("GET", f"{BASE}/{FIRST}/retry")],
)
async def test_another_method_is_refused(started: Serving, method: str, path: str) -> None:
    answer = await started.call(method, path)
    assert answer.status == 405, answer
    assert "allow" in answer.headers


async def test_an_unsigned_call_is_refused(started: Serving) -> None:
    answer = await started.call("GET", BASE, app=OTHER)
    expect_refused(answer, 401)


async def test_calls_count_against_the_rate(journal: KeptJournal) -> None:
    app = replace(HOOKED, limits=replace(HOOKED.limits, events_per_second=2))
    async with serving(app, journal=journal) as running:
        statuses = [(await running.call("GET", BASE)).status for _ in range(6)]
    assert 429 in statuses
    assert statuses[0] == 200
