"""What a shared engine is told of an application: whether it may have webhooks."""

from __future__ import annotations

from typing import cast

import pytest

from herenow.apps.base import App, Key, WebhookEndpoint
from herenow.apps.stored import StoredApps
from herenow.compose import _may_have_webhooks

PLAIN = App("1", (Key("k", "s"),))
TELLING = App(
    "2", (Key("l", "s"),), webhooks=(WebhookEndpoint("http://h/", ("channel_occupied",)),)
)
STORED = App("3", (Key("m", "s"),))


class Some:
    """Two applications of the configuration and one of a store."""

    def by_id(self, app_id: str) -> App | None:
        return {app.id: app for app in (PLAIN, TELLING, STORED)}.get(app_id)

    def is_static(self, app_id: str) -> bool:
        return app_id in (PLAIN.id, TELLING.id)


@pytest.mark.parametrize(
    ("app_id", "expected"), [("1", False), ("2", True), ("3", True), ("4", False)]
)
def test_every_application_of_a_store_may_have_webhooks(app_id: str, expected: bool) -> None:
    """They may be set while members are registered already; one of the configuration tells now."""
    assert _may_have_webhooks(cast(StoredApps, Some()), app_id) is expected
