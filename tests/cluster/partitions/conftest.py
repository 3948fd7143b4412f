from __future__ import annotations

import pytest

from cluster.partitions.scripted import Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()
