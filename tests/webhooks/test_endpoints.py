"""Which events an endpoint wants, and how it is told from others."""

from __future__ import annotations

import dataclasses

import pytest

from herenow.apps.base import App, Key, WebhookEndpoint
from herenow.apps.static import StaticApps
from herenow.webhooks.endpoints import Endpoint, Endpoints, endpoints_of

ROOMS = WebhookEndpoint(
    "https://a.example/hook",
    ("member_added", "user_online"),
    channel_name_starts_with="presence-",
    channel_name_ends_with=".eu",
)
APP = App("7", (Key("k", "s"),), webhooks=(ROOMS,))


@pytest.mark.parametrize(
    ("name", "channel", "wanted"),
    [
        ("member_added", "presence-a.eu", True),
        ("member_added", "presence-a.us", False),
        ("member_added", "private-a.eu", False),
        ("member_removed", "presence-a.eu", False),
        ("user_online", None, True),
        ("user_offline", None, False),
    ],
)
def test_filters_choose_by_name_and_channel(
    name: str, channel: str | None, *, wanted: bool
) -> None:
    """Filters of channels do not concern events about users."""
    [endpoint] = endpoints_of(APP)
    assert endpoint.wants(name, channel) is wanted


def test_an_endpoint_keeps_its_id_when_what_it_wants_changes() -> None:
    """What it was told is still known afterwards."""
    changed = dataclasses.replace(APP, webhooks=(dataclasses.replace(ROOMS, events=()),))
    assert endpoints_of(changed)[0].id == endpoints_of(APP)[0].id


def test_endpoints_with_the_same_url_are_two() -> None:
    """One of them may want other events."""
    twice = dataclasses.replace(APP, webhooks=(ROOMS, ROOMS))
    first, second = endpoints_of(twice)
    assert first.id == endpoints_of(APP)[0].id != second.id


def test_endpoints_of_two_applications_are_two() -> None:
    """Applications share nothing, not even where they send to the same place."""
    other = dataclasses.replace(APP, id="8")
    assert endpoints_of(other)[0].id != endpoints_of(APP)[0].id


def test_a_change_is_in_force_when_it_was_told() -> None:
    """What applications have is looked up once for each change."""

    class Changing(StaticApps):
        def by_id(self, app_id: str) -> App | None:
            return current.get(app_id)

    current = {"7": APP}
    endpoints = Endpoints(Changing([APP]))
    [before] = endpoints.of("7")
    assert endpoints.get(before.id) == before
    assert endpoints.any_wants("7", "member_added")
    assert not endpoints.any_wants("7", "client_event")
    assert not endpoints.any_wants("8", "member_added")
    current["7"] = dataclasses.replace(APP, webhooks=())
    assert endpoints.app_changed("7").gone == {before.id}
    assert endpoints.of("7") == ()
    assert not endpoints.any_wants("7", "member_added")
    assert endpoints.get(before.id) is None
    assert list(endpoints.all()) == []


def test_a_change_says_which_endpoints_went_came_or_want_something_else() -> None:
    """Those that are as they were are not among them."""
    other = WebhookEndpoint("https://b.example/hook", ("user_online",))
    current = [dataclasses.replace(APP, webhooks=(ROOMS, other))]

    class Changing(StaticApps):
        def by_id(self, app_id: str) -> App | None:
            return current[0]

    endpoints = Endpoints(Changing(current))
    rooms, _ = endpoints.of("7")
    assert len(endpoints) == 2
    new = WebhookEndpoint("https://c.example/hook", ("user_online",))
    wider = dataclasses.replace(other, events=("user_online", "user_offline"))
    current[0] = dataclasses.replace(APP, webhooks=(wider, new))
    changes = endpoints.app_changed("7")
    assert changes.gone == {rooms.id}
    assert [endpoint.target for endpoint in changes.changed] == [wider, new]


def test_headers_are_not_shown() -> None:
    """They may hold tokens."""
    target = WebhookEndpoint("https://a.example", headers=(("Authorization", "Bearer hidden"),))
    assert "hidden" not in repr(Endpoint("e", "7", target))
