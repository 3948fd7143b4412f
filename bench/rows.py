"""What is measured: every row with its load, its figure and what is expected of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

Reading = Mapping[str, Any]
Figure = Callable[[Reading], float]

GROWTH_SIZES: Final = (100, 1_000, 10_000)
_PAYLOAD_BYTES: Final = 200
_WARM_UP_CONNECTIONS: Final = 200
_PRESENCE_MEMBERS_BY_DEFAULT: Final = 1_000


class Better(Enum):
    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class Load:
    """One run of the load generator.

    ``rate`` and ``churn`` are per second; without a ``rate`` the next event goes out when the
    one before it has arrived. ``crowd`` is a number of idle connections that are there besides.
    ``limits`` are those of herenow's application that stand above the defaults. A ``cold`` load
    meets a server that has served nobody yet.
    """

    mode: str
    conns: int = 0
    channels: int = 1
    publishers: int = 0
    inflight: int = 64
    rate: float = 0
    churn: float = 0
    batch: int = 0
    crowd: int = 0
    cold: bool = False
    limits: tuple[tuple[str, int], ...] = ()

    def arguments(self, seconds: float) -> list[str]:
        options: dict[str, float] = {"size": _PAYLOAD_BYTES, "time": seconds}
        if self.conns:
            options |= {"conns": self.conns, "inflight": self.inflight}
        if self.publishers:
            options |= {"pub": self.publishers}
        for name in ("channels", "rate", "churn", "batch"):
            if value := getattr(self, name):
                options[name] = value
        return [self.mode, *(part for k, v in options.items() for part in (f"--{k}", f"{v:g}"))]

    def warm_up(self) -> list[str]:
        """The same in small, for a server that compiles what it does often."""
        small = replace(self, conns=min(self.conns, _WARM_UP_CONNECTIONS))
        return small.arguments(1)

    def grown(self, connections: int) -> Load:
        """The same work with that many connections: as many deliveries a second, spread wider."""
        if self.mode in ("connect", "http") and not self.cold:
            return replace(self, crowd=connections)
        factor = connections / self.conns
        limits = dict(self.limits)
        if self.mode == "presence" and connections > _PRESENCE_MEMBERS_BY_DEFAULT:
            limits["max_presence_members"] = connections
        return replace(
            self,
            conns=connections,
            channels=max(1, round(self.channels * factor)) if self.channels > 1 else 1,
            rate=self.rate / factor,
            churn=self.churn / factor,
            limits=tuple(limits.items()),
        )


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ``against`` has for a server beside herenow how herenow's figure must compare: at least that
    ratio where higher is better, at most that where lower is. ``cost`` is what one unit of the
    row's work takes, for the growth table. Only a figure that is a ``rate`` can be bounded by
    the generator.
    """

    name: str
    title: str
    load: Load
    figure: Figure
    unit: str
    better: Better
    against: Mapping[str, float]
    cost: Figure
    cost_unit: str
    rate: bool = False

    def meets(self, server: str, ratio: float) -> bool | None:
        """Whether that ratio of herenow's figure to *server*'s is good enough, if that is asked."""
        limit = self.against.get(server)
        if limit is None:
            return None
        return ratio >= limit if self.better is Better.HIGHER else ratio <= limit


def _reading(key: str) -> Figure:
    return lambda reading: float(reading[key])


def _per_cpu_second(key: str) -> Figure:
    return lambda reading: 1e6 / float(reading[key]) if reading[key] else float("inf")


def _per_change_told(reading: Reading) -> float:
    told = reading["churn_deliveries"]
    return float(reading["churn_server_us_per_op"] * reading["churn_ops"] / told) if told else 0.0


_per_delivery: Final = _reading("server_us_per_delivery")
_DELIVERY: Final = "µs a delivery"
_UNLIMITED_CLIENT_EVENTS: Final = (("client_events_per_second", 0), ("messages_per_second", 0))
_PRESENCE: Final = Load("presence", conns=500, inflight=16, churn=20)

