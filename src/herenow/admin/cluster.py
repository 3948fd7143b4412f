"""What ``/metrics`` tells of an engine that nodes share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from herenow.cluster.partitions.ledger import PartitionedLedger

_COUNTED: Final = (
    ("lapses", "Times this node's lease ran out in a partition, or was lost with the data."),
    ("epochs", "Times a partition lost data or was taken over by another server."),
    ("fenced", "Operations that came to nothing since this node had to register again."),
    ("resyncs", "Rosters fetched since messages about them were missed."),
    ("differences", "Members that came or went unheard, told when a roster showed it."),
)


class Connections(Protocol):
    """The engine itself. ``losses``: connections lost, or that could not be made."""

    @property
    def is_connected(self) -> bool: ...
    @property
    def losses(self) -> int: ...
    @property
    def outstanding(self) -> int: ...


def metrics(connections: Connections, ledger: PartitionedLedger) -> Iterator[Metric]:
    """The engine as this node sees it."""
    up = int(ledger.ready and connections.is_connected)
    yield GaugeMetricFamily(
        "herenow_cluster_up", "1 while every partition can be asked and heard.", up
    )
    yield GaugeMetricFamily(
        "herenow_cluster_joins_held", "Joins and sign-ins that wait for the engine.", ledger.held
    )
    yield GaugeMetricFamily(
        "herenow_cluster_calls_outstanding",
        "Calls that the engine has not answered yet.",
        connections.outstanding,
    )
    yield CounterMetricFamily(
        "herenow_cluster_connections_lost",
        "Connections to the engine that were lost or could not be made.",
        connections.losses,
    )
    for name, text in _COUNTED:
        number: int = getattr(ledger.counters, name)
        yield CounterMetricFamily(f"herenow_cluster_{name}", text, number)
