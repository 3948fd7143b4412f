"""Calls of the HTTP API, checked and ready to be signed (protocol reference §15, §16)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, NotRequired, TypedDict, TypeVar
from urllib.parse import quote

from herenow.protocol.encryption import seal, shared_secret
from herenow.protocol.names import SERVER_TO_USER, channel_kind
from herenow.protocol.signing import canonical_string, hex_digest
from herenow.sdk import answers, checks
from herenow.sdk.address import Application
from herenow.sdk.errors import InvalidArgument

T = TypeVar("T")

DrawNonce = Callable[[], bytes]
Info = str | Sequence[str]
"""Attributes that are asked for: ``["user_count"]``, or as a comma list ``"user_count"``."""

_COUNTS: Final = ("user_count", "subscription_count")
_EVENT_MEMBERS: Final = ("channel", "name", "data", "socket_id", "info")


class Event(TypedDict):
    """One event of a batch. ``data`` is a string or any other JSON value."""

    channel: str
    name: str
    data: object
    socket_id: NotRequired[str | None]
    info: NotRequired[Info]


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One call. ``path`` is what is signed: without host, and without a path prefix."""

    method: Literal["GET", "POST"]
    path: str
    read: Callable[[bytes], T]
    channels: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def call(self) -> str:
        return f"{self.method} {self.path}"

    def target(self, application: Application, timestamp: int) -> str:
        """Path and query, signed. *timestamp* is in seconds since 1970 (§16.2)."""
        parameters = {
            **self.parameters,
            "auth_key": application.key,
            "auth_timestamp": str(timestamp),
            "auth_version": "1.0",
        }
        if self.body:
            parameters["body_md5"] = hashlib.md5(self.body, usedforsecurity=False).hexdigest()
        string = canonical_string(self.method, self.path, parameters)
        query = "&".join(f"{key}={quote(parameters[key], ',')}" for key in sorted(parameters))
        signature = hex_digest(application.secret, string)
        return f"{self.path}?{query}&auth_signature={signature}"


def trigger(
    application: Application,
    draw_nonce: DrawNonce,
    channels: object,
    event: object,
    data: object,
    socket_id: object,
    info: object,
) -> Request[answers.TriggerAnswer]:
    limits = application.limits
    names = checks.channel_names(channels, limits)
    body: dict[str, object] = {
        "name": checks.event_name(event, limits),
        "data": _published(application, draw_nonce, names[0], data, "data"),
        "channels": names,
    }
    if socket_id is not None:
        body["socket_id"] = checks.socket_id(socket_id)
    attributes = checks.attributes(info, _COUNTS)
    if attributes:
        body["info"] = attributes
    read = answers.read_trigger if attributes else answers.ignore_trigger
    return _post(application, "events", body, read, tuple(names))


def trigger_batch(
    application: Application, draw_nonce: DrawNonce, batch: object
) -> Request[answers.BatchAnswer]:
    bodies = [
        _batched(application, draw_nonce, event, f"batch[{index}]")
        for index, event in enumerate(checks.batch(batch, application.limits))
    ]
    asked = any("info" in body for body in bodies)
    read = answers.read_batch(len(bodies)) if asked else answers.ignore_batch
    channels = tuple(dict.fromkeys(body["channel"] for body in bodies))
    return _post(application, "batch_events", {"batch": bodies}, read, channels)


def _batched(
    application: Application, draw_nonce: DrawNonce, event: object, argument: str
) -> dict[str, Any]:
    if not isinstance(event, Mapping):
        raise InvalidArgument(argument, f"expected a mapping, got {type(event).__name__}")
    unknown = [str(member) for member in event if member not in _EVENT_MEMBERS]
    if unknown:
        raise InvalidArgument(
            argument,
            f"unknown member {checks.shown(unknown[0])}, known are {', '.join(_EVENT_MEMBERS)}",
        )
    if "data" not in event:
        raise InvalidArgument(argument, "data is missing")
    limits = application.limits
    channel = checks.channel_name(event.get("channel"), limits, f"{argument}.channel")
    body: dict[str, Any] = {
        "channel": channel,
        "name": checks.event_name(event.get("name"), limits, f"{argument}.name"),
        "data": _published(application, draw_nonce, channel, event["data"], f"{argument}.data"),
    }
    if event.get("socket_id") is not None:
        body["socket_id"] = checks.socket_id(event["socket_id"])
    attributes = checks.attributes(event.get("info", ()), _COUNTS, f"{argument}.info")
    if attributes:
        body["info"] = attributes
    return body


