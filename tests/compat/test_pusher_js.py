"""pusher-js under Node, the newest version and the older ones that are still in use."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import pytest

from compat.deployment import Deployment
from compat.inbox import DEADLINE
from compat.matrix import FULL_SIZE, each, first_of
from compat.scripts import Backend, Client
from compat.sdks import PUSHER_JS, PUSHER_JS_4, PUSHER_JS_5, PUSHER_JS_7, Sdk
from compat.serving import COUNTED, PLAIN, App, Server

Connect = Callable[..., Client]

RETRY_SECONDS = 15
"""After a refused attempt pusher-js waits so long for its next one."""

VERSIONS = (PUSHER_JS, PUSHER_JS_7, PUSHER_JS_5, PUSHER_JS_4)
WITH_USERS = VERSIONS[:2]
WITHOUT_USERS = VERSIONS[2:]

EMILY = {"id": "emily", "user_info": {"name": "Emily"}}


@pytest.fixture
def connect(client: Connect, sdk: Sdk) -> Connect:
    return partial(client, library=sdk.package)


@each(*VERSIONS)
@pytest.mark.feature("connect", "public channel", "private channel", "presence channel")
def test_each_version_connects_and_subscribes(
    connect: Connect, node_backend: Backend, unique: str
) -> None:
    public, private, room = (f"{kind}{unique}" for kind in ("news-", "private-", "presence-"))
    member = {"user_id": "emily", "user_info": {"name": "Emily"}}
    emily = connect(members={room: member})
    emily.subscribe(public)
    emily.subscribe(private)
    emily.subscribe(room)

    assert emily.ask("members", channel=room) == {
        "count": 1,
        "me": {"id": "emily", "info": {"name": "Emily"}},
        "members": {"emily": {"name": "Emily"}},
    }
    node_backend.call("trigger", [public, private, room], "greeting", {"text": "Grüße ☕"})
    for channel in (public, private, room):
        assert emily.expect(channel, "greeting") == {"text": "Grüße ☕"}


@first_of(*VERSIONS)
@pytest.mark.feature("connect")
def test_an_unknown_key_ends_it(node: str, server: Server, sdk: Sdk) -> None:
    lost = Client(node, server, App("4711", "nobodys-key", "secret"), library=sdk.package)
    try:
        error = lost.reports.expect(on="connection", event="error")["data"]
        assert "4001" in str(error)
        lost.reports.expect(on="connection", event="disconnected")
        lost.reports.expect_none(1.5, on="connection", event="connecting")
    finally:
        lost.close()


@first_of(*VERSIONS)
@pytest.mark.feature("presence channel")
def test_members_come_and_go(connect: Connect, unique: str) -> None:
    room = f"presence-{unique}"
    emily = connect(members={room: {"user_id": "emily", "user_info": {"name": "Emily"}}})
    emily.subscribe(room)
    johns = {room: {"user_id": "john", "user_info": {"name": "John"}}}
    john = connect(members=johns)
    john.subscribe(room)
    assert emily.expect(room, "pusher:member_added") == {"id": "john", "info": {"name": "John"}}

    second = connect(members=johns)
    second.subscribe(room)
    assert second.ask("members", channel=room)["count"] == 2
    john.close()
    second.tell("unsubscribe", channel=room)
    assert emily.expect(room, "pusher:member_removed") == {"id": "john", "info": {"name": "John"}}
    assert not emily.reports.waiting(on=room, event="pusher:member_added")
    assert emily.ask("members", channel=room)["members"] == {"emily": {"name": "Emily"}}


@first_of(*WITH_USERS)
@pytest.mark.feature("sign-in")
def test_a_signed_in_user_is_the_member(connect: Connect, unique: str) -> None:
    """Statement 77: the room's authorization has no channel_data."""
    room = f"presence-{unique}"
    emily = connect(user=EMILY)
    emily.tell("signin")
    emily.subscribe(room)
    assert emily.ask("members", channel=room)["me"] == {"id": "emily", "info": {"name": "Emily"}}


@first_of(*WITH_USERS)
@pytest.mark.feature("sign-in")
def test_channel_data_overrides_the_user(connect: Connect, unique: str) -> None:
    room = f"presence-{unique}"
    member = {"user_id": "emily", "user_info": {"name": "Emily", "admin": True}}
    emily = connect(user=EMILY, members={room: member})
    emily.sign_in()
    emily.subscribe(room)
    me = emily.ask("members", channel=room)["me"]
    assert me == {"id": "emily", "info": {"name": "Emily", "admin": True}}


