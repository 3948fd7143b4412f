"""The outbox of a server that is alone: what is told, when, and to whom."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from herenow.apps.base import App, Key, WebhookEndpoint
from herenow.webhooks import intake, reconciling, settling, sqlite, sqlite_schema, sqlite_settling
from herenow.webhooks.endpoints import Endpoint, Endpoints
from herenow.webhooks.events import ClientEvent
from herenow.webhooks.journal import Change, JournalUnavailable
from herenow.webhooks.sending import FAILED, Outcome
from herenow.webhooks.sqlite_settling import Settled
from webhooks.backlogs import OK, until
from webhooks.outboxes import HOLD, HOOK, RETURN, TRANSITIONS, UNBOUNDED, Node, node

pytestmark = pytest.mark.anyio

ROOM = "presence-room"
OTHER = WebhookEndpoint("http://other.example/", TRANSITIONS)
AWAY = Outcome(FAILED, "away")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "herenow.db"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process writes to the file meanwhile."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def test_removals_wait_for_the_hold(path: Path) -> None:
    """Members are removed before their channel is vacated, and both after the hold."""
    async with node(path) as here:
        here.leave(ROOM, here.join(ROOM, "anna"))
        await until(lambda: len(here.heard()) == 2)
        left = asyncio.get_running_loop().time()
        await until(lambda: len(here.heard()) == 4)
        assert asyncio.get_running_loop().time() - left > HOLD / 2
        assert here.heard()[2:] == [("member_removed", "anna"), ("channel_vacated", ROOM)]


async def test_a_client_event_keeps_its_place_among_transitions(path: Path) -> None:
    """It is heard after the addition of whoever sent it, and before what came later."""
    async with node(path) as here:
        for user in ("anna", "ben", "cleo"):
            here.join(ROOM, user)
            here.outbox.emit(ClientEvent("1", ROOM, "client-hi", "{}", "1.1", user))
        await until(lambda: len(here.heard()) == 7)
        assert here.heard()[1:] == [
            (name, user)
            for user in ("anna", "ben", "cleo")
            for name in ("member_added", "client_event")
        ]


async def test_an_endpoint_that_appears_is_told_what_holds(path: Path) -> None:
    """Those who are here already are additions for it, and nothing for the others."""
    async with node(path) as here:
        here.join(ROOM, "anna")
        here.sign_in("ben")
        await until(lambda: len(here.heard()) == 3)
        here.change_hooks(HOOK, OTHER)
        await until(lambda: len(here.heard(OTHER.url)) == 3)
        assert sorted(here.heard(OTHER.url)) == sorted(here.heard())


async def test_who_comes_before_the_outbox_has_begun_is_told_in_order(path: Path) -> None:
    """Clients are served a moment earlier; a room is occupied before it has members."""

    def come(here: Node) -> None:
        here.join(ROOM, "anna")

    async with node(path, early=come) as here:
        here.join(ROOM, "ben")
        await until(lambda: len(here.heard()) == 3)
        assert here.heard() == [
            ("channel_occupied", ROOM),
            ("member_added", "anna"),
            ("member_added", "ben"),
        ]


async def test_a_newcomer_to_an_occupied_room_does_not_come_before_the_room(path: Path) -> None:
    """Webhooks came at run time, and somebody comes before all who are there have been told."""
    async with node(path, hooks=()) as here:
        here.join(ROOM, "anna")
        here.change_hooks(HOOK)
        here.join(ROOM, "ben")
        await until(lambda: len(here.heard()) == 3)
        assert here.heard()[0] == ("channel_occupied", ROOM)


async def test_webhooks_that_come_at_run_time_open_the_file(path: Path) -> None:
    """A server that had none begins to deliver with what holds."""
    async with node(path, hooks=()) as here:
        here.join(ROOM, "anna")
        assert not await asyncio.to_thread(path.exists)
        here.change_hooks(HOOK)
        await until(lambda: len(here.heard()) == 2)
        assert here.heard() == [("channel_occupied", ROOM), ("member_added", "anna")]


async def test_a_file_that_cannot_be_used_at_run_time_is_told(path: Path) -> None:
    """The server goes on without webhooks, and whoever asks is told why."""
    async with node(path), node(path, hooks=()) as here:
        here.change_hooks(HOOK)
        await until(lambda: bool(here.outbox.problem))
        with pytest.raises(JournalUnavailable, match=r"store\.outbox"):
            await here.outbox.depth(here.endpoint)


async def test_a_filter_that_changes_is_followed(path: Path) -> None:
    """What matches now is announced; what no longer does is forgotten without a word."""
    rooms = replace(HOOK, channel_name_starts_with="presence-")
    async with node(path, hooks=(replace(HOOK, channel_name_starts_with="presence-a"),)) as here:
        kept = here.join("presence-a", "anna")
        here.join("presence-b", "ben")
        await until(lambda: len(here.heard()) == 2)
        here.change_hooks(rooms)
        await until(lambda: len(here.heard()) == 4)
        assert here.heard()[2:] == [("channel_occupied", "presence-b"), ("member_added", "ben")]
        here.change_hooks(replace(HOOK, channel_name_starts_with="presence-b"))
        here.leave("presence-a", kept)
        await asyncio.sleep(3 * HOLD)
        here.change_hooks(rooms)
        here.join("presence-a", "anna")
        await until(lambda: len(here.heard()) == 6)
        assert here.heard()[4:] == [("channel_occupied", "presence-a"), ("member_added", "anna")]


async def test_an_endpoint_may_want_removals_alone(path: Path) -> None:
    """It hears of each, and of nothing else."""
    async with node(path, hooks=(replace(HOOK, events=("member_removed",)),)) as here:
        for _ in range(2):
            here.leave(ROOM, here.join(ROOM, "anna"))
            await asyncio.sleep(3 * HOLD)
        await until(lambda: len(here.heard()) == 2)
        assert here.heard() == [("member_removed", "anna")] * 2


async def test_after_a_start_told_and_ledger_are_made_to_agree(path: Path) -> None:
    """Who is back is not announced again; who is not is removed when the time to return is over."""
    async with node(path, kills=True) as here:
        here.join(ROOM, "anna")
        here.join(ROOM, "ben")
        here.join("presence-empty", "cleo")
        await until(lambda: len(here.heard()) == 5)
    async with node(path) as here:
        here.join(ROOM, "anna")
        await asyncio.sleep(RETURN / 2)
        assert here.heard() == []
        await until(lambda: len(here.heard()) == 3)
        assert sorted(here.heard()) == [
            ("channel_vacated", "presence-empty"),
            ("member_removed", "ben"),
            ("member_removed", "cleo"),
        ]


async def test_a_room_is_not_vacated_before_those_who_may_come_back(path: Path) -> None:
    """A room that empties soon after a start is vacated when all of its members were removed."""
    async with node(path, kills=True) as here:
        here.join(ROOM, "anna")
        await until(lambda: len(here.heard()) == 2)
    async with node(path, return_seconds=6 * HOLD) as here:
        here.leave(ROOM, here.join(ROOM, "ben"))
        await until(lambda: len(here.heard()) == 4)
        assert here.heard()[:2] == [("member_added", "ben"), ("member_removed", "ben")]
        assert here.heard()[2:] == [("member_removed", "anna"), ("channel_vacated", ROOM)]


async def test_a_new_outbox_waits_for_nobody(path: Path) -> None:
    """Where nothing was told, nobody can come back: a room is vacated after the hold."""
    async with node(path, return_seconds=1000) as here:
        here.leave(ROOM, here.join(ROOM, "anna"))
        await until(lambda: len(here.heard()) == 4)


async def test_who_goes_while_the_server_ends_is_looked_for_by_the_next(path: Path) -> None:
    """A deploy is not heard of by receivers, if clients come back in time."""
    async with node(path) as here:
        anna, ben = here.join(ROOM, "anna"), here.join(ROOM, "ben")
        await until(lambda: len(here.heard()) == 3)
        here.outbox.drain()
        here.leave(ROOM, anna)
        here.leave(ROOM, ben)
        await asyncio.sleep(3 * HOLD)
        assert len(here.heard()) == 3
    async with node(path) as here:
        here.join(ROOM, "anna")
        await until(lambda: len(here.heard()) == 1)
        assert here.heard() == [("member_removed", "ben")]


async def test_a_disk_that_does_not_take_events_delays_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are tried again until it does, in order; what is not written down goes at once."""
    monkeypatch.setattr(sqlite_schema, "BUSY_SECONDS", 0.01)
    async with node(path) as here:
        with locked(path):
            here.join(ROOM, "anna")
            here.outbox.emit(ClientEvent("1", ROOM, "client-hi", "{}", "1.1", "anna"))
            await until(lambda: here.heard() == [("client_event", "anna")])
            here.join(ROOM, "ben")
        await until(lambda: len(here.heard()) == 4)
        assert here.heard()[1:] == [
            ("channel_occupied", ROOM),
            ("member_added", "anna"),
            ("member_added", "ben"),
        ]


