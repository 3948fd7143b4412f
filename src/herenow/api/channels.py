"""Questions about channels: which are occupied, by how many, by whom (§15.4 to §15.6, §15.8)."""

from __future__ import annotations

from functools import partial

from herenow.api import rosters
from herenow.api.calls import ApiError, Call
from herenow.cluster.base import (
    CachedEvent,
    Channels,
    ChannelState,
    Roster,
    Subject,
    SubjectKind,
)
from herenow.protocol.messages import decode_string
from herenow.protocol.names import ChannelKind, channel_kind

_UNRELATED = ("auth_", "body_md5")


def list_channels(call: Call) -> None:
    """``GET /apps/{id}/channels``: the occupied channels by name."""
    prefix, info = call.parameter("filter_by_prefix") or "", call.info()
    for attribute in info:
        if attribute == "user_count":
            if not prefix.startswith("presence-"):
                raise ApiError(
                    400,
                    "user_count may only be requested for presence channels"
                    " - please supply filter_by_prefix beginning with presence-",
                )
        elif attribute != "subscription_count":
            raise ApiError(400, f"Unknown info attribute {attribute}: expected user_count")
        elif not call.app.subscription_count:
            raise ApiError(400, "subscription_count is not enabled for this app")
    answer = partial(_answer_list, call, info)
    call.spend(1, lambda: call.hub.ledger.channels(call.app.id, prefix, call.then(answer)))


def _answer_list(call: Call, info: tuple[str, ...], channels: Channels) -> None:
    listed = {}
    for name, state in channels.states.items():
        listed[name] = attributes = _unasked(call, info, state)
        kind = channel_kind(name)
        if "user_count" in info and kind.presence:
            attributes["user_count"] = state.users
        if "subscription_count" in info and kind.counted:
            attributes["subscription_count"] = state.subscriptions
    call.answer({"channels": listed}, complete=channels.complete)


def _unasked(call: Call, info: tuple[str, ...], state: ChannelState) -> dict[str, object]:
    """What is told without ``info`` to an application that counts subscriptions (§15.4)."""
    if info or not call.app.subscription_count:
        return {}
    return {"occupied": state.occupied, "subscription_count": state.subscriptions}


def show_channel(call: Call) -> None:
    """``GET /apps/{id}/channels/{name}``: whether it is occupied, and the attributes asked for."""
    name, info = call.channel_name(), call.info()
    kind = channel_kind(name)
    for attribute in info:
        _check_attribute(call, attribute, kind)
    answer = partial(_with_state, call, name, info)
    call.spend(1, lambda: call.hub.ledger.channel(call.app.id, name, call.then(answer)))


def _check_attribute(call: Call, attribute: str, kind: ChannelKind) -> None:
    if attribute == "user_count":
        if not kind.presence:
            raise ApiError(
                400, "Cannot retrieve the user count unless the channel is a presence channel"
            )
    elif attribute == "subscription_count":
        if not call.app.subscription_count:
            raise ApiError(
                400, "Cannot retrieve the subscription count: it is not enabled for this app"
            )
        if kind.presence:
            raise ApiError(400, "Cannot retrieve the subscription count of a presence channel")
    elif attribute == "cache":
        if not kind.cached:
            raise ApiError(400, "Cannot retrieve the cache unless the channel is a cache channel")
    else:
        raise ApiError(
            400,
            f"Unknown info attribute {attribute}: expected user_count, subscription_count or cache",
        )


def _with_state(call: Call, name: str, info: tuple[str, ...], state: ChannelState) -> None:
    answer: dict[str, object] = {"occupied": state.occupied}
    answer.update(_unasked(call, info, state))
    if "user_count" in info:
        answer["user_count"] = state.users
    if "subscription_count" in info:
        answer["subscription_count"] = state.subscriptions
    if "cache" in info:
        with_cache = partial(_with_cache, call, answer, state.complete)
        call.hub.bus.cached(call.app.id, name, call.then(with_cache))
    else:
        call.answer(answer, complete=state.complete)


def _with_cache(
    call: Call, answer: dict[str, object], complete: bool, cached: CachedEvent | None
) -> None:
    if cached is None:
        answer["cache"] = None
    else:
        answer["cache"] = {
            "data": decode_string(cached.data),
            "ttl": int(cached.seconds_left),
        }
    call.answer(answer, complete=complete)


def list_users(call: Call) -> None:
    """``GET /apps/{id}/channels/{name}/users``: the ids of a presence channel's members.

    With ``info`` or ``since`` more about them, or what became of them: see :mod:`rosters`.
    """
    name = call.channel_name()
    if not channel_kind(name).presence:
        raise ApiError(400, "Users can only be retrieved for presence channels")
    extraneous = [
        key
        for key in call.parameters
        if not key.startswith(_UNRELATED) and key not in rosters.PARAMETERS
    ]
    if extraneous:
        raise ApiError(
            400, "The following query string parameters are extraneous: " + ", ".join(extraneous)
        )
    subject = Subject(call.app.id, SubjectKind.PRESENCE, name)
    if any(parameter in call.parameters for parameter in rosters.PARAMETERS):
        rosters.show(call, subject)
        return
    answer = partial(_answer_users, call)
    call.spend(1, lambda: call.hub.ledger.roster(subject, call.then(answer)))


def _answer_users(call: Call, roster: Roster) -> None:
    users = [{"id": member.user} for member in roster.members]
    call.answer({"users": users}, complete=roster.complete)


def show_stats(call: Call) -> None:
    """``GET /apps/{id}/channels/{name}/stats``. Deprecated."""
    name = call.channel_name()
    answer = partial(_answer_stats, call, name)
    call.spend(1, lambda: call.hub.ledger.channel(call.app.id, name, call.then(answer)))


def _answer_stats(call: Call, name: str, state: ChannelState) -> None:
    answer = {"occupied": state.occupied, "connection_count": state.subscriptions}
    if channel_kind(name).presence:
        answer["user_count"] = state.users
    call.answer(answer, complete=state.complete)
