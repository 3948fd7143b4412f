"""``herenow apps``: what it prints, and with which exit code."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path

import pytest

from apps.live import configure, run_apps
from herenow.store.sealing import new_key

SQLITE = "sqlite:///herenow.db"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a configuration with a store and a key is."""
    configure(tmp_path, SQLITE, [new_key()])
    return tmp_path


def done(directory: Path, *arguments: str) -> str:
    """What a command prints that ends with 0 and complains of nothing."""
    ran = run_apps(directory, *arguments)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def refused(ran: subprocess.CompletedProcess[str], code: int) -> str:
    assert (ran.returncode, ran.stdout) == (code, ""), ran.stderr
    return ran.stderr


def made(directory: Path, *arguments: str) -> dict[str, str]:
    answer: dict[str, str] = json.loads(done(directory, "create", "--json", *arguments))
    return answer


def test_a_key_is_printed_and_written_nowhere(tmp_path: Path) -> None:
    """32 bytes in base64, another each time."""
    keys = {done(tmp_path, "key").strip() for _ in range(2)}
    assert [len(base64.b64decode(key, validate=True)) for key in keys] == [32, 32]
    assert list(tmp_path.iterdir()) == []


def test_without_a_key_nothing_is_made(tmp_path: Path) -> None:
    """The error names the command that makes one, and there is no file."""
    configure(tmp_path, SQLITE, [])
    assert "herenow apps key" in refused(run_apps(tmp_path, "create"), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["herenow.toml"]


def test_a_secret_is_shown_once(directory: Path) -> None:
    """By the command that made it; what shows the application later says YOUR_SECRET."""
    told = done(directory, "create")
    found = re.search(
        r"PUSHER_APP_ID=(\d+)\n +PUSHER_APP_KEY=(\w+)\n +PUSHER_APP_SECRET=(\w+)", told
    )
    assert found, told
    app_id, key, secret = found.groups()
    later = [
        done(directory, "list"),
        done(directory, "list", "--json"),
        done(directory, "show", app_id),
        done(directory, "show", app_id, "--json"),
        done(directory, "disable", app_id),
        done(directory, "enable", app_id),
        done(directory, "set", app_id, "client_events=true"),
    ]
    assert secret not in "".join(later)
    assert all(key in text for text in later[:4])
    assert "PUSHER_APP_SECRET=YOUR_SECRET" in later[2]
    rotated = done(directory, "rotate", app_id)
    assert secret not in rotated
    assert len(re.findall(r"PUSHER_APP_SECRET=[0-9a-f]{40}\n", rotated)) == 1
    assert f"herenow apps rotate {app_id} --finish" in rotated


def test_settings_come_from_a_file_and_from_the_command_line(directory: Path) -> None:
    """The command line wins; header values and the query of a URL are not shown."""
    (directory / "chat.toml").write_text(
        "client_events = true\nleave_grace_seconds = 5\n[limits]\nmax_watchlist = 7\n"
        '[[webhooks]]\nurl = "https://example.com/hook?token=marked-query-1"\n'
        'events = ["member_added"]\nheaders = { X-Token = "marked-header-1" }\n'
    )
    app = made(directory, "--settings", "chat.toml", "--set", "leave_grace_seconds=9")
    shown = json.loads(done(directory, "show", app["id"], "--json"))
    assert shown["keys"] == [app["key"]]
    assert shown["settings"] == {
        "client_events": True,
        "leave_grace_seconds": 9.0,
        "limits": {"max_watchlist": 7},
        "webhooks": [
            {
                "url": "https://example.com/hook?…",
                "events": ["member_added"],
                "headers": {"X-Token": "…"},
            }
        ],
    }
    done(directory, "set", app["id"], "limits.max_connections=3", "webhooks=[]")
    shown = json.loads(done(directory, "show", app["id"], "--json"))
    assert shown["settings"]["limits"] == {"max_watchlist": 7, "max_connections": 3}
    assert "webhooks" not in shown["settings"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("leave_grace=3", "app.leave_grace: unknown setting, did you mean"),
        ("leave_grace_seconds=-1", "app.leave_grace_seconds: expected a number of seconds"),
        ("limits.max_watchlist=x", "app.limits.max_watchlist: expected an integer"),
        ("limits=5", "app.limits: expected a table"),
        ("webhooks.3.url=http://h/", "app.webhooks.3.url: expected numbers that follow"),
        ("webhooks.0.url=ftp://h/", "app.webhooks[0].url: expected an http or https URL"),
        ("secret=abc", "app.secret: expected other settings"),
        ("nothing", "expected NAME=VALUE"),
    ],
)
def test_wrong_settings_are_refused_by_the_rules_of_the_configuration(
    directory: Path, given: str, told: str
) -> None:
    """With exit code 2, by create and set alike, and nothing changes."""
    assert told in refused(run_apps(directory, "create", "--set", given), 2)
    app = made(directory)
    assert told in refused(run_apps(directory, "set", app["id"], given), 2)
    assert json.loads(done(directory, "show", app["id"], "--json"))["settings"] == {}
    assert len(json.loads(done(directory, "list", "--json"))["apps"]) == 1


def test_deleting_asks_first(directory: Path) -> None:
    """Where nobody answers it does nothing and exits with 2; --yes says it."""
    app = made(directory, "--id", "42")
    assert "--yes" in refused(run_apps(directory, "delete", app["id"]), 2)
    assert "42" in done(directory, "list")
    done(directory, "delete", "42", "--yes")
    assert done(directory, "list") == ""
    assert "never used again" in refused(run_apps(directory, "create", "--id", "42"), 1)


@pytest.mark.parametrize("command", ["show", "rotate", "enable", "disable", "delete"])
def test_an_unknown_application_is_an_error(directory: Path, command: str) -> None:
    """With exit code 1; where there is no store, none is made."""
    assert "no application 5" in refused(run_apps(directory, command, "5"), 1)
    assert not (directory / "herenow.db").exists()


@pytest.mark.parametrize("app_id", ["x", "0", "-1", "1" * 30, "1.5"])
def test_ids_are_numbers(directory: Path, app_id: str) -> None:
    """Anything else is wrong usage."""
    assert "expected a number" in refused(run_apps(directory, "create", f"--id={app_id}"), 2)


def test_resealing_lets_the_old_key_go(directory: Path) -> None:
    """What no key opens is named, with exit code 1."""
    old, new = new_key(), new_key()
    configure(directory, SQLITE, [old])
    app = made(directory)
    configure(directory, SQLITE, [new, old])
    assert done(directory, "reseal") == "1 applications are sealed with the first key\n"
    configure(directory, SQLITE, [old])
    ran = run_apps(directory, "reseal")
    assert ran.returncode == 1
    assert app["id"] in ran.stderr
    configure(directory, SQLITE, [new])
    assert len(json.loads(done(directory, "rotate", app["id"], "--json"))["keys"]) == 2


def test_a_configuration_that_cannot_be_used_is_wrong_usage(directory: Path) -> None:
    """The password of the store is not shown."""
    configure(directory, "oracle://user:marked-password-1@h/x", [])
    told = refused(run_apps(directory, "list"), 2)
    assert "store.url" in told
    assert "marked-password-1" not in told


def test_a_store_that_is_away_is_an_error(directory: Path) -> None:
    """With exit code 1, and without the password."""
    configure(directory, "mysql://user:marked-password-1@127.0.0.1:1/x", [])
    told = refused(run_apps(directory, "list"), 1)
    assert "the database server" in told
    assert "marked-password-1" not in told
