"""``/metrics`` counts what happens and names nobody."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from admin.conftest import APPS
from admin.reader import Reader
from conformance.harness.service import Service, eventually

MAIN, PATIENT = APPS["main"], APPS["patient"]


def test_usage_is_given_per_app(service: Service, reader: Reader) -> None:
    ada, bob = service.connect(), service.connect()
    ada.sign_in("ada")
    ada.join("presence-room", "ada")
    bob.join("presence-room", "bob")
    bob.subscribe("news")
    service.connect("other").subscribe("news")

    metrics = reader.metrics()

    for name, main, other in (
        ("connections", 2, 1),
        ("users", 1, 0),
        ("members", 2, 0),
        ("channels", 2, 1),
    ):
        assert metrics[f'herenow_{name}{{app="1"}}'] == main
        assert metrics[f'herenow_{name}{{app="other-app"}}'] == other


def test_messages_are_counted_in_both_directions(service: Service, reader: Reader) -> None:
    connection = service.connect()
    before = reader.metrics()
    connection.subscribe("news")
    connection.fence()
    after = reader.metrics()

    received = "herenow_messages_received_total"
    assert after[received] - before[received] == 2
    assert after["herenow_messages_sent_total"] - before["herenow_messages_sent_total"] == 2


def test_api_calls_are_counted_by_endpoint_and_status(service: Service, reader: Reader) -> None:
    good = 'herenow_api_calls_total{endpoint="channels",status="200"}'
    bad = 'herenow_api_calls_total{endpoint="users",status="400"}'
    before = reader.metrics()
    api = service.api()
    assert api.get("channels").status == 200
    assert api.get("channels/news/users").status == 400
    after = reader.metrics()

    assert after[good] - before.get(good, 0) == 1
    assert after[bad] - before.get(bad, 0) == 1


def test_connections_are_counted_by_what_became_of_them(service: Service, reader: Reader) -> None:
    opened = "herenow_connections_opened_total"
    refused = 'herenow_connections_refused_total{reason="app_disabled"}'
    closed = 'herenow_connections_closed_total{reason="by_client"}'
    before = reader.metrics()
    service.connect().close()
    disabled = APPS["disabled"]
    service.open(f"/app/{disabled.key}?protocol=7", "disabled").expect_closed(4003)
    after = reader.metrics()

    assert after[opened] - before[opened] == 1
    assert after[closed] - before.get(closed, 0) == 1
    assert after[refused] - before.get(refused, 0) == 1


def test_refused_requests_are_counted_by_reason(service: Service, reader: Reader) -> None:
    name = 'herenow_refusals_total{reason="client_events_off"}'
    before = reader.metrics()
    connection = service.connect()
    connection.send("client-typing", {}, "private-room")
    connection.next_error()
    assert reader.metrics()[name] - before.get(name, 0) == 1


def test_transitions_and_webhook_events_are_counted(service: Service, reader: Reader) -> None:
    names = [
        'herenow_transitions_total{kind="add"}',
        'herenow_transitions_total{kind="remove"}',
        'herenow_webhook_events_total{kind="channel_occupied"}',
        'herenow_webhook_events_total{kind="channel_vacated"}',
        'herenow_webhook_events_total{kind="member_added"}',
        'herenow_webhook_events_total{kind="member_removed"}',
    ]
    before = reader.metrics()
    connection = service.connect()
    connection.join("presence-room", "ada")
    connection.close()
    after = eventually(reader.metrics, lambda found: names[-1] in found)
    assert [after[name] - before.get(name, 0) for name in names] == [1] * len(names)


def test_a_return_within_the_grace_is_counted_as_suppressed(
    service: Service, reader: Reader
) -> None:
    suppressed = "herenow_transitions_suppressed_total"
    first = service.connect("patient")
    first.join("presence-room", "returning")
    before = reader.metrics()
    first.reset()
    reader.expect_stats(PATIENT, connections=0)
    service.connect("patient").join("presence-room", "returning")
    after = reader.metrics()

    assert after[suppressed] - before[suppressed] == 1
    removed = 'herenow_transitions_total{kind="remove"}'
    assert after[removed] == before[removed]


def test_the_process_is_measured(reader: Reader) -> None:
    metrics = reader.metrics()
    assert metrics["process_resident_memory_bytes"] > 0
    assert metrics["process_cpu_seconds_total"] >= 0
    assert metrics["herenow_draining"] == 0


@pytest.mark.parametrize(
    "accept", [None, "text/plain;version=1.0.0", "application/openmetrics-text"]
)
def test_the_answer_is_prometheus_text(reader: Reader, accept: str | None) -> None:
    answer = reader.ask("/metrics", {"Accept": accept} if accept else {})
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(answer.text))
    assert all(family.documentation for family in families)


def test_nothing_from_outside_becomes_a_label(service: Service, reader: Reader) -> None:
    connection = service.connect()
    connection.sign_in("secretive-user")
    connection.join("presence-secret-room", "secretive-user", {"name": "Secretive"})
    connection.subscribe("hidden-news")
    connection.send("client-hidden", {}, "presence-secret-room")
    connection.request_subscribe("private-hidden/illegal")
    connection.fence()
    service.api().get("channels/hidden-news")
    service.open("/app/hidden-key?protocol=7").expect_closed(4001)

    text = reader.ask("/metrics").text.lower()
    for hidden in ("secret", "hidden", connection.socket_id, MAIN.key):
        assert hidden not in text
