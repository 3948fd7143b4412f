"""The command connection to one primary: scripts in order, their answers in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any

from herenow.cluster.partitions.engine import Answered, Argument
from herenow.cluster.redis.address import Location, Topology
from herenow.cluster.redis.deployment import Deployment, EngineRefused
from herenow.cluster.redis.line import Line, NotPrimary, Site
from herenow.cluster.redis.names import Names
from herenow.cluster.redis.scripts import Head, Scripts, pack_call
from herenow.cluster.redis.wire import Connection, pack


class CommandLine(Line):
    """Loads the scripts whenever it has been opened, and calls them.

    *opened* and *lost* are told in turns. A primary that has partition 0 keeps the deployment
    record; it is compared each time before *opened*.
    """

    def __init__(
        self,
        site: Site,
        location: Location,
        names: Names,
        scripts: Scripts,
        deployment: Deployment,
        partitions: Set[int],
        *,
        opened: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        super().__init__(site, location, site.answer_seconds)
        self._names = names
        self._scripts = scripts
        self._deployment = deployment
        self._partitions = partitions
        self._told_opened = opened
        self._told_lost = lost
        self._publish = b"PUBLISH"
        self._heads: dict[int, Head] = {}

    def call(
        self, name: str, partition: int, arguments: Sequence[Argument], done: Answered
    ) -> None:
        connection = self._connection
        if connection is None:
            done(None)
        else:
            script = self._scripts[name]
            connection.send(pack_call(script, self._head(partition), tuple(arguments)), done)

    def call_many(
        self,
        name: str,
        items: Sequence[tuple[int, Sequence[Argument]]],
        done: Answered,
    ) -> None:
        """Call one script for several keys in one step."""
        connection = self._connection
        if connection is None:
            done(None)
            return
        heads = [self._head(partition) for partition, _ in items]
        connection.send(
            pack(
                b"EVALSHA",
                self._scripts[name].sha,
                len(items),
                *(head.key for head in heads),
                *heads[0].arguments,
                *(
                    argument
                    for head, (_, arguments) in zip(heads, items, strict=True)
                    for argument in (head.channels, *arguments)
                ),
            ),
            done,
        )

    async def _greet(self, connection: Connection) -> None:
        role = await connection.request("ROLE")
        if role[0] != b"master":
            raise NotPrimary
        self._heads.clear()
        self._publish = b"PUBLISH"
        if self._site.address.topology is Topology.CLUSTER and await is_sharded(connection):
            self._publish = b"SPUBLISH"
        for source in self._scripts.sources():
            await connection.request("SCRIPT", "LOAD", source)
        if self._partitions:
            await self._probe(connection)
        if 0 in self._partitions:
            await self._compare(connection)

    async def _probe(self, connection: Connection) -> None:
        """Whoever may not do all that scripts do is told so before anything depends on it."""
        head, script = self._head(min(self._partitions)), self._scripts["probe"]
        await connection.request(b"EVALSHA", script.sha, 1, head.key, *head.arguments)

    async def _compare(self, connection: Connection) -> None:
        """Have the engine keep what nodes have to agree on, or say what it is in use with."""
        head, own = self._head(0), self._deployment
        script = self._scripts["deploy"]
        answer: list[Any] = await connection.request(
            b"EVALSHA", script.sha, 1, head.key, *head.arguments, *own
        )
        if answer[0] != b"ok":
            raise EngineRefused(str(self._location), Deployment.stored(answer), own)

    def _opened(self, connection: Connection) -> None:
        self._told_opened()

    def _lost(self, reason: str) -> None:
        self._told_lost()

    def _head(self, partition: int) -> Head:
        head = self._heads.get(partition)
        if head is None:
            head = self._heads[partition] = Head(
                self._names,
                partition,
                self._deployment.lease,
                self._publish,
                self._site.outbox_entries,
            )
        return head


async def is_sharded(connection: Connection) -> bool:
    """Whether the server has channels that belong to a slot, as since version 7."""
    told: bytes = await connection.request("INFO", "server")
    for line in told.splitlines():
        name, _, version = line.partition(b":")
        if name == b"redis_version":
            return int(version.split(b".")[0]) >= 7
    return False
