"""What the HTTP API answers: who is where, and what waits for an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformance.harness.api import Api
from conformance.harness.apps import App
from faults.deployment import Node
from outbox.account import Picture

_AT_ONCE = 1_000


def present(node: Node, app: App, users: Sequence[str]) -> Picture:
    """What *node* answers of all channels and of *users*."""
    with node.api(app) as api:
        channels = api.get("channels").accepted()["channels"]
        occupied = frozenset(name for name in channels if not name.startswith("#"))
        members = frozenset(
            (name, user)
            for name in occupied
            if name.startswith("presence-")
            for user in api.user_ids(name)
        )
        return Picture(occupied, members, online(api, users))


def online(api: Api, users: Sequence[str]) -> frozenset[str]:
    """Which of *users* are signed in."""
    found: set[str] = set()
    for start in range(0, len(users), _AT_ONCE):
        asked = list(users[start : start + _AT_ONCE])
        answer = api.post("users/status", {"ids": asked}).accepted()
        assert answer["complete"] is True
        assert answer["users"].keys() == set(asked)
        found |= {user for user, status in answer["users"].items() if status["online"]}
    return frozenset(found)


def endpoints(node: Node, app: App) -> list[dict[str, Any]]:
    """The endpoints of *app* with what waits for each, which must be known to all."""
    with node.api(app) as api:
        answer = api.get("webhooks").accepted()
    assert answer["complete"] is True
    found: list[dict[str, Any]] = answer["endpoints"]
    return found


def waiting(node: Node, app: App) -> int:
    """How many events of *app* are not delivered."""
    return sum(each["waiting"] + each["dead"] for each in endpoints(node, app))
