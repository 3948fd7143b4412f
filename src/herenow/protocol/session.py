"""What one connection may do: every check of a client's event, before anything happens.

A check answers with the request that passed or with what is refused; a refusal changes nothing.
The order of the checks and the texts are those of protocol reference §7.3, §9.2, §10.3 and §11.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from herenow.protocol.errors import ErrorCode
from herenow.protocol.identity import BadIdentity, User, read_member, read_user
from herenow.protocol.messages import (
    ClientMessage,
    InvalidJSON,
    compact_json,
    decode_hash,
    decode_string,
    quoted,
)
from herenow.protocol.names import (
    SERVER_TO_USER,
    ChannelKind,
    channel_kind,
    is_legal_channel_name,
)
from herenow.protocol.signing import InvalidSignature, channel_string, user_string, verify_auth

AUTH_ERROR: Final = ("AuthError", 401)
LIMIT_REACHED: Final = ("LimitReached", 4004)

_NOT_A_HASH: Final = "Expected parameter data to be a hash"
_CLIENT_EVENTS_OFF: Final = (
    "To send client events, you must enable this feature in the Settings page of your dashboard."
)


_NO_SUBSCRIPTIONS: Final[Mapping[str, str | None]] = MappingProxyType({})


class Limits(Protocol):
    """The limits that a session checks; ``0`` means unlimited."""

    @property
    def max_channel_name_length(self) -> int: ...
    @property
    def max_event_name_length(self) -> int: ...
    @property
    def max_event_bytes(self) -> int: ...
    @property
    def max_channels_per_connection(self) -> int: ...
    @property
    def max_presence_member_bytes(self) -> int: ...
    @property
    def max_watchlist(self) -> int: ...


class Rules(Protocol):
    """The settings of an application that a session depends on."""

    @property
    def client_events(self) -> bool: ...
    @property
    def limits(self) -> Limits: ...
    def secret_of(self, key: str) -> str | None: ...


class Refused(NamedTuple):
    """Why a request is not done.

    ``message`` and ``code`` go into a ``pusher:error``; with ``channel_error`` (type and status)
    a ``pusher:subscription_error`` on ``channel`` follows; there is none on encrypted channels,
    where Java decrypts every event. ``reason`` is a short fixed word for
    counting; ``log`` is the message without the client's signature.
    """

    reason: str
    message: str
    code: int | None = None
    channel: str | None = None
    channel_error: tuple[str, int] | None = None
    log: str = ""


class Subscribe(NamedTuple):
    channel: str
    kind: ChannelKind
    member: User | None


class Signin(NamedTuple):
    """``user_data`` is the verified string; ``watchlist`` is within the limit, without repeats."""

    user: User
    user_data: str
    watchlist: tuple[str, ...]
    watchlist_cut: Refused | None


class ClientEvent(msgspec.Struct, frozen=True, gc=False):
    """``data`` is the JSON string token to relay, ``text`` what it says."""

    channel: str
    event: str
    data: bytes
    text: str
    user_id: str | None


class Session:
    """One connection's identity and subscriptions, and what they allow.

    The server tells it what follows from a request that passed: :meth:`enter` and :meth:`leave`.
    """

    __slots__ = ("_subscriptions", "rules", "socket_id", "user")

    def __init__(self, socket_id: str, rules: Rules) -> None:
        self.socket_id = socket_id
        self.rules = rules
        self.user: User | None = None
        self._subscriptions: dict[str, str | None] | None = None

    @property
    def subscriptions(self) -> Mapping[str, str | None]:
        """The joined channels, each with the member id there: ``None`` if it has no members."""
        return _NO_SUBSCRIPTIONS if self._subscriptions is None else self._subscriptions

    def enter(self, channel: str, member: str | None) -> None:
        """The connection is on *channel* from now on."""
        if self._subscriptions is None:
            self._subscriptions = {}
        self._subscriptions[channel] = member

    def leave(self, channel: str) -> None:
        """The connection is not on *channel* any more."""
        assert self._subscriptions is not None
        del self._subscriptions[channel]
        if not self._subscriptions:
            self._subscriptions = None

    def subscribe(self, data: bytes | None, under_way: int = 0) -> Subscribe | Refused:
        """Check a subscribe, while that many others are *under_way*."""
        fields = decode_hash(data)
        if fields is None:
            return Refused("bad_message", _NOT_A_HASH)
        limits = self.rules.limits
        channel = fields.get("channel")
        if not isinstance(channel, str) or not channel:
            return Refused("bad_message", "Missing parameter: data.channel")
        if not is_legal_channel_name(channel, limits.max_channel_name_length):
            return Refused("bad_channel_name", f"Invalid channel name {channel}")
        if channel in self.subscriptions:
            return Refused(
                "already_subscribed",
                f"Existing subscription to channel {channel}",
                channel=channel,
            )
        kind = channel_kind(channel)
        if kind.user and (self.user is None or channel != SERVER_TO_USER + self.user.id):
            return Refused("not_this_user", f"Not signed in as this user: {channel}")
        member: User | None = None
        told = None if kind.encrypted else channel
        if kind.signed:
            try:
                member = self._authorize(channel, kind, fields)
            except InvalidSignature as error:
                return Refused("signature", str(error), None, told, AUTH_ERROR, error.reason)
            except BadIdentity as error:
                return Refused(error.reason, error.message, None, told, AUTH_ERROR)
        maximum = limits.max_channels_per_connection
        if maximum and len(self.subscriptions) + under_way >= maximum:
            text = f"Limit of {maximum} channels per connection reached"
            return Refused("channels_per_connection", text, None, told, LIMIT_REACHED)
        return Subscribe(channel, kind, member)

    def _authorize(self, channel: str, kind: ChannelKind, fields: dict[str, Any]) -> User | None:
        channel_data = fields.get("channel_data")
        if channel_data is not None and not isinstance(channel_data, str):
            raise BadIdentity(
                "bad_channel_data", "Expected parameter data.channel_data to be a string"
            )
        string = channel_string(self.socket_id, channel, channel_data)
        verify_auth(fields.get("auth"), string, self.rules.secret_of)
        if not kind.presence:
            return None
        if channel_data is not None:
            member = read_member(channel_data)
        elif self.user is not None:
            member = self.user
        else:
            raise BadIdentity(
                "no_member",
                f"{channel} is a presence channel and subscription must include channel_data",
            )
        maximum = self.rules.limits.max_presence_member_bytes
        if maximum and len(member.info) > maximum:
            raise BadIdentity(
                "member_too_large",
                f"user_info has {len(member.info)} bytes, allowed are {maximum}",
            )
        return member

    def unsubscribe(self, data: bytes | None) -> str | Refused:
        fields = decode_hash(data)
        if fields is None:
            return Refused("bad_message", _NOT_A_HASH)
        channel = fields.get("channel")
        if not isinstance(channel, str) or not channel:
            return Refused("bad_message", "Missing parameter: data.channel")
        if channel not in self.subscriptions:
            return Refused(
                "not_subscribed",
                f"No current subscription to channel {channel}, or subscription in progress",
            )
        return channel

    def signin(self, data: bytes | None) -> Signin | Refused:
        fields = decode_hash(data)
        if fields is None:
            return Refused("bad_message", _NOT_A_HASH)
        for name in ("auth", "user_data"):
            if fields.get(name) is None:
                return Refused("bad_message", f"Missing parameter: data.{name}")
        user_data = fields["user_data"]
        if not isinstance(user_data, str):
            return Refused("bad_user_data", "Expected parameter data.user_data to be a string")
        try:
            string = user_string(self.socket_id, user_data)
            verify_auth(fields["auth"], string, self.rules.secret_of)
            user, watchlist = read_user(user_data)
        except InvalidSignature as error:
            return Refused("signature", str(error), log=error.reason)
        except BadIdentity as error:
            return Refused(error.reason, error.message)
        if self.user is not None and self.user.id != user.id:
            return Refused(
                "other_user", f"Connection is already signed in as {self.user.id}, not {user.id}"
            )
        return self._signin(user, user_data, watchlist)

    def _signin(self, user: User, user_data: str, watchlist: list[str]) -> Signin:
        maximum, cut = self.rules.limits.max_watchlist, None
        if maximum and len(watchlist) > maximum:
            watchlist = watchlist[:maximum]
            cut = Refused(
                "watchlist_limit",
                f"Watchlist limit exceeded: only the first {maximum} entries were accepted",
                ErrorCode.WATCHLIST_LIMIT,
            )
        return Signin(user, user_data, tuple(dict.fromkeys(watchlist)), cut)

    def client_event(self, message: ClientMessage) -> ClientEvent | Refused:
        if not self.rules.client_events:
            return Refused("client_events_off", _CLIENT_EVENTS_OFF)
        channel = message.channel
        if not channel or message.data is None:
            return Refused(
                "bad_client_event", "Invalid client event (must contain channel and data)"
            )
        if not channel_kind(channel).client_events:
            return Refused(
                "client_event_channel",
                "Client event rejected - only supported on private and presence channels",
            )
        subscriptions = self.subscriptions
        if channel not in subscriptions:
            return Refused(
                "not_subscribed",
                f"Cannot broadcast client event (connection not subscribed to channel {channel})",
            )
        limits = self.rules.limits
        if limits.max_event_name_length and len(message.event) > limits.max_event_name_length:
            return Refused(
                "event_too_large",
                "Client event rejected: the event name exceeds "
                f"{limits.max_event_name_length} characters",
                channel=channel,
            )
        try:
            data, text = _relayed(message.data)
        except InvalidJSON:
            return Refused("bad_message", "Invalid JSON")
        if limits.max_event_bytes and _utf8_length(text) > limits.max_event_bytes:
            return Refused(
                "event_too_large",
                f"Client event rejected: data exceeds {limits.max_event_bytes} bytes",
                channel=channel,
            )
        return ClientEvent(channel, message.event, data, text, subscriptions[channel])


def _relayed(data: bytes) -> tuple[bytes, str]:
    """A client event's data as the string token to relay and its text; strings go unchanged."""
    text = decode_string(data)
    if text is not None:
        return data, text
    compact = compact_json(data)
    return quoted(compact), compact.decode()


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
