"""Close codes, error codes and their texts (protocol reference §3, §5, §7.3, §9 to §11)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class CloseCode(IntEnum):
    """Codes that end a connection; what the client must do stands behind each range.

    4000 to 4099: do not reconnect unchanged. 4100 to 4199: reconnect after a back-off of at least a
    second. 4200 to 4299: reconnect at once.
    """

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_PAYLOAD = 1007
    MESSAGE_TOO_BIG = 1009
    TLS_REQUIRED = 4000
    UNKNOWN_APP = 4001
    APP_DISABLED = 4003
    OVER_QUOTA = 4004
    PATH_NOT_FOUND = 4005
    INVALID_VERSION = 4006
    UNSUPPORTED_VERSION = 4007
    NO_VERSION = 4008
    UNAUTHORIZED = 4009
    OVER_CAPACITY = 4100
    RECONNECT = 4200
    PONG_TIMEOUT = 4201


class ErrorCode(IntEnum):
    """Codes of a ``pusher:error`` that leaves the connection open. Never close codes."""

    CLIENT_EVENT_RATE = 4301
    WATCHLIST_LIMIT = 4302


@dataclass(frozen=True, slots=True)
class Closing:
    """Why the server ends a connection: code and text of both the error and the close frame."""

    code: CloseCode
    message: str


TLS_REQUIRED: Final = Closing(CloseCode.TLS_REQUIRED, "App is encrypted (SSL only)")
APP_DISABLED: Final = Closing(CloseCode.APP_DISABLED, "App is disabled")
OVER_QUOTA: Final = Closing(CloseCode.OVER_QUOTA, "Account over quota")
PATH_NOT_FOUND: Final = Closing(CloseCode.PATH_NOT_FOUND, "Path not found: connect to /app/{key}")
INVALID_VERSION: Final = Closing(
    CloseCode.INVALID_VERSION, "Invalid version string format: protocol must be an integer"
)
UNSUPPORTED_VERSION: Final = Closing(
    CloseCode.UNSUPPORTED_VERSION, "Unsupported protocol version: supported are 4, 5, 6 and 7"
)
NO_VERSION: Final = Closing(CloseCode.NO_VERSION, "No protocol version supplied: add ?protocol=7")
ORIGIN_REFUSED: Final = Closing(CloseCode.UNAUTHORIZED, "Origin not allowed for this app")
NOT_AUTHORIZED_IN_TIME: Final = Closing(
    CloseCode.UNAUTHORIZED, "Connection not authorized within timeout"
)
TERMINATED: Final = Closing(CloseCode.UNAUTHORIZED, "Connection terminated by the application")
ADDRESS_OVER_LIMIT: Final = Closing(
    CloseCode.OVER_CAPACITY, "Too many connections from this address"
)
OVER_CAPACITY: Final = Closing(CloseCode.OVER_CAPACITY, "Over capacity: try again later")
SLOW_READER: Final = Closing(CloseCode.OVER_CAPACITY, "Closed: this client reads too slowly")
TOO_MANY_MESSAGES: Final = Closing(
    CloseCode.OVER_CAPACITY, "Closed: too many messages per second for 10 seconds"
)
ENGINE_UNAVAILABLE: Final = Closing(
    CloseCode.OVER_CAPACITY, "The service is unavailable at the moment: try again later"
)
STORE_UNAVAILABLE: Final = Closing(
    CloseCode.OVER_CAPACITY, "The app could not be looked up at the moment: try again later"
)
RECONNECT: Final = Closing(CloseCode.RECONNECT, "Please reconnect immediately")
PONG_TIMEOUT: Final = Closing(CloseCode.PONG_TIMEOUT, "Pong reply not received")


def unknown_app(key: str) -> Closing:
    return Closing(
        CloseCode.UNKNOWN_APP,
        f"App key {key} not in this cluster. Did you forget to specify the cluster?",
    )
