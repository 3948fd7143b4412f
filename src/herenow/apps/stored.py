"""Applications of the configuration together with those of a store, which come and go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Final

from herenow.apps.base import App
from herenow.apps.polling import Changes, Poller, StoreReader

FIRST_SECONDS: Final = 5.0
STOP_SECONDS: Final = 1.0
_SHOWN: Final = 10

log = logging.getLogger("herenow.apps")

Changed = Callable[[str], None]


class StoredApps:
    """Answers from memory, and is kept up to date by a :class:`Poller`.

    An application of the configuration wins over one of the store with the same id or key.
    """

    def __init__(
        self,
        static: Iterable[App],
        open_reader: Callable[[], StoreReader],
        poll_seconds: float = 0.5,
    ) -> None:
        self._static = tuple(static)
        self._static_ids = frozenset(app.id for app in self._static)
        self._stored: dict[str, App] = {}
        self._by_id: dict[str, App] = {}
        self._by_key: dict[str, App] = {}
        self._callbacks: list[Changed] = []
        self._loop = asyncio.get_running_loop()
        self._first = asyncio.Event()
        self._poller = Poller(open_reader, poll_seconds, self._tell)
        self._index()

    @property
    def complete(self) -> bool:
        """Whether the store has been read: until then one who is not known may yet be."""
        return self._first.is_set()

    def by_key(self, key: str) -> App | None:
        return self._by_key.get(key)

    def by_id(self, app_id: str) -> App | None:
        return self._by_id.get(app_id)

    def all(self) -> tuple[App, ...]:
        return tuple(self._by_id.values())

    def on_change(self, callback: Changed) -> None:
        """Call *callback* on the loop with the id of each application that was made, changed or
        deleted; the new state is in force then.
        """
        self._callbacks.append(callback)

    async def start(self) -> None:
        """Return when the store was read, or could not be for so long that it is not waited for."""
        self._poller.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._first.wait()

    async def stop(self) -> None:
        self._poller.stop()
        await self._loop.run_in_executor(None, self._poller.join, STOP_SECONDS)

    def _tell(self, changes: Changes) -> None:
        with contextlib.suppress(RuntimeError):  # The loop has ended meanwhile.
            self._loop.call_soon_threadsafe(self._apply, changes)

    def _apply(self, changes: Changes) -> None:
        self._first.set()
        changed = []
        for app_id, app in changes.items():
            if app_id in self._static_ids:
                log.warning(
                    "application %s of the store is not served: one of the configuration has its"
                    " id",
                    app_id,
                )
            elif self._stored.get(app_id) != app:
                changed.append(app_id)
                if app is None:
                    del self._stored[app_id]
                else:
                    self._stored[app_id] = app
        if not changed:
            return
        self._index()
        shown = ", ".join(changed[:_SHOWN]) + (" …" if len(changed) > _SHOWN else "")
        log.info("changed in the store: application %s", shown)
        for app_id in changed:
            for callback in self._callbacks:
                callback(app_id)

    def _index(self) -> None:
        self._by_id = {app.id: app for app in (*self._static, *self._stored.values())}
        self._by_key = {
            pair.key: app for app in (*self._stored.values(), *self._static) for pair in app.keys
        }
