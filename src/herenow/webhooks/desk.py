"""What may be asked about the webhooks of an application, and done about them, while they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from herenow.log import clean
from herenow.webhooks.bodies import event_of
from herenow.webhooks.endpoints import Endpoint, Endpoints
from herenow.webhooks.journal import Condition, Entry, Journal

_SHOWN: Final = 500
_OLDEST: Final = 1_000


class UnknownEndpoint(Exception):
    """The application has no endpoint with this id."""


class InvalidCursor(Exception):
    """A cursor that no answer gave."""


class Desk:
    """Answers for one application at a time, in the shapes of the HTTP API.

    *clock* gives seconds since 1970. While an endpoint fails for longer than *retry_seconds*, all
    that it did not get counts as dead letters. Where an answer needs the journal,
    :class:`JournalUnavailable` is raised without it.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        journal: Journal,
        clock: Callable[[], float],
        retry_seconds: float,
    ) -> None:
        self._endpoints = endpoints
        self._journal = journal
        self._clock = clock
        self._retry_seconds = retry_seconds

    async def endpoints(self, app: str) -> list[dict[str, Any]]:
        """Each endpoint of *app*, what waits for it, and how it does.

        ``oldest_seconds`` is the age of the oldest event that is not delivered, and None if there
        is none; ``failing_since`` and ``last_attempt`` are in seconds since 1970, or None.
        """
        return [await self._state(endpoint) for endpoint in self._endpoints.of(app)]

    async def _state(self, endpoint: Endpoint) -> dict[str, Any]:
        depth = await self._journal.depth(endpoint.id)
        condition, oldest = depth.condition, depth.oldest
        dead = depth.dead(self._clock(), self._retry_seconds)
        return {
            "id": endpoint.id,
            "url": shown_url(endpoint.target.url),
            "events": list(endpoint.target.events),
            "waiting": depth.waiting + depth.buried - dead,
            "dead": dead,
            "oldest_seconds": None if oldest is None else round(max(0, self._clock() - oldest), 3),
            "failing_since": condition.failing_since,
            "last_answer": clean(condition.answer, _SHOWN),
            "last_attempt": condition.attempted,
        }

    async def events(
        self, app: str, endpoint: str, cursor: str, most: int, *, dead_only: bool
    ) -> tuple[list[dict[str, Any]], str]:
        """Up to *most* events that are not delivered, and the next cursor or ``""``."""
        known = self._known(app, endpoint)
        given_up = self._is_given_up((await self._journal.depth(known.id)).condition)
        try:
            entries, following = await self._journal.page(
                known.id, cursor, most, buried_only=dead_only and not given_up
            )
        except (ValueError, OverflowError):
            raise InvalidCursor(cursor) from None
        return [_shown_event(entry, given_up) for entry in entries], following

    async def retry(self, app: str, endpoint: str, ids: Sequence[str] | None) -> int:
        """Try dead letters again now: these, or every one. Answers how many."""
        known = self._known(app, endpoint)
        given_up = await self._given_up(known.id, ids)
        return given_up + await self._journal.revive(known.id, ids)

    async def _given_up(self, endpoint: str, ids: Sequence[str] | None) -> int:
        """How many of *ids*, or of all, are dead letters only as long as the endpoint fails.

        Of *ids* those count that are among the oldest.
        """
        depth = await self._journal.depth(endpoint)
        if not self._is_given_up(depth.condition):
            return 0
        if ids is None:
            return depth.waiting
        oldest, _ = await self._journal.page(endpoint, "", _OLDEST, buried_only=False)
        return len({entry.id for entry in oldest if not entry.buried}.intersection(ids))

    async def drop(self, app: str, endpoint: str, ids: Sequence[str] | None) -> int:
        """Never deliver these events, or any; answers how many are gone."""
        return await self._journal.drop(self._known(app, endpoint).id, ids)

    async def reconcile(self, app: str, endpoint: str | None) -> int:
        """Tell one endpoint or all what holds; answers how many events that makes."""
        told = self._endpoints.of(app) if endpoint is None else (self._known(app, endpoint),)
        return sum([await self._journal.reconcile(each.id) for each in told])

    def _known(self, app: str, endpoint: str) -> Endpoint:
        known = self._endpoints.get(endpoint)
        if known is None or known.app != app:
            raise UnknownEndpoint(endpoint)
        return known

    def _is_given_up(self, condition: Condition) -> bool:
        since = condition.failing_since
        return since is not None and self._clock() - since > self._retry_seconds


def shown_url(url: str) -> str:
    """*url* as it may be shown: a query may hold what only the receiver is to know."""
    parts = urlsplit(url)
    query = "?…" if parts.query else ""
    host = parts.netloc.rpartition("@")[2]
    return clean(f"{parts.scheme}://{host}{parts.path}{query}", _SHOWN)


def _shown_event(entry: Entry, given_up: bool) -> dict[str, Any]:
    """``{"id":…,"name":…,"channel":…,"user_id":…,"sequence":…,"made_ms":…,"dead":…}``."""
    return {
        "id": entry.id,
        **event_of(entry),
        "sequence": entry.sequence,
        "made_ms": round(entry.made * 1000),
        "dead": entry.buried or given_up,
    }
