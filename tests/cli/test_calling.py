"""How commands find a running server, and whose key they use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from compat.serving import serve_command
from conformance.harness.apps import App, configuration
from conformance.harness.server import running
from server.certificates import make_certificate

COMMAND: Final = (sys.executable, "-m", "herenow.cli")
MAIN: Final = App("1", "a1b2c3d4e5f60718293a", "0f1e2d3c4b5a69788796")
NOTHING: Final = "this application has no webhooks\n"


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd)


def configured(file: Path, store: str, secret_key: str = "") -> Path:
    """A configuration with a store, written to *file*."""
    sealing = f'secret_key = "{secret_key}"\n' if secret_key else ""
    file.write_text(f'[store]\nurl = "{store}"\n{sealing}' + configuration({"main": MAIN}, {}))
    return file


def test_an_application_of_the_store_is_called_with_its_own_key(tmp_path: Path) -> None:
    """Its secret is opened with the key of the settings; another key does not open it."""
    sealing, other = (run("apps", "key", cwd=tmp_path).stdout.strip() for _ in range(2))
    url = f"sqlite:///{tmp_path / 'store.db'}"
    config = configured(tmp_path / "asked.toml", url, sealing)
    made = run("apps", "create", "--json", "--config", config, cwd=tmp_path)
    app = json.loads(made.stdout)["id"]
    environment = (f"HERENOW_STORE__URL={url}", f"HERENOW_STORE__SECRET_KEY={sealing}")
    with running(["env", *environment, *serve_command()], tmp_path, {"main": MAIN}, {}) as server:
        called = ("webhooks", "list", "--server", f"http://{server.endpoint.authority}")
        done = run(*called, "--app", app, "--config", config, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, NOTHING, "")
        lost = configured(tmp_path / "lost.toml", url, other)
        done = run(*called, "--app", app, "--config", lost, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"herenow apps rotate {app}" in done.stderr


def test_an_application_that_is_nowhere(tmp_path: Path) -> None:
    """Neither the configuration has it nor the store, of which no file is made."""
    config = configured(tmp_path / "asked.toml", f"sqlite:///{tmp_path / 'store.db'}")
    done = run("webhooks", "list", "--app", "404", "--config", config, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    store = f"sqlite:///{tmp_path / 'store.db'}"
    assert (
        "application 404 is not configured, and there is no application 404 in the store"
        f" ({store})\n"
    ) in done.stderr
    assert not (tmp_path / "store.db").exists()


def test_the_settings_say_where_the_server_is(tmp_path: Path) -> None:
    """With TLS, its very certificate is believed, whoever has signed it."""
    certificate, key = make_certificate(tmp_path)
    tls = {"tls_certificate": str(certificate), "tls_key": str(key)}
    with running(serve_command(), tmp_path, {"main": MAIN}, tls) as server:
        config = tmp_path / "asked.toml"
        settings = {**tls, "host": "0.0.0.0", "port": server.endpoint.port}
        config.write_text(configuration({"main": MAIN}, settings))
        done = run("webhooks", "list", "--config", config, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, NOTHING, "")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "server.port is 0, any free one: say where the server is with --server URL"),
        (("--server", "127.0.0.1:6001"), "expected a URL such as https://ws.example.com"),
        (("--server", "ftp://example.com"), "expected a URL such as https://ws.example.com"),
        (("--server", "http://example.com:x"), "expected a URL such as https://ws.example.com"),
        (("--server", "http://k:hidden@example.com"), "without key, secret or query"),
        (("--server", "http://example.com/a b"), "Invalid path_prefix"),
    ],
)
def test_a_place_that_is_none_exits_with_2(
    tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    """What was expected is said, and nothing of the URL that may be a secret."""
    config = tmp_path / "herenow.toml"
    config.write_text(configuration({"main": MAIN}, {"port": 0}))
    done = run("webhooks", "list", "--config", config, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert "hidden" not in done.stderr
