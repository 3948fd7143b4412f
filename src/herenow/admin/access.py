"""Who may read the admin port: the holder of the password, or, without one, this machine."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response

from herenow.server.peers import carries_forwarding, is_loopback_host

OPEN_PATHS: Final = frozenset({"/health/live", "/health/ready"})
"""What probes ask for. It shows nothing, and a probe names an address of its own as the host."""

METHODS: Final = ("GET", "HEAD")

_CHALLENGES: Final = (
    (b"www-authenticate", b'Basic realm="herenow admin", charset="UTF-8"'),
    (b"www-authenticate", b'Bearer realm="herenow admin"'),
)
_FIX: Final = "Set admin.password and sign in with it.\n"
_NOT_LOOPBACK: Final = (
    "Forbidden: without admin.password the admin port answers only while admin.host is a"
    " loopback address. " + _FIX
)
_FORWARDED: Final = (
    "Forbidden: a proxy passed this request on, and without admin.password the admin port answers"
    " only direct requests. " + _FIX
)
_FOREIGN_HOST: Final = (
    "Forbidden: the request's Host is not a loopback name or address, and without admin.password"
    " the admin port answers only those. Ask for http://localhost instead, or set admin.password"
    " and sign in with it.\n"
)


class AccessRule:
    """Judges a request by its method, path and headers.

    With a *password* it must come along, as HTTP basic with any user name or as a bearer token.
    Without one the port must be bound to loopback, and the request must ask for a loopback host
    directly: a page that made a foreign name resolve to this machine, or a proxy on it, gets
    nothing.
    """

    def __init__(self, password: str, host: str) -> None:
        self._password = password.encode()
        self._on_loopback = is_loopback_host(host)

    def refusal(self, method: str, path: str, headers: Headers) -> Response | None:
        """The answer to a request that is refused."""
        if path not in OPEN_PATHS:
            refused = self._unauthorized(headers) if self._password else self._forbidden(headers)
            if refused is not None:
                return refused
        if method not in METHODS:
            text = f"Method not allowed: expected {' or '.join(METHODS)}\n"
            return PlainTextResponse(text, 405, {"Allow": ", ".join(METHODS)})
        return None

    def _unauthorized(self, headers: Headers) -> Response | None:
        given = headers.getlist("authorization")
        if len(given) == 1 and hmac.compare_digest(_password_in(given[0]), self._password):
            return None
        wrong = "the password is wrong" if given else "a password is needed"
        response = PlainTextResponse(
            f"Unauthorized: {wrong}. Send admin.password by HTTP basic or as a bearer token.\n", 401
        )
        response.raw_headers.extend(_CHALLENGES)
        return response

    def _forbidden(self, headers: Headers) -> Response | None:
        hosts = headers.getlist("host")
        if not self._on_loopback:
            return PlainTextResponse(_NOT_LOOPBACK, 403)
        if carries_forwarding(headers):
            return PlainTextResponse(_FORWARDED, 403)
        if len(hosts) != 1 or not is_loopback_host(hosts[0]):
            return PlainTextResponse(_FOREIGN_HOST, 403)
        return None


def _password_in(authorization: str) -> bytes:
    """The password of an ``Authorization`` header; empty if there is none to be read."""
    scheme, _, credentials = authorization.partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer":
        return credentials.encode("latin-1")
    if scheme.lower() != "basic":
        return b""
    try:
        decoded = base64.b64decode(credentials, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return decoded.partition(b":")[2]
