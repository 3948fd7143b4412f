"""What holds for every request and every answer."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Guard:
    """Refuses what another site's page sends, and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, server: str) -> None:
        self._app = app
        self._headers = {
            "Content-Security-Policy": "; ".join(
                (
                    "default-src 'none'",
                    "script-src 'self'",
                    "style-src 'self'",
                    "img-src 'self'",
                    f"connect-src 'self' ws://{server} wss://{server}",
                    "form-action 'none'",
                    "base-uri 'none'",
                    "frame-ancestors 'none'",
                    "require-trusted-types-for 'script'",
                    "trusted-types 'none'",
                )
            ),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = _refusal(scope["method"], Headers(scope=scope))
        await (refused or self._app)(scope, receive, send_secured)


def _refusal(method: str, headers: Headers) -> PlainTextResponse | None:
    host = headers.get("host", "")
    # A site whose name is made to point here would otherwise be of the same origin.
    if not _is_loopback(host):
        return PlainTextResponse("This demo is for this machine only.", 421)
    if method in ("GET", "HEAD"):
        return None
    if method != "POST":
        return PlainTextResponse("This demo answers GET and POST.", 405, {"Allow": "GET, POST"})
    if _is_foreign(headers, host):
        return PlainTextResponse("This page may not act for the chat.", 403)
    return None


def _is_loopback(host: str) -> bool:
    try:
        return urlsplit(f"//{host}").hostname in LOOPBACK_NAMES
    except ValueError:
        return False


def _is_foreign(headers: Headers, host: str) -> bool:
    """Whether another page sends this.

    A page on another port of this machine is of the same site, so that it would bring the cookie.
    Browsers name the origin with every POST; a program that names none has no cookie but its own.
    """
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return True
    origin = headers.get("origin")
    return origin is not None and origin != f"http://{host}"
