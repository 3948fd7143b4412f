"""One server that decides on some partitions, and the two connections to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from herenow.cluster.partitions.engine import Session, Subscriber
from herenow.cluster.redis.address import Location
from herenow.cluster.redis.calling import CommandLine
from herenow.cluster.redis.deployment import Deployment
from herenow.cluster.redis.line import Site
from herenow.cluster.redis.listening import PubSubLine
from herenow.cluster.redis.names import Names
from herenow.cluster.redis.scripts import Scripts


class Primary:
    """Tells the sessions of its partitions whether they can call scripts.

    *opened* is told whenever one of the connections has been opened. Then, when nodes agree on
    the deployment, it is to be made ready.
    """

    def __init__(
        self,
        site: Site,
        location: Location,
        names: Names,
        scripts: Scripts,
        deployment: Deployment,
        sessions: Sequence[Sequence[Session]],
        subscribers: dict[bytes, Subscriber],
        opened: Callable[[Primary], None],
    ) -> None:
        self.location = location
        self.partitions: set[int] = set()
        self.is_ready = False
        self._sessions = sessions
        self.commands = CommandLine(
            site,
            location,
            names,
            scripts,
            deployment,
            self.partitions,
            opened=lambda: opened(self),
            lost=self._lost,
        )
        self.channels = PubSubLine(
            site, location, names, subscribers, self.partitions, opened=lambda: opened(self)
        )

    def make_ready(self) -> None:
        """Tell every partition that its scripts can be called, if the connection is there."""
        if self.commands.is_up and not self.is_ready:
            self.is_ready = True
            self._tell_connected(self.partitions)

    def receive(self, partitions: set[int], channels: Sequence[bytes]) -> None:
        """Decide on *partitions* too, *channels* of which are read."""
        self.partitions |= partitions
        for channel in channels:
            self.channels.change(channel)
        if self.is_ready:
            self._tell_connected(partitions)

    def drop(self, reason: str) -> None:
        """Give both connections up and open others."""
        self.commands.drop(reason)
        self.channels.drop(reason)

    async def stop(self) -> None:
        await self.commands.stop()
        await self.channels.stop()

    def _tell_connected(self, partitions: set[int]) -> None:
        for partition in sorted(partitions):
            for session in self._sessions[partition]:
                session.connected()

    def _lost(self) -> None:
        if not self.is_ready:
            return
        self.is_ready = False
        for partition in sorted(self.partitions):
            for session in self._sessions[partition]:
                session.disconnected()
