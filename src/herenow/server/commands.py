"""What follows from each event that a client may send (protocol reference §5)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from herenow.cluster.base import Publication
from herenow.cluster.bucket import TokenBucket
from herenow.protocol import messages
from herenow.protocol.errors import CloseCode, ErrorCode
from herenow.protocol.messages import ClientMessage
from herenow.protocol.session import ClientEvent, Refused
from herenow.protocol.websocket import Fault
from herenow.server import subscriptions
from herenow.server.inbox import EVERYTHING
from herenow.webhooks import events

if TYPE_CHECKING:
    from herenow.server.connection import Connection

BINARY_REFUSED: Final = Fault(
    CloseCode.UNSUPPORTED_DATA, "Binary messages are not part of the protocol"
)


def execute(connection: Connection, message: ClientMessage) -> None:
    """Do what *message* asks, or answer why not."""
    name = message.event
    if name == "pusher:subscribe":
        _subscribe(connection, message)
    elif name == "pusher:unsubscribe":
        _unsubscribe(connection, message)
    elif name == "pusher:signin":
        _sign_in(connection, message)
    elif name.startswith("client-"):
        _client_event(connection, message)
    else:
        connection.refuse(
            Refused("unsupported_event", f"Unsupported event received on socket: {name}")
        )


def _subscribe(connection: Connection, message: ClientMessage) -> None:
    inbox = connection.inbox
    request = connection.session.subscribe(message.data, inbox.requests_under_way)
    if isinstance(request, Refused):
        connection.refuse(request)
        return
    under_way = subscriptions.subscribe(connection, request)
    if under_way is not None:
        inbox.begin(request.channel, under_way)


def _unsubscribe(connection: Connection, message: ClientMessage) -> None:
    channel = connection.session.unsubscribe(message.data)
    if isinstance(channel, Refused):
        connection.refuse(channel)
    else:
        subscriptions.leave(connection, channel, grace=0)


def _sign_in(connection: Connection, message: ClientMessage) -> None:
    request = connection.session.signin(message.data)
    if isinstance(request, Refused):
        connection.refuse(request)
        return
    under_way = connection.hub.users.sign_in(connection, request)
    if under_way is not None:
        connection.inbox.begin(EVERYTHING, under_way)


def _client_event(connection: Connection, message: ClientMessage) -> None:
    request = connection.session.client_event(message)
    if isinstance(request, ClientEvent) and not _within_rate(connection):
        rate = connection.hub.app.limits.client_events_per_second
        request = Refused(
            "client_event_rate",
            f"Client event rejected: rate limit of {rate} messages per second exceeded",
            ErrorCode.CLIENT_EVENT_RATE,
            request.channel,
        )
    if isinstance(request, Refused):
        connection.refuse(request)
        return
    hub, socket_id = connection.hub, connection.session.socket_id
    payload = messages.event(request.event, request.data, request.channel, request.user_id)
    publication = Publication(hub.app.id, request.channel, payload, socket_id)
    hub.bus.publish((publication,), partial(_relayed, connection, request))


def _relayed(connection: Connection, request: ClientEvent, relayed: bool) -> None:
    if relayed:
        app, socket_id = connection.hub.app.id, connection.session.socket_id
        connection.hub.sink.emit(
            events.ClientEvent(
                app, request.channel, request.event, request.text, socket_id, request.user_id
            )
        )
    elif not connection.closing:
        connection.refuse(
            Refused(
                "engine_unavailable",
                f"Client event rejected: {request.event} could not be relayed, try again later",
                None,
                request.channel,
            )
        )


def _within_rate(connection: Connection) -> bool:
    rate = connection.hub.app.limits.client_events_per_second
    if not rate:
        return True
    now = connection.hub.timers.now()
    if connection.client_events is None:
        connection.client_events = TokenBucket(rate, rate, now)
    return connection.client_events.take(now)
