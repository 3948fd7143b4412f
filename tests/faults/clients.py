"""All clients of a test, and what must be true of them together."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from conformance.harness.apps import App
from faults.client import DEADLINE, Client, Route
from faults.deployment import Deployment, Node
from faults.stream import MemberEvent

SETTLE_SECONDS: Final = 20.0


class Clients:
    """Makes clients and judges all of them."""

    def __init__(self) -> None:
        self.all: list[Client] = []

    def new(self, where: Node | Route, app: App, user: str, **settings: Any) -> Client:
        """A client that is not connected; it comes back to *where* it was."""
        route: Route = (lambda: where.endpoint) if isinstance(where, Node) else where
        client = Client(route, app, user, **settings)
        self.all.append(client)
        return client

    async def join(
        self, where: Node | Route, app: App, user: str, *channels: str, **settings: Any
    ) -> Client:
        """A client that is connected and on *channels*."""
        client = self.new(where, app, user, **settings)
        await client.connect()
        await client.subscribe(*channels)
        return client

    async def witnesses(self, nodes: Iterable[Node], app: App, *channels: str) -> list[Client]:
        """One client on each of *nodes* that is on *channels* and sees the others there."""
        found = await asyncio.gather(
            *(self.join(node, app, f"witness-{node.name}", *channels) for node in nodes)
        )
        users = {client.user for client in found}
        await asyncio.gather(*(client.sees(room, users) for client in found for room in channels))
        return found

    def on(self, channel: str) -> list[Client]:
        """Those who are on *channel* now."""
        return [client for client in self.all if client.has(channel)]

    def truth(self, channel: str) -> set[str]:
        """The users who have a live subscription to *channel*."""
        return {client.user for client in self.on(channel)}

    def assert_valid(self) -> None:
        """No client was told anything that must never be told."""
        invalid = [client for client in self.all if client.invalid()]
        if invalid:
            first = invalid[0]
            raise AssertionError(
                f"{len(invalid)} of {len(self.all)} streams are invalid; that of {first.user}: "
                f"{first.invalid()}\n{first.story()}"
            )

    async def close(self) -> None:
        await asyncio.gather(*(client.reset() for client in self.all))


async def until(
    condition: Callable[[], bool],
    what: str,
    seconds: float = DEADLINE,
    explain: Callable[[], object] = lambda: "",
) -> float:
    """Wait until *condition* holds; how long that took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds} s: {what}\n{explain()}")
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def settled(
    clients: Clients, channels: Collection[str], seconds: float = SETTLE_SECONDS
) -> None:
    """Wait until every client on one of *channels* shows exactly who is there."""

    def wrong() -> list[str]:
        return [
            f"{client.user} on {channel} lacks {sorted(truth - shown)}, has {sorted(shown - truth)}"
            for channel in channels
            for truth in [clients.truth(channel)]
            for client in clients.on(channel)
            for shown in [client.members(channel) or set()]
            if shown != truth
        ]

    await until(lambda: not wrong(), "every roster is the truth", seconds, wrong)


async def answers_equal_the_truth(
    deployment: Deployment,
    clients: Clients,
    app: App,
    channels: Iterable[str],
    seconds: float = SETTLE_SECONDS,
) -> None:
    """Wait until every node says over HTTP who is there, and that nothing is missing."""
    expected = {name: sorted(clients.truth(name)) for name in channels}

    def ask(node: Node) -> str:
        with node.api(app) as api:
            for name, users in expected.items():
                answer = api.get(f"channels/{name}/users")
                if answer.status != 200:
                    return f"{node.name}: {answer.status} {answer.text}"
                found = sorted(user["id"] for user in answer.accepted()["users"])
                if found != users:
                    return f"{node.name}: {name} has {found} by HTTP, not {users}"
                state = api.get(f"channels/{name}", info="user_count").accepted()
                if (state["occupied"], state["user_count"]) != (bool(users), len(users)):
                    return f"{node.name}: {name} is {state} by HTTP, not {len(users)} users"
            asked = {"filter_by_prefix": "presence-", "info": "user_count"}
            listed = api.get("channels", **asked).accepted()["channels"]
            for name, users in expected.items():
                if listed.get(name, {}).get("user_count", 0) != len(users):
                    return f"{node.name}: {name} is listed as {listed.get(name)}, not {len(users)}"
        return ""

    wrong: list[str] = []
    deadline = time.monotonic() + seconds
    while True:
        found = await asyncio.gather(*(asyncio.to_thread(ask, n) for n in deployment.serving))
        wrong = [problem for problem in found if problem]
        if not wrong or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    assert not wrong, "\n".join(wrong)


def member_events(clients: Iterable[Client], channel: str) -> Counter[MemberEvent]:
    """How often each was seen, over all *clients*."""
    return Counter(event for client in clients for event in client.member_events(channel))
