"""What may be asked of a herenow server about an application's webhooks: requests and answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NotRequired, TypedDict

from herenow.sdk import answers, checks
from herenow.sdk.address import Application
from herenow.sdk.errors import InvalidArgument
from herenow.sdk.requests import Request

MAX_EVENTS: Final = 1_000
MAX_IDS: Final = 1_000

_ENDPOINT: Final = re.compile(r"[0-9a-f]{16}")
_EVENT_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_CURSOR: Final = re.compile(r"[0-9:]{0,40}")


class WebhookEndpoint(TypedDict):
    """Where an application's events go, and how it does.

    ``waiting`` events are yet to be delivered, ``dead`` ones are dead letters. ``oldest_seconds``
    is how long the oldest waits, ``failing_since`` the first failure after which nothing
    succeeded, ``last_answer`` what the last attempt met with; times are seconds since 1970.
    """

    id: str
    url: str
    events: list[str]
    waiting: int
    dead: int
    oldest_seconds: float | None
    failing_since: float | None
    last_answer: str
    last_attempt: float | None


class WebhookEndpoints(TypedDict):
    """``{"endpoints":[{"id":"0a1b2c3d4e5f6071","waiting":0,"dead":3,…}],"complete":true}``."""

    endpoints: list[WebhookEndpoint]
    complete: bool


class UndeliveredEvent(TypedDict):
    """An event that an endpoint does not have yet; ``dead``: it is a dead letter."""

    id: str
    name: str
    channel: str
    user_id: NotRequired[str]
    sequence: int
    made_ms: int
    dead: bool


class UndeliveredEvents(TypedDict):
    """``{"events":[…],"cursor":"71"}``: the cursor of the next page, ``""`` at the end."""

    events: list[UndeliveredEvent]
    cursor: str


class _Retried(TypedDict):
    retried: int


class _Dropped(TypedDict):
    dropped: int


class _Reconciled(TypedDict):
    events: int


def endpoints(application: Application) -> Request[WebhookEndpoints]:
    return Request("GET", _path(application), answers.reading(WebhookEndpoints))


def undelivered(
    application: Application, endpoint: object, limit: object, cursor: object, dead_only: object
) -> Request[UndeliveredEvents]:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= MAX_EVENTS:
        raise InvalidArgument("limit", f"expected 1 to {MAX_EVENTS}, got {_shown(limit)}")
    if not isinstance(cursor, str) or _CURSOR.fullmatch(cursor) is None:
        raise InvalidArgument("cursor", f"expected one that an answer gave, got {_shown(cursor)}")
    parameters = {"limit": str(limit)}
    if cursor:
        parameters["cursor"] = cursor
    if dead_only:
        parameters["dead"] = "true"
    path = _path(application, _endpoint(endpoint))
    return Request("GET", path, answers.reading(UndeliveredEvents), (), parameters)


def retry(application: Application, endpoint: object, ids: object) -> Request[int]:
    body = {} if ids is None else {"ids": _ids(ids)}
    path = _path(application, _endpoint(endpoint), "retry")
    read = answers.reading(_Retried)
    return _post(path, body, lambda answer: read(answer)["retried"])


def drop(application: Application, endpoint: object, ids: object) -> Request[int]:
    body = {"all": True} if ids is None else {"ids": _ids(ids)}
    path = _path(application, _endpoint(endpoint), "drop")
    read = answers.reading(_Dropped)
    return _post(path, body, lambda answer: read(answer)["dropped"])


def reconcile(application: Application, endpoint: object) -> Request[int]:
    body = {} if endpoint is None else {"endpoint": _endpoint(endpoint)}
    read = answers.reading(_Reconciled)
    return _post(_path(application, "reconcile"), body, lambda answer: read(answer)["events"])


def _path(application: Application, *parts: str) -> str:
    return "/".join((f"/apps/{application.id}/webhooks", *parts))


def _post(path: str, body: dict[str, Any], read: answers.Read[int]) -> Request[int]:
    return Request("POST", path, read, (), {}, checks.json_text(body, "body").encode())


def _endpoint(value: object) -> str:
    identifier = checks.text("endpoint", value)
    if _ENDPOINT.fullmatch(identifier) is None:
        raise InvalidArgument("endpoint", f"expected 16 hex digits, got {_shown(identifier)}")
    return identifier


def _ids(value: object) -> list[str]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        raise InvalidArgument("ids", f"expected a list of event ids, got {type(value).__name__}")
    if not 0 < len(value) <= MAX_IDS:
        raise InvalidArgument("ids", f"expected 1 to {MAX_IDS} event ids, got {len(value)}")
    for item in value:
        if not isinstance(item, str) or _EVENT_ID.fullmatch(item) is None:
            raise InvalidArgument("ids", f"expected event ids, got {_shown(item)}")
    return [str.__str__(item) for item in value]


def _shown(value: object) -> str:
    return checks.shown(str(value))
