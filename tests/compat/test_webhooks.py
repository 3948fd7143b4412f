"""Webhooks of a running server, read by the official libraries and by ours."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

import pusher
import pytest

from compat.matrix import each
from compat.scripts import Backend, Caller, JavaBackend, Refused, connection_settings
from compat.sdks import (
    GO_BACKEND,
    PUSHER_HTTP_GO,
    PUSHER_HTTP_JAVA,
    PUSHER_NODE,
    PUSHER_PYTHON,
    Sdk,
)
from compat.serving import App, serve_command
from conformance.harness.apps import WEBHOOK_EVENTS
from conformance.harness.apps import App as Configured
from conformance.harness.connection import CACHE_MISS
from conformance.harness.names import unique
from conformance.harness.receiver import Delivery, Endpoint, Receiver
from conformance.harness.server import running
from conformance.harness.service import Service
from conformance.harness.signing import compact, hmac_hex
from herenow import Channels, InvalidWebhook

KEY: Final = "a1b2c3d4e5f60718293a"
SECRET: Final = "0f1e2d3c4b5a69788796"
OTHER_KEY: Final = "b2c3d4e5f60718293a4b"
OTHER_SECRET: Final = "1e2d3c4b5a697887960f"
EVENTS: Final = (*WEBHOOK_EVENTS, "user_online", "user_offline")
ONE_BY_ONE: Final = "/one-by-one"
BATCHED: Final = "/batched"

OURS: Final = (
    "X-Herenow-Event-Ids",
    "X-Herenow-Sequences",
    "X-Herenow-Timestamp",
    "X-Herenow-Signature",
)


class Sent(NamedTuple):
    """What a library is given: the headers that it reads, and the body as text."""

    key: str
    signature: str
    body: str


Read = Callable[[Sent], list[dict[str, Any]] | None]
"""A library's answer: the events, an empty list if it hands out none, or None for a refusal."""


@pytest.fixture(scope="module")
def deliveries(tmp_path_factory: pytest.TempPathFactory) -> list[Delivery]:
    """Requests with events of every kind, one by one and several at once."""
    command = ["env", "HERENOW_WEBHOOKS__HOLD_SECONDS=0.1", *serve_command()]
    with Receiver() as receiver:
        apps = {
            path: Configured(str(number), key, secret, _settings(receiver.url(path), number == 2))
            for number, (path, key, secret) in enumerate(
                ((ONE_BY_ONE, KEY, SECRET), (BATCHED, OTHER_KEY, OTHER_SECRET)), start=1
            )
        }
        with running(command, tmp_path_factory.mktemp("webhooks"), apps, {}) as server:
            service = Service(server)
            for path, app in apps.items():
                _let_all_happen(service, path)
                _wait_for_all(receiver, Endpoint(receiver, path, app.key, app.secret))
            service.close()
        return [*receiver.deliveries(ONE_BY_ONE), *receiver.deliveries(BATCHED)]


def _settings(url: str, batch: bool) -> dict[str, object]:
    return {
        "client_events": True,
        "subscription_count": True,
        "leave_grace_seconds": 0,
        "batch_webhooks": batch,
        "webhooks": [{"url": url, "events": list(EVENTS), "user_info": True}],
    }


def _let_all_happen(service: Service, app: str) -> None:
    room, news = unique("presence-room"), unique("cache-news")
    emily = service.connect(app)
    emily.sign_in("emily", user_info={"name": "Émilie ☕"})
    emily.join(room, "emily", {"name": "Émilie ☕"})
    emily.send("client-typing", {"draft": True, "text": "é </x> ☕"}, room)
    emily.subscribe(news)
    emily.expect_event(CACHE_MISS, news)
    emily.close()


def _wait_for_all(receiver: Receiver, endpoint: Endpoint) -> None:
    deadline = time.monotonic() + 20
    while True:
        found = receiver.deliveries(endpoint.path)
        if {event["name"] for each in found for event in each.events} == set(EVENTS):
            return
        assert not receiver.wait(deadline), f"not every event came: {found}"


@pytest.fixture(scope="module")
def opened() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture(scope="module")
def reader(request: pytest.FixtureRequest, opened: ExitStack) -> Callable[[Sdk, str, str], Read]:
    """Makes a library read webhooks as the owner of a key and its secret."""
    known: dict[tuple[Sdk, str, str], Read] = {}

    def make(sdk: Sdk, key: str = KEY, secret: str = SECRET) -> Read:
        if (sdk, key, secret) not in known:
            known[sdk, key, secret] = _reader(request, opened, sdk, App("1", key, secret))
        return known[sdk, key, secret]

    return make


