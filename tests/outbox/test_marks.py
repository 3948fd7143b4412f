"""The search for secrets finds them however they are written."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from outbox.configured import leaks_below
from outbox.marks import Marks

SECRET = 'marked/+%"é&secret'


@pytest.mark.parametrize(
    "write",
    [
        str.encode,
        lambda secret: json.dumps({"secret": secret}).encode(),
        lambda secret: repr({"secret": secret}).encode(),
        lambda secret: quote(secret, safe="").encode(),
        lambda secret: quote(secret).encode(),
        lambda secret: secret.encode().hex().encode(),
        lambda secret: secret.encode().hex().upper().encode(),
        lambda secret: base64.b64encode(secret.encode()),
        lambda secret: base64.b64encode(f"u:{secret}".encode()),
        lambda secret: base64.b64encode(f"user:{secret}:more".encode()),
        lambda secret: base64.urlsafe_b64encode(f"a:{secret}".encode()),
    ],
)
def test_a_secret_is_found_in_every_form(write: Callable[[str], bytes]) -> None:
    """Whatever stands before and after it."""
    written = b"before " + write(SECRET) + b" after"
    marks = Marks({"the secret": SECRET})
    assert {leak.name for leak in marks.leaks("somewhere", written)} == {"the secret"}


def test_other_text_is_no_leak() -> None:
    marks = Marks({"the secret": SECRET})
    assert marks.leaks("somewhere", b"marked and secret " * 100) == []


def test_files_are_searched(tmp_path: Path) -> None:
    """A leak says in which file it is."""
    (tmp_path / "log").write_text(f"it is {SECRET}")
    (tmp_path / "other").write_text("nothing")
    (leak,) = Marks({"the secret": SECRET}).leaks_of_files(sorted(tmp_path.iterdir()))
    assert leak.place == str(tmp_path / "log")


def test_what_a_configuration_calls_secret_is_searched_for_beside_it(tmp_path: Path) -> None:
    """Secrets of apps, passwords of URLs and of the admin port; configurations may hold them."""
    (tmp_path / "herenow.toml").write_text(
        """
        [admin]
        password = "the-admin-password"
        [cluster]
        url = "redis://:the-engine%27s-password@127.0.0.1/0"
        [[apps]]
        id = "1"
        keys = [{ key = "the-key-of-the-app", secret = "the-secret-of-the-app" }]
        """
    )
    log = tmp_path / "nodes" / "log"
    log.parent.mkdir()
    log.write_text("key the-key-of-the-app: the-secret-of-the-app, the-engine's-password")
    found = sorted((leak.name, leak.place) for leak in leaks_below(tmp_path))
    log.unlink()
    assert found == [
        ("herenow.toml: apps[0].keys[0].secret", str(log)),
        ("herenow.toml: cluster.url", str(log)),
    ]
    assert leaks_below(tmp_path) == []
