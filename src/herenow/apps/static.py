"""Applications that stand in the configuration."""

from __future__ import annotations

from collections.abc import Iterable

from herenow.apps.base import App


class StaticApps:
    """A fixed set of applications. Ids and keys must be unique; the configuration checks that."""

    complete = True

    def __init__(self, apps: Iterable[App]) -> None:
        self._apps = tuple(apps)
        self._by_id = {app.id: app for app in self._apps}
        self._by_key = {pair.key: app for app in self._apps for pair in app.keys}

    def by_key(self, key: str) -> App | None:
        return self._by_key.get(key)

    def by_id(self, app_id: str) -> App | None:
        return self._by_id.get(app_id)

    def all(self) -> tuple[App, ...]:
        return self._apps
