"""Where the events of applications go, and which of them each endpoint wants."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Final, NamedTuple

from herenow.apps.base import App, Apps, WebhookEndpoint

ID_DIGITS: Final = 16
USER_EVENTS: Final = frozenset({"user_online", "user_offline"})


class Endpoint(NamedTuple):
    """One webhook of one application. What it wants may change, its ``id`` stays."""

    id: str
    app: str
    target: WebhookEndpoint

    def wants(self, event_name: str, channel: str | None) -> bool:
        """Whether it is to hear of *event_name*; *channel* is None for an event about a user."""
        if event_name not in self.target.events:
            return False
        if channel is None or event_name in USER_EVENTS:
            return True
        return channel.startswith(self.target.channel_name_starts_with) and channel.endswith(
            self.target.channel_name_ends_with
        )


def endpoints_of(app: App) -> tuple[Endpoint, ...]:
    """The endpoints of *app*; those with the same URL are told apart by their order."""
    ordinals: Counter[str] = Counter()
    endpoints = []
    for target in app.webhooks:
        name = "\n".join((app.id, target.url, str(ordinals[target.url])))
        ordinals[target.url] += 1
        digest = hashlib.sha256(name.encode()).hexdigest()
        endpoints.append(Endpoint(digest[:ID_DIGITS], app.id, target))
    return tuple(endpoints)


class Changes(NamedTuple):
    """What became of the endpoints of one application.

    ``changed`` are those that came, and those that want something else than before.
    """

    gone: frozenset[str]
    changed: tuple[Endpoint, ...]


class Endpoints:
    """The endpoints of all applications, as of the last time their change was told."""

    def __init__(self, apps: Apps) -> None:
        self._apps = apps
        self._of_app: dict[str, tuple[Endpoint, ...]] = {}
        self._by_id: dict[str, Endpoint] = {}
        for app in apps.all():
            self.app_changed(app.id)

    @property
    def complete(self) -> bool:
        """False while there may be endpoints that are not known yet."""
        return self._apps.complete

    def of(self, app: str) -> tuple[Endpoint, ...]:
        return self._of_app.get(app, ())

    def any_wants(self, app: str, event_name: str) -> bool:
        """Whether any endpoint of *app* may want an event of that name."""
        return any(event_name in endpoint.target.events for endpoint in self.of(app))

    def get(self, endpoint: str) -> Endpoint | None:
        return self._by_id.get(endpoint)

    def all(self) -> tuple[Endpoint, ...]:
        return tuple(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def app_changed(self, app: str) -> Changes:
        """The application was made, changed or deleted: look again."""
        before = {endpoint.id: endpoint for endpoint in self._of_app.pop(app, ())}
        for endpoint_id in before:
            del self._by_id[endpoint_id]
        known = self._apps.by_id(app)
        endpoints = endpoints_of(known) if known is not None else ()
        after = {endpoint.id: endpoint for endpoint in endpoints}
        if endpoints:
            self._of_app[app] = endpoints
            self._by_id.update(after)
        return Changes(
            frozenset(before.keys() - after.keys()),
            tuple(one for one in endpoints if before.get(one.id) != one),
        )