async def test_what_finds_no_room_is_made_good_by_comparing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded while the disk is away; when it is back, receivers are told what holds."""
    monkeypatch.setattr(sqlite_schema, "BUSY_SECONDS", 0.01)
    monkeypatch.setattr(settling, "LONGEST_RETRY_SECONDS", 0.2)
    most = 50
    default = intake.Intake.__init__.__defaults__
    monkeypatch.setattr(intake.Intake.__init__, "__defaults__", (most,))
    assert default == (intake.MAX_WAITING,)
    async with node(path) as here:
        with locked(path):
            for number in range(3 * most):
                here.join(ROOM, str(number))
                await asyncio.sleep(0)
            assert here.outbox.changes_dropped > 0
        await until(lambda: len(here.heard()) > 3 * most)
        assert sorted(here.heard()) == sorted(
            [("channel_occupied", ROOM)]
            + [("member_added", str(number)) for number in range(3 * most)]
        )


async def test_an_endpoint_that_was_dropped_from_is_told_what_holds_when_it_answers(
    path: Path,
) -> None:
    """Entries beyond the bound are gone, and what they said is said anew."""
    async with node(path, bounds=UNBOUNDED._replace(max_backlog=1)) as here:
        here.sender.answer = lambda sent: AWAY
        here.join(ROOM, "anna")
        here.join(ROOM, "ben")
        await until(lambda: here.outbox.dropped >= 2)
        here.sender.sent.clear()
        here.sender.answer = lambda sent: OK
        # It may be waiting for its fifth or sixth attempt.
        await until(lambda: len(here.heard()) >= 3, 60)
        assert sorted(here.heard()) == [
            ("channel_occupied", ROOM),
            ("member_added", "anna"),
            ("member_added", "ben"),
        ]


async def test_a_reconcile_call_tells_the_present_state_again(path: Path) -> None:
    """Additions have the ids that they had, so that a receiver knows them."""
    async with node(path) as here:
        here.join(ROOM, "anna")
        await until(lambda: len(here.heard()) == 2)
        assert await here.outbox.reconcile(here.endpoint) == 2
        await until(lambda: len(here.heard()) == 4)
        assert here.sender.ids[:2] == here.sender.ids[2:]


async def test_a_drop_call_leads_nobody_astray(path: Path) -> None:
    """What is dropped counts as not told, and is told anew when the endpoint answers."""
    async with node(path) as here:
        here.sender.answer = lambda sent: AWAY
        here.join(ROOM, "anna")
        await until(lambda: bool(here.sender.sent))
        await until(lambda: here.sender.in_flight == 0)
        assert await here.outbox.drop(here.endpoint, None) == 2
        here.sender.sent.clear()
        here.sender.answer = lambda sent: OK
        here.join(ROOM, "ben")
        await until(lambda: len(here.heard()) >= 3)
        await asyncio.sleep(0.2)
        assert sorted(here.heard()) == [
            ("channel_occupied", ROOM),
            ("member_added", "anna"),
            ("member_added", "ben"),
        ]


async def test_a_large_room_is_compared_without_holding_up_the_loop(path: Path) -> None:
    """Whoever is served meanwhile waits for a slice, never for the whole."""
    async with node(path, return_seconds=1000) as here:
        here.sender.answer = lambda sent: AWAY
        for number in range(20_000):
            here.join(ROOM, str(number))
        slices: list[float] = []
        loop = asyncio.get_running_loop()
        comparing = asyncio.create_task(here.outbox.reconcile(here.endpoint))
        while not comparing.done():
            before = loop.time()
            await asyncio.sleep(0.001)
            slices.append(loop.time() - before)
        assert await comparing == 0
        assert max(slices) < sum(slices) / 4


@pytest.mark.parametrize("user", ["an\0na", "an\ud800na"])
async def test_a_name_that_no_database_keeps_costs_no_other_event(path: Path, user: str) -> None:
    """What comes with it and after it is delivered; the endpoint can be read."""
    async with node(path) as here:
        here.join(ROOM, user)
        here.join(ROOM, "ben")
        await until(lambda: len(here.heard()) == 2)
        here.join(ROOM, "carl")
        await until(lambda: len(here.heard()) == 3)
        assert here.heard() == [
            ("channel_occupied", ROOM),
            ("member_added", "ben"),
            ("member_added", "carl"),
        ]
        entries, _ = await here.outbox.page(here.endpoint, "", 100, buried_only=False)
        assert user not in {entry.fact.member for entry in entries}


async def test_an_unexpected_error_of_one_change_stops_neither_the_others_nor_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is that change alone that is not told."""
    settle = sqlite_settling.settle

    def breaks(
        connection: sqlite3.Connection, changes: Sequence[Change], origin: str, now: float
    ) -> Settled:
        if any(change.fact.member == "anna" for change in changes):
            raise RuntimeError("unexpected")
        return settle(connection, changes, origin, now)

    async with node(path) as here:
        monkeypatch.setattr(sqlite, "settle", breaks)
        here.join(ROOM, "anna")
        here.join(ROOM, "ben")
        await until(lambda: len(here.heard()) == 2)
        here.join(ROOM, "carl")
        await until(lambda: len(here.heard()) == 3)
        assert [who for _, who in here.heard()] == [ROOM, "ben", "carl"]
        assert await here.outbox.reconcile(here.endpoint) >= 3


