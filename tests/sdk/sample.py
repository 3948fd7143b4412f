"""A backend that uses every public name of the SDK, as an application would write it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Sequence

import herenow
from herenow import (
    AsyncChannels,
    AsyncSeenEvents,
    BatchAnswer,
    CachedEvent,
    ChannelAnswer,
    ChannelAttributes,
    ChannelAuthorization,
    Channels,
    ChannelsAnswer,
    ChannelsError,
    Event,
    EventMemory,
    InvalidAnswer,
    InvalidArgument,
    InvalidWebhook,
    Limits,
    Member,
    Refused,
    RemovedMember,
    Roster,
    RosterChanges,
    SeenEvents,
    TriggerAnswer,
    UndeliveredEvent,
    UndeliveredEvents,
    Unreachable,
    User,
    UserAnswer,
    UserAuthentication,
    UsersAnswer,
    UserStatus,
    UserStatuses,
    Webhook,
    WebhookEndpoint,
    WebhookEndpoints,
    WebhookEvent,
    WebhookInProgress,
)

MASTER_KEY = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
SOCKET_ID = "81234.5678901"
BATCH: Sequence[Event] = [
    {"channel": "news", "name": "a", "data": {"n": 1}},
    {"channel": "presence-room", "name": "b", "data": "text", "info": ["user_count"]},
]


def publish(channels: Channels) -> None:
    """Publish in every way there is."""
    nothing: TriggerAnswer = channels.trigger("news", "note", {"text": "hello"})
    assert nothing == {}
    counted = channels.trigger(
        ["news", "presence-room"], "note", "text", socket_id=SOCKET_ID, info=["user_count"]
    )
    attributes: ChannelAttributes = counted["channels"]["presence-room"]
    members: int = attributes["user_count"]
    batch: BatchAnswer = channels.trigger_batch(BATCH)
    assert batch["batch"] == [{}, {"user_count": members}]
    channels.trigger("private-encrypted-vault", "rotated", {"pin": "0000"})
    channels.send_to_user("emily", "invoice", {"id": 99})
    channels.terminate_user_connections("emily")


def ask(channels: Channels) -> None:
    """Ask every question there is."""
    occupied: ChannelsAnswer = channels.channels(prefix="presence-", info=["user_count"])
    for name, attributes in occupied["channels"].items():
        print(name, attributes.get("user_count", 0))
    channels.trigger("cache-weather", "report", {"celsius": 21})
    state: ChannelAnswer = channels.channel("cache-weather", info=["cache"])
    cached: CachedEvent | None = state["cache"]
    assert cached is not None
    data: str = cached["data"]
    assert (data, state["occupied"]) == ('{"celsius":21}', False)
    assert cached["ttl"] > 0
    answer: UsersAnswer = channels.users("presence-room")
    users: list[User] = answer["users"]
    assert [user["id"] for user in users] == []


def sign(channels: Channels) -> None:
    """Answer what clients ask an application's endpoints."""
    member = {"user_id": "emily", "user_info": {"name": "Emily"}}
    authorization: ChannelAuthorization = channels.authorize_channel(
        SOCKET_ID, "presence-room", member
    )
    assert json.loads(authorization["channel_data"]) == member
    vault = channels.authorize_channel(SOCKET_ID, "private-encrypted-vault")
    secret: str = vault["shared_secret"]
    assert len(secret) == 44
    user: UserAuthentication = channels.authenticate_user(SOCKET_ID, {"id": "emily"})
    assert user["user_data"] == '{"id":"emily"}'


def receive(channels: Channels, key: str, secret: str) -> None:
    """Take a webhook."""
    event = {"name": "member_added", "channel": "presence-room", "user_id": "emily"}
    body = json.dumps({"time_ms": int(time.time() * 1000), "events": [event]}).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-pusher-key": key, "x-pusher-signature": signature}
    webhook: Webhook = channels.webhook(headers, body, max_age_seconds=60)
    events: list[WebhookEvent] = webhook["events"]
    assert [(event["name"], event["channel"], event["user_id"]) for event in events] == [
        ("member_added", "presence-room", "emily")
    ]
    try:
        channels.webhook(headers, body + b" ", max_age_seconds=None, other_keys={"old": "pair"})
    except InvalidWebhook as error:
        print(error.reason)


