"""What counts of many runs: faults, disturbed runs, medians and ratios."""

from __future__ import annotations

from typing import Any

import pytest
from bench.machine import Core, Moment, read_cores
from bench.rows import Reading, Row, select
from bench.runs import Run, Spread, disturbances, faults_of, is_generator_bound, sift, summarize

(FANOUT,) = select("fanout")
(LATENCY,) = select("latency")


def reading(value: float, **more: Any) -> Reading:
    return {
        "deliveries_per_s": value,
        "latency_p99_ms": value,
        "gen_cpu_pct": 50,
        "server_cpu_pct": 100,
        **more,
    }


def runs(server: str, *values: float) -> list[Run]:
    return [Run(server, number, reading(value)) for number, value in enumerate(values, 1)]


def summary_of(*given: Run, row: Row = FANOUT) -> Any:
    return summarize(row, given)


class TestFaults:
    def test_a_sound_run_has_none(self) -> None:
        assert faults_of({"lost": 0, "reordered": 0, "conns": 5, "established": 5}) == {}

    @pytest.mark.parametrize("name", ["lost", "dup", "reordered", "http_bad", "view_mismatches"])
    def test_each_kind_is_one(self, name: str) -> None:
        assert faults_of({name: 3}) == {name: 3}

    def test_what_never_came_after_the_end_is_one(self) -> None:
        assert faults_of({"lost": 0, "drain_s": 0.2}) == {}
        assert faults_of({"lost": 0, "drain_s": 5.01}) == {"never_complete": 1}

    def test_a_loop_that_stands_still_is_one(self) -> None:
        assert faults_of({"loop": "closed-delivered", "events": 0}) == {"nothing_delivered": 1}

    def test_what_was_expected_and_did_not_come_is_one(self) -> None:
        found = faults_of({"member_added_expected": 10, "member_added_received": 8})
        assert found == {"member_added_received": -2}

    def test_what_came_too_often_is_one(self) -> None:
        found = faults_of({"observer_removed_expected": 10, "observer_removed_received": 11})
        assert found == {"observer_removed_received": 1}


class TestDisturbances:
    def observe(
        self, busy: float = 10, stolen: float = 0, own: float = 10, **more: float
    ) -> tuple[str, ...]:
        before = Moment(0, {0: Core(0, 0)}, {})
        after = Moment(10, {0: Core(busy, stolen)}, {})
        return disturbances(before, after, {0: own}, more)

    def test_a_core_that_is_full_of_its_own_is_quiet(self) -> None:
        assert self.observe() == ()

    def test_other_load(self) -> None:
        assert self.observe(busy=9, own=8) == ("other load on core 0: 10%",)

    def test_a_little_of_it_is_let_pass(self) -> None:
        assert self.observe(busy=9, own=8.6) == ()

    def test_time_that_the_host_took(self) -> None:
        assert self.observe(stolen=0.5) == ("core 0 stolen: 5%",)

    def test_a_generator_that_did_not_get_its_core(self) -> None:
        assert self.observe(gen_wait_pct=12.0) == ("generator waited for its core: 12%",)

    def test_cores_are_read_without_their_sum(self) -> None:
        text = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 0 50 999 7 1 2 30 0 0\nintr 5\n"
        assert read_cores(text, 100) == {0: Core(1.53, 0.3)}


class TestGeneratorBound:
    def test_a_server_with_time_left_under_a_full_generator(self) -> None:
        assert is_generator_bound(reading(1, gen_cpu_pct=99, server_cpu_pct=60))

    def test_both_full(self) -> None:
        assert not is_generator_bound(reading(1, gen_cpu_pct=99, server_cpu_pct=98))

    def test_a_rate_says_that_the_server_may_do_more(self) -> None:
        bound = Run("floor", 1, reading(5, gen_cpu_pct=99, server_cpu_pct=60))
        assert summary_of(bound).cells["floor"].bound
        assert not summary_of(bound, row=LATENCY).cells["floor"].bound


class TestDiscarding:
    def test_disturbed_runs_are_discarded_and_counted(self) -> None:
        noisy = Run("herenow", 3, reading(900), ("other load on core 0: 50%",))
        cell = summary_of(*runs("herenow", 100, 110), noisy).cells["herenow"]
        assert cell.figure == Spread(105, 100, 110)
        assert (cell.runs, cell.disturbed, cell.doubtful) == (2, 1, False)

    def test_a_figure_of_disturbed_runs_only_is_doubtful(self) -> None:
        cell = summary_of(Run("herenow", 1, reading(9), ("core 0 stolen: 5%",))).cells["herenow"]
        assert (cell.figure.median, cell.doubtful) == (9, True)

    def test_a_round_in_which_the_floor_was_off_counts_for_nobody(self) -> None:
        standing = sift(FANOUT, [*runs("floor", 200, 202, 140), *runs("herenow", 150, 151, 152)])
        assert {(run.server, run.round) for run in standing.kept} == {
            ("floor", 1),
            ("floor", 2),
            ("herenow", 1),
            ("herenow", 2),
        }
        assert standing.disturbed == {"floor": 1, "herenow": 1}
        assert standing.reasons == ["round 3: the floor was -30% off"]

    def test_two_rounds_do_not_tell_which_was_off(self) -> None:
        assert len(sift(FANOUT, runs("floor", 200, 100)).kept) == 2

    def test_a_run_that_gave_nothing_is_no_figure(self) -> None:
        failed = Run("soketi", 1, {}, (), {"handshake refused": 1})
        summary = summary_of(failed, *runs("herenow", 5))
        assert list(summary.cells) == ["herenow"]
        assert summary.faults == {"soketi": {"handshake refused": 1}}


class TestRatios:
    def test_they_are_taken_round_by_round(self) -> None:
        summary = summary_of(*runs("herenow", 100, 50, 200), *runs("soketi", 50, 20, 100))
        ratio = summary.ratios["soketi"]
        assert ratio.spread == Spread(2, 2, 2.5)
        assert (ratio.expected, ratio.reached) == (2, True)

    def test_a_round_with_one_side_only_gives_none(self) -> None:
        summary = summary_of(*runs("herenow", 100), *runs("floor", 200, 100)[1:])
        assert summary.ratios == {}

    def test_less_is_better_for_a_latency(self) -> None:
        summary = summary_of(*runs("herenow", 9), *runs("soketi", 10), row=LATENCY)
        assert summary.ratios["soketi"].reached is False

    def test_faults_of_all_runs_are_added_up(self) -> None:
        lossy = [Run("herenow", n, reading(1), (), {"lost": n}) for n in (1, 2)]
        assert summary_of(*lossy).faults == {"herenow": {"lost": 3}}
