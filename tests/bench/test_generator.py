"""The load generator against the C server: a sound run, and faults that it has to find."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from bench.measure import Generator
from bench.rows import Load
from bench.runs import faults_of
from bench.servers import Place, Server, Start, floor, running

BUILD: Final = Path(__file__).parents[2] / "bench/load/build"
FANOUT: Final = Load("fanout", conns=50, publishers=4)
PRESENCE: Final = Load("presence", conns=20, inflight=4, churn=20)
CLIENT_EVENTS: Final = Load("clientevents", conns=20, channels=4, publishers=2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    if shutil.which("gcc") is None or shutil.which("taskset") is None or os.cpu_count() == 1:
        pytest.skip("needs gcc, taskset and two cores")
    directory = tmp_path_factory.mktemp("bench")
    built = subprocess.run([str(BUILD), str(directory / "load")], check=False)
    if built.returncode:
        pytest.skip("the load generator could not be built")
    return Place(directory, directory)


def faults(server: Server, load: Load, place: Place) -> Mapping[str, float]:
    with running(server, place, load) as target:
        return faults_of(Generator(place.built, target).run(load.arguments(0.5)))


def faulty_floor(*options: int) -> Server:
    def command(place: Place, port: int, load: Load) -> Start:
        arguments = [str(number) for number in (port, *options)]
        return Start([str(place.built / "load/cfloor"), *arguments])

    return Server("floor", command)


@pytest.mark.parametrize("load", [FANOUT, PRESENCE, CLIENT_EVENTS], ids=lambda load: load.mode)
def test_a_sound_server_has_no_faults(place: Place, load: Load) -> None:
    assert faults(floor(), load, place) == {}


def test_a_lost_delivery_is_found(place: Place) -> None:
    assert "never_complete" in faults(faulty_floor(1_009), FANOUT, place)


def test_a_repeated_delivery_is_found(place: Place) -> None:
    assert faults(faulty_floor(0, 1_009), FANOUT, place)["dup"] > 0