class Ledger:
    """Events that were taken, where an application would have a table."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def remember(self, event_id: str) -> bool:
        new = event_id not in self.ids
        self.ids.add(event_id)
        return new


class AwaitedLedger:
    """The same behind something that has to be awaited."""

    def __init__(self) -> None:
        self._ledger = Ledger()

    async def remember(self, event_id: str) -> bool:
        await asyncio.sleep(0)
        return self._ledger.remember(event_id)


def numbered(key: str, secret: str) -> tuple[dict[str, str], bytes]:
    """A webhook as herenow sends it."""
    events = [{"name": "user_online", "channel": "#server-to-user-emily", "user_id": "emily"}]
    body = json.dumps({"time_ms": int(time.time() * 1000), "events": events}).encode()
    timestamp, ids, sequences = str(int(time.time())), "a1-7", "1760000000124"
    signed = "\n".join((timestamp, ids, sequences, "")).encode() + body
    headers = {
        "X-Pusher-Key": key,
        "X-Pusher-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
        "X-Herenow-Event-Ids": ids,
        "X-Herenow-Sequences": sequences,
        "X-Herenow-Attempt": "2",
        "X-Herenow-Timestamp": timestamp,
        "X-Herenow-Signature": hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest(),
    }
    return headers, body


def receive_once(channels: Channels, key: str, secret: str) -> None:
    """Take a webhook, and not what comes again."""
    headers, body = numbered(key, secret)
    webhook = channels.webhook(headers, body, require_ids=True)
    assert webhook["attempt"] == 2
    ledger: SeenEvents = Ledger()
    for expected in (["user_online"], []):
        names = [event["name"] for event in channels.new_events(headers, body, ledger)]
        assert names == expected
    memory = EventMemory(most=1_000)
    with memory.transaction() as seen:
        for event in channels.new_events(headers, body, seen):
            print(event["id"], event["sequence"], event["user_id"])
        try:
            with memory.transaction() as another:
                list(channels.new_events(headers, body, another))
        except WebhookInProgress as error:
            print(error.event_id)


def ask_about_people(channels: Channels) -> None:
    """Ask who is there: nobody is."""
    anna: UserAnswer = channels.user("anna")
    assert (anna["online"], anna["channels"], anna["last_seen"]) == (False, [], None)
    answer: UserStatuses = channels.user_statuses(["anna", "bert"])
    statuses: dict[str, UserStatus] = answer["users"]
    assert [status["connections"] for status in statuses.values()] == [0, 0]
    roster: Roster = channels.roster("presence-room")
    members: list[Member] = roster["users"]
    changes: RosterChanges = channels.roster_changes("presence-room", roster["revision"])
    gone: list[RemovedMember] = changes["removed"]
    assert (members, changes["added"], gone) == ([], [], [])
    channels.forget_user("anna")


def look_after(channels: Channels) -> None:
    """Look after webhooks: the application of this sample has none."""
    answer: WebhookEndpoints = channels.webhook_endpoints()
    endpoints: list[WebhookEndpoint] = answer["endpoints"]
    for endpoint in endpoints:
        print(endpoint["url"], endpoint["waiting"], endpoint["dead"], endpoint["last_answer"])
        waiting: UndeliveredEvents = channels.undelivered_webhooks(endpoint["id"], limit=10)
        events: list[UndeliveredEvent] = waiting["events"]
        print([event["id"] for event in events if event["dead"]])
        print(channels.retry_webhooks(endpoint["id"]))
        print(channels.drop_webhooks(endpoint["id"], ["a1-7"]))
    events_made: int = channels.reconcile_webhooks()
    assert (endpoints, events_made) == ([], 0)


def fail(channels: Channels, impostor: Channels, nobody: Channels) -> None:
    """Meet every failure there is."""
    failures: list[ChannelsError] = []
    for client, channel in ((channels, "#x"), (impostor, "news"), (nobody, "news")):
        try:
            client.trigger(channel, "note", {})
        except InvalidArgument as error:
            print(error.argument, error.reason)
            failures.append(error)
        except Refused as error:
            print(error.status, error.body, error.channel, error.channels, error.call)
            failures.append(error)
        except Unreachable as error:
            print(error.address, error.reason, error.may_have_arrived)
            failures.append(error)
        except InvalidAnswer as error:
            print(error.reason, error.body)
    assert [type(error) for error in failures] == [InvalidArgument, Refused, Unreachable]


async def everything_at_once(channels: AsyncChannels) -> None:
    """The same with coroutines."""
    async with channels:
        answers: list[TriggerAnswer] = await asyncio.gather(
            *(channels.trigger(f"news-{number}", "note", {}) for number in range(5))
        )
        assert answers == [{}] * 5
        batch: BatchAnswer = await channels.trigger_batch(BATCH)
        occupied: ChannelsAnswer = await channels.channels()
        state: ChannelAnswer = await channels.channel("presence-room", "user_count")
        users: UsersAnswer = await channels.users("presence-room")
        await channels.send_to_user("emily", "invoice", {"id": 99})
        await channels.terminate_user_connections("emily")
        print(batch, occupied, state["occupied"], users)
        authorization: ChannelAuthorization = channels.authorize_channel(SOCKET_ID, "private-x")
        authentication: UserAuthentication = channels.authenticate_user(SOCKET_ID, {"id": "x"})
        print(authorization["auth"], authentication["auth"])
        headers, body = numbered("key", "secret")
        ledger: AsyncSeenEvents = AwaitedLedger()
        try:
            async for event in channels.new_events_async(headers, body, ledger):
                print(event["name"])
        except InvalidWebhook as error:
            print(error.reason)
        print(await channels.webhook_endpoints())
    await channels.close()


def main(host: str, port: int, app_id: str, key: str, secret: str) -> None:
    limits = Limits(max_event_bytes=10_240)
    with Channels(
        app_id,
        key,
        secret,
        host=host,
        port=port,
        tls=False,
        path_prefix="",
        timeout_seconds=10,
        encryption_master_key_base64=MASTER_KEY,
        limits=limits,
    ) as channels:
        publish(channels)
        ask(channels)
        sign(channels)
        receive(channels, key, secret)
        receive_once(channels, key, secret)
        look_after(channels)
        ask_about_people(channels)
        impostor = Channels.from_url(f"http://{key}:guessed@{host}:{port}/apps/{app_id}")
        environment = {"PUSHER_APP_ID": app_id, "PUSHER_APP_KEY": key, "PUSHER_APP_SECRET": secret}
        nobody = Channels.from_environment(environment | {"PUSHER_PORT": "1"}, timeout_seconds=2)
        fail(channels, impostor, nobody)
        impostor.close()
    asyncio.run(everything_at_once(AsyncChannels(app_id, key, secret, host=host, port=port)))
    print("done with", herenow.__version__)


if __name__ == "__main__":
    _, host_, port_, app_id_, key_, secret_ = sys.argv
    main(host_, int(port_), app_id_, key_, secret_)
