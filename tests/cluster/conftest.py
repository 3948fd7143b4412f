"""Every contract is tested with every engine."""

from __future__ import annotations

import pytest

from cluster.engines import BUSES, LEDGERS, BusEngine, LedgerEngine


@pytest.fixture(params=sorted(LEDGERS))
def engine(request: pytest.FixtureRequest) -> LedgerEngine:
    return LEDGERS[request.param]()


@pytest.fixture(params=sorted(BUSES))
def bus_engine(request: pytest.FixtureRequest) -> BusEngine:
    return BUSES[request.param]()
