"""A replica of a roster that is built from differences alone equals it, whatever happened.

Somebody asks now and then, with the revision of any of his earlier answers' replicas; in between
users come, change and go with and without grace. ``HERENOW_PROOF=1`` searches much longer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from random import Random
from typing import Final

import pytest

from cluster.engines import LEDGERS, LedgerEngine, room
from cluster.lua.fake import Server
from cluster.lua.real import RealServer
from cluster.partitions.direct import PartitionedLedgerEngine
from cluster.servers import Valkey
from herenow.cluster.base import HISTORY_SECONDS, Difference, Subject

PROOF: Final = os.environ.get("HERENOW_PROOF", "") not in ("", "0")
SEEDS: Final = 20 if PROOF else 3
STEPS: Final = 1_000 if PROOF else 250
USERS: Final = tuple(f"user{number}" for number in range(12))
ROOMS: Final = (room("presence-a"), room("presence-b"))

Shown = dict[str, tuple[bytes, float]]
MakeEngine = Callable[[], LedgerEngine]


class Replica:
    """What somebody believes of a roster; ``revision`` is up to where he was told."""

    def __init__(self) -> None:
        self.members: Shown = {}
        self.revision = 0

    def take(self, difference: Difference) -> None:
        if difference.full:
            self.members = {}
        for user in difference.removed:
            del self.members[user]
        for member in difference.added:
            assert member.user not in self.members, f"{member.user} was there already"
            self.members[member.user] = (member.info, member.since)
        for member in difference.updated:
            assert member.user in self.members, f"{member.user} was not there"
            self.members[member.user] = (member.info, member.since)
        self.revision = difference.revision


class Churn:
    """Users of two rooms who come and go by chance, and replicas that ask by chance."""

    def __init__(self, engine: LedgerEngine, random: Random) -> None:
        self.engine = engine
        self.random = random
        self.fulls = self.differences = 0
        self._here: list[tuple[Subject, int]] = []
        self._replicas = {subject: [Replica(), Replica(), Replica()] for subject in ROOMS}

    def step(self) -> None:
        subject, random = self.random.choice(ROOMS), self.random
        match random.random():
            case chance if chance < 0.40:
                info = random.choice([b"1", b"2"])
                self._here.append((subject, self.engine.join(subject, random.choice(USERS), info)))
            case chance if chance < 0.72 and self._here:
                gone = self._here.pop(random.randrange(len(self._here)))
                self.engine.leave(*gone, random.choice([0, 0, 2.5]))
            case chance if chance < 0.85:
                self.engine.advance(random.choice([0.25, 1.0, 3.0]))
            case chance if chance < 0.853:
                self.engine.advance(HISTORY_SECONDS / 2)
            case _:
                self._compare(subject, random.choice(self._replicas[subject]))

    def _compare(self, subject: Subject, replica: Replica) -> None:
        difference = self.engine.difference(subject, replica.revision)
        replica.take(difference)
        roster = self.engine.roster(subject)
        present = {member.user: (member.info, member.since) for member in roster.members}
        assert replica.members == present
        assert difference.complete
        self.fulls += difference.full
        self.differences += not difference.full


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    process = Valkey(tmp_path_factory.mktemp("valkey"))
    process.start()
    server = RealServer(process.client())
    try:
        yield server
    finally:
        server.close()
        process.kill()


@pytest.fixture(params=[*sorted(LEDGERS), "valkey"])
def make_engine(request: pytest.FixtureRequest) -> MakeEngine:
    if request.param != "valkey":
        return LEDGERS[request.param]
    server: RealServer = request.getfixturevalue("valkey")

    class ValkeyLedgerEngine(PartitionedLedgerEngine):
        def make_server(self) -> Server:
            server.flush()
            return server

    return ValkeyLedgerEngine


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_replica_built_from_differences_is_the_roster(make_engine: MakeEngine, seed: int) -> None:
    """Every time it asks, and most answers are differences."""
    churn = Churn(make_engine(), Random(seed))
    for _ in range(STEPS):
        churn.step()
    assert churn.differences > churn.fulls > 0
