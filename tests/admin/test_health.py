"""Whether to restart the node, and whether to send it clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from admin.conftest import running_server
from admin.reader import Reader
from conformance.harness.server import Server
from conformance.harness.service import Service, eventually


@pytest.mark.parametrize(("path", "text"), [("live", "live\n"), ("ready", "ready\n")])
def test_a_running_node_is_live_and_ready(reader: Reader, path: str, text: str) -> None:
    answer = reader.ask(f"/health/{path}")
    assert (answer.status, answer.text) == (200, text)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_a_probe_needs_neither_password_nor_loopback_host(
    locked_server: Server, reader: Reader, path: str
) -> None:
    headers = {"Host": "10.42.0.7:9601", "Via": "1.1 sidecar"}
    assert reader.ask(path, headers).status == 200
    assert Reader(locked_server).ask(path, headers).status == 200


def test_a_draining_node_is_live_but_not_ready(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        service, reader = Service(server), Reader(server)
        # Its client reads nothing, so the server waits for it a moment.
        service.connect()
        assert server.process is not None
        server.process.terminate()

        answer = eventually(
            lambda: reader.ask("/health/ready"), lambda answer: answer.status != 200
        )
        assert (answer.status, answer.text) == (503, "draining\n")
        assert reader.ask("/health/live").status == 200

        service.close()
        assert server.process.wait(10) == 0