@first_of(*VERSIONS)
@pytest.mark.feature("encrypted channel")
def test_encrypted_events_are_opened(connect: Connect, node_backend: Backend, unique: str) -> None:
    """Statement 154, also from the cache."""
    vault, cached = f"private-encrypted-{unique}", f"private-encrypted-cache-{unique}"
    node_backend.call("trigger", cached, "rotated", {"pin": "1234"})
    emily = connect()
    emily.subscribe(vault)
    node_backend.call("trigger", vault, "rotated", {"pin": "0000"})
    assert emily.expect(vault, "rotated") == {"pin": "0000"}
    emily.subscribe(cached)
    assert emily.expect(cached, "rotated") == {"pin": "1234"}


@first_of(*VERSIONS)
@pytest.mark.feature("client event")
def test_client_events_reach_the_others(connect: Connect, unique: str) -> None:
    private, room = f"private-{unique}", f"presence-{unique}"
    emily = connect(members={room: {"user_id": "emily"}})
    john = connect(members={room: {"user_id": "john"}})
    for someone in (emily, john):
        someone.subscribe(private, "client-typing")
        someone.subscribe(room, "client-typing")

    assert john.ask("trigger", channel=private, event="client-typing", data={"draft": True})
    heard = emily.reports.expect(on=private, heard="client-typing")
    assert heard["data"] == {"draft": True}
    assert heard["user_id"] is None
    assert john.ask("trigger", channel=room, event="client-typing", data="text")
    heard = emily.reports.expect(on=room, heard="client-typing")
    assert heard["data"] == "text"
    assert heard["user_id"] == "john"
    assert emily.ask("trigger", channel=room, event="client-typing", data=1)
    john.reports.expect(on=room, heard="client-typing")
    assert not john.reports.waiting(heard="client-typing")


@first_of(*WITH_USERS)
@pytest.mark.feature("sign-in")
def test_what_is_sent_to_a_user_reaches_each_connection(
    connect: Connect, node_backend: Backend, unique: str
) -> None:
    user = {"id": f"emily-{unique}"}
    phone, laptop, stranger = connect(user=user), connect(user=user), connect(user=EMILY)
    for someone in (phone, laptop, stranger):
        someone.sign_in()
        someone.subscribe(f"news-{unique}")
    node_backend.call("sendToUser", user["id"], "invoice-ready", {"id": 99})
    assert phone.expect("user", "invoice-ready") == {"id": 99}
    assert laptop.expect("user", "invoice-ready") == {"id": 99}
    node_backend.call("trigger", f"news-{unique}", "end", {})
    stranger.expect(f"news-{unique}", "end")
    assert not stranger.reports.waiting(on="user", event="invoice-ready")


@first_of(*WITH_USERS)
@pytest.mark.feature("watchlist")
def test_watchlist(connect: Connect, unique: str) -> None:
    emily, john, ada = (f"{name}-{unique}" for name in ("emily", "john", "ada"))
    early = connect(user={"id": john})
    early.sign_in()
    watcher = connect(user={"id": emily, "watchlist": [john, ada]})
    watcher.sign_in()
    assert watcher.expect("watchlist", "online")["user_ids"] == [john]
    assert watcher.expect("watchlist", "offline")["user_ids"] == [ada]
    early.close()
    assert watcher.expect("watchlist", "offline")["user_ids"] == [john]
    late = connect(user={"id": ada})
    late.sign_in()
    assert watcher.expect("watchlist", "online")["user_ids"] == [ada]


@first_of(*WITH_USERS)
@pytest.mark.feature("sign-in")
def test_a_terminated_user_stays_away_until_asked_back(
    connect: Connect, node_backend: Backend, unique: str
) -> None:
    room = f"presence-{unique}"
    user = {"id": f"emily-{unique}"}
    emily = connect(user=user)
    emily.sign_in()
    same_name = connect(members={room: {"user_id": user["id"]}})
    same_name.subscribe(room)
    node_backend.call("terminateUserConnections", user["id"])
    assert "4009" in str(emily.reports.expect(on="connection", event="error")["data"])
    emily.reports.expect(on="connection", event="disconnected")
    emily.reports.expect_none(1.5, on="connection", event="connecting")
    assert same_name.ask("state") == "connected"

    emily.tell("connect")
    emily.connected()
    emily.reports.expect(on="user", event="signed-in")


@first_of(*VERSIONS)
@pytest.mark.feature("refused subscription")
def test_a_refused_subscription_is_told(connect: Connect, unique: str) -> None:
    private, news = f"private-{unique}", f"news-{unique}"
    emily = connect(forged=[private])
    emily.tell("subscribe", channel=private, listen=[])
    refusal = emily.expect(private, "pusher:subscription_error")
    assert (refusal["type"], refusal["status"]) == ("AuthError", 401)
    emily.subscribe(news)
    assert emily.ask("state") == "connected"


