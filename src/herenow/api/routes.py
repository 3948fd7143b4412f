"""The route table of the HTTP API, and what holds for every call (§15.1, §16)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple
from urllib.parse import unquote

from herenow.api import channels, events, users, webhooks
from herenow.api.calls import ApiError, Call, log_refusal
from herenow.apps.base import App
from herenow.log import RateLimitedLog
from herenow.protocol.http1 import Request, Response
from herenow.protocol.remembering import Memory
from herenow.protocol.signing import (
    InvalidSignature,
    SecretOf,
    is_plainly_signed,
    parse_query,
    verify_request,
)
from herenow.server.front import Handler, Peer, Respond
from herenow.server.node import Node
from herenow.webhooks.desk import Desk

_MAX_KNOWN: Final = 1024
_MAX_KNOWN_LENGTH: Final = 256

Action = Callable[[Call], None]

_NOT_FOUND: Final = Response(404, b"404 NOT FOUND\n", "text/plain")
_UPGRADE_REQUIRED: Final = Response(
    426,
    b"Upgrade required: connect with a WebSocket\n",
    "text/plain",
    (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
)


class Endpoint(NamedTuple):
    """``name`` is what it is called in metrics; ``actions`` are keyed by method."""

    name: str
    actions: Mapping[str, Action]


_OF_APP: Final[dict[tuple[str, ...], Endpoint]] = {
    ("events",): Endpoint("events", {"POST": events.trigger}),
    ("batch_events",): Endpoint("batch_events", {"POST": events.trigger_batch}),
    ("channels",): Endpoint("channels", {"GET": channels.list_channels}),
}
_OF_CHANNEL: Final[dict[tuple[str, ...], Endpoint]] = {
    (): Endpoint("channel", {"GET": channels.show_channel}),
    ("users",): Endpoint("users", {"GET": channels.list_users}),
    ("stats",): Endpoint("stats", {"GET": channels.show_stats}),
    ("events",): Endpoint("channel_events", {"POST": events.trigger_raw}),
}
_OF_WEBHOOKS: Final[dict[tuple[str, ...], Endpoint]] = {
    (): Endpoint("webhooks", {"GET": webhooks.list_endpoints}),
    ("reconcile",): Endpoint("webhooks_reconcile", {"POST": webhooks.reconcile}),
}
_OF_WEBHOOK: Final[dict[tuple[str, ...], Endpoint]] = {
    (): Endpoint("webhook", {"GET": webhooks.list_events}),
    ("retry",): Endpoint("webhook_retry", {"POST": webhooks.retry}),
    ("drop",): Endpoint("webhook_drop", {"POST": webhooks.drop}),
}
_OF_USER: Final[dict[tuple[str, ...], Endpoint]] = {
    (): Endpoint("user", {"GET": users.show_user}),
    ("forget",): Endpoint("forget_user", {"POST": users.forget}),
}
# A user may be called so, too.
_STATUSES: Final = Endpoint("user_statuses", {"GET": users.show_user, "POST": users.show_statuses})
_TERMINATE: Final = Endpoint("terminate_connections", {"POST": users.terminate_connections})


class ApiRoutes:
    """Finds the handler of a request. ``clock`` gives seconds since 1970."""

    def __init__(self, node: Node, clock: Callable[[], float], desk: Desk) -> None:
        self._node = node
        self._desk = desk
        self._clock = clock
        self._prefix = node.settings.path_prefix
        self._log = RateLimitedLog(logging.getLogger("herenow.api"))
        self._known: Memory[tuple[str, str], Handler] = Memory(_MAX_KNOWN)

    def find(self, method: str, path: str) -> Handler | Response:
        known = self._known.get((method, path))
        if known is not None:
            return known
        found = self._find(method, path)
        if not isinstance(found, Response) and len(path) <= _MAX_KNOWN_LENGTH:
            self._known.keep((method, path), found)
        return found

    def _find(self, method: str, path: str) -> Handler | Response:
        if not path.startswith(self._prefix):
            return _NOT_FOUND
        found = _match(path[len(self._prefix) :])
        if isinstance(found, Response):
            return found
        app_id, endpoint, names = found
        if endpoint is None:
            return _NOT_FOUND
        action = endpoint.actions.get(method)
        if action is None:
            return _refuse_method(endpoint)
        return partial(self._handle, app_id, endpoint, action, names)

    def flush_log(self) -> None:
        """Say what of the log was suppressed and not yet told."""
        self._log.flush()

    def _handle(
        self,
        app_id: str | None,
        endpoint: Endpoint,
        action: Action,
        names: tuple[str, ...],
        request: Request,
        peer: Peer,
        respond: Respond,
    ) -> None:
        name = endpoint.name
        try:
            app = self._authenticate(app_id, request, peer)
        except ApiError as error:
            log_refusal(self._log, error, name, app_id or "")
            response = error.response()
            self._node.counters.api_calls[name, response.status] += 1
            respond(response)
            return
        hub = self._node.hub(app)
        call = Call(hub, self._desk, request, names, name, respond, self._log)
        try:
            action(call)
        except ApiError as error:
            call.refuse(error)

    def _authenticate(self, app_id: str | None, request: Request, peer: Peer) -> App:
        apps = self._node.apps
        app = apps.by_id(app_id) if app_id is not None else self._find_app(request)
        if app is None and not apps.complete:
            raise ApiError(503, "The app could not be looked up: try again", retry_after=1)
        self._check_signature(request, app.secret_of if app is not None else _no_secret)
        assert app is not None, "without an app no key has a secret"
        if app.id in self._node.settings.loopback_apps and not peer.loopback_direct:
            raise ApiError(
                401,
                "This app has the well-known secret and is served on loopback only:"
                " configure your own",
            )
        if not app.enabled:
            raise ApiError(403, "App is disabled")
        maximum = app.limits.max_request_bytes
        if maximum and len(request.body) > maximum:
            raise ApiError(413, f"Request body too large: allowed are {maximum} bytes")
        return app

    def _find_app(self, request: Request) -> App | None:
        """The application that *request* is signed for, whose path names none."""
        key = parse_query(request.query).get("auth_key")
        return self._node.apps.by_key(key) if isinstance(key, str) else None

    def _check_signature(self, request: Request, secret_of: SecretOf) -> None:
        method, path, query, body = request.method, request.path, request.query, request.body
        now = self._clock()
        if is_plainly_signed(method, path, query, body, secret_of, now):
            return
        try:
            verify_request(method, path, parse_query(query), body, secret_of, now, self._prefix)
        except InvalidSignature as error:
            raise ApiError(401, str(error), log=error.reason) from None


def _no_secret(key: str) -> None:
    return None


def _match(path: str) -> Response | tuple[str | None, Endpoint | None, tuple[str, ...]]:
    """Match ``/apps/{id}/…`` and Python's ``/users/{id}/terminate_connections``."""
    match tuple(path.split("/")):
        case (_, "app", _):
            return _UPGRADE_REQUIRED
        case ("", "apps", app_id, "channels", name, *rest):
            return app_id, _OF_CHANNEL.get(tuple(rest)), (_decoded(name),)
        case ("", "apps", app_id, "users", user, "terminate_connections"):
            return app_id, _TERMINATE, (_decoded(user),)
        case ("", "apps", app_id, "users", "status"):
            return app_id, _STATUSES, ("status",)
        case ("", "apps", app_id, "users", user, *rest):
            return app_id, _OF_USER.get(tuple(rest)), (_decoded(user),)
        case ("", "users", user, "terminate_connections"):
            return None, _TERMINATE, (_decoded(user),)
        case ("", "apps", app_id, "webhooks", *rest) if tuple(rest) in _OF_WEBHOOKS:
            return app_id, _OF_WEBHOOKS[tuple(rest)], ()
        case ("", "apps", app_id, "webhooks", endpoint, *rest):
            return app_id, _OF_WEBHOOK.get(tuple(rest)), (_decoded(endpoint),)
        case ("", "apps", app_id, *rest):
            return app_id, _OF_APP.get(tuple(rest)), ()
    return None, None, ()


def _decoded(part: str) -> str:
    return unquote(part, errors="surrogateescape") if "%" in part else part


def _refuse_method(endpoint: Endpoint) -> Response:
    allowed = [*endpoint.actions, "OPTIONS"]
    if "GET" in endpoint.actions:
        allowed.append("HEAD")
    text = f"Method not allowed: expected {' or '.join(endpoint.actions)}\n"
    return Response(405, text.encode(), "text/plain", (("Allow", ", ".join(allowed)),))