ROWS: Final = (
    Row(
        "fanout",
        "fan-out to 1,000 subscribers of one channel",
        Load("fanout", conns=1_000, publishers=4),
        _reading("deliveries_per_s"),
        "deliveries/s",
        Better.HIGHER,
        {"soketi": 2, "floor": 0.85},
        _per_delivery,
        _DELIVERY,
        rate=True,
    ),
    Row(
        "fanout-64",
        "the same with 64 publishes in flight",
        Load("fanout", conns=1_000, publishers=64),
        _reading("deliveries_per_s"),
        "deliveries/s",
        Better.HIGHER,
        {"soketi": 6, "floor": 1},
        _per_delivery,
        _DELIVERY,
        rate=True,
    ),
    Row(
        "fanout-channels",
        "fan-out to 5,000 over 50 channels",
        Load("fanout", conns=5_000, channels=50, publishers=4, inflight=128),
        _reading("deliveries_per_s"),
        "deliveries/s",
        Better.HIGHER,
        {"soketi": 2.2, "floor": 0.85},
        _per_delivery,
        _DELIVERY,
        rate=True,
    ),
    Row(
        "latency",
        "p99 of 50 events/s to 1,000 subscribers",
        Load("fanout", conns=1_000, publishers=4, rate=50),
        _reading("latency_p99_ms"),
        "ms",
        Better.LOWER,
        {"soketi": 0.6},
        _per_delivery,
        _DELIVERY,
    ),
    Row(
        "connect",
        "connections",
        Load("connect", conns=5_000),
        _per_cpu_second("server_us_per_conn"),
        "per CPU second",
        Better.HIGHER,
        {"soketi": 1.5, "floor": 0.6},
        _reading("server_us_per_conn"),
        "µs a connection",
    ),
    Row(
        "memory-idle",
        "memory of an idle connection",
        Load("connect", conns=10_000, cold=True),
        _reading("rss_per_conn_kb"),
        "KiB",
        Better.LOWER,
        {"soketi": 0.5},
        _reading("rss_per_conn_kb"),
        "KiB a connection",
    ),
    Row(
        "memory-subscribed",
        "memory of a subscribed connection",
        Load("fanout", conns=10_000, channels=100, publishers=4, rate=1, cold=True),
        _reading("rss_per_conn_kb"),
        "KiB",
        Better.LOWER,
        {"soketi": 0.5},
        _reading("rss_per_conn_kb"),
        "KiB a connection",
    ),
    Row(
        "presence-join",
        "500 users join one presence channel",
        _PRESENCE,
        _reading("joins_per_s"),
        "joins/s",
        Better.HIGHER,
        {"soketi": 8},
        _reading("server_us_per_member_added"),
        "µs a member told",
        rate=True,
    ),
    Row(
        "presence-churn",
        "CPU of a leave and join, 450 watching",
        _PRESENCE,
        _reading("churn_server_us_per_op"),
        "µs",
        Better.LOWER,
        {"soketi": 0.3},
        _per_change_told,
        "µs a change told",
    ),
    Row(
        "http",
        "HTTP publish, 8 in flight",
        Load("http", publishers=8),
        _reading("requests_per_s"),
        "requests/s",
        Better.HIGHER,
        {"soketi": 4, "floor": 0.35},
        _reading("server_us_per_request"),
        "µs a request",
        rate=True,
    ),
    Row(
        "http-batch",
        "HTTP batch of 10, 8 in flight",
        Load("http", publishers=8, batch=10),
        _reading("events_per_s"),
        "events/s",
        Better.HIGHER,
        {"soketi": 3},
        _reading("server_us_per_event"),
        "µs an event",
        rate=True,
    ),
    Row(
        "client-events",
        "client events, 100 channels of 10",
        Load(
            "clientevents",
            conns=1_000,
            channels=100,
            publishers=4,
            limits=_UNLIMITED_CLIENT_EVENTS,
        ),
        _reading("deliveries_per_s"),
        "deliveries/s",
        Better.HIGHER,
        {"soketi": 1.8},
        _per_delivery,
        _DELIVERY,
        rate=True,
    ),
)


def select(names: str) -> tuple[Row, ...]:
    """The rows named, separated by commas; all of them for no name."""
    if not names:
        return ROWS
    by_name = {row.name: row for row in ROWS}
    chosen = [name.strip() for name in names.split(",")]
    if unknown := [name for name in chosen if name not in by_name]:
        known = ", ".join(by_name)
        raise ValueError(f"no row is named {', '.join(unknown)}; there are {known}")
    return tuple(by_name[name] for name in chosen)
