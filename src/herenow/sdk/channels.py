"""The client for code that waits."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx2

from herenow.sdk import outbox, people, requests, transport
from herenow.sdk.answers import (
    BatchAnswer,
    ChannelAnswer,
    ChannelsAnswer,
    TriggerAnswer,
    UsersAnswer,
)
from herenow.sdk.base import ChannelsBase, draw_nonce, timestamp
from herenow.sdk.outbox import UndeliveredEvents, WebhookEndpoints
from herenow.sdk.people import Roster, RosterChanges, UserAnswer, UserStatuses
from herenow.sdk.requests import Event, Info, Request

T = TypeVar("T")

_opening: Final = threading.Lock()


class Channels(ChannelsBase):
    """An application at a Pusher-compatible server, seen from its backend.

    ``Channels("1", "herenow-key", "herenow-secret")`` is the server on this machine that nobody
    configured. One client serves all threads of a process and keeps its connections; close it with
    :meth:`close` or use it in a ``with`` statement.

    Every call checks its arguments before it signs or sends anything
    (:class:`InvalidArgument`), raises :class:`Refused` when the server answers with another status
    than success, :class:`InvalidAnswer` when it answers what it should not, :class:`Unreachable`
    when no answer comes. None is repeated: an event would be published twice.
    """

    _client: httpx2.Client | None = None

    def trigger(
        self,
        channels: str | Sequence[str],
        event: str,
        data: object,
        *,
        socket_id: str | None = None,
        info: Info = (),
    ) -> TriggerAnswer:
        """Publish an event on one channel or on up to 100.

        * ``channels``: the names; an encrypted channel only by itself.
        * ``event``: up to 200 characters, not beginning with ``pusher``.
        * ``data``: a string as it is, or any other JSON value, which is sent as compact JSON; up
          to 10,240 bytes. On an encrypted channel it is encrypted, and the envelope counts.
        * ``socket_id``: a connection that is to get nothing, usually the one that caused the event.
        * ``info``: what to tell about the channels, ``user_count`` and ``subscription_count``.

        The answer is ``{}``, with ``info`` ``{"channels":{"presence-room":{"user_count":2}}}``.
        Source: protocol reference §15.2.
        """
        return self._call(
            requests.trigger(self._application, draw_nonce, channels, event, data, socket_id, info)
        )

    def trigger_batch(self, batch: Sequence[Event]) -> BatchAnswer:
        """Publish up to ten events at once, in order; all of them, or none.

        Each is ``{"channel":…,"name":…,"data":…}``, optionally with ``"socket_id"`` and
        ``"info"``, as :meth:`trigger` takes them; channels may be encrypted. The answer is ``{}``,
        with ``info`` ``{"batch":[{},{"user_count":2}]}`` in the order of the events. Source:
        protocol reference §15.3.
        """
        return self._call(requests.trigger_batch(self._application, draw_nonce, batch))

    def send_to_user(self, user_id: str, event: str, data: object) -> None:
        """Publish an event for every connection that signed in as a user; there may be none.

        ``event`` and ``data`` are those of :meth:`trigger`. Source: protocol reference §10.4.
        """
        self._call(requests.send_to_user(self._application, user_id, event, data))

    def channels(self, prefix: str = "", info: Info = ()) -> ChannelsAnswer:
        """The occupied channels: ``{"channels":{"orders.live":{}}}``.

        * ``prefix``: how their names begin; every one unless given.
        * ``info``: what to tell about each: ``user_count``, for which the prefix must begin with
          ``presence-``, and ``subscription_count`` where the application counts.

        Source: protocol reference §15.4.
        """
        return self._call(requests.channels(self._application, prefix, info))

    def channel(self, channel: str, info: Info = ()) -> ChannelAnswer:
        """Whether a channel has subscribers, and what ``info`` asks for.

        ``{"occupied":true,"user_count":2}``. ``info`` may have ``user_count`` on presence channels,
        ``subscription_count`` on all others where the application counts, and ``cache`` on cache
        channels, which gives ``{"data":"…","ttl":seconds}`` or ``None``. Source: protocol reference
        §15.5.
        """
        return self._call(requests.channel(self._application, channel, info))

    def users(self, channel: str) -> UsersAnswer:
        """Who is in a presence channel: ``{"users":[{"id":"emily"}]}``, each user once.

        Source: protocol reference §15.6.
        """
        return self._call(requests.users(self._application, channel))

    def terminate_user_connections(self, user_id: str) -> None:
        """Close every connection that signed in as a user; there may be none.

        A user who is known only as a member of presence channels has none such, and one whom the
        application's endpoint does not refuse can come back. Source: protocol reference §10.5.
        """
        self._call(requests.terminate_user_connections(self._application, user_id))

    def user(self, user_id: str) -> UserAnswer:
        """Whether a user is online at a herenow server, since when, and where.

        ``{"user_id":"emily","online":true,"since":1760000000.5,"last_seen":…,"connections":2,
        "channels":["presence-room"],"complete":true}``. Online is who is signed in. A user who was
        never there is no error.
        """
        return self._call(people.user(self._application, user_id))

    def user_statuses(self, ids: Sequence[str]) -> UserStatuses:
        """Who of up to 1,000 users is online at a herenow server, in one call.

        ``{"users":{"emily":{"online":true,"since":…,"last_seen":…,"connections":2}},…}``.
        """
        return self._call(people.statuses(self._application, ids))

    def forget_user(self, user_id: str) -> None:
        """Erase when a user was last seen. Who is online is remembered again when he goes."""
        self._call(people.forget(self._application, user_id))

    def roster(self, channel: str) -> Roster:
        """Who is in a presence channel of a herenow server, with info, and since when.

        ``{"users":[{"id":"emily","user_info":{…},"joined_at":1760000000.5}],"revision":7,…}``.
        """
        return self._call(people.roster(self._application, channel))

    def roster_changes(self, channel: str, since: int) -> RosterChanges:
        """What became of a roster since ``since``, the revision of an earlier answer.

        ``{"added":[…],"updated":[…],"removed":[{"id":"emily"}],"revision":7,"full":false,…}``. If
        ``full``, the difference is not known, as with the first call, and ``added`` is everybody:
        forget what was known before. The server remembers the last 1,000 changes of a channel, for
        an hour, and only while somebody asks.
        """
        return self._call(people.roster_changes(self._application, channel, since))

    def webhook_endpoints(self) -> WebhookEndpoints:
        """Where a herenow server sends this application's events, and how each endpoint does.

        ``{"endpoints":[{"id":…,"url":…,"waiting":0,"dead":3,"oldest_seconds":12.5,…}],…}``.
        """
        return self._call(outbox.endpoints(self._application))

    def undelivered_webhooks(
        self, endpoint: str, *, limit: int = 100, cursor: str = "", dead_only: bool = False
    ) -> UndeliveredEvents:
        """Events that an endpoint does not have yet, oldest first, up to 1,000 at once.

        * ``endpoint``: the ``id`` of :meth:`webhook_endpoints`.
        * ``cursor``: that of the answer before, for what comes after it.
        * ``dead_only``: only dead letters, which are not tried any more by themselves.
        """
        return self._call(outbox.undelivered(self._application, endpoint, limit, cursor, dead_only))

    def retry_webhooks(self, endpoint: str, ids: Sequence[str] | None = None) -> int:
        """Have dead letters delivered after all: up to 1,000 by their ids, or every one.

        An endpoint that failed is tried at once. Answers how many dead letters there were.
        """
        return self._call(outbox.retry(self._application, endpoint, ids))

    def drop_webhooks(self, endpoint: str, ids: Sequence[str] | None) -> int:
        """Never deliver these events, up to 1,000 by their ids, or with ``None`` any that waits.

        Receivers are not led astray: an event goes together with the one that undoes it, and what
        nothing undoes yet is told anew as far as it still holds. Answers how many are gone.
        """
        return self._call(outbox.drop(self._application, endpoint, ids))

    def reconcile_webhooks(self, endpoint: str | None = None) -> int:
        """Tell an endpoint, or every one, the present state of occupied channels and online users.

        What it was told before comes again with the ids that it had. Answers how many events that
        makes; they are delivered after those that wait.
        """
        return self._call(outbox.reconcile(self._application, endpoint))

    def close(self) -> None:
        """Close the connections to the server. A later call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, request: Request[T]) -> T:
        url = transport.signed_url(self._address, self._application, request, timestamp())
        try:
            response = self._opened().request(
                request.method, url, content=request.body, headers=transport.headers(request)
            )
        except httpx2.RequestError as error:
            raise transport.unreachable(self._address, request, error) from error
        return transport.read(request, response)

    def _opened(self) -> httpx2.Client:
        client = self._client
        if client is None:
            with _opening:
                client = self._client = self._client or httpx2.Client(
                    timeout=self._timeout_seconds,
                    verify=self._tls_context or True,
                    mounts=transport.direct(self._address),
                )
        return client
