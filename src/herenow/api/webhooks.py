"""The webhooks of an application: what waits, what became of it, and what to do about it.

These calls are ours, beside those of the protocol, and signed like them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from herenow.api.calls import ApiError, Call
from herenow.protocol.http1 import Response
from herenow.webhooks.desk import Desk, InvalidCursor, UnknownEndpoint
from herenow.webhooks.journal import JournalUnavailable

MAX_EVENTS: Final = 1_000
DEFAULT_EVENTS: Final = 100
MAX_IDS: Final = 1_000

_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_CURSOR: Final = re.compile(r"[0-9:]{0,40}")
_NUMBER: Final = re.compile(r"[0-9]{1,4}")

_log = logging.getLogger("herenow.api")
_answering: Final[set[asyncio.Task[None]]] = set()


def list_endpoints(call: Call) -> None:
    """``GET /apps/{id}/webhooks``: the endpoints, what waits for each, and how it does."""

    async def ask(desk: Desk) -> dict[str, Any]:
        return {"endpoints": await desk.endpoints(call.app.id), "complete": True}

    _answer(call, ask)


def list_events(call: Call) -> None:
    """``GET /apps/{id}/webhooks/{endpoint}?limit=&cursor=&dead=true``: what is not delivered."""
    limit, cursor, dead_only = _limit(call), call.parameter("cursor") or "", _dead_only(call)
    if _CURSOR.fullmatch(cursor) is None:
        raise _invalid_cursor()

    async def ask(desk: Desk) -> dict[str, Any]:
        events, following = await desk.events(
            call.app.id, call.names[0], cursor, limit, dead_only=dead_only
        )
        return {"events": events, "cursor": following}

    _answer(call, ask)


def retry(call: Call) -> None:
    """``POST /apps/{id}/webhooks/{endpoint}/retry`` with ``{"ids":[…]}``, or ``{}`` for all."""
    ids = _ids(_body(call, "ids"))

    async def ask(desk: Desk) -> dict[str, Any]:
        return {"retried": await desk.retry(call.app.id, call.names[0], ids)}

    _answer(call, ask)


def drop(call: Call) -> None:
    """``POST /apps/{id}/webhooks/{endpoint}/drop`` with ``{"ids":[…]}`` or ``{"all":true}``."""
    body = _body(call, "ids", "all")
    ids = _ids(body)
    every = body.get("all", False)
    if not isinstance(every, bool) or every == (ids is not None):
        raise ApiError(400, 'Invalid body: expected {"ids":[…]} or {"all":true}')

    async def ask(desk: Desk) -> dict[str, Any]:
        return {"dropped": await desk.drop(call.app.id, call.names[0], ids)}

    _answer(call, ask)


def reconcile(call: Call) -> None:
    """``POST /apps/{id}/webhooks/reconcile`` with ``{}`` or ``{"endpoint":…}``: tell what holds."""
    endpoint = _body(call, "endpoint").get("endpoint")
    if endpoint is not None and not isinstance(endpoint, str):
        raise ApiError(400, "Invalid endpoint: expected the id of one")

    async def ask(desk: Desk) -> dict[str, Any]:
        return {"events": await desk.reconcile(call.app.id, endpoint)}

    _answer(call, ask)


def _answer(call: Call, ask: Callable[[Desk], Awaitable[dict[str, Any]]]) -> None:
    """Answer with what *ask* finds out, when it has; the call counts as one of the HTTP API."""

    def go_on() -> None:
        task = asyncio.get_running_loop().create_task(_asked(call, ask))
        _answering.add(task)
        task.add_done_callback(_answering.discard)

    call.spend(1, go_on)


async def _asked(call: Call, ask: Callable[[Desk], Awaitable[dict[str, Any]]]) -> None:
    try:
        call.answer(await ask(call.desk))
    except UnknownEndpoint:
        call.refuse(ApiError(404, "Unknown webhook endpoint: its id is in GET /apps/{id}/webhooks"))
    except InvalidCursor:
        call.refuse(_invalid_cursor())
    except JournalUnavailable as error:
        text = (
            "The webhook outbox does not answer: try again, or look in the log of the server for"
            " what keeps it from its outbox"
        )
        call.refuse(ApiError(503, text, log=f"{text} ({error})", retry_after=1))
    except Exception:
        # The path alone: a query holds the signature.
        _log.exception("%s %s failed", call.request.method, call.request.path)
        call.respond(Response(500, b"Internal server error\n", "text/plain"))


def _limit(call: Call) -> int:
    given = call.parameter("limit")
    if given is None:
        return DEFAULT_EVENTS
    limit = int(given) if _NUMBER.fullmatch(given) is not None else 0
    if not 0 < limit <= MAX_EVENTS:
        raise ApiError(400, f"Invalid limit: expected 1 to {MAX_EVENTS}")
    return limit


def _dead_only(call: Call) -> bool:
    given = call.parameter("dead") or "false"
    if given not in ("true", "false"):
        raise ApiError(400, "Invalid dead: expected true or false")
    return given == "true"


def _invalid_cursor() -> ApiError:
    return ApiError(400, "Invalid cursor: expected one that an answer gave")


def _body(call: Call, *known: str) -> dict[str, Any]:
    """The body, an object without other members: one that is misspelt must not mean every event."""
    body = call.body_object()
    if any(name not in known for name in body):
        raise ApiError(400, f"Invalid body: known members are {' and '.join(known)}")
    return body


def _ids(body: dict[str, Any]) -> list[str] | None:
    """The ids of events in *body*; None if it names none."""
    ids = body.get("ids")
    if ids is None:
        return None
    if not isinstance(ids, list) or not 0 < len(ids) <= MAX_IDS:
        raise ApiError(400, f"Invalid ids: expected a list of 1 to {MAX_IDS} event ids")
    for item in ids:
        if not isinstance(item, str) or _ID.fullmatch(item) is None:
            raise ApiError(400, "Invalid ids: expected 1 to 64 characters of A-Z a-z 0-9 - each")
    return ids
