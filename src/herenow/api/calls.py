"""One call of the HTTP API: who made it, what it carries, how it is answered."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from herenow.apps.base import App
from herenow.cluster.base import Done, Refusal
from herenow.log import RateLimitedLog
from herenow.protocol.http1 import EMPTY_OBJECT, Request, Response
from herenow.protocol.messages import InvalidJSON, decode_json, encode_json
from herenow.protocol.names import is_legal_channel_name
from herenow.protocol.signing import Parameters, parse_query
from herenow.server.hub import Hub
from herenow.webhooks.desk import Desk

T = TypeVar("T")

_log = logging.getLogger("herenow.api")

_BREAKS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class ApiError(Exception):
    """A call that is not done: the answer's status and its one line of plain text.

    ``log`` is the text without the caller's signature.
    """

    def __init__(self, status: int, text: str, *, log: str = "", retry_after: int = 0) -> None:
        super().__init__(text)
        self.status, self.text, self.log, self.retry_after = status, text, log or text, retry_after

    def response(self) -> Response:
        headers = (("Retry-After", str(self.retry_after)),) if self.retry_after else ()
        line = _BREAKS.sub(" ", self.text)
        body = line.encode("utf-8", "replace") + b"\n"
        return Response(self.status, body, "text/plain", headers)


def unavailable() -> ApiError:
    """The engine did not answer; one that stood still may yet do what it was asked."""
    return ApiError(503, "The cluster's engine does not answer: try again", retry_after=1)


def log_refusal(log: RateLimitedLog, error: ApiError, endpoint: str, app: str) -> None:
    log.warning(f"call refused: {error.status}", detail=error.log, endpoint=endpoint, app=app)


class Call:
    """An authenticated call. ``names`` are the parts of its path that are not fixed.

    It is answered by :meth:`answer` or :meth:`respond`, or refused: now, or when the engine has
    answered. Each is counted under the name of its *endpoint*.
    """

    __slots__ = ("_endpoint", "_log", "_parameters", "_respond", "desk", "hub", "names", "request")

    def __init__(
        self,
        hub: Hub,
        desk: Desk,
        request: Request,
        names: tuple[str, ...],
        endpoint: str,
        respond: Callable[[Response], None],
        log: RateLimitedLog,
    ) -> None:
        self.hub = hub
        self.desk = desk
        self.request = request
        self.names = names
        self._endpoint = endpoint
        self._respond = respond
        self._log = log
        self._parameters: Parameters | None = None

    @property
    def app(self) -> App:
        return self.hub.app

    @property
    def parameters(self) -> Parameters:
        """Those of the query."""
        if self._parameters is None:
            self._parameters = parse_query(self.request.query)
        return self._parameters

    def respond(self, response: Response) -> None:
        self.hub.counters.api_calls[self._endpoint, response.status] += 1
        self._respond(response)

    def refuse(self, error: ApiError) -> None:
        log_refusal(self._log, error, self._endpoint, self.app.id)
        self.respond(error.response())

    def answer(self, body: dict[str, Any], *, complete: bool = True) -> None:
        """Answer 200 with *body* as JSON; what may be missing something says so in it."""
        if not complete:
            body = {**body, "complete": False}
        self.respond(Response(200, encode_json(body)))

    def done(self) -> None:
        """Answer that what was asked for has been done."""
        self.respond(EMPTY_OBJECT)

    def then(self, step: Callable[[T], None]) -> Done[T | Refusal]:
        """What goes on with the engine's answer, now or later; without one the call is refused."""

        def done(answer: T | Refusal) -> None:
            if isinstance(answer, Refusal):
                self.refuse(unavailable())
                return
            try:
                step(answer)
            except ApiError as error:
                self.refuse(error)
            except Exception:
                # The path alone: a query holds the signature.
                _log.exception("%s %s failed", self.request.method, self.request.path)
                self.respond(Response(500, b"Internal server error\n", "text/plain"))

        return done

    def parameter(self, name: str) -> str | None:
        """A query parameter; of a list there is none."""
        value = self.parameters.get(name)
        return value if isinstance(value, str) else None

    def info(self) -> tuple[str, ...]:
        """The attributes asked for by the query parameter ``info``."""
        return split_info(self.parameter("info"))

    def channel_name(self) -> str:
        """The channel in the path; server-to-user channels cannot be asked about."""
        name = self.names[0]
        limit = self.app.limits.max_channel_name_length
        if name.startswith("#") or not is_legal_channel_name(name, limit):
            raise ApiError(400, "Invalid channel name")
        return name

    def body_object(self) -> dict[str, Any]:
        """The body, which must be a JSON object."""
        try:
            body = decode_json(self.request.body)
        except InvalidJSON:
            raise ApiError(400, "Invalid body: expected a JSON object, got no JSON") from None
        if not isinstance(body, dict):
            raise ApiError(400, "Invalid body: expected a JSON object")
        return body

    def spend(self, events: int, go_on: Callable[[], None]) -> None:
        """Count this call against the application's rate: as many as the events it publishes."""
        rate = self.app.limits.events_per_second
        if not rate:
            go_on()
            return

        def spent(wait: float) -> None:
            if wait:
                raise ApiError(
                    429,
                    f"Too many API calls: at most {rate} events per second",
                    retry_after=1 + int(wait),
                )
            go_on()

        self.hub.ledger.spend(self.app.id, min(events, rate), rate, self.then(spent))


def split_info(info: str | None) -> tuple[str, ...]:
    """The attributes of a comma list."""
    return tuple(item for item in info.split(",") if item) if info else ()
