"""The page about webhooks: its signatures are right, and its receiver takes each event once."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from conformance.harness.signing import compact, hmac_hex
from docs.pages import snippet, snippets
from herenow import Channels

PAGE: Final = "topics/webhooks.md"
KEY: Final = "a1b2c3d4e5f60718293a"
SECRET: Final = "0f1e2d3c4b5a69788796"


def sample() -> tuple[dict[str, str], str]:
    """Headers and body of the request that the page shows."""
    (text,) = [block.text for block in snippets(PAGE) if block.language == "http"]
    head, _, body = text.partition("\n\n")
    lines = head.splitlines()[1:]
    return dict(line.split(": ", 1) for line in lines), body.rstrip("\n")


def test_the_commands_print_the_signatures_of_the_sample() -> None:
    """Whoever follows the page in another language has numbers to compare with."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    headers, _ = sample()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", snippet(PAGE, "the signatures")],
        capture_output=True,
        check=True,
        text=True,
    )
    shown = [headers["X-Pusher-Signature"], headers["X-Herenow-Signature"]]
    assert done.stdout.split() == shown


def test_the_sample_is_what_the_sdk_believes() -> None:
    """The request of the page is one that a receiver takes."""
    headers, body = sample()
    channels = Channels("1", KEY, SECRET)
    webhook = channels.webhook(headers, body.encode(), max_age_seconds=None, require_ids=True)
    (event,) = webhook["events"]
    assert event["id"] == headers["X-Herenow-Event-Ids"]
    assert event["sequence"] == int(headers["X-Herenow-Sequences"])


def request(events: list[tuple[str, str, str]], now_ms: int) -> tuple[dict[str, str], bytes]:
    """A webhook of the built-in application with (id, name, user) of one channel."""
    body = compact(
        {
            "time_ms": now_ms,
            "events": [
                {"name": name, "channel": "presence-room", "user_id": user}
                for _, name, user in events
            ],
        }
    )
    ids = ",".join(id_ for id_, _, _ in events)
    sequences = ",".join("1" for _ in events)
    timestamp = str(now_ms // 1000)
    secret = "herenow-secret"
    headers = {
        "Content-Type": "application/json",
        "X-Pusher-Key": "herenow-key",
        "X-Pusher-Signature": hmac_hex(secret, body),
        "X-Herenow-Event-Ids": ids,
        "X-Herenow-Sequences": sequences,
        "X-Herenow-Attempt": "1",
        "X-Herenow-Timestamp": timestamp,
        "X-Herenow-Signature": hmac_hex(secret, f"{timestamp}\n{ids}\n{sequences}\n{body}"),
    }
    return headers, body.encode()


def client_of(title: str) -> Any:
    """Makes requests of the program that the page shows for *title*."""
    module: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(snippet(PAGE, title), title, "exec"), module)
    if title == "Flask":
        return module["app"].test_client()
    from starlette.testclient import TestClient

    return TestClient(module["app"])


@pytest.mark.parametrize("title", ["Flask", "FastAPI"])
def test_the_receivers_take_each_event_once(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repetition has no effect, and what nobody signed is refused."""
    needed = ("flask",) if title == "Flask" else ("fastapi", "sqlalchemy", "aiosqlite")
    for name in needed:
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    now = int(time.time() * 1000)
    added = request([("e-1", "member_added", "ada"), ("e-2", "member_added", "bea")], now)
    removed = request([("e-3", "member_removed", "ada")], now)

    def members() -> list[tuple[str, str]]:
        with sqlite3.connect("backend.db") as database:
            found = database.execute("SELECT channel, user FROM members ORDER BY user").fetchall()
        database.close()
        return found

    def post(client: Any, headers: dict[str, str], body: bytes) -> int:
        content = {"data": body} if title == "Flask" else {"content": body}
        return int(client.post("/webhooks", headers=headers, **content).status_code)

    with client_of(title) as client:
        assert post(client, *added) == 204
        assert members() == [("presence-room", "ada"), ("presence-room", "bea")]
        assert post(client, *removed) == 204
        assert post(client, *added) == 204
        assert members() == [("presence-room", "bea")]
        assert post(client, added[0], added[1].replace(b"ada", b"eve")) == 401
        assert members() == [("presence-room", "bea")]
