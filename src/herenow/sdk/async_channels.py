"""The client for asyncio and whatever else httpx2 runs on."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar

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


class AsyncChannels(ChannelsBase):
    """:class:`Channels` with coroutines.

    What asks the server is awaited; :meth:`authorize_channel`, :meth:`authenticate_user` and
    :meth:`webhook` only compute and are called plainly. Connections belong to the event loop that
    opened them: use a client in one loop, and close it there with ``await close()`` or with an
    ``async with`` statement.
    """

    _client: httpx2.AsyncClient | None = None

    async def trigger(
        self,
        channels: str | Sequence[str],
        event: str,
        data: object,
        *,
        socket_id: str | None = None,
        info: Info = (),
    ) -> TriggerAnswer:
        """Publish an event on one channel or on up to 100, as :meth:`Channels.trigger` does."""
        return await self._call(
            requests.trigger(self._application, draw_nonce, channels, event, data, socket_id, info)
        )

    async def trigger_batch(self, batch: Sequence[Event]) -> BatchAnswer:
        """Publish up to ten events at once, as :meth:`Channels.trigger_batch` does."""
        return await self._call(requests.trigger_batch(self._application, draw_nonce, batch))

    async def send_to_user(self, user_id: str, event: str, data: object) -> None:
        """Publish an event for a user, as :meth:`Channels.send_to_user` does."""
        await self._call(requests.send_to_user(self._application, user_id, event, data))

    async def channels(self, prefix: str = "", info: Info = ()) -> ChannelsAnswer:
        """The occupied channels, as from :meth:`Channels.channels`."""
        return await self._call(requests.channels(self._application, prefix, info))

    async def channel(self, channel: str, info: Info = ()) -> ChannelAnswer:
        """The state of a channel, as from :meth:`Channels.channel`."""
        return await self._call(requests.channel(self._application, channel, info))

    async def users(self, channel: str) -> UsersAnswer:
        """Who is in a presence channel, as from :meth:`Channels.users`."""
        return await self._call(requests.users(self._application, channel))

    async def terminate_user_connections(self, user_id: str) -> None:
        """Close a user's connections, as :meth:`Channels.terminate_user_connections` does."""
        await self._call(requests.terminate_user_connections(self._application, user_id))

    async def user(self, user_id: str) -> UserAnswer:
        """Whether a user is online, as from :meth:`Channels.user`."""
        return await self._call(people.user(self._application, user_id))

    async def user_statuses(self, ids: Sequence[str]) -> UserStatuses:
        """Who of many users is online, as from :meth:`Channels.user_statuses`."""
        return await self._call(people.statuses(self._application, ids))

    async def forget_user(self, user_id: str) -> None:
        """Erase when a user was last seen, as :meth:`Channels.forget_user` does."""
        await self._call(people.forget(self._application, user_id))

    async def roster(self, channel: str) -> Roster:
        """Who is in a presence channel, with info, as from :meth:`Channels.roster`."""
        return await self._call(people.roster(self._application, channel))

    async def roster_changes(self, channel: str, since: int) -> RosterChanges:
        """What became of a roster, as from :meth:`Channels.roster_changes`."""
        return await self._call(people.roster_changes(self._application, channel, since))

    async def webhook_endpoints(self) -> WebhookEndpoints:
        """Where events go and how that does, as from :meth:`Channels.webhook_endpoints`."""
        return await self._call(outbox.endpoints(self._application))

    async def undelivered_webhooks(
        self, endpoint: str, *, limit: int = 100, cursor: str = "", dead_only: bool = False
    ) -> UndeliveredEvents:
        """Events that wait, as from :meth:`Channels.undelivered_webhooks`."""
        return await self._call(
            outbox.undelivered(self._application, endpoint, limit, cursor, dead_only)
        )

    async def retry_webhooks(self, endpoint: str, ids: Sequence[str] | None = None) -> int:
        """Have dead letters delivered, as :meth:`Channels.retry_webhooks` does."""
        return await self._call(outbox.retry(self._application, endpoint, ids))

    async def drop_webhooks(self, endpoint: str, ids: Sequence[str] | None) -> int:
        """Never deliver these events, as :meth:`Channels.drop_webhooks` does."""
        return await self._call(outbox.drop(self._application, endpoint, ids))

    async def reconcile_webhooks(self, endpoint: str | None = None) -> int:
        """Tell the present state, as :meth:`Channels.reconcile_webhooks` does."""
        return await self._call(outbox.reconcile(self._application, endpoint))

    async def close(self) -> None:
        """Close the connections to the server. A later call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _call(self, request: Request[T]) -> T:
        url = transport.signed_url(self._address, self._application, request, timestamp())
        try:
            response = await self._opened().request(
                request.method, url, content=request.body, headers=transport.headers(request)
            )
        except httpx2.RequestError as error:
            raise transport.unreachable(self._address, request, error) from error
        return transport.read(request, response)

    def _opened(self) -> httpx2.AsyncClient:
        if self._client is None:
            self._client = httpx2.AsyncClient(
                timeout=self._timeout_seconds,
                verify=self._tls_context or True,
                mounts=transport.direct(self._address),
            )
        return self._client
