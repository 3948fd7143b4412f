"""What an application's endpoints answer to clients (protocol reference §8, §9.2, §10.1)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import NotRequired, TypedDict

from herenow.protocol.identity import BadIdentity, read_member, read_user
from herenow.protocol.names import channel_kind
from herenow.protocol.signing import channel_string, hex_digest, user_string
from herenow.sdk import checks
from herenow.sdk.address import Application
from herenow.sdk.errors import InvalidArgument
from herenow.sdk.requests import channel_secret


class ChannelAuthorization(TypedDict):
    """The JSON to answer with, status 200: ``{"auth":…,"channel_data"?:…,"shared_secret"?:…}``."""

    auth: str
    channel_data: NotRequired[str]
    shared_secret: NotRequired[str]


class UserAuthentication(TypedDict):
    """The JSON to answer with, status 200: ``{"auth":…,"user_data":…}``."""

    auth: str
    user_data: str


def authorize_channel(
    application: Application, socket_id: object, channel: object, channel_data: object
) -> ChannelAuthorization:
    connection = checks.socket_id(socket_id)
    name = checks.channel_name(channel, application.limits)
    data = None if channel_data is None else _member(application, channel_data)
    secret = channel_secret(application, name) if channel_kind(name).encrypted else None
    answer: ChannelAuthorization = {
        "auth": _sign(application, channel_string(connection, name, data))
    }
    if data is not None:
        answer["channel_data"] = data
    if secret is not None:
        answer["shared_secret"] = base64.b64encode(secret).decode()
    return answer


def authenticate_user(
    application: Application, socket_id: object, user_data: object
) -> UserAuthentication:
    connection = checks.socket_id(socket_id)
    data = _object("user_data", user_data)
    try:
        _, watchlist = read_user(data)
    except BadIdentity as error:
        raise _invalid("user_data", error) from None
    maximum = application.limits.max_watchlist
    if maximum and len(watchlist) > maximum:
        raise InvalidArgument(
            "user_data", f"watchlist has {len(watchlist)} entries, allowed are {maximum}"
        )
    return {"auth": _sign(application, user_string(connection, data)), "user_data": data}


def _member(application: Application, channel_data: object) -> str:
    data = _object("channel_data", channel_data)
    try:
        member = read_member(data)
    except BadIdentity as error:
        raise _invalid("channel_data", error) from None
    maximum = application.limits.max_presence_member_bytes
    if maximum and len(member.info) > maximum:
        raise InvalidArgument(
            "channel_data", f"user_info has {len(member.info)} bytes, allowed are {maximum}"
        )
    return data


def _object(argument: str, value: object) -> str:
    if not isinstance(value, Mapping):
        raise InvalidArgument(argument, f"expected a mapping, got {type(value).__name__}")
    return checks.json_text(dict(value), argument)


def _invalid(argument: str, error: BadIdentity) -> InvalidArgument:
    return InvalidArgument(argument, error.message.removeprefix(f"Invalid {argument}: "))


def _sign(application: Application, string: str) -> str:
    return f"{application.key}:{hex_digest(application.secret, string)}"
