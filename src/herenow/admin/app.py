"""The routes of the admin port, and what every answer of it carries."""

from __future__ import annotations

import logging
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from herenow.admin.access import AccessRule
from herenow.admin.cluster import Connections
from herenow.admin.metrics import CountingLedger, Metrics
from herenow.admin.pages import Pages
from herenow.admin.reads import Reads, Unavailable, UnknownApp, unavailable, unknown_app
from herenow.admin.webhooks import Webhooks
from herenow.config import Config
from herenow.log import RateLimitedLog, clean
from herenow.server.node import Node

SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def make_app(
    node: Node,
    ledger: CountingLedger,
    config: Config,
    connections: Connections | None = None,
    webhooks: Webhooks | None = None,
) -> ASGIApp:
    """Everything that the admin port answers. It only reads, and shows no secret or payload.

    *connections* are those to an engine that nodes share.
    """
    reads, health = Reads(node), Health(node, ledger, connections)
    metrics = Metrics(node, ledger, connections, webhooks)
    pages = Pages()
    app = Starlette(
        routes=[
            Route("/", pages.status),
            Route("/static/{name:path}", pages.static),
            Route("/api/apps", reads.apps),
            Route("/api/apps/{app}/stats", reads.stats),
            Route("/api/apps/{app}/connections", reads.connections),
            Route("/api/apps/{app}/channels", reads.channels),
            Route("/api/apps/{app}/channels/{channel}/members", reads.members),
            Route("/metrics", metrics.show),
            Route("/health/live", health.live),
            Route("/health/ready", health.ready),
        ],
        exception_handlers={UnknownApp: unknown_app, Unavailable: unavailable},
    )
    app.router.redirect_slashes = False
    return Guarded(app, AccessRule(config.admin.password, config.admin.host))


class Health:
    """What an orchestrator asks: whether to restart the node, and whether to send it clients."""

    def __init__(self, node: Node, ledger: CountingLedger, connections: Connections | None) -> None:
        self._node = node
        self._ledger = ledger
        self._connections = connections

    async def live(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("live\n")

    async def ready(self, request: Request) -> PlainTextResponse:
        if self._node.draining:
            return PlainTextResponse("draining\n", 503)
        is_heard = self._connections is None or self._connections.is_connected
        if not (self._ledger.ready and is_heard):
            return PlainTextResponse("the cluster's engine does not answer\n", 503)
        return PlainTextResponse("ready\n")


class Guarded:
    """Lets through what the access rule allows; every answer gets the security headers."""

    def __init__(self, app: ASGIApp, rule: AccessRule) -> None:
        self._app = app
        self._rule = rule
        self._log = RateLimitedLog(logging.getLogger("herenow.admin"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY)
            await send(message)

        refused = self._rule.refusal(scope["method"], scope["path"], Headers(scope=scope))
        if refused is not None:
            client = scope["client"]
            self._log.warning(
                f"admin request refused: {refused.status_code}",
                path=clean(scope["path"]),
                address=client[0] if client else "",
            )
        await (refused or self._app)(scope, receive, send_secured)
