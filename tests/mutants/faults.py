"""Deliberate protocol faults: each is a server that is wrong in one way.

A fault names the checklist statements that must notice it and breaks the server when it is called,
before the server starts.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from herenow.api import channels as api_channels
from herenow.api import events as api_events
from herenow.api import routes as api_routes
from herenow.api.calls import ApiError, Call
from herenow.cluster.base import TransitionKind
from herenow.cluster.memory import MemoryBus, MemoryLedger
from herenow.protocol import errors, identity, messages, names, session, signing
from herenow.protocol.errors import CloseCode, Closing
from herenow.protocol.http1 import Response
from herenow.protocol.session import Refused, Session
from herenow.protocol.websocket import text_frame
from herenow.server import (
    commands,
    connection,
    front,
    handshake,
    node,
    subscriptions,
    users,
)
from herenow.server.channels import Channel
from herenow.server.connection import Connection
from herenow.server.presence import PresenceChannel

Break = Callable[[], None]


class Fault(NamedTuple):
    """*statements* are those of the checklist that must turn red."""

    statements: tuple[int, ...]
    break_server: Break


FAULTS: Final[dict[str, Fault]] = {}


def fault(*statements: int) -> Callable[[Break], Break]:
    def register(break_server: Break) -> Break:
        FAULTS[break_server.__name__] = Fault(statements, break_server)
        return break_server

    return register


def wrap(owner: Any, name: str, change: Callable[..., Any]) -> None:
    """Replace *name* of *owner* by *change*, which is given the original first."""
    original = getattr(owner, name)

    def changed(*args: Any, **kwargs: Any) -> Any:
        return change(original, *args, **kwargs)

    setattr(owner, name, changed)


def edit_event(name: str, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Change every event called *name* on its way out of :func:`messages.event`."""

    def event(original: Callable[..., bytes], event_name: str, *args: Any, **kwargs: Any) -> bytes:
        frame = original(event_name, *args, **kwargs)
        if event_name != name:
            return frame
        value = json.loads(frame)
        changed = edit(value)
        return json.dumps(value if changed is None else changed).encode()

    wrap(messages, "event", event)


def close_as(name: str, code: CloseCode) -> None:
    """Give the closing called *name* another code, wherever it was imported."""
    old: Closing = getattr(errors, name)
    new = dataclasses.replace(old, code=code)
    for module in (errors, handshake, node, connection, users, subscriptions):
        if getattr(module, name, None) is old:
            setattr(module, name, new)


@fault(46)
def wrong_digest_accepted() -> None:
    signing._same_digest = lambda digest, expected: True


@fault(56, 77)
def roster_without_self() -> None:
    def roster(original: Callable[..., bytes], channel: str, members: Any) -> bytes:
        return original(channel, list(members)[:-1])

    wrap(messages, "roster", roster)


@fault(26, 35)
def succeeded_data_as_object() -> None:
    edit_event("pusher_internal:subscription_succeeded", lambda value: value | {"data": {}})


@fault(7)
def quota_closes_4100() -> None:
    close_as("OVER_QUOTA", CloseCode.OVER_CAPACITY)


@fault(58)
def member_added_on_second_tab() -> None:
    def enter(original: Any, conn: Connection, channel: Channel, member: Any, *rest: Any) -> None:
        if isinstance(channel, PresenceChannel):
            entry = messages.MemberEntry(member.id, member.info)
            channel.send(text_frame(entry.added(channel.name)))
        original(conn, channel, member, *rest)

    wrap(subscriptions, "enter", enter)


@fault(126)
def timestamp_601_seconds_old_accepted() -> None:
    signing.TIMESTAMP_TOLERANCE_SECONDS = 603  # type: ignore[misc]


@fault(126)
def timestamp_599_seconds_old_refused() -> None:
    signing.TIMESTAMP_TOLERANCE_SECONDS = 598  # type: ignore[misc]


@fault(26, 28, 31)
def error_data_as_string() -> None:
    edit_event("pusher:error", lambda value: value | {"data": json.dumps(value["data"])})


@fault(46, 52)
def signature_error_with_code_4009() -> None:
    def subscribe(original: Any, self: Session, data: bytes | None, *under_way: int) -> Any:
        answer = original(self, data, *under_way)
        if isinstance(answer, Refused) and answer.reason == "signature":
            return answer._replace(code=4009)
        return answer

    wrap(Session, "subscribe", subscribe)


@fault(5)
def unknown_key_closes_4003() -> None:
    wrap(
        errors,
        "unknown_app",
        lambda original, key: dataclasses.replace(original(key), code=CloseCode.APP_DISABLED),
    )


@fault(2)
def activity_timeout_zero() -> None:
    wrap(
        messages,
        "connection_established",
        lambda original, socket_id, timeout: original(socket_id, 0),
    )