def _reader(request: pytest.FixtureRequest, opened: ExitStack, sdk: Sdk, app: App) -> Read:
    if sdk is PUSHER_PYTHON:
        package = pusher.Pusher(app_id=app.id, key=app.key, secret=app.secret)
        return lambda sent: _events(package.validate_webhook(*sent))
    nowhere = _Nowhere()
    caller: Caller
    read: Callable[[Caller, Sent], list[dict[str, Any]] | None]
    if sdk is PUSHER_NODE:
        caller = Backend(request.getfixturevalue("node"), nowhere, app)
        read = _with_node
    elif sdk is PUSHER_HTTP_JAVA:
        caller = JavaBackend(request.getfixturevalue("java"), nowhere, app)
        read = _with_java
    else:
        if not GO_BACKEND.exists():
            pytest.skip("run make clients where there is Go first")
        caller = Caller([str(GO_BACKEND)], connection_settings(nowhere, app))
        read = _with_go
    opened.callback(caller.close)
    return lambda sent: read(caller, sent)


class _Nowhere:
    """No server is asked about a webhook."""

    host = "127.0.0.1"
    port = 9


def _events(webhook: dict[str, Any] | None) -> list[dict[str, Any]] | None:
    return None if webhook is None else list(webhook["events"])


def _with_node(node: Caller, sent: Sent) -> list[dict[str, Any]] | None:
    headers = {
        "content-type": "application/json",
        "x-pusher-key": sent.key,
        "x-pusher-signature": sent.signature,
    }
    answer = node.call("webhook", {"headers": headers, "rawBody": sent.body})
    return answer["events"] if answer["valid"] else None


def _with_java(java: Caller, sent: Sent) -> list[dict[str, Any]] | None:
    """The library says whether a webhook is valid, and leaves its body to others."""
    return [] if java.call("webhook", *sent) == "VALID" else None


def _with_go(go: Caller, sent: Sent) -> list[dict[str, Any]] | None:
    headers = {"X-Pusher-Key": [sent.key], "X-Pusher-Signature": [sent.signature]}
    try:
        return _events(go.call("Webhook", headers, sent.body))
    except Refused as refusal:
        if refusal.message != "Invalid webhook":
            raise
        return None


def _sent(delivery: Delivery) -> Sent:
    key, signature = delivery.header("X-Pusher-Key"), delivery.header("X-Pusher-Signature")
    return Sent(key, signature, delivery.body.decode())


def _signed(body: str, secret: str = SECRET) -> Sent:
    return Sent(KEY, hmac_hex(secret, body), body)


def _old(seconds: float) -> str:
    made = int((time.time() - seconds) * 1000)
    return compact({"time_ms": made, "events": [{"name": "channel_occupied", "channel": "news"}]})


def _one_by_one(deliveries: list[Delivery]) -> list[Delivery]:
    return [delivery for delivery in deliveries if delivery.path == ONE_BY_ONE]


every = each(PUSHER_NODE, PUSHER_PYTHON, PUSHER_HTTP_GO, PUSHER_HTTP_JAVA)


def test_all_kinds_were_sent_one_by_one_and_in_batches(deliveries: list[Delivery]) -> None:
    """What the libraries are given has events of every kind, and requests with several."""
    for path, several in ((ONE_BY_ONE, False), (BATCHED, True)):
        of_path = [delivery.events for delivery in deliveries if delivery.path == path]
        assert {event["name"] for events in of_path for event in events} == set(EVENTS)
        assert any(len(events) > 1 for events in of_path) is several


@every
@pytest.mark.feature("accept a webhook")
def test_every_webhook_is_accepted(
    deliveries: list[Delivery], reader: Callable[..., Read], sdk: Sdk
) -> None:
    """The library believes each request, and hands out the events that are in it."""
    for delivery in deliveries:
        pair = (KEY, SECRET) if delivery.path == ONE_BY_ONE else (OTHER_KEY, OTHER_SECRET)
        events = reader(sdk, *pair)(_sent(delivery))
        assert events is not None, delivery.body
        if sdk is not PUSHER_HTTP_JAVA:
            for member in ("name", "channel", "event", "data", "socket_id", "user_id"):
                found = [event.get(member) for event in events]
                assert found == [event.get(member) for event in delivery.events]


