"""Publishing: ``events``, ``batch_events``, the old ``channels/{name}/events`` (§15.2, §15.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from herenow.api.calls import ApiError, Call, split_info, unavailable
from herenow.apps.base import App, Limits
from herenow.cluster.base import ChannelState, Publication, Refusal
from herenow.protocol import messages
from herenow.protocol.http1 import Response
from herenow.protocol.messages import InvalidJSON, compact_json, decode_string, encode_json, quoted
from herenow.protocol.names import channel_kind, is_legal_channel_name, is_socket_id

_TOO_LARGE: Final = (
    "The data content of this event exceeds the allowed maximum ({} bytes). See"
    " https://pusher.com/docs/channels/server_api/http-api#publishing-events for more info"
)
_INFO: Final = frozenset({"user_count", "subscription_count"})
_QUOTE: Final = ord('"')


Attributes = dict[str, object]


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event that passed every check; ``data`` is the JSON string token to send."""

    name: str
    data: bytes
    channels: tuple[str, ...]
    socket_id: str | None
    info: tuple[str, ...]


class _Body(msgspec.Struct):
    name: str
    data: msgspec.Raw
    channels: list[str] | None = None
    channel: str | None = None
    socket_id: str | None = None
    info: str | None = None


class _Batch(msgspec.Struct):
    batch: list[_Body]


_decoder: Final = msgspec.json.Decoder(_Body)
_batch_decoder: Final = msgspec.json.Decoder(_Batch)


def trigger(call: Call) -> None:
    """``POST /apps/{id}/events``: one event to up to a hundred channels."""
    event = _check(_read_trigger(call), call.app.limits)
    if not event.info:
        _publish(call, (event,), call.done)
        return

    def published() -> None:
        _ask_all(call, [(channel, event.info) for channel in event.channels], answer)

    def answer(attributes: list[Attributes], complete: bool) -> None:
        channels = dict(zip(event.channels, attributes, strict=True))
        call.answer({"channels": channels}, complete=complete)

    _publish(call, (event,), published)


def trigger_batch(call: Call) -> None:
    """``POST /apps/{id}/batch_events``: up to ten events; all of them, or none."""
    events = _read_batch(call)
    if not any(event.info for event in events):
        _publish(call, events, call.done)
        return

    def published() -> None:
        _ask_all(call, [(event.channels[0], event.info) for event in events], answer)

    def answer(attributes: list[Attributes], complete: bool) -> None:
        call.answer({"batch": attributes}, complete=complete)

    _publish(call, events, published)


def _read_batch(call: Call) -> list[Event]:
    limits = call.app.limits
    batch = _decode_batch(call)
    if limits.max_batch_events and len(batch) > limits.max_batch_events:
        raise ApiError(
            400, f"Batch too large: {len(batch)} events, allowed are {limits.max_batch_events}"
        )
    events = [_check(item, limits) for item in batch]
    if any(len(event.channels) != 1 for event in events):
        raise ApiError(400, "Expected channel parameter to be a single channel name")
    return events


def _decode_batch(call: Call) -> list[_Body]:
    try:
        if not call.request.body.isascii():
            call.request.body.decode()
        batch = _batch_decoder.decode(call.request.body).batch
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        items = call.body_object().get("batch")
        if not isinstance(items, list):
            raise ApiError(400, "Expected batch parameter to be a non-empty array") from None
        if not all(isinstance(item, dict) for item in items):
            raise ApiError(400, "Expected every element of batch to be an object") from None
        batch = [_from_fields(item) for item in items]
    if not batch:
        raise ApiError(400, "Expected batch parameter to be a non-empty array")
    return batch


def trigger_raw(call: Call) -> None:
    """``POST /apps/{id}/channels/{name}/events?name=E``: the whole body is the data. Deprecated."""
    try:
        data = encode_json(call.request.body.decode())
    except UnicodeDecodeError:
        raise ApiError(400, "Invalid body: expected UTF-8") from None
    name, socket_id = call.parameter("name"), call.parameter("socket_id")
    body = _Body(_string(name, "name"), msgspec.Raw(data), [call.names[0]], None, socket_id)
    event = _check(body, call.app.limits)

    def published() -> None:
        call.respond(Response(202, b""))

    _publish(call, (event,), published)


def _read_trigger(call: Call) -> _Body:
    body = call.request.body
    if not body:
        return _from_query(call)
    try:
        if not body.isascii():
            body.decode()
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _from_fields(call.body_object())


def _from_query(call: Call) -> _Body:
    """Parameters in the query: discouraged, but legal (§15.1)."""
    if call.parameter("name") is None:
        raise ApiError(400, "Expected name parameter to be a string")
    fields: dict[str, Any] = dict(call.parameters)
    fields["channels"] = fields.pop("channels[]", None)
    return _from_fields(fields)


def _from_fields(fields: dict[str, Any]) -> _Body:
    """Read what did not fit the usual shape, and say what does not fit at all."""
    channels = fields.get("channels")
    if channels is not None and (
        not isinstance(channels, list) or not all(isinstance(item, str) for item in channels)
    ):
        raise ApiError(400, "Expected channels parameter to be an array of strings")
    for name in ("channel", "info"):
        if fields.get(name) is not None:
            _string(fields[name], name)
    socket_id = fields.get("socket_id")
    return _Body(
        name=_string(fields.get("name"), "name"),
        data=msgspec.Raw(encode_json(fields.get("data"))),
        channels=channels,
        channel=fields.get("channel"),
        socket_id=socket_id if isinstance(socket_id, str) else None,
        info=fields.get("info"),
    )