@fault(3)
def protocol_5_refused() -> None:
    handshake._SUPPORTED = frozenset({4, 6, 7})  # type: ignore[misc]


@fault(9)
def protocol_99_accepted() -> None:
    handshake._SUPPORTED = frozenset({4, 5, 6, 7, 99})  # type: ignore[misc]


@fault(14)
def subprotocol_not_echoed() -> None:
    def encode(original: Any, *arguments: Any) -> bytes:
        lines = original(*arguments).split(b"\r\n")
        kept = [line for line in lines if not line.lower().startswith(b"sec-websocket-protocol")]
        return b"\r\n".join(kept)

    wrap(front, "encode_upgrade", encode)


@fault(19)
def ping_before_subscribing_unanswered() -> None:
    def text(original: Any, self: Connection, payload: bytes) -> None:
        if b"pusher:ping" not in payload or self.session.subscriptions:
            original(self, payload)

    wrap(Connection, "_text", text)


@fault(20)
def websocket_ping_unanswered() -> None:
    wrap(connection, "pong_frame", lambda original, payload: b"")


@fault(32)
def binary_taken_as_text() -> None:
    def fail(original: Any, self: Connection, broken: Any) -> None:
        if broken.code is not CloseCode.UNSUPPORTED_DATA:
            original(self, broken)

    wrap(Connection, "fail", fail)


@fault(38)
def second_subscribe_succeeds() -> None:
    def subscribe(original: Any, self: Session, data: bytes | None, *under_way: int) -> Any:
        answer = original(self, data, *under_way)
        if isinstance(answer, Refused) and answer.reason == "already_subscribed":
            fields = messages.decode_hash(data) or {}
            return session.Subscribe(fields["channel"], names.ChannelKind.PUBLIC, None)
        return answer

    wrap(Session, "subscribe", subscribe)


@fault(40)
def unsubscribe_of_nothing_unanswered() -> None:
    def refuse(original: Any, self: Connection, refused: Refused) -> None:
        if not refused.message.startswith("No current subscription"):
            original(self, refused)

    wrap(Connection, "refuse", refuse)


@fault(39)
def unsubscribe_answered() -> None:
    def leave(original: Any, conn: Connection, name: str, grace: float) -> None:
        original(conn, name, grace)
        conn.send(text_frame(messages.event("pusher_internal:unsubscribed", b'"{}"', name)))

    wrap(subscriptions, "leave", leave)


@fault(36)
def channel_name_of_165_characters_accepted() -> None:
    def legal(original: Any, name: str, max_length: int = 164) -> bool:
        return bool(original(name, max_length + 1))

    for module in (session, api_events):
        wrap(module, "is_legal_channel_name", legal)


@fault(63)
def channel_data_signed_as_written_anew() -> None:
    def string(original: Any, socket_id: str, channel: str, channel_data: str | None) -> str:
        if channel_data is not None:
            channel_data = json.dumps(json.loads(channel_data), separators=(",", ":"))
        return str(original(socket_id, channel, channel_data))

    wrap(session, "channel_string", string)


@fault(59)
def member_removed_with_the_first_tab() -> None:
    def leave(original: Any, conn: Connection, name: str, grace: float) -> None:
        member = conn.session.subscriptions[name]
        channel = conn.hub.channels[name]
        original(conn, name, grace)
        if member is not None:
            gone = messages.MemberEntry(member, b"{}")
            channel.send(text_frame(gone.removed(name)))

    wrap(subscriptions, "leave", leave)


@fault(61)
def numeric_user_id_refused() -> None:
    def read(original: Any, channel_data: str) -> Any:
        if isinstance(json.loads(channel_data)["user_id"], int):
            raise identity.BadIdentity("bad_user_id", "user_id must be a string")
        return original(channel_data)

    wrap(session, "read_member", read)


@fault(65)
def user_info_true_accepted() -> None:
    def read(original: Any, raw: bytes, *where: str) -> bytes:
        return b"{}" if raw == b"true" else bytes(original(raw, *where))

    wrap(identity, "_read_info", read)


@fault(66)
def member_limit_counts_connections() -> None:
    def join(original: Any, self: MemoryLedger, subject: Any, user: str, *rest: Any) -> None:
        original(self, subject, f"{user}#{rest[0]}", *rest)

    wrap(MemoryLedger, "join", join)


@fault(73)
def signed_in_user_wins_over_channel_data() -> None:
    def authorize(original: Any, self: Session, *args: Any) -> Any:
        member = original(self, *args)
        return self.user or member

    wrap(Session, "_authorize", authorize)


@fault(70)
def signed_in_presence_refused() -> None:
    def authorize(original: Any, self: Session, *args: Any) -> Any:
        user, self.user = self.user, None
        try:
            return original(self, *args)
        finally:
            self.user = user

    wrap(Session, "_authorize", authorize)