def send_to_user(
    application: Application, user_id: object, event: object, data: object
) -> Request[None]:
    channel = SERVER_TO_USER + checks.user_id(user_id)
    text = checks.event_data(data)
    checks.check_event_size(text, application.limits)
    name = checks.event_name(event, application.limits)
    body = {"name": name, "data": text, "channels": [channel]}
    return _post(application, "events", body, answers.read_nothing, (channel,))


def terminate_user_connections(application: Application, user_id: object) -> Request[None]:
    path = f"users/{segment(checks.user_id(user_id))}/terminate_connections"
    return _post(application, path, {}, answers.read_nothing)


def channels(
    application: Application, prefix: object, info: object
) -> Request[answers.ChannelsAnswer]:
    start = checks.channel_prefix(prefix, application.limits)
    attributes = checks.attributes(info, _COUNTS)
    if "user_count" in attributes.split(",") and not start.startswith("presence-"):
        raise InvalidArgument("info", "user_count needs a prefix that begins with presence-")
    parameters = {"filter_by_prefix": start, "info": attributes}
    return _get(application, "channels", answers.read_channels, (), parameters)


def channel(application: Application, name: object, info: object) -> Request[answers.ChannelAnswer]:
    name = checks.channel_name(name, application.limits)
    attributes = checks.attributes(info, (*_COUNTS, "cache"))
    kind = channel_kind(name)
    applies = {
        "user_count": (kind.presence, "a presence channel"),
        "subscription_count": (kind.counted, "any but a presence channel"),
        "cache": (kind.cached, "a cache channel"),
    }
    for attribute in attributes.split(",") if attributes else ():
        fits, wanted = applies[attribute]
        if not fits:
            raise InvalidArgument(
                "info", f"{attribute} needs {wanted}, which {checks.shown(name)} is not"
            )
    path = f"channels/{segment(name)}"
    return _get(application, path, answers.read_channel, (name,), {"info": attributes})


def users(application: Application, channel: object) -> Request[answers.UsersAnswer]:
    name = checks.presence_channel(channel, application.limits)
    path = f"channels/{segment(name)}/users"
    return _get(application, path, answers.read_users, (name,), {})


def _published(
    application: Application,
    draw_nonce: DrawNonce,
    channel: str,
    data: object,
    argument: str,
) -> str:
    """What travels as ``data``: on an encrypted channel the envelope, whose size counts (§15.2)."""
    text = checks.event_data(data, argument)
    if channel_kind(channel).encrypted:
        try:
            plaintext = text.encode()
        except UnicodeEncodeError:
            raise InvalidArgument(argument, "expected Unicode text, got a surrogate") from None
        secret = channel_secret(application, channel)
        text = seal(plaintext, secret, draw_nonce())
    checks.check_event_size(text, application.limits, argument)
    return text


def channel_secret(application: Application, channel: str) -> bytes:
    """The shared secret of an encrypted channel."""
    if application.master_key is None:
        raise InvalidArgument(
            "channel",
            f"{checks.shown(channel)} is encrypted, which needs encryption_master_key_base64",
        )
    return shared_secret(channel, application.master_key)


def segment(name: str) -> str:
    """*name* as a part of a path; written plainly, ``.`` and ``..`` would be steps in it."""
    return name.replace(".", "%2E") if name in (".", "..") else name


def _get(
    application: Application,
    path: str,
    read: Callable[[bytes], T],
    channels: tuple[str, ...],
    parameters: Mapping[str, str],
) -> Request[T]:
    given = {name: value for name, value in parameters.items() if value}
    return Request("GET", f"/apps/{application.id}/{path}", read, channels, given)


def _post(
    application: Application,
    path: str,
    body: Mapping[str, object],
    read: Callable[[bytes], T],
    channels: tuple[str, ...] = (),
) -> Request[T]:
    encoded = checks.json_text(body, "body").encode()
    return Request("POST", f"/apps/{application.id}/{path}", read, channels, {}, encoded)
