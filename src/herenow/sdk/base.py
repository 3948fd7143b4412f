"""What both clients are: an application at a server, and all that needs no connection to it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from herenow.protocol.encryption import NONCE_BYTES
from herenow.sdk import authorization, webhooks
from herenow.sdk.address import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    Settings,
    check_address,
    check_application,
    read_environment,
    read_url,
)
from herenow.sdk.authorization import ChannelAuthorization, UserAuthentication
from herenow.sdk.errors import InvalidArgument
from herenow.sdk.limits import Limits
from herenow.sdk.seen import AsyncSeenEvents, SeenEvents, unseen, unseen_async
from herenow.sdk.webhooks import MAX_AGE_SECONDS, Headers, Webhook, WebhookEvent

if TYPE_CHECKING:
    import ssl

TIMEOUT_SECONDS = 5.0


class Options(TypedDict, total=False):
    """Arguments of a client that neither a URL nor the environment gives."""

    timeout_seconds: float
    encryption_master_key: bytes | None
    encryption_master_key_base64: str | None
    tls_context: ssl.SSLContext | None
    limits: Limits


class ChannelsBase:
    """The part of :class:`Channels` and :class:`AsyncChannels` that computes."""

    def __init__(
        self,
        app_id: str,
        key: str,
        secret: str,
        *,
        host: str = DEFAULT_HOST,
        port: int = DEFAULT_PORT,
        tls: bool = False,
        path_prefix: str = "",
        timeout_seconds: float = TIMEOUT_SECONDS,
        encryption_master_key: bytes | None = None,
        encryption_master_key_base64: str | None = None,
        tls_context: ssl.SSLContext | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Nothing is connected yet. Raises :class:`InvalidArgument`.

        * ``app_id``, ``key``, ``secret``: as the server has them.
        * ``host``, ``port``, ``tls``: where its HTTP API is; ``tls`` for ``https``.
        * ``path_prefix``: what comes before ``/apps`` in the server's URLs, such as ``/ws``. It is
          no part of what is signed, so a proxy may take it away.
        * ``timeout_seconds``: how long to wait to connect, and each time for the server to go on.
        * ``encryption_master_key_base64``: base64 of 32 random bytes, or the bytes themselves as
          ``encryption_master_key``; needed for ``private-encrypted-…`` channels only.
        * ``tls_context``: how to verify a server whose certificate the system does not know.
        * ``limits``: those of the server, where they are not the protocol's.
        """
        self._address = check_address(host, port, tls, path_prefix)
        self._application = check_application(
            app_id,
            key,
            secret,
            encryption_master_key,
            encryption_master_key_base64,
            Limits() if limits is None else limits,
        )
        if isinstance(timeout_seconds, bool) or not isinstance(timeout_seconds, int | float):
            raise InvalidArgument(
                "timeout_seconds", f"expected a number, got {type(timeout_seconds).__name__}"
            )
        if not 0 < timeout_seconds < float("inf"):
            raise InvalidArgument("timeout_seconds", f"expected more than 0, got {timeout_seconds}")
        self._timeout_seconds = timeout_seconds
        self._tls_context = tls_context

    @classmethod
    def from_url(cls, url: str, **options: Unpack[Options]) -> Self:
        """A client for ``http(s)://key:secret@host:port/apps/id``.

        Without a port it is 443 or 80. What comes before ``/apps`` is the ``path_prefix``. Key and
        secret are percent-decoded. ``options`` are further arguments of the constructor. Raises
        :class:`InvalidArgument`, which does not quote the URL.
        """
        return cls._from_settings(read_url(url), options)

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, **options: Unpack[Options]
    ) -> Self:
        """A client for what the environment names, as Pusher's own packages read it.

        ``PUSHER_APP_ID``, ``PUSHER_APP_KEY`` and ``PUSHER_APP_SECRET`` are required;
        ``PUSHER_HOST`` is 127.0.0.1 unless set, ``PUSHER_SCHEME`` ``http`` (or ``https``),
        ``PUSHER_PORT`` 6001, with ``https`` 443. ``environment`` is the process's unless given,
        ``options`` are further arguments of the constructor. Raises :class:`InvalidArgument`.
        """
        settings = read_environment(os.environ if environment is None else environment)
        return cls._from_settings(settings, options)

    @classmethod
    def _from_settings(cls, settings: Settings, options: Options) -> Self:
        arguments: dict[str, Any] = {**settings._asdict(), **options}
        return cls(**arguments)

    def __repr__(self) -> str:
        application = self._application
        return (
            f"{type(self).__name__}(app_id={application.id!r}, key={application.key!r},"
            f" address={str(self._address)!r})"
        )

    def authorize_channel(
        self, socket_id: str, channel: str, channel_data: Mapping[str, object] | None = None
    ) -> ChannelAuthorization:
        """Let a connection join a private, encrypted or presence channel.

        Who may, is for the application to decide before it calls this. The answer is the JSON that
        the endpoint gives: ``{"auth":"key:signature"}``, with ``"channel_data"`` where it was
        given and ``"shared_secret"`` on encrypted channels.

        * ``socket_id``: that of the connection, as the client sent it.
        * ``channel``: the channel, as the client sent it.
        * ``channel_data``: for presence channels the member,
          ``{"user_id":"emily","user_info":{"name":"Emily"}}``. ``user_id`` is required, a string of
          up to 128 characters or an integer; ``user_info``, optional, is an object of up to 1,024
          bytes as compact JSON. Without it the member is the user whom the connection signed in.

        Raises :class:`InvalidArgument`, and signs nothing, when one of them breaks a rule. Do not
        leave this out by signing yourself: a client that asks for the "channel"
        ``:user::{"id":"admin"}`` would become somebody else. Source: protocol reference §8, §9.2.
        """
        return authorization.authorize_channel(self._application, socket_id, channel, channel_data)

    def authenticate_user(
        self, socket_id: str, user_data: Mapping[str, object]
    ) -> UserAuthentication:
        """Sign a connection in as a user.

        Who it is, is for the application to know before it calls this. The answer is the JSON that
        the endpoint gives: ``{"auth":"key:signature","user_data":"…"}``.

        * ``socket_id``: that of the connection, as the client sent it.
        * ``user_data``: ``{"id":"emily","user_info":{…},"watchlist":["frank"]}``. ``id`` is
          required, 1 to 128 characters of ``A-Z a-z 0-9 _ - = @ , . ;``; ``user_info`` is an
          object; ``watchlist`` has up to 100 ids of users whose coming and going is to be told.

        Raises :class:`InvalidArgument`. Source: protocol reference §8, §10.
        """
        return authorization.authenticate_user(self._application, socket_id, user_data)

    def webhook(
        self,
        headers: Headers,
        body: bytes,
        *,
        max_age_seconds: float | None = MAX_AGE_SECONDS,
        other_keys: Mapping[str, str] | None = None,
        require_ids: bool = False,
    ) -> Webhook:
        """Verify and read a webhook: ``{"time_ms":…,"events":[{"name":…,"channel":…},…]}``.

        From a herenow server, events have ``id`` and ``sequence`` as well, and the webhook its
        ``attempt``.

        * ``headers``: those of the request, in any capitalisation.
        * ``body``: the bytes of the request exactly as received.
        * ``max_age_seconds``: how far ``time_ms`` may be from this machine's clock, either way;
          300 unless told otherwise, ``None``: any. A server that retries longer needs more.
        * ``other_keys``: key and secret of further pairs that may have signed. A server signs with
          an application's oldest pair; while a pair is replaced, give the old one here.
        * ``require_ids``: whether events without ids are refused. Without it, who records a webhook
          can send it again without the headers that hold them, and nobody notices the repetition.

        Answer with 2xx once the events are safe, and expect repetitions. Raises
        :class:`InvalidWebhook` when the request is not to be believed, :class:`InvalidArgument`
        when ``body`` is not bytes or ``other_keys`` are not text. Source: protocol reference §17.
        """
        others = webhooks.check_keys({} if other_keys is None else other_keys)
        pairs = {**others, self._application.key: self._application.secret}
        believing = webhooks.Believing(pairs, max_age_seconds, require_ids)
        return webhooks.read_webhook(believing, headers, body, time.time())

    def new_events(
        self,
        headers: Headers,
        body: bytes,
        seen: SeenEvents,
        *,
        max_age_seconds: float | None = MAX_AGE_SECONDS,
        other_keys: Mapping[str, str] | None = None,
    ) -> Iterator[WebhookEvent]:
        """Verify a webhook of a herenow server, and give those of its events that are new.

        ``seen`` remembers their ids, each as it is given: the transaction of an
        :class:`EventMemory`, or whatever of the application's has the method of
        :class:`SeenEvents`, best on the database transaction in which the events take effect. The
        other arguments, and what is raised, are those of :meth:`webhook`; events without ids are
        refused.
        """
        events = self._numbered_events(headers, body, max_age_seconds, other_keys)
        return unseen(events, seen)

    def new_events_async(
        self,
        headers: Headers,
        body: bytes,
        seen: AsyncSeenEvents,
        *,
        max_age_seconds: float | None = MAX_AGE_SECONDS,
        other_keys: Mapping[str, str] | None = None,
    ) -> AsyncIterator[WebhookEvent]:
        """:meth:`new_events` for ``async for``: what ``seen`` answers may have to be awaited."""
        events = self._numbered_events(headers, body, max_age_seconds, other_keys)
        return unseen_async(events, seen)

    def _numbered_events(
        self,
        headers: Headers,
        body: bytes,
        max_age_seconds: float | None,
        other_keys: Mapping[str, str] | None,
    ) -> list[WebhookEvent]:
        return self.webhook(
            headers,
            body,
            max_age_seconds=max_age_seconds,
            other_keys=other_keys,
            require_ids=True,
        )["events"]


def draw_nonce() -> bytes:
    return secrets.token_bytes(NONCE_BYTES)


def timestamp() -> int:
    """Seconds since 1970."""
    return int(time.time())