@fault(78)
def signin_answered_with_user_data_written_anew() -> None:
    wrap(
        messages,
        "signin_success",
        lambda original, user_data: original(json.dumps(json.loads(user_data), sort_keys=True)),
    )


@fault(81)
def second_identity_accepted() -> None:
    def signin(original: Any, self: Session, data: bytes | None) -> Any:
        user, self.user = self.user, None
        try:
            return original(self, data)
        finally:
            self.user = user

    wrap(Session, "signin", signin)


@fault(84)
def messages_to_others_readable() -> None:
    def subscribe(original: Any, self: Session, data: bytes | None, *under_way: int) -> Any:
        answer = original(self, data, *under_way)
        if isinstance(answer, Refused) and answer.reason == "not_this_user":
            channel = (messages.decode_hash(data) or {})["channel"]
            return session.Subscribe(channel, names.ChannelKind.SERVER_TO_USER, None)
        return answer

    wrap(Session, "subscribe", subscribe)


@fault(85)
def signin_subscribes_to_the_user_channel() -> None:
    def succeed(original: Any, self: users.SigningIn) -> None:
        original(self)
        conn = self.connection
        assert conn.session.user is not None
        kind = names.ChannelKind.SERVER_TO_USER
        channel = conn.hub.channel(names.SERVER_TO_USER + conn.session.user.id, kind)
        if channel.name not in conn.session.subscriptions:
            subscriptions.enter(conn, channel, None)

    wrap(users.SigningIn, "_succeed", succeed)


@fault(89)
def terminate_closes_4200() -> None:
    close_as("TERMINATED", CloseCode.RECONNECT)


@fault(88)
def terminate_closes_members_too() -> None:
    def terminate(original: Any, self: users.Users, user: str) -> None:
        original(self, user)
        for conn in list(self._hub.connections.values()):
            if user in conn.session.subscriptions.values():
                conn.close(errors.TERMINATED)

    wrap(users.Users, "terminate", terminate)


@fault(96, 97)
def watchlist_with_empty_categories() -> None:
    def events(original: Any, online: Any = (), offline: Any = ()) -> bytes:
        told = [
            {"name": "online", "user_ids": list(online)},
            {"name": "offline", "user_ids": list(offline)},
        ]
        data = messages.quoted(json.dumps({"events": told}).encode())
        return messages.event("pusher_internal:watchlist_events", data)

    wrap(messages, "watchlist_events", events)


@fault(99)
def watchlist_of_101_without_error() -> None:
    def signin(original: Any, self: Session, *args: Any) -> Any:
        return original(self, *args)._replace(watchlist_cut=None)

    wrap(Session, "_signin", signin)


@fault(101)
def client_event_comes_back_to_its_sender() -> None:
    def publish(original: Any, self: MemoryBus, publications: Any, done: Any) -> None:
        everybody = [msgspec.structs.replace(item, skip=None) for item in publications]
        original(self, everybody, done)

    wrap(MemoryBus, "publish", publish)


@fault(101)
def client_event_data_as_object() -> None:
    def relayed(original: Any, data: bytes) -> tuple[bytes, str]:
        return data, original(data)[1]

    wrap(session, "_relayed", relayed)


@fault(104)
def client_event_without_user_id() -> None:
    def event(original: Any, name: str, data: bytes, channel: Any = None, *rest: Any) -> Any:
        return original(name, data, channel)

    wrap(messages, "event", event)


@fault(107)
def client_event_on_public_channels() -> None:
    names.ChannelKind.PUBLIC.client_events = True


@fault(109)
def client_events_not_limited() -> None:
    commands._within_rate = lambda connection: True


@fault(115)
def cache_miss_without_data() -> None:
    edit_event("pusher:cache_miss", lambda value: {k: v for k, v in value.items() if k != "data"})


@fault(114)
def cached_event_sent_as_cache_miss() -> None:
    def enter(original: Any, conn: Any, channel: Any, member: Any, cached: Any = None) -> None:
        if cached is not None:
            data = json.dumps(json.loads(cached)["data"]).encode()
            cached = messages.event("pusher:cache_miss", data, channel.name)
        original(conn, channel, member, cached)

    wrap(subscriptions, "enter", enter)


@fault(117)
def cached_events_never_expire() -> None:
    def publish(original: Any, self: MemoryBus, publications: Any, done: Any) -> None:
        lasting = [msgspec.structs.replace(item, ttl=item.ttl + 3600) for item in publications]
        original(self, lasting, done)

    wrap(MemoryBus, "publish", publish)


@fault(121)
def subscription_count_on_presence_channels() -> None:
    for kind in (names.ChannelKind.PRESENCE, names.ChannelKind.PRESENCE_CACHE):
        kind.counted = True


