"""Lists in pages: ``limit``, ``cursor`` and ``next``."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request

DEFAULT_LIMIT: Final = 1_000
MAX_LIMIT: Final = 10_000


class Page(NamedTuple):
    """The part of a list that is asked for: at most ``limit`` names, those after ``cursor``.

    Names are compared, not counted, so what comes and goes meanwhile moves nothing from one page
    to another.
    """

    limit: int
    cursor: str

    @classmethod
    def asked_for(cls, request: Request) -> Page:
        """The page that the query names; a limit beyond the largest is the largest."""
        text = request.query_params.get("limit", str(DEFAULT_LIMIT))
        limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if not limit:
            raise HTTPException(400, "limit: expected an integer of at least 1\n")
        return cls(min(limit, MAX_LIMIT), request.query_params.get("cursor", ""))

    def of(self, names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
        """The names on this page in order, and ``next`` if there are more."""
        page = heapq.nsmallest(self.limit + 1, (name for name in names if name > self.cursor))
        if len(page) <= self.limit:
            return page, {}
        page.pop()
        return page, {"next": page[-1]}
