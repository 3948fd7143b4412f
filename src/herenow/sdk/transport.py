"""A request on its way over HTTP, the same for both clients except for the waiting."""

from __future__ import annotations

from typing import Final, TypeVar

import httpx2

from herenow import __version__
from herenow.sdk.address import Address, Application
from herenow.sdk.answers import UnexpectedBody
from herenow.sdk.checks import shown
from herenow.sdk.errors import InvalidAnswer, InvalidArgument, Refused, Unreachable
from herenow.sdk.requests import Request

T = TypeVar("T")

_UNSENT: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)


def signed_url(
    address: Address, application: Application, request: Request[T], timestamp: int
) -> httpx2.URL:
    try:
        return httpx2.URL(str(address) + request.target(application, timestamp))
    except httpx2.InvalidURL as error:
        raise InvalidArgument("url", f"{shown(request.call)} cannot be sent: {error}") from None


def headers(request: Request[T]) -> dict[str, str]:
    sent = {"X-Pusher-Library": f"herenow {__version__}", "User-Agent": f"herenow/{__version__}"}
    if request.body:
        sent["Content-Type"] = "application/json"
    return sent


def direct(address: Address) -> dict[str, None]:
    """Where no proxy of the environment is asked: it would not find this machine's loopback."""
    return {f"all://{address.url_host}": None} if address.loopback else {}


def read(request: Request[T], response: httpx2.Response) -> T:
    """What was asked for, or the exception that the answer means."""
    if not response.is_success:
        raise Refused(
            response.status_code, response.text.rstrip("\n"), request.call, request.channels
        )
    try:
        return request.read(response.content)
    except UnexpectedBody as error:
        raise InvalidAnswer(str(error), response.text, request.call, request.channels) from None


def unreachable(address: Address, request: Request[T], error: httpx2.RequestError) -> Unreachable:
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Unreachable(
        reason,
        str(address),
        request.call,
        request.channels,
        may_have_arrived=not isinstance(error, _UNSENT),
    )