@fault(125)
def trigger_answers_ok_true() -> None:
    wrap(Call, "done", lambda original, self: self.answer({"ok": True}))


@fault(132)
def event_of_10241_bytes_accepted() -> None:
    def check(original: Any, token: bytes, maximum: int) -> Any:
        return original(token, maximum + 1)

    wrap(api_events, "_check_data", check)


@fault(127)
def body_md5_not_checked() -> None:
    signing._check_body = lambda body_md5, body: None


@fault(139)
def user_count_without_prefix_answered() -> None:
    def list_channels(original: Any, call: Call) -> None:
        try:
            original(call)
        except ApiError:
            call.answer({"channels": {}})

    wrap(api_channels, "list_channels", list_channels)
    endpoint = api_routes._OF_APP[("channels",)]
    api_routes._OF_APP[("channels",)] = endpoint._replace(
        actions={"GET": api_channels.list_channels}
    )


@fault(142)
def users_with_info() -> None:
    def answer(call: Call, roster: Any) -> None:
        call.answer({"users": [{"id": item.user, "user_info": {}} for item in roster.members]})

    api_channels._answer_users = answer


@fault(137)
def batch_published_up_to_the_first_error() -> None:
    def trigger(original: Any, call: Call) -> None:
        try:
            original(call)
        except ApiError:
            items = call.body_object().get("batch")
            for item in items[:1] if isinstance(items, list) else ():
                event = api_events._check(api_events._from_fields(item), call.app.limits)
                api_events._publish(call, (event,), lambda: None)
            raise

    wrap(api_events, "trigger_batch", trigger)
    endpoint = api_routes._OF_APP[("batch_events",)]
    api_routes._OF_APP[("batch_events",)] = endpoint._replace(
        actions={"POST": api_events.trigger_batch}
    )


@fault(131)
def repeated_channel_delivered_twice() -> None:
    def check(original: Any, body: Any, limits: Any) -> Any:
        channels = tuple(body.channels or (body.channel,))
        return msgspec.structs.replace(original(body, limits), channels=channels)

    wrap(api_events, "_check", check)


@fault(135)
def socket_id_not_excluded() -> None:
    def check(original: Any, body: Any, limits: Any) -> Any:
        return msgspec.structs.replace(original(body, limits), socket_id=None)

    wrap(api_events, "_check", check)


@fault(144)
def error_bodies_as_json() -> None:
    def response(original: Any, self: ApiError) -> Response:
        return Response(self.status, json.dumps({"error": self.text}).encode())

    wrap(ApiError, "response", response)


@fault(17)
def shutdown_closes_4009() -> None:
    close_as("RECONNECT", CloseCode.UNAUTHORIZED)


@fault(53)
def subscription_error_on_encrypted_channels() -> None:
    def subscribe(original: Any, self: Session, data: bytes | None, *under_way: int) -> Any:
        answer = original(self, data, *under_way)
        channel = (messages.decode_hash(data) or {}).get("channel")
        if isinstance(answer, Refused) and answer.reason == "signature":
            return answer._replace(channel=channel)
        return answer

    wrap(Session, "subscribe", subscribe)


@fault(27)
def data_written_anew() -> None:
    def check(original: Any, token: bytes, maximum: int) -> bytes:
        text = json.loads(original(token, maximum))
        try:
            text = json.dumps(json.loads(text), separators=(",", ":"))
        except ValueError:
            text = text.strip()
        return json.dumps(text).encode()

    wrap(api_events, "_check_data", check)


@fault(69)
def first_user_info_stays() -> None:
    def apply(original: Any, self: PresenceChannel, transition: Any) -> None:
        if transition.kind is not TransitionKind.INFO:
            original(self, transition)

    wrap(PresenceChannel, "apply", apply)


@fault(50)
def rejected_attempt_leaves_a_trace() -> None:
    def subscribe(original: Any, self: Session, data: bytes | None, *under_way: int) -> Any:
        answer = original(self, data, *under_way)
        if isinstance(answer, Refused) and answer.reason == "signature":
            channel = (messages.decode_hash(data) or {}).get("channel")
            if isinstance(channel, str):
                seen.add((self.socket_id, channel))
        elif not isinstance(answer, Refused) and (self.socket_id, answer.channel) in seen:
            return Refused(
                "already_subscribed", f"Existing subscription to channel {answer.channel}"
            )
        return answer

    seen: set[tuple[str, str]] = set()
    wrap(Session, "subscribe", subscribe)


@fault(92)
def unauthorized_connections_stay() -> None:
    Connection._not_authorized = lambda self: None  # type: ignore[method-assign]


@fault(143)
def terminate_without_app_unknown() -> None:
    def match(original: Any, path: str) -> Any:
        return (None, None, ()) if path.startswith("/users/") else original(path)

    wrap(api_routes, "_match", match)
