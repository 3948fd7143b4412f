"""``herenow apps``: what it prints, and with which exit code."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from apps.live import STATIC, configure, run_apps
from herenow.cli.app_stores import shown_store
from herenow.store.sealing import new_key

SQLITE: Final = "sqlite:///herenow.db"


LISTED: Final = r" *(\d+)  (\w+) +(\w+) +(.+)"
OF_THE_CONFIGURATION: Final = """
[[apps]]
id = "7"
keys = [{ key = "old-key", secret = "marked-old" }, { key = "new-key", secret = "marked-new" }]
client_events = true
limits = { max_watchlist = 9 }
[[apps.webhooks]]
url = "https://example.com/hook?token=marked-query"
events = ["member_added"]
headers = { X-Token = "marked-header" }
"""


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


def listed(directory: Path) -> list[dict[str, Any]]:
    ran = run_apps(directory, "list", "--json")
    lines: list[dict[str, Any]] = json.loads(ran.stdout)["apps"]
    return lines


def damage(directory: Path, app_id: str) -> None:
    """Make unreadable what the store has of an application."""
    database = sqlite3.connect(directory / "herenow.db")
    with database:
        database.execute("UPDATE herenow_apps SET settings = '{' WHERE id = ?", (app_id,))
    database.close()


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


def test_settings_of_an_application_stand_alone_in_their_file(directory: Path) -> None:
    """Whoever copies them from a configuration is told what to leave out."""
    (directory / "chat.toml").write_text('[[apps.webhooks]]\nurl = "https://example.com/"\n')
    told = refused(run_apps(directory, "create", "--settings", "chat.toml"), 2)
    assert "[[webhooks]] for [[apps.webhooks]]" in told


def test_a_rotation_says_which_key_it_withdraws(directory: Path) -> None:
    app = made(directory)
    done(directory, "rotate", app["id"])
    again = run_apps(directory, "rotate", app["id"])
    assert again.returncode == 0
    assert f"key {app['key']} is withdrawn" in again.stderr


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
    assert [line["id"] for line in listed(directory)] == ["7", app["id"]]


def test_deleting_asks_first(directory: Path) -> None:
    """Where nobody answers it does nothing and exits with 2; --yes says it."""
    app = made(directory, "--id", "42")
    assert "--yes" in refused(run_apps(directory, "delete", app["id"]), 2)
    assert "42" in done(directory, "list")
    done(directory, "delete", "42", "--yes")
    assert [line["id"] for line in listed(directory)] == ["7"]
    assert "never used again" in refused(run_apps(directory, "create", "--id", "42"), 1)


@pytest.mark.parametrize("command", ["show", "rotate", "enable", "disable", "delete"])
def test_an_unknown_application_is_an_error(directory: Path, command: str) -> None:
    """With exit code 1; it is said where was looked. Where there is no store, none is made."""
    told = refused(run_apps(directory, command, "5"), 1)
    assert "no application 5 in the store (sqlite:///herenow.db, which does not exist yet)" in told
    assert "none in the configuration file herenow.toml" in told
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
    assert done(directory, "reseal") == "1 application is sealed with the first key\n"
    configure(directory, SQLITE, [old])
    ran = run_apps(directory, "reseal")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert f"no key opens the secrets of 1 application: {app['id']};" in ran.stderr
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


def test_an_application_of_the_configuration_is_shown(directory: Path) -> None:
    """With where it is changed, and what differs from the defaults; nothing in it is secret."""
    configure(directory, SQLITE, [], OF_THE_CONFIGURATION)
    told = done(directory, "show", "7")
    assert told.startswith(
        "application 7, enabled, from the configuration file herenow.toml: change it there\n"
        "  client_events = true\n"
        '  limits = {"max_watchlist": 9}\n'
        '  webhooks = [{"url": "https://example.com/hook?…", "events": ["member_added"],'
        ' "headers": {"X-Token": "…"}}]\n'
        "  key old-key (older)\n"
        "  key new-key (newer)\n"
    )
    assert "PUSHER_APP_SECRET=YOUR_SECRET" in told
    shown = json.loads(done(directory, "show", "7", "--json"))
    assert (shown["source"], shown["keys"]) == ("configuration", ["old-key", "new-key"])
    assert "marked" not in told + json.dumps(shown)
    assert not (directory / "herenow.db").exists()


def test_an_application_of_the_configuration_is_changed_there(directory: Path) -> None:
    """The commands that change those of the store say so, with exit code 1."""
    told = refused(run_apps(directory, "disable", "7"), 1)
    assert "it comes from the configuration file herenow.toml, and is changed there" in told


def test_the_built_in_application_is_shown_as_such(directory: Path) -> None:
    """It cannot be changed; the command that makes another is named."""
    configure(directory, SQLITE, [], "")
    assert done(directory, "show", "1").startswith("application 1, enabled, built in, until ")
    told = refused(run_apps(directory, "disable", "1"), 1)
    assert "herenow apps create --config herenow.toml" in told


def test_a_store_without_applications(directory: Path) -> None:
    """The command that makes one is named, beside the configured ones and where there are none."""
    for more, shown in (("", ""), (STATIC, "7")):
        configure(directory, SQLITE, [new_key()], more)
        ran = run_apps(directory, "list")
        assert (ran.returncode, shown in ran.stdout, bool(ran.stdout)) == (0, True, bool(shown))
        assert "no application in the store (sqlite:///herenow.db) yet" in ran.stderr
        assert "herenow apps create --config herenow.toml makes one" in ran.stderr


def test_the_list_says_where_each_comes_from(directory: Path) -> None:
    """Under headings, with the keys oldest first."""
    app = made(directory)
    rotated = json.loads(done(directory, "rotate", app["id"], "--json"))
    made(directory, "--id", "42")
    done(directory, "disable", "42")
    heading, *lines = done(directory, "list").splitlines()
    assert re.findall(r"\w+", heading) == ["ID", "STATE", "FROM", "KEYS", "OLDEST", "FIRST"]
    columns = [re.fullmatch(LISTED, line) for line in lines]
    assert [column and column.groups()[:3] for column in columns] == [
        ("7", "enabled", "configuration"),
        ("42", "disabled", "store"),
        (app["id"], "enabled", "store"),
    ]
    assert lines[-1].endswith(f"  {app['key']} {rotated['key']}")


def test_one_that_the_configuration_has_too_is_not_served(directory: Path) -> None:
    """The list says so of that in the store."""
    made(directory, "--id", "42")
    configure(directory, SQLITE, [new_key()], STATIC.replace('"7"', '"42"'))
    ran = run_apps(directory, "list")
    assert [line["state"] for line in listed(directory)] == ["enabled", "overridden"]
    assert (ran.returncode, "the configuration has the same id: 42" in ran.stderr) == (0, True)


def test_what_cannot_be_read_does_not_hide_the_others(directory: Path) -> None:
    """It is marked, the exit code is 1, and it can be deleted."""
    for app_id in ("41", "42", "43"):
        made(directory, "--id", app_id)
    damage(directory, "42")
    ran = run_apps(directory, "list")
    assert ran.returncode == 1
    assert [line.split()[:2] for line in ran.stdout.splitlines()[2:]] == [
        ["41", "enabled"],
        ["42", "unreadable"],
        ["43", "enabled"],
    ]
    assert "1 application of the store cannot be read and is not served: 42;" in ran.stderr
    assert "application 42 in the store cannot be read" in refused(
        run_apps(directory, "show", "42"), 1
    )
    done(directory, "delete", "42", "--yes")
    # A key may have these digits, too.
    assert "42" not in [line.split()[0] for line in done(directory, "list").splitlines()]


def test_one_that_is_sealed_with_another_key_is_not_shown_as_enabled(directory: Path) -> None:
    """List and show say what to do: give the key, or rotate where there is one to seal with."""
    app_id = made(directory)["id"]
    for keys, told, rotate in (([new_key()], "none of", True), ([], "no store.secret_key", False)):
        configure(directory, SQLITE, keys)
        assert listed(directory)[-1]["state"] == "sealed"
        for command in (["list"], ["show", app_id]):
            ran = run_apps(directory, *command)
            assert (ran.returncode, "enabled" in ran.stdout.splitlines()[-1]) == (0, False)
            assert "sealed" in ran.stdout
            assert told in ran.stderr
            assert "give the key that sealed it" in ran.stderr
            assert (f"herenow apps rotate {app_id}" in ran.stderr) is rotate
    configure(directory, SQLITE, [new_key()])
    assert "sealed with another key" in run_apps(directory, "show", app_id).stdout


def test_of_two_keys_the_older_is_named(directory: Path) -> None:
    """With the command that withdraws it; the snippet has the newer one."""
    app = made(directory)
    newer = json.loads(done(directory, "rotate", app["id"], "--json"))["key"]
    told = done(directory, "show", app["id"])
    finish = f"herenow apps rotate {app['id']} --finish --config herenow.toml"
    assert f"  key {app['key']} (older, until {finish})\n  key {newer} (newer)\n" in told
    assert re.findall("PUSHER_APP_KEY=(.+)", told) == [newer]


def test_resealing_nothing_and_many_is_said_in_words(directory: Path) -> None:
    """No applications, or two."""
    assert done(directory, "reseal") == "no applications are sealed with the first key\n"
    for _ in range(2):
        made(directory)
    assert done(directory, "reseal") == "2 applications are sealed with the first key\n"


def test_where_the_store_is_is_told_without_a_password() -> None:
    """Nor with parameters, which may hold one."""
    url = "postgresql://user:marked-password-1@db.example:5432/name?password=marked-password-2"
    assert shown_store(url) == "postgresql://db.example:5432/name"
