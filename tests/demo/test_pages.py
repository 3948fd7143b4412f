"""The page, its files, and what every answer carries."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import httpx2
import pytest

from demo.serving import Chat, running_chat
from demo.visitor import Visitor
from herenow.demo.pages import STATIC


def test_the_policy_forbids_everything_that_is_not_from_here(stranger: Visitor) -> None:
    server = stranger.chat.server
    for path in ("/", "/session", "/static/main.js", "/nothing", "/sign-in"):
        headers = stranger.http.get(path).headers
        rules = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == "'self'"
        assert rules["style-src"] == "'self'"
        assert rules["frame-ancestors"] == "'none'"
        address = f"{server.host}:{server.port}"
        assert rules["connect-src"] == f"'self' ws://{address} wss://{address}"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_nothing_of_the_page_is_inline() -> None:
    page = (STATIC / "index.html").read_text()
    assert re.search(r"<[^>]*\s(on\w+|style)=", page) is None
    assert page.count("<script") == page.count("<script src=")


def test_no_script_of_the_page_makes_markup_of_text() -> None:
    scripts = list(STATIC.glob("*.js"))
    assert scripts
    for script in scripts:
        found = re.search(r"HTML|document\.write|\beval\b|new Function", script.read_text())
        assert found is None, f"{script.name}: {found}"


@pytest.mark.parametrize(
    "path",
    ["/static/", "/static/../app.py", "/static/%2e%2e/app.py", "/static/index.html", "/static//x"],
)
def test_no_other_file_is_served(stranger: Visitor, path: str) -> None:
    response = stranger.http.get(path)
    assert response.status_code == 404
    assert response.text.endswith(".")


def test_other_methods_and_addresses_get_a_sentence(stranger: Visitor) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/messages", 405),
        ("POST", "/session", 405),
        ("PUT", "/messages", 405),
        ("DELETE", "/session", 405),
        ("OPTIONS", "/messages", 405),
    ):
        response = stranger.http.request(method, path)
        assert response.status_code == status
        assert response.headers["content-type"].startswith("text/plain")
        assert response.text.endswith(".")
        assert "access-control-allow-origin" not in response.headers


def test_without_pusher_js_the_page_says_what_is_missing(chat: Chat, tmp_path: Path) -> None:
    static = tmp_path / "static"
    shutil.copytree(STATIC, static, ignore=shutil.ignore_patterns("vendor"))
    with running_chat(chat.server, static) as incomplete:
        page = httpx2.get(incomplete.url, trust_env=False)
    assert page.status_code == 200
    assert "static/vendor/pusher.min.js" in page.text
    assert "scripts/vendor.py" in page.text
    assert "<script" not in page.text
