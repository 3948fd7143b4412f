"""What one connection was told, judged frame by frame as pusher-js would take it.

A presence channel's stream is valid when its roster has the connection's own user, nothing comes
before the roster, nobody is added who is present and nobody removed who is not, and nothing comes
after the channel was left. A user's watchlist is valid when each change is one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

PRESENCE: Final = "presence-"
INTERNAL: Final = "pusher_internal:"
_NEVER: Final = 1 << 60

Frame = dict[str, Any]


class MemberEvent(NamedTuple):
    """*change* is ``added`` or ``removed``."""

    channel: str
    change: str
    user: str


@dataclass(slots=True)
class Channel:
    """A channel from its subscribe on. ``members`` is None before the roster."""

    me: str | None
    subscribed: bool = False
    members: dict[str, Any] | None = None
    count: int | None = None
    echo_until: int = 0
    """The pong before which events of an earlier subscription may still come."""


@dataclass(slots=True)
class Stream:
    """One connection. ``violations`` says what was wrong, ``refusals`` what the server refused."""

    user: str | None = None
    socket_id: str = ""
    activity_timeout: float = 0
    signed_in: bool = False
    channels: dict[str, Channel] = field(default_factory=dict)
    watched: dict[str, bool] | None = None
    watchlist_events: int = 0
    member_events: list[MemberEvent] = field(default_factory=list)
    events: list[Frame] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    refusals: list[Frame] = field(default_factory=list)
    pongs: int = 0
    _left: dict[str, int] = field(default_factory=dict)
    _watchlist: frozenset[str] = frozenset()
    _pings: int = 0

    def sent(self, frame: Frame) -> None:
        """The client sent *frame*."""
        match frame["event"]:
            case "pusher:subscribe":
                self._subscribing(frame["data"])
            case "pusher:unsubscribe":
                name = frame["data"]["channel"]
                del self.channels[name]
                self._left[name] = _NEVER
            case "pusher:signin":
                user = json.loads(frame["data"]["user_data"])
                self.user = user["id"]
                self._watchlist = frozenset(user.get("watchlist", ()))
            case "pusher:ping":
                self._pings += 1
                for name, pong in self._left.items():
                    self._left[name] = min(pong, self._pings)

    def received(self, frame: Frame) -> None:
        """The server sent *frame*."""
        event, channel = frame["event"], frame.get("channel")
        data = frame.get("data")
        if event == "pusher:connection_established":
            established = json.loads(str(data))
            if self.socket_id:
                self._wrong("established twice")
            self.socket_id = established["socket_id"]
            self.activity_timeout = established["activity_timeout"]
        elif not self.socket_id and event != "pusher:error":
            self._wrong(f"{event} before the connection was established")
        elif event == "pusher:pong":
            self.pongs += 1
            self._left = {name: pong for name, pong in self._left.items() if pong > self.pongs}
        elif event == "pusher:signin_success":
            self.signed_in = True
        elif event == f"{INTERNAL}watchlist_events":
            self._watchlist_changed(json.loads(str(data))["events"])
        elif event in ("pusher:error", "pusher:subscription_error"):
            self.refusals.append(frame)
        elif channel is not None:
            self._of_channel(event, channel, frame)

    def members(self, channel: str) -> set[str] | None:
        """Who is in *channel* as this client shows it; None before its roster."""
        found = self.channels.get(channel)
        return set(found.members) if found is not None and found.members is not None else None

    def _wrong(self, what: str) -> None:
        self.violations.append(what)

    def _subscribing(self, data: Frame) -> None:
        name = data["channel"]
        me = None
        if name.startswith(PRESENCE):
            given = data.get("channel_data")
            me = self.user if given is None else str(json.loads(given)["user_id"])
        self.channels[name] = Channel(me, echo_until=self._left.pop(name, 0))

    def _of_channel(self, event: str, name: str, frame: Frame) -> None:
        channel = self.channels.get(name)
        if channel is None:
            if name not in self._left:
                self._wrong(f"{event} of {name}, which is not subscribed")
            return
        if event == f"{INTERNAL}subscription_succeeded":
            self._subscribed(name, channel, json.loads(frame["data"]))
        elif not channel.subscribed:
            if self.pongs >= channel.echo_until:
                self._wrong(f"{event} of {name} before its subscription succeeded")
        elif event in (f"{INTERNAL}member_added", f"{INTERNAL}member_removed"):
            self._member(name, channel, event.rpartition("_")[2], json.loads(frame["data"]))
        elif event == f"{INTERNAL}subscription_count":
            channel.count = json.loads(frame["data"])["subscription_count"]
        else:
            self.events.append(frame)

    def _subscribed(self, name: str, channel: Channel, data: Frame) -> None:
        if channel.subscribed:
            self._wrong(f"a second success for {name}")
        channel.subscribed = True
        if not name.startswith(PRESENCE):
            return
        roster = data["presence"]
        ids, members = roster["ids"], roster["hash"]
        if not roster["count"] == len(ids) == len(members) or set(ids) != set(members):
            self._wrong(f"the roster of {name} contradicts itself: {roster}")
        if channel.me not in members:
            self._wrong(f"the roster of {name} lacks {channel.me}, whose it is: {ids}")
        channel.members = members

    def _member(self, name: str, channel: Channel, change: str, data: Frame) -> None:
        user = data["user_id"]
        self.member_events.append(MemberEvent(name, change, user))
        if channel.members is None:
            self._wrong(f"{user} {change} on {name}, which has no members")
        elif change == "added":
            if user in channel.members:
                self._wrong(f"{user} added to {name}, who was there")
            channel.members[user] = data.get("user_info")
        else:
            if user not in channel.members:
                self._wrong(f"{user} removed from {name}, who was not there")
            elif user == channel.me:
                self._wrong(f"{user} removed from {name}, whose connection this is")
            channel.members.pop(user, None)

    def _watchlist_changed(self, events: list[Frame]) -> None:
        if not self.signed_in:
            self._wrong("watchlist events before the sign-in succeeded")
        self.watchlist_events += 1
        first = self.watched is None
        watched = self.watched = {} if self.watched is None else self.watched
        for event in events:
            online = event["name"] == "online"
            for user in event["user_ids"]:
                if user not in self._watchlist:
                    self._wrong(f"{user} {event['name']}, who is not watched")
                elif not first and watched.get(user) is online:
                    self._wrong(f"{user} {event['name']}, who was that already")
                watched[user] = online