async def test_many_endpoints_do_not_make_a_transaction_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is settled at once is bounded in changes, however many each happening becomes."""
    monkeypatch.setattr(settling, "CHANGES", 20)
    sizes: list[int] = []
    settle = sqlite_settling.settle

    def measured(
        connection: sqlite3.Connection, changes: Sequence[Change], origin: str, now: float
    ) -> Settled:
        sizes.append(len(changes))
        return settle(connection, changes, origin, now)

    monkeypatch.setattr(sqlite, "settle", measured)
    hooks = tuple(replace(HOOK, url=f"http://{number}.example/") for number in range(5))
    async with node(path, hooks=hooks) as here:
        for number in range(40):
            here.join(ROOM, str(number))
        await until(lambda: len(here.heard(hooks[0].url)) == 41)
    slice_of_a_comparison = 41
    assert max(sizes) < 20 + slice_of_a_comparison


async def test_a_comparison_that_fails_unexpectedly_is_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are compared meanwhile."""
    monkeypatch.setattr(reconciling, "RETRY_SECONDS", 0.05)
    compare = reconciling.Comparing.compare
    failed: list[str] = []

    async def breaks(
        self: reconciling.Comparing, journal: sqlite.SqliteJournal, endpoint: Endpoint
    ) -> int:
        if endpoint.target == OTHER and not failed:
            failed.append(endpoint.id)
            raise RuntimeError("unexpected")
        return await compare(self, journal, endpoint)

    monkeypatch.setattr(reconciling.Comparing, "compare", breaks)
    async with node(path) as here:
        here.join(ROOM, "anna")
        await until(lambda: len(here.heard()) == 2)
        here.change_hooks(HOOK, OTHER)
        await until(lambda: len(here.heard(OTHER.url)) == 2)
        assert failed


async def test_the_change_of_one_application_looks_at_no_other(path: Path) -> None:
    """However many there are, and the others keep their endpoints."""
    async with node(path) as here:
        asked: list[str] = []
        known = Endpoints.all

        def counted(self: Endpoints) -> tuple[Endpoint, ...]:
            asked.append("all")
            return known(self)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Endpoints, "all", counted)
            here.apps.set(App("2", (Key("other", "secret"),), webhooks=(OTHER,)))
            here.outbox.app_changed("2")
        assert asked == []
        here.join(ROOM, "anna")
        await until(lambda: len(here.heard()) == 2)
        assert here.heard(OTHER.url) == []
