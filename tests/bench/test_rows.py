"""The rows: what the load generator is told, and what counts as reached."""

from __future__ import annotations

import pytest
from bench.rows import ROWS, Better, Load, Row, select


def options(load: Load, seconds: float = 10) -> dict[str, str]:
    mode, *rest = load.arguments(seconds)
    assert mode == load.mode
    return dict(zip(rest[::2], rest[1::2], strict=True))


def row(name: str) -> Row:
    (found,) = select(name)
    return found


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_no_names_select_every_row() -> None:
    assert select("") == ROWS


def test_rows_are_selected_in_the_order_named() -> None:
    assert [row.name for row in select("http, fanout")] == ["http", "fanout"]


def test_an_unknown_row_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no row is named fan; there are fanout, "):
        select("fan")


def test_a_load_without_a_rate_does_not_name_one() -> None:
    assert options(Load("fanout", conns=1_000, publishers=4), 2.5) == {
        "--size": "200",
        "--time": "2.5",
        "--conns": "1000",
        "--inflight": "64",
        "--pub": "4",
        "--channels": "1",
    }


def test_a_warm_up_is_short_and_small() -> None:
    mode, *rest = Load("fanout", conns=5_000, channels=50, publishers=4).warm_up()
    told = dict(zip(rest[::2], rest[1::2], strict=True))
    assert (mode, told["--time"], told["--conns"]) == ("fanout", "1", "200")


@pytest.mark.parametrize("connections", [100, 1_000, 10_000])
def test_growth_keeps_the_deliveries_of_a_rate(connections: int) -> None:
    load = row("latency").load
    grown = load.grown(connections)
    assert grown.conns == connections
    assert grown.rate * grown.conns == pytest.approx(load.rate * load.conns)


def test_growth_keeps_the_subscribers_of_a_channel() -> None:
    grown = row("fanout-channels").load.grown(10_000)
    assert grown.conns / grown.channels == 100


@pytest.mark.parametrize("name", ["connect", "http", "http-batch"])
def test_what_does_not_depend_on_connections_grows_by_idle_ones(name: str) -> None:
    load = row(name).load
    grown = load.grown(10_000)
    assert (grown.crowd, grown.conns) == (10_000, load.conns)


def test_only_a_presence_channel_beyond_the_default_limit_needs_another() -> None:
    load = row("presence-join").load
    assert load.grown(1_000).limits == ()
    assert load.grown(10_000).limits == (("max_presence_members", 10_000),)


@pytest.mark.parametrize(
    ("name", "server", "ratio", "reached"),
    [
        ("fanout", "floor", 0.85, True),
        ("fanout", "floor", 0.849, False),
        ("latency", "soketi", 0.6, True),
        ("latency", "soketi", 0.61, False),
        ("latency", "floor", 2.0, None),
    ],
)
def test_a_ratio_is_judged_by_which_way_is_better(
    name: str, server: str, ratio: float, reached: bool | None
) -> None:
    assert row(name).meets(server, ratio) is reached


def test_connections_are_counted_by_the_cpu_they_take() -> None:
    connect = row("connect")
    assert connect.better is Better.HIGHER
    assert connect.figure({"server_us_per_conn": 25}) == 40_000
