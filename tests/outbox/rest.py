"""When nothing moves any more: what was told, what is answered and what is so are the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from conformance.harness.apps import App
from faults.deployment import Deployment, Node
from outbox.account import Account, Picture
from outbox.answers import endpoints, present
from outbox.receiver import Receiver

IDLE_SECONDS = 1.5


class Judged:
    """The accounts of the endpoints of *app*, kept from what *receiver* hears at their paths.

    Servers that are killed and take over from each other send to them.

    *prefixes* has for each path the channels that it asked for.
    """

    def __init__(self, app: App, receiver: Receiver, prefixes: Mapping[str, str]) -> None:
        self.app = app
        self.accounts = {path: Account(app, senders_change=True) for path in prefixes}
        self._prefixes = prefixes
        self._receiver = receiver
        self._read = 0

    def read(self) -> int:
        """Take in what came; how many requests."""
        new = self._receiver.requests[self._read :]
        self._read += len(new)
        known = [request for request in new if request.path in self.accounts]
        for request in known:
            self.accounts[request.path].take([request])
        return len(known)

    def differences(self, truth: Picture) -> list[str]:
        """Every fact that an endpoint believes wrongly."""
        return [
            f"{path}: {difference}"
            for path, account in self.accounts.items()
            for difference in account.differences(of_prefix(truth, self._prefixes[path]))
        ]

    def assert_right(self) -> None:
        """All was told as it must be, and everything that came was taken in at last."""
        for account in self.accounts.values():
            account.assert_right()
            assert not account.never_accepted, account.never_accepted[:5]
            assert account.begun_unseen <= account.requests // 50, "retries have other bytes"


def of_prefix(picture: Picture, prefix: str) -> Picture:
    """What of *picture* an endpoint hears that asked for channels with *prefix*."""
    return Picture(
        frozenset(name for name in picture.occupied if name.startswith(prefix)),
        frozenset(pair for pair in picture.members if pair[0].startswith(prefix)),
        picture.online,
    )


async def at_rest(
    deployment: Deployment, judged: Sequence[Judged], users: Mapping[str, list[str]], seconds: float
) -> dict[str, Picture]:
    """Wait until nothing waits and every node answers what the receiver was told.

    *users* are those of each app's id. Returns what is answered of each app.
    """
    deadline = time.monotonic() + seconds
    while True:
        idle = await _nothing_came(judged) and await _nothing_waits(deployment.serving, judged)
        answers = {
            each.app.id: await asyncio.to_thread(
                _one_answer, deployment.serving, each.app, users[each.app.id]
            )
            for each in judged
        }
        wrong = [
            difference for each in judged for difference in each.differences(answers[each.app.id])
        ]
        if idle and not wrong:
            return answers
        if time.monotonic() > deadline:
            state = [endpoints(deployment.serving[0], each.app) for each in judged]
            raise AssertionError(
                f"not at rest within {seconds} s; endpoints: {state}\n"
                f"{len(wrong)} differences:\n" + "\n".join(wrong[:20])
            )


async def _nothing_came(judged: Sequence[Judged]) -> bool:
    for each in judged:
        each.read()
    await asyncio.sleep(IDLE_SECONDS)
    return not sum([each.read() for each in judged])


async def _nothing_waits(nodes: Sequence[Node], judged: Sequence[Judged]) -> bool:
    for node in nodes:
        for each in judged:
            for endpoint in await asyncio.to_thread(endpoints, node, each.app):
                if endpoint["waiting"] or endpoint["dead"]:
                    return False
    return True


def _one_answer(nodes: Sequence[Node], app: App, users: Sequence[str]) -> Picture:
    """What all nodes answer; of what they differ in, a part that no receiver can have."""
    answers = {present(node, app, users) for node in nodes}
    if len(answers) == 1:
        return answers.pop()
    first, *others = answers
    return Picture(first.occupied | {f"differs: {others}"}, first.members, first.online)
