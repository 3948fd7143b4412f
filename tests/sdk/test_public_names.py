"""What ``import herenow`` gives, costs and tells a type checker."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import herenow
from conformance.harness.server import Server
from herenow import AsyncChannels, Channels

ROOT: Final = Path(__file__).resolve().parents[2]
SAMPLE: Final = Path(__file__).with_name("sample.py")
WRONG: Final = """
import herenow
channels = herenow.Channels("1", "key", "secret")
channels.trigger("news", "note")
channels.trigger(7, "note", {})
herenow.Chanels
herenow.Channels(app="1")
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def loaded_by(code: str, cwd: Path) -> set[str]:
    """The modules that *code* loads into a new interpreter."""
    program = f"import sys; before = set(sys.modules); {code}; print(*set(sys.modules) - before)"
    return set(run(sys.executable, "-c", program, cwd=cwd).split())


def test_importing_loads_nothing_else(tmp_path: Path) -> None:
    loaded = loaded_by("import herenow; herenow.__version__; dir(herenow)", tmp_path)
    assert {name for name in loaded if name.startswith("herenow")} == {"herenow"}
    assert not loaded & {"httpx2", "msgspec", "nacl", "asyncio", "ssl", "websockets", "click"}


def test_the_sdk_loads_nothing_of_the_server(tmp_path: Path) -> None:
    names = "; ".join(f"herenow.{name}" for name in herenow.__all__)
    loaded = loaded_by(f"import herenow; {names}", tmp_path)
    ours = {name.split(".")[1] for name in loaded if name.startswith("herenow.")}
    assert ours == {"protocol", "sdk"}
    assert not loaded & {"uvloop", "httptools", "starlette", "structlog", "prometheus_client"}


@pytest.mark.parametrize("name", herenow.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(herenow, name).__name__ == name
    assert name in dir(herenow)


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match="'herenow' has no attribute 'Chanels'"):
        herenow.Chanels  # type: ignore[attr-defined]  # noqa: B018


def public_methods(client: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(client, inspect.isroutine)
        if not name.startswith("_")
    }


def test_both_clients_have_the_same_methods() -> None:
    assert public_methods(Channels) == public_methods(AsyncChannels)
    assert set(public_methods(Channels)) == {
        "authenticate_user",
        "authorize_channel",
        "channel",
        "channels",
        "close",
        "drop_webhooks",
        "forget_user",
        "from_environment",
        "from_url",
        "new_events",
        "new_events_async",
        "reconcile_webhooks",
        "retry_webhooks",
        "roster",
        "roster_changes",
        "send_to_user",
        "terminate_user_connections",
        "trigger",
        "trigger_batch",
        "undelivered_webhooks",
        "user",
        "user_statuses",
        "users",
        "webhook",
        "webhook_endpoints",
    }


def test_the_sample_uses_every_public_name() -> None:
    tree = ast.parse(SAMPLE.read_text())
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert set(herenow.__all__) <= used
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert set(public_methods(Channels)) <= called


def test_the_sample_runs_against_our_server(server: Server, tmp_path: Path) -> None:
    app, endpoint = server.apps["main"], server.endpoint
    address = (endpoint.host, str(endpoint.port), app.id, app.key, app.secret)
    said = run(sys.executable, "-W", "error", SAMPLE, *address, cwd=tmp_path)
    assert said.splitlines()[-1] == f"done with {herenow.__version__}"


def mypy(*files: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run mypy as somebody would who has installed herenow."""
    (cwd / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", ROOT / ".cache" / "mypy-sample", *files],
        cwd=cwd,
        env={**os.environ, "MYPY_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_strict_mypy_takes_the_sample_and_nothing_wrong(tmp_path: Path) -> None:
    sample, wrong = tmp_path / "sample.py", tmp_path / "wrong.py"
    sample.write_text(SAMPLE.read_text())
    wrong.write_text(WRONG)
    good, bad = mypy(sample, cwd=tmp_path), mypy(wrong, cwd=tmp_path)
    assert good.returncode == 0, good.stdout + good.stderr
    found = [
        line.partition(": error: ")[0] for line in bad.stdout.splitlines() if ": error:" in line
    ]
    assert list(dict.fromkeys(found)) == [f"wrong.py:{line}" for line in (4, 5, 6, 7)], bad.stdout
