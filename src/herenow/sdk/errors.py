"""What can go wrong.

* :class:`ChannelsError`

  * :class:`InvalidArgument` (also a :class:`ValueError`): nothing was signed, nothing was sent
  * :class:`InvalidWebhook`: not from the server, too old, or not a webhook
  * :class:`WebhookInProgress`: an event that is being taken already
  * :class:`Refused`: the server answered, and not with success
  * :class:`InvalidAnswer`: success, but not what was asked for
  * :class:`Unreachable`: no answer came

No text of theirs contains a secret.
"""

from __future__ import annotations

from typing import Final

_SHOWN_LENGTH: Final = 500


class ChannelsError(Exception):
    """The root of all exceptions of the SDK."""


class InvalidArgument(ChannelsError, ValueError):
    """An argument breaks a rule of the protocol, so nothing was signed and nothing was sent.

    ``argument`` names it, ``reason`` says what was expected and what came.
    """

    def __init__(self, argument: str, reason: str) -> None:
        super().__init__(argument, reason)
        self.argument = argument
        self.reason = reason

    def __str__(self) -> str:
        return f"Invalid {self.argument}: {self.reason}"


class InvalidWebhook(ChannelsError):
    """A request that is not to be believed to be a webhook of the server; answer it with 401."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"Invalid webhook: {self.reason}"


class WebhookInProgress(ChannelsError):
    """An event came again while this process is still at it; answer with 503.

    Whether it will have been taken is not known yet. The server sends it once more.
    """

    def __init__(self, event_id: str) -> None:
        super().__init__(event_id)
        self.event_id = event_id

    def __str__(self) -> str:
        return f"The event {self.event_id} is being taken already"


class _CallFailed(ChannelsError):
    """``call`` is the method and path of a call, ``channels`` are those that it was about."""

    call: str
    channels: tuple[str, ...]

    @property
    def channel(self) -> str | None:
        """The channel of the call, when it was about exactly one."""
        return self.channels[0] if len(self.channels) == 1 else None


class Refused(_CallFailed):
    """The server answered with another status than success.

    ``status`` is that of HTTP and ``body`` the server's reason, plain text (protocol reference
    §15.1): 400 bad request, 401 wrong key, secret or clock, 403 application disabled or over its
    quota, 404 wrong application or address, 413 too much data, 429 too many calls.
    """

    def __init__(self, status: int, body: str, call: str, channels: tuple[str, ...] = ()) -> None:
        super().__init__(status, body, call, channels)
        self.status = status
        self.body = body
        self.call = call
        self.channels = channels

    def __str__(self) -> str:
        return f"{self.call} was answered with {self.status}: {_shown(self.body)}"


class InvalidAnswer(_CallFailed):
    """The server answered with success, but not as the protocol says; ``body`` is what came."""

    def __init__(self, reason: str, body: str, call: str, channels: tuple[str, ...] = ()) -> None:
        super().__init__(reason, body, call, channels)
        self.reason = reason
        self.body = body
        self.call = call
        self.channels = channels

    def __str__(self) -> str:
        return f"{self.call} was answered with what it should not be, {self.reason}: " + _shown(
            self.body
        )


class Unreachable(_CallFailed):
    """No answer came: no connection, a connection that broke, or nothing in time.

    ``may_have_arrived`` is false when the server certainly did not get the request, so that it can
    be repeated. Otherwise an event may have been published already, and a repetition is a second
    one: the protocol has no means to tell them apart (protocol reference §15.1).
    """

    def __init__(
        self,
        reason: str,
        address: str,
        call: str,
        channels: tuple[str, ...] = (),
        may_have_arrived: bool = True,
    ) -> None:
        super().__init__(reason, address, call, channels, may_have_arrived)
        self.reason = reason
        self.address = address
        self.call = call
        self.channels = channels
        self.may_have_arrived = may_have_arrived

    def __str__(self) -> str:
        return f"{self.call} got no answer from {self.address}: {self.reason}"


def _shown(body: str) -> str:
    text = " ".join(body.split())
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"
