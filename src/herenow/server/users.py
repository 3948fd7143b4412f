"""Signed-in users of one application on this node, and those who watch them.

The ledger decides who is online; here its transitions reach the watchers. A watchlist belongs to
the connection that supplied it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from herenow.cluster.base import (
    Joined,
    Online,
    Refusal,
    Subject,
    SubjectKind,
    Transition,
    TransitionKind,
)
from herenow.protocol import messages
from herenow.protocol.errors import ENGINE_UNAVAILABLE, TERMINATED
from herenow.protocol.session import Signin
from herenow.protocol.websocket import text_frame
from herenow.server.inbox import EVERYTHING

if TYPE_CHECKING:
    from herenow.server.connection import Connection
    from herenow.server.hub import Hub

ASK_AGAIN_SECONDS: Final = 1.0


class Users:
    """``signed_in`` holds the connections of each user; an absent user has none here."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.signed_in: dict[str, dict[Connection, int]] = {}
        self._watchers: dict[str, dict[Connection, None]] = {}
        self._asking: dict[Connection, dict[str, bool]] = {}

    def _subject(self, user: str) -> Subject:
        return Subject(self._hub.app.id, SubjectKind.USER, user)

    def sign_in(self, connection: Connection, request: Signin) -> SigningIn | None:
        """Begin a sign-in that passed every check; the answer is the one still under way."""
        signing_in = SigningIn(self, connection, request)
        signing_in.begin()
        return None if signing_in.ended else signing_in

    def sign_out(self, connection: Connection, grace: float) -> None:
        """The connection is gone; its user may be given *grace* seconds to return."""
        self.watch(connection, ())
        user = connection.session.user
        if user is None:
            return
        connections = self.signed_in[user.id]
        subscription = connections.pop(connection)
        if not connections:
            del self.signed_in[user.id]
        self._hub.ledger.leave(self._subject(user.id), subscription, grace)

    def watch(self, connection: Connection, users: tuple[str, ...]) -> None:
        """Replace whom *connection* watches, and tell it who of them is online."""
        before, connection.watchlist = connection.watchlist, users
        if users:
            self._asking[connection] = {}
        else:
            self._asking.pop(connection, None)
        for user in users:
            watchers = self._watchers.get(user)
            if watchers is None:
                watchers = self._watchers[user] = {}
                self._hub.ledger.follow(self._subject(user))
            watchers[connection] = None
        kept = set(users)
        for user in before:
            if user in kept:
                continue
            watchers = self._watchers[user]
            del watchers[connection]
            if not watchers:
                del self._watchers[user]
                self._hub.ledger.unfollow(self._subject(user))
        if users:
            self._tell_watchlist(connection, users)

    def apply(self, transition: Transition) -> None:
        """Tell the watchers of a user that he came or went."""
        watchers = self._watchers.get(transition.user)
        if not watchers or transition.kind is TransitionKind.INFO:
            return
        user = (transition.user,)
        came = transition.kind is TransitionKind.ADD
        event = messages.watchlist_events(user if came else (), () if came else user)
        assert event is not None, "somebody came or went"
        frame = text_frame(event)
        for connection in list(watchers):
            changes = self._asking.get(connection)
            if changes is not None:
                changes[transition.user] = came
            else:
                connection.send(frame)

    def _tell_watchlist(self, connection: Connection, watchlist: tuple[str, ...]) -> None:
        """What changes until the ledger answers is part of what is told. It is asked until then."""
        changes = self._asking[connection]

        def ask() -> None:
            if self._asking.get(connection) is changes:
                self._hub.ledger.online(self._hub.app.id, watchlist, tell)

        def tell(answer: Online | Refusal) -> None:
            if self._asking.get(connection) is not changes:
                return
            if isinstance(answer, Refusal):
                self._hub.timers.call_later(ASK_AGAIN_SECONDS, ask)
                return
            del self._asking[connection]
            online = {user for user in watchlist if changes.get(user, user in answer.users)}
            event = messages.watchlist_events(
                [user for user in watchlist if user in online],
                [user for user in watchlist if user not in online],
            )
            if event is not None:
                connection.send(text_frame(event))

        ask()

    def terminate(self, user: str) -> None:
        """Close every connection here that signed in as *user*."""
        for connection in list(self.signed_in.get(user, ())):
            connection.close(TERMINATED, grace=0)


class SigningIn:
    """One sign-in that waits for the ledger; whatever the connection sends meanwhile waits too."""

    __slots__ = ("_id", "_request", "_users", "connection", "ended")

    def __init__(self, users: Users, connection: Connection, request: Signin) -> None:
        self._users = users
        self.connection = connection
        self._request = request
        self._id = 0
        self.ended = False

    def begin(self) -> None:
        if self.connection.session.user is not None:
            self._succeed()
            return
        hub, user = self.connection.hub, self._request.user
        self._id = next(hub.ledger_ids)
        subject = Subject(hub.app.id, SubjectKind.USER, user.id)
        grace = hub.app.leave_grace_seconds
        hub.ledger.join(subject, user.id, self._id, user.info, 0, grace, self._joined)

    def abandon(self, grace: float) -> None:
        """The connection closed: the join, done or still under way, is undone."""
        self.ended = True
        hub, user = self.connection.hub, self._request.user
        hub.ledger.leave(Subject(hub.app.id, SubjectKind.USER, user.id), self._id, grace)

    def _joined(self, answer: Joined | Refusal) -> None:
        if self.ended:
            return
        if isinstance(answer, Refusal):
            self.connection.close(ENGINE_UNAVAILABLE)
            if not self.ended:
                self.abandon(grace=0)
            return
        self._users.signed_in.setdefault(self._request.user.id, {})[self.connection] = self._id
        self._succeed()

    def _succeed(self) -> None:
        connection, request = self.connection, self._request
        connection.session.user = request.user
        watching = connection.hub.app.watchlist_events
        if watching and request.watchlist_cut is not None:
            connection.refuse(request.watchlist_cut)
        connection.send(text_frame(messages.signin_success(request.user_data)))
        connection.authorized()
        if watching and (request.watchlist or connection.watchlist):
            self._users.watch(connection, request.watchlist)
        self.ended = True
        connection.inbox.release(EVERYTHING)
