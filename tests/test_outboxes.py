"""Which events reach the outbox, and that all of them are counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from herenow.apps.base import App, Key, WebhookEndpoint
from herenow.cluster.seen import Seen
from herenow.config import load_config
from herenow.engines import MemoryEngine
from herenow.outboxes import Webhooks
from herenow.webhooks.events import CacheMiss, ClientEvent, Event, MemberAdded
from webhooks.backlogs import Time
from webhooks.outboxes import ChangingApps

pytestmark = pytest.mark.anyio

HOOK = WebhookEndpoint("http://hook.example/", ("member_added",))
APP = App("7", (Key("k", "s"),), webhooks=(HOOK,))
SAID = ClientEvent("7", "private-a", "client-typing", "{}", "1.2", None)
MISSED = CacheMiss("7", "cache-a")
CAME = MemberAdded("7", "presence-a", "anna", b"{}")


class Recorder:
    """Takes the outbox's place, to see what arrives there."""

    def __init__(self, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[Event] = []
        monkeypatch.setattr(webhooks.outbox, "emit", self.events.append)


async def test_what_nobody_wants_and_nothing_follows_from_is_only_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apps, counts = ChangingApps(APP), Counter[str]()
    engine = MemoryEngine(Time(), lambda decided: None, Seen(60))
    webhooks = Webhooks(load_config(), apps, engine, Time(), counts)
    arrived = Recorder(webhooks, monkeypatch)
    for event in (SAID, MISSED, CAME):
        webhooks.emit(event)
    assert arrived.events == [CAME]
    assert counts == {"ClientEvent": 1, "CacheMiss": 1, "MemberAdded": 1}

    apps.set(replace(APP, webhooks=(HOOK, replace(HOOK, events=("client_event",)))))
    webhooks.endpoints.app_changed("7")
    for event in (SAID, MISSED):
        webhooks.emit(event)
    assert arrived.events == [CAME, SAID]

    apps.set(APP)
    webhooks.endpoints.app_changed("7")
    webhooks.emit(SAID)
    assert arrived.events == [CAME, SAID]