@every
@pytest.mark.feature("refuse a forged webhook")
def test_a_changed_byte_is_refused(
    deliveries: list[Delivery], reader: Callable[..., Read], sdk: Sdk
) -> None:
    """A digit of the time, or a letter of the signature, is another than the server sent."""
    read = reader(sdk)
    for delivery in _one_by_one(deliveries):
        sent = _sent(delivery)
        made = str(json.loads(sent.body)["time_ms"])
        changed = made[:-1] + str((int(made[-1]) + 1) % 10)
        assert read(sent._replace(body=sent.body.replace(made, changed, 1))) is None
        letter = "0" if sent.signature[0] != "0" else "1"
        assert read(sent._replace(signature=letter + sent.signature[1:])) is None


@every
@pytest.mark.feature("refuse a forged webhook")
def test_a_foreign_key_is_refused(
    deliveries: list[Delivery], reader: Callable[..., Read], sdk: Sdk
) -> None:
    """Webhooks of another application, or signed with its secret, are none of this one."""
    read = reader(sdk)
    for delivery in deliveries:
        if delivery.path == BATCHED:
            assert read(_sent(delivery)) is None
    assert read(_signed(_old(0), OTHER_SECRET)) is None
    assert read(_signed(_old(0))) is not None


@each(PUSHER_PYTHON)
@pytest.mark.feature("refuse an old webhook")
def test_an_old_webhook_is_refused(reader: Callable[..., Read], sdk: Sdk) -> None:
    """What was made more than five minutes ago is not believed, whoever signed it."""
    read = reader(sdk)
    assert read(_signed(_old(310))) is None
    assert read(_signed(_old(280))) is not None


@each(PUSHER_NODE, PUSHER_HTTP_GO, PUSHER_HTTP_JAVA)
@pytest.mark.not_offered("refuse an old webhook", "it does not look at `time_ms`")
def test_an_old_webhook_is_accepted(reader: Callable[..., Read], sdk: Sdk) -> None:
    """These libraries leave the time to the application."""
    assert reader(sdk)(_signed(_old(100_000))) is not None


def test_ours_reads_all_of_it(deliveries: list[Delivery]) -> None:
    """Every event has an id of its own and, where it is counted, the next number of its lane."""
    channels = Channels("1", KEY, SECRET)
    last: dict[str, int] = {}
    ids = set()
    for delivery in _one_by_one(deliveries):
        webhook = channels.webhook(dict(delivery.headers), delivery.body, require_ids=True)
        assert webhook["attempt"] == 1
        for event in webhook["events"]:
            ids.add(event["id"])
            counted = event["name"] not in ("client_event", "cache_miss", "subscription_count")
            assert (event["sequence"] > 0) is counted
            if counted:
                before = last.get(event["channel"], event["sequence"] - 1)
                assert event["sequence"] == before + 1
                last[event["channel"]] = event["sequence"]
            if event["name"] == "member_added":
                assert json.loads(event["user_info"]) == {"name": "Émilie ☕"}
    assert len(ids) == len(_one_by_one(deliveries))


def test_ours_refuses_what_was_changed(deliveries: list[Delivery]) -> None:
    """A changed byte, one of our headers changed or missing, or another application's."""
    channels = Channels("1", KEY, SECRET)
    for delivery in _one_by_one(deliveries):
        headers, body = dict(delivery.headers), delivery.body
        for name in OURS:
            for changed in (
                {**headers, name: headers[name][:-1] + ("0" if headers[name][-1] != "0" else "1")},
                {known: value for known, value in headers.items() if known != name},
            ):
                with pytest.raises(InvalidWebhook):
                    channels.webhook(changed, body)
        with pytest.raises(InvalidWebhook, match="signature"):
            channels.webhook(headers, body.replace(b'"name"', b'"nam\\u0065"', 1))
        with pytest.raises(InvalidWebhook, match="not this application's"):
            Channels("1", OTHER_KEY, OTHER_SECRET).webhook(headers, body)


def test_ours_refuses_what_is_old_or_stripped(deliveries: list[Delivery]) -> None:
    """Who recorded a webhook cannot send it later, nor without what tells it as a repetition."""
    channels = Channels("1", KEY, SECRET)
    old = _signed(_old(310))
    headers = {"X-Pusher-Key": KEY, "X-Pusher-Signature": old.signature}
    with pytest.raises(InvalidWebhook, match="old"):
        channels.webhook(headers, old.body.encode())
    for delivery in _one_by_one(deliveries):
        stripped = {name: value for name, value in delivery.headers if name not in OURS}
        assert channels.webhook(stripped, delivery.body)["events"] == delivery.events
        with pytest.raises(InvalidWebhook, match="X-Herenow-"):
            channels.webhook(stripped, delivery.body, require_ids=True)