def _string(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ApiError(400, f"Expected {name} parameter to be a string")
    return value


def _check(body: _Body, limits: Limits) -> Event:
    name = body.name
    if not name:
        raise ApiError(400, "Expected name parameter to be a non-empty string")
    if name.startswith("pusher"):
        raise ApiError(400, "The 'pusher' namespace is reserved for internal usage")
    if limits.max_event_name_length and len(name) > limits.max_event_name_length:
        raise ApiError(
            400, f"Event name too long: allowed are {limits.max_event_name_length} characters"
        )
    data = _check_data(bytes(body.data), limits.max_event_bytes)
    channels = _channels(body)
    if not channels:
        raise ApiError(400, "Expected channels parameter to be a non-empty array, or channel")
    if limits.max_event_channels and len(channels) > limits.max_event_channels:
        raise ApiError(
            400, f"Too many channels: {len(channels)}, allowed are {limits.max_event_channels}"
        )
    longest = limits.max_channel_name_length
    for channel in channels:
        if not is_legal_channel_name(channel, longest):
            raise ApiError(400, "Invalid channel name")
    info = split_info(body.info)
    for attribute in info:
        if attribute not in _INFO:
            raise ApiError(
                400,
                f"Unknown info attribute {attribute}: expected user_count or subscription_count",
            )
    # A malformed id is ignored, as an unknown one is.
    skip = body.socket_id if body.socket_id and is_socket_id(body.socket_id) else None
    return Event(name, data, channels, skip, info)


def _channels(body: _Body) -> tuple[str, ...]:
    """Every channel that *body* names, once."""
    channels, channel = body.channels, body.channel
    if not channels:
        return () if channel is None else (channel,)
    if channel is not None:
        channels = [*channels, channel]
    return tuple(dict.fromkeys(channels) if len(channels) > 1 else channels)


def _check_data(token: bytes, maximum: int) -> bytes:
    """The JSON string token to send; any other JSON value becomes its compact text.

    *token* was read as JSON with its body, or written here.
    """
    if token[0] != _QUOTE:
        if token == b"null":
            raise ApiError(400, "Expected data parameter to be a string")
        try:
            token = quoted(compact_json(token))
        except InvalidJSON:
            raise ApiError(400, "Invalid body: expected a JSON object, got no JSON") from None
    if maximum and len(token) - 2 > maximum:
        size = len((decode_string(token) or "").encode("utf-8", "surrogatepass"))
        if size > maximum:
            raise ApiError(413, _TOO_LARGE.format(maximum))
    return token


def _publications(call: Call, events: Sequence[Event]) -> list[Publication]:
    """*events* as each of their channels gets them, but for channels where that is nobody.

    Of several, what is published on one channel and then on another arrives in that order.
    """
    app, bus, local_channels = call.app, call.hub.bus, call.hub.channels
    publications = []
    last = None
    for event in events:
        for channel in event.channels:
            if channel in local_channels or not bus.is_local or channel_kind(channel).cached:
                sealed = len(events) > 1 and channel != last
                publications.append(_publication(app, event, channel, sealed))
                last = channel
    return publications


def _publication(app: App, event: Event, channel: str, sealed: bool) -> Publication:
    """*event* as *channel* gets it."""
    data, skip = event.data, event.socket_id
    payload = messages.event(event.name, data, channel)
    if not channel_kind(channel).cached:
        return Publication(app.id, channel, payload, skip, False, sealed)
    return Publication(app.id, channel, payload, skip, True, sealed, data, app.cache_ttl_seconds)


def _publish(call: Call, events: Sequence[Event], published: Callable[[], None]) -> None:
    """Publish all of *events* or none, and go on with *published* or refuse the call."""

    def done(delivered: bool) -> None:
        if not delivered:
            raise unavailable()
        published()

    def publish() -> None:
        call.hub.bus.publish(_publications(call, events), call.then(done))

    call.spend(len(events), publish)


def _ask_all(
    call: Call,
    questions: list[tuple[str, tuple[str, ...]]],
    answer: Callable[[list[Attributes], bool], None],
) -> None:
    """Answer with the attributes asked for of each channel, in the order of the questions.

    The event is published by now: what the engine does not say is left out, and the answer is not
    complete.
    """
    found: list[Attributes] = [{} for _ in questions]
    missing = len(questions)
    complete = True

    def take(index: int, state: ChannelState | Refusal) -> None:
        nonlocal missing, complete
        if isinstance(state, Refusal):
            complete = False
        else:
            found[index] = _attributes(call, *questions[index], state)
            complete = complete and state.complete
        missing -= 1
        if not missing:
            answer(found, complete)

    for index, (channel, _) in enumerate(questions):
        call.hub.ledger.channel(call.app.id, channel, partial(take, index))


def _attributes(call: Call, channel: str, info: tuple[str, ...], state: ChannelState) -> Attributes:
    """What was asked for of *channel*; what does not apply to it is left out."""
    kind = channel_kind(channel)
    attributes: Attributes = {}
    if "user_count" in info and kind.presence:
        attributes["user_count"] = state.users
    if "subscription_count" in info and kind.counted and call.app.subscription_count:
        attributes["subscription_count"] = state.subscriptions
    return attributes
