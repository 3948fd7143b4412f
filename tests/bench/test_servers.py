"""The configuration that herenow is measured with."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.rows import GROWTH_SIZES, ROWS, Row
from bench.servers import APP_ID, configuration

from herenow.config import load_config


@pytest.mark.parametrize("connections", [0, *GROWTH_SIZES])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_can_be_used_for_every_row(tmp_path: Path, row: Row, connections: int) -> None:
    load = row.load.grown(connections) if connections else row.load
    file = tmp_path / "herenow.toml"
    file.write_text(configuration(9_000, load))

    (app,) = load_config(file, {}, {}).apps

    assert app.id == APP_ID
    assert [webhook.url for webhook in app.webhooks] == ["http://127.0.0.1:9000/"]
    lifted = app.limits.client_events_per_second == 0
    assert lifted == (row.name == "client-events")