@first_of(*VERSIONS)
@pytest.mark.feature("reconnect after 4200")
def test_a_replaced_server_is_left_for_the_next(
    node: str, deployment: Deployment, clients: ExitStack, unique: str, sdk: Sdk
) -> None:
    room = f"presence-{unique}"
    channels = [f"news-{unique}", f"private-{unique}", room]
    members = {room: {"user_id": "emily", "user_info": {"name": "Emily"}}}
    emily = Client(node, deployment, PLAIN, library=sdk.package, members=members)
    clients.callback(emily.close)
    first = emily.connected()
    for channel in channels:
        emily.subscribe(channel)

    deployment.replace()

    assert emily.connected() != first
    for channel in channels:
        emily.expect(channel, "pusher:subscription_succeeded")
    backend = Backend(node, deployment, PLAIN)
    clients.callback(backend.close)
    backend.call("trigger", channels, "back", {})
    for channel in channels:
        assert emily.expect(channel, "back") == {}
    assert emily.ask("members", channel=room)["me"]["id"] == "emily"


@pytest.mark.skipif(not FULL_SIZE, reason="waits for pusher-js's next attempt, 15 s; make compat")
@each(PUSHER_JS)
@pytest.mark.feature("reconnect after 4200", "sign-in")
def test_a_restart_brings_every_subscription_back(
    node: str, own_server: Server, unique: str, sdk: Sdk
) -> None:
    public, private, room = (f"{kind}{unique}" for kind in ("news-", "private-", "presence-"))
    emily = Client(node, own_server, PLAIN, library=sdk.package, user=EMILY)
    backend = Backend(node, own_server, PLAIN)
    try:
        first = emily.connected()
        emily.sign_in()
        for channel in (public, private, room):
            emily.subscribe(channel)

        own_server.stop()
        own_server.start()

        assert emily.connected(timeout=RETRY_SECONDS + DEADLINE) != first
        emily.reports.expect(on="user", event="signed-in")
        for channel in (public, private, room):
            emily.expect(channel, "pusher:subscription_succeeded")
        backend.call("trigger", [public, private, room], "back", {})
        for channel in (public, private, room):
            assert emily.expect(channel, "back") == {}
        assert emily.ask("members", channel=room)["me"]["id"] == "emily"
    finally:
        emily.close()
        backend.close()


@first_of(*VERSIONS)
@pytest.mark.feature("cache channel")
def test_cache_channels(connect: Connect, node_backend: Backend, unique: str) -> None:
    empty, full = f"cache-empty-{unique}", f"cache-full-{unique}"
    node_backend.call("trigger", full, "report", {"celsius": 21})
    emily = connect()
    emily.subscribe(full)
    assert emily.expect(full, "report") == {"celsius": 21}
    emily.subscribe(empty)
    emily.expect(empty, "pusher:cache_miss")
    assert not emily.reports.waiting(on=full, event="pusher:cache_miss")


@first_of(*WITH_USERS)
@pytest.mark.feature("subscription count")
def test_subscription_count(connect: Connect, unique: str) -> None:
    news, event = f"news-{unique}", "pusher:subscription_count"
    emily = connect(COUNTED)
    emily.subscribe(news)
    assert emily.expect(news, event) == {"subscription_count": 1}
    john = connect(COUNTED)
    john.subscribe(news)
    assert john.expect(news, event) == {"subscription_count": 2}
    assert emily.expect(news, event) == {"subscription_count": 2}
    john.tell("unsubscribe", channel=news)
    assert emily.expect(news, event) == {"subscription_count": 1}


@each(*WITHOUT_USERS)
@pytest.mark.not_offered("subscription count", "it keeps the event from the application")
def test_older_versions_hide_the_subscription_count(
    connect: Connect, counting_backend: Backend, unique: str
) -> None:
    news = f"news-{unique}"
    emily = connect(COUNTED)
    emily.subscribe(news)
    counting_backend.call("trigger", news, "end", {})
    emily.expect(news, "end")
    assert not emily.reports.waiting(on=news)


@each(*WITHOUT_USERS)
@pytest.mark.not_offered("sign-in", "it has no `signin`")
@pytest.mark.not_offered("watchlist", "it has no `user`")
def test_older_versions_know_no_users(connect: Connect) -> None:
    emily = connect()
    assert emily.ask("offers", name="signin") is False
    assert emily.ask("offers", name="user") is False
