"""What the server answers: the shapes, and how a body is read into them (protocol reference §15).

Members that the protocol does not name are left out. Where other servers are seen to answer
otherwise than the protocol says (an empty array for an empty object, numbers for user ids), the
answer is the protocol's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NotRequired, TypedDict, TypeVar

import msgspec

from herenow.protocol.messages import InvalidJSON, decode_json

T = TypeVar("T")

Read = Callable[[bytes], T]
"""Reads the body of an answer; raises :class:`UnexpectedBody`."""


class ChannelAttributes(TypedDict, total=False):
    """What was asked about a channel; what does not apply to it is absent. Counts are exact."""

    occupied: bool
    user_count: int
    subscription_count: int


class TriggerAnswer(TypedDict, total=False):
    """``{}``, or with ``info`` ``{"channels":{"presence-room":{"user_count":2}}}``."""

    channels: dict[str, ChannelAttributes]


class BatchAnswer(TypedDict, total=False):
    """``{}``, or with ``info`` ``{"batch":[{},{"user_count":2}]}``, one for each event."""

    batch: list[ChannelAttributes]


class ChannelsAnswer(TypedDict):
    """``{"channels":{"orders.live":{},"presence-room":{"user_count":2}}}``."""

    channels: dict[str, ChannelAttributes]


class CachedEvent(TypedDict):
    """The last event of a cache channel: its data as published, and the seconds left to it."""

    data: str
    ttl: int


class ChannelAnswer(TypedDict):
    """``{"occupied":true,"user_count":2}``; ``cache`` is ``None`` when nothing is cached."""

    occupied: bool
    user_count: NotRequired[int]
    subscription_count: NotRequired[int]
    cache: NotRequired[CachedEvent | None]


class User(TypedDict):
    """A member of a presence channel."""

    id: str


class UsersAnswer(TypedDict):
    """``{"users":[{"id":"emily"}]}``: each user once, however many connections."""

    users: list[User]


class UnexpectedBody(Exception):
    """A body that is not what was asked for."""


def read_nothing(body: bytes) -> None:
    """Success has nothing to say, so it does not matter in which words."""


def ignore_trigger(body: bytes) -> TriggerAnswer:
    return {}


def ignore_batch(body: bytes) -> BatchAnswer:
    return {}


def read_trigger(body: bytes) -> TriggerAnswer:
    return _convert(_without_empty_array(_decode(body), "channels"), TriggerAnswer)


def read_batch(events: int) -> Read[BatchAnswer]:
    """Reads the answer to a batch of so many *events*."""

    def read(body: bytes) -> BatchAnswer:
        answer = _convert(_decode(body), BatchAnswer)
        found = answer.get("batch")
        if found is not None and len(found) != events:
            raise UnexpectedBody(f"expected attributes of {events} events, got {len(found)}")
        return answer

    return read


def read_channels(body: bytes) -> ChannelsAnswer:
    return _convert(_without_empty_array(_decode(body), "channels"), ChannelsAnswer)


def read_channel(body: bytes) -> ChannelAnswer:
    return _convert(_decode(body), ChannelAnswer)


class _AnyUser(TypedDict):
    id: str | int


class _AnyUsers(TypedDict):
    users: list[_AnyUser]


def read_users(body: bytes) -> UsersAnswer:
    answer = _convert(_decode(body), _AnyUsers)
    return {"users": [{"id": str(user["id"])} for user in answer["users"]]}


def reading(type_: type[T]) -> Read[T]:
    """Reads what has the shape of *type_*."""
    return lambda body: _convert(_decode(body), type_)


def _decode(body: bytes) -> dict[str, Any]:
    try:
        value = decode_json(body)
    except InvalidJSON:
        raise UnexpectedBody("expected a JSON object, got no JSON") from None
    if not isinstance(value, dict):
        raise UnexpectedBody("expected a JSON object")
    return value


def _without_empty_array(answer: dict[str, Any], name: str) -> dict[str, Any]:
    return {**answer, name: {}} if answer.get(name) == [] else answer


def _convert(value: object, type_: type[T]) -> T:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise UnexpectedBody(str(error)) from None
