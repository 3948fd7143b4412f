"""A partition's reader as tests speak of it: what it settles, and what then waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cluster.lua.partition import Node, Partition

ENDPOINT = "e1"
LANE = "cpresence-room"


class Waiting(NamedTuple):
    """An event: ``+alice`` or ``-alice``, ``+`` or ``-`` for a fact without a member."""

    position: int
    says: str
    sequence: int
    id: str
    buried: bool
    again: bool
    info: str


class Reading:
    """A node that reads a partition."""

    def __init__(self, partition: Partition, node: Node) -> None:
        self.partition = partition
        self.node = node
        assert self.claim("take")[0] == 1

    def claim(self, wish: str) -> list[Any]:
        """Mine, the one before, it lives, something was told, nodes."""
        return self.ask("claim", wish)

    def ask(self, script: str, *arguments: Any) -> list[Any]:
        status, *rest = self.node.ask(script, *arguments)
        assert status not in (b"fenced", b"elsewhere")
        return rest

    def arrivals(self, first: str = "0-1", most: int = 100) -> list[list[bytes]]:
        """Id, kind, subject, user, info, since, number of each entry."""
        _, _, _, *flat = self.ask("arrivals", first, most)
        return [flat[i : i + 7] for i in range(0, len(flat), 7)]

    def settle(
        self,
        *says: str,
        lane: str = LANE,
        endpoint: str = ENDPOINT,
        silent: bool = False,
        info: str = "{}",
    ) -> list[str]:
        """Settle facts of one lane, as in ``Waiting.says``; answers the endpoints touched."""
        items = [
            part for said in says for part in ("", 1, *_change(said, lane, endpoint, silent), info)
        ]
        missing, _, _, *touched = self.ask("settle", 0, *items)
        assert missing == 0
        return [name.decode() for name in touched]

    def settle_entry(self, entry: bytes, said: str) -> int:
        """Settle one fact of the room for an entry of the stream; how many were gone."""
        change = _change(said, LANE, ENDPOINT, silent=False)
        missing, *_ = self.ask("settle", 0, entry, 1, *change, "{}")
        return int(missing)

    def waiting(self, lane: str = "", after: int = 0, most: int = 100) -> list[Waiting]:
        return listed(self.ask("waiting", ENDPOINT, after, most, lane))

    def events(self, after: int = 0, most: int = 100, buried: int = 0) -> list[Waiting]:
        found = listed(self.ask("events", ENDPOINT, after, most, buried))
        return sorted(found, key=lambda each: each.position)

    def says(self) -> list[str]:
        return [each.says for each in self.waiting()]

    def told(self) -> dict[str, int]:
        """Facts in short, and whether each holds."""
        _, cursor, *flat = self.ask("told", "1", ENDPOINT, "0", 100)
        assert cursor == b"0"
        return {
            (flat[i][:1] + b" " + flat[i][1:] + b" " + flat[i + 1][1:]).decode().strip(): flat[
                i + 2
            ]
            for i in range(0, len(flat), 4)
        }

    def deliver(self, *positions: int) -> None:
        self.ask("delivered", ENDPOINT, *positions)

    def bury(self, *positions: int) -> None:
        self.ask("bury", ENDPOINT, *positions)

    def drop(self, *ids: str, most: int = 100) -> int:
        return int(self.ask("drop", ENDPOINT, most, len(ids), *ids)[0])

    def trim(self, oldest: int = 0, limit: int = 0, most: int = 100) -> list[Any]:
        """How many were dropped, whether there are more, the cursor of lanes."""
        return self.ask("trim", ENDPOINT, oldest, limit, "0", most)

    def depth(self) -> tuple[int, int, int]:
        """How many wait and are buried, and when the oldest was made."""
        waiting, buried, oldest, *_ = self.ask("depth", ENDPOINT)
        return waiting, buried, oldest

    def condition(self) -> dict[str, str]:
        flat = self.ask("depth", ENDPOINT)[3:]
        return {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)}

    def calls(self) -> list[str]:
        """What the reader was told since the last time."""
        published = self.partition.server.published
        messages = [payload.decode() for channel, payload in published if channel.endswith(b":out")]
        published.clear()
        return messages


def listed(flat: Sequence[Any]) -> list[Waiting]:
    """The events of an answer."""
    events = []
    for i in range(0, len(flat), 3):
        position, buried, record = flat[i : i + 3]
        _, holds, sequence, again, *lengths, rest = record.split(b" ", 8)
        id_, lane, member, before = map(int, lengths)
        name = rest[id_ + lane :][:member]
        events.append(
            Waiting(
                int(position),
                ("+" if holds == b"1" else "-") + name[1:].decode(),
                int(sequence),
                rest[:id_].decode(),
                bool(buried),
                again == b"1",
                rest[id_ + lane + member + before :].decode(),
            )
        )
    return events


def _change(said: str, lane: str, endpoint: str, silent: bool) -> tuple[str | int, ...]:
    member = f"m{said[1:]}" if said[1:] else ""
    return endpoint, lane, member, int(said[0] == "+"), int(silent)
