"""What ``herenow serve`` says when it cannot serve, and with which exit code."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ENVIRONMENT: Final = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("HERENOW_", "PUSHER_"))
}


def herenow(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run ``herenow`` to its end."""
    command = [sys.executable, "-c", "from herenow.cli import main; main()", *arguments]
    return subprocess.run(
        command,
        env=ENVIRONMENT | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_version_is_printed() -> None:
    from herenow import __version__

    result = herenow("--version")

    assert (result.returncode, result.stdout) == (0, f"herenow {__version__}\n")


def test_the_help_names_every_flag() -> None:
    result = herenow("serve", "--help")

    assert result.returncode == 0
    for flag in (
        "--config FILE",
        "--host H",
        "--port N",
        "--admin-host H",
        "--admin-port N",
        "--workers N",
        "--cluster URL",
        "--log-format [text|json]",
    ):
        assert flag in result.stdout


def test_a_bad_configuration_ends_with_2_and_all_of_its_problems(tmp_path: Path) -> None:
    file = tmp_path / "herenow.toml"
    file.write_text("[server]\nprot = 7000\nactivity_timeout_seconds = -1\n")

    result = herenow("serve", "--config", str(file), "--port", "abc", HERENOW_ADMIN__PORT="70000")

    assert (result.returncode, result.stdout) == (2, "")
    for problem in (
        "server.prot: unknown setting, did you mean server.port?",
        "server.activity_timeout_seconds: expected a number of seconds greater than 0,"
        " at most ten years, got -1",
        'server.port: expected an integer from 0 to 65535, got "abc"',
        "admin.port: expected an integer from 0 to 65535, got 70000 (HERENOW_ADMIN__PORT)",
    ):
        assert problem in result.stderr


def test_a_secret_is_not_printed(tmp_path: Path) -> None:
    file = tmp_path / "herenow.toml"
    file.write_text('[[apps]]\nid = "a b"\nkey = "k"\nsecret = "hidden"\n')

    result = herenow("serve", "--config", str(file))

    assert result.returncode == 2
    assert "apps[0].id" in result.stderr
    assert "hidden" not in result.stderr


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--cluster", "nats://127.0.0.1"], 'cluster.url: expected "memory://", or a URL'),
        (["--workers", "2"], "--workers: expected 1, since this version runs one process"),
        (["--host", "0.0.0.0"], "server.host: expected a loopback address"),
        (["--config", "/not/there.toml"], "config: cannot read /not/there.toml"),
    ],
)
def test_what_this_version_does_not_do_ends_with_2(flags: list[str], problem: str) -> None:
    result = herenow("serve", *flags)

    assert (result.returncode, result.stdout) == (2, "")
    assert problem in result.stderr


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://:hidden@h:1:2", "cluster.url: expected host:port"),
        ("redis://:hidden@127.0.0.1/first", "cluster.url: expected the number of a database"),
        ("redis+sentinel://:hidden@h1,h2", "cluster.url: expected the name of the primary"),
        ("rediss://:hidden@h?ssl_ca_certs=/not/there", "cluster.url: ssl_ca_certs"),
        ("redis://:hidden@h?hidden=1", "cluster.url: expected as options of this URL none"),
        ("redis:/:hidden@h", "cluster.url: expected"),
    ],
)
def test_an_engine_whose_url_means_nothing_ends_with_2(url: str, problem: str) -> None:
    for result in (herenow("serve", "--cluster", url), herenow("serve", HERENOW_CLUSTER__URL=url)):
        assert (result.returncode, result.stdout) == (2, "")
        assert "the configuration cannot be used" in result.stderr
        assert problem in result.stderr
        assert "hidden" not in result.stderr
        assert "Traceback" not in result.stderr


def test_an_engine_that_cannot_be_reached_ends_with_1_and_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"redis://:hidden@127.0.0.1:{port}"

    result = herenow("serve", "--cluster", url, HERENOW_CLUSTER__CONNECT_SECONDS="0.5")

    assert (result.returncode, result.stdout) == (1, "")
    assert f"herenow: the engine at 127.0.0.1:{port} could not be used: " in result.stderr
    assert "refused the connection" in result.stderr
    assert "hidden" not in result.stderr
    assert "Traceback" not in result.stderr


def test_without_the_redis_extra_it_is_said_what_to_install() -> None:
    result = without("hiredis", "serve", "--port", "0", "--cluster", "redis://127.0.0.1")

    assert (result.returncode, result.stdout) == (1, "")
    assert 'pip install "herenow[server,redis]"' in result.stderr


def test_an_engine_of_its_own_needs_no_redis() -> None:
    program = (
        "import sys, herenow.compose;"
        "print([m for m in sys.modules if m.split('.')[0] in ('redis', 'hiredis')"
        " or m.startswith('herenow.cluster.redis')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert result.stdout == "[]\n"


def test_an_unknown_flag_ends_with_2() -> None:
    assert herenow("serve", "--prot", "1").returncode == 2


@pytest.mark.parametrize(
    ("taken", "free"), [("--port", "--admin-port"), ("--admin-port", "--port")]
)
def test_a_port_in_use_ends_with_1_and_is_named(taken: str, free: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = str(occupant.getsockname()[1])

        result = herenow("serve", taken, port, free, "0")

    assert (result.returncode, result.stdout) == (1, "")
    assert port in result.stderr
    assert "Traceback" not in result.stderr


def test_the_command_line_loads_nothing_of_the_server() -> None:
    program = (
        "import sys, herenow; assert not any(m.startswith('herenow.') for m in sys.modules);"
        "import herenow.cli, herenow.log;"
        "extra = {'httptools', 'uvloop', 'structlog', 'prometheus_client', 'starlette', 'uvicorn'};"
        "print(sorted(extra & set(sys.modules)), 'herenow.compose' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert result.stdout == "[] False\n"


def without(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``herenow`` where *module* is not installed."""
    program = (
        "import importlib.util as u; found = u.find_spec;"
        f"u.find_spec = lambda name, *more: None if name == {module!r} else found(name, *more);"
        f"from herenow.cli import main; main({list(arguments)!r})"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_the_server_extra_it_is_said_what_to_install() -> None:
    result = without("starlette", "serve", "--port", "0")

    assert (result.returncode, result.stdout) == (1, "")
    assert 'pip install "herenow[server]"' in result.stderr
