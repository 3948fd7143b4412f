"""One ledger, whoever keeps it: memory, the scripts in this process, the scripts in a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.lua.real import RealServer
from cluster.servers import Valkey
from cluster.sim.actions import FAULTS
from cluster.sim.calls import BASE, SCRIPTS, STEPS, Call, Caller
from cluster.sim.explorer import play
from cluster.sim.mirror import Mirror
from cluster.sim.one_node import Pair, room, signed_in
from cluster.sim.server import SimulatedServer
from cluster.sim.strategies import Run, runs, searching

EXAMPLES: Final = 60

WITHOUT_COPIES: Final = tuple(fault for fault in FAULTS if fault not in ("older", "swap"))

small = st.integers(0, 12)
calls = st.builds(
    Call,
    st.sampled_from(["hello", "join", "leave", "beat", "restore", "count", *SCRIPTS]),
    st.integers(0, len(STEPS) - 1),
    st.tuples(small, small, small, small, small),
)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    process = Valkey(tmp_path_factory.mktemp("valkey"))
    process.start()
    server = RealServer(process.client())
    try:
        yield server
    finally:
        server.close()
        process.kill()


def test_what_nodes_ask_for_in_the_midst_of_faults(real: RealServer) -> None:
    """Each call of a simulated run has the same answer and messages, and the keys end equal."""
    mirror = Mirror(real)
    server = SimulatedServer(fake=mirror)

    @searching(EXAMPLES)
    @given(runs(WITHOUT_COPIES))
    def search(run: Run) -> None:
        play(run.setting, run.actions, run_zombies=run.run_zombies, server=server)
        mirror.compare()

    search()


def test_calls_that_make_sense_and_calls_that_do_not(real: RealServer) -> None:
    """Answers, messages and keys are the same after each call."""
    mirror = Mirror(real, compares_keys_each_time=True)

    @searching(EXAMPLES)
    @given(st.one_of(st.lists(calls, max_size=40), st.lists(calls, min_size=20, max_size=40)))
    def search(sequence: list[Call]) -> None:
        mirror.flush()
        caller = Caller()
        for call in sequence:
            arguments = caller.arguments(call)
            caller.answered(call, mirror.call(call.script, [BASE], arguments))

    search()


subjects = st.sampled_from([room("presence-a"), room("presence-b"), signed_in("anna")])
users = st.sampled_from(["anna", "bert", "cleo"])
infos = st.sampled_from(['{"n":1}', '{"n":2}', ""])
graces = st.sampled_from([0.0, 0.5, 1.0, 4.0])
channels = st.sampled_from(["news", "presence-a", "#server-to-user-anna"])


def _step(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *arguments)


steps = st.one_of(
    _step("join", subjects, users, infos, st.sampled_from([0, 0, 1, 2]), graces),
    _step("join", subjects, users, infos, st.sampled_from([0, 0, 1, 2]), graces),
    _step("leave", st.integers(0, 5), graces),
    _step("leave", st.integers(0, 5), graces),
    _step("advance", st.sampled_from([1, 2, 4, 17])),
    _step("follow", subjects),
    _step("count", channels, st.integers(0, 2)),
    _step("announce", channels),
    _step("admit", st.sampled_from([0, 2])),
    _step("disconnect"),
    _step("spend", st.integers(1, 3)),
    _step("terminate", users),
    _step("roster", subjects),
    _step("online", users),
    _step("usage", channels),
)


def test_one_node_without_faults(real: RealServer) -> None:
    """In memory or shared: the same answers, the same told in the same order, the same members."""
    mirror = Mirror(real)

    @searching(EXAMPLES)
    @given(st.lists(steps, max_size=30))
    def search(sequence: list[tuple[Any, ...]]) -> None:
        pair = Pair(mirror)
        for name, *arguments in sequence:
            getattr(pair, name)(*arguments)
        pair.end()
        mirror.compare()

    search()
