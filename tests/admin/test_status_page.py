"""The status page shows who is online, as text, and keeps itself current."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from admin.conftest import APPS, PASSWORD
from admin.reader import Reader
from conformance.harness.server import Server
from conformance.harness.service import Service
from herenow.admin.pages import STATIC, VENDORED

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"

needs_vendor = pytest.mark.skipif(
    not all((STATIC / name).is_file() for name in VENDORED),
    reason="run python scripts/vendor.py first",
)


@pytest.fixture
def problems() -> list[str]:
    """What the browser complained about."""
    return []


@pytest.fixture
def page(chromium: Browser, server: Server, problems: list[str]) -> Iterator[Page]:
    assert server.admin is not None
    context = chromium.new_context(base_url=f"http://{server.admin.authority}")
    page = context.new_page()
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()


@needs_vendor
def test_it_shows_who_is_in_the_fullest_presence_channel(
    service: Service, page: Page, problems: list[str]
) -> None:
    service.connect().join("presence-room", "ada", {"name": "Ada Lovelace"})
    service.connect().join("presence-room", "bob")
    service.connect().join("presence-hall", "ada")
    page.goto("/")

    expect(page.locator(".members h2")).to_have_text("presence-room")
    expect(page.locator(".members li")).to_have_count(2)
    expect(page.locator(".members li").first).to_contain_text("Ada Lovelace")
    expect(page.locator(".channels li")).to_have_count(2)
    article = page.locator("article", has=page.get_by_role("link", name="app 1", exact=True))
    expect(article.locator("dd")).to_have_text(["3", "0", "3", "2"])
    assert problems == []


@needs_vendor
def test_it_follows_what_happens(service: Service, page: Page) -> None:
    page.goto("/")
    expect(page.locator(".channels")).to_contain_text("No presence channel is occupied")
    first, second = service.connect(), service.connect()
    first.join("presence-room", "ada")
    expect(page.locator(".members li")).to_have_count(1)
    second.join("presence-room", "bob")
    expect(page.locator(".members li")).to_have_count(2)
    first.close()
    expect(page.locator(".members li")).to_have_count(1)
    expect(page.locator(".members")).to_contain_text("bob")


@needs_vendor
def test_a_member_without_connections_is_leaving(service: Service, page: Page) -> None:
    lost = service.connect("patient")
    lost.join("presence-porch", "ada")
    lost.reset()
    page.goto(f"/#app={APPS['patient'].id}&channel=presence-porch")
    expect(page.locator(".members li", has_text="ada")).to_contain_text("leaving")


@needs_vendor
def test_another_channel_and_another_app_can_be_chosen(service: Service, page: Page) -> None:
    service.connect().join("presence-hall", "ada")
    service.connect().join("presence-room", "bob")
    service.connect("other").join("presence-yard", "eve")
    page.goto("/")
    page.get_by_role("link", name="room").click()
    expect(page.locator(".members li")).to_contain_text(["bob"])
    page.get_by_role("link", name="app other-app").click()
    expect(page.locator(".members li")).to_contain_text(["eve"])
    page.go_back()
    expect(page.locator(".members li")).to_contain_text(["bob"])


@needs_vendor
def test_text_from_outside_stays_text(service: Service, page: Page, problems: list[str]) -> None:
    service.connect().join("presence-room", "<b>id</b>", {"name": HOSTILE})
    page.goto("/")
    expect(page.locator(".members li bdi")).to_have_text(HOSTILE)
    expect(page.locator(".members li code")).to_have_text("<b>id</b>")
    assert page.title() == "herenow"
    assert page.locator(".members img").count() == 0
    assert problems == []


@needs_vendor
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_phones_and_desktops(service: Service, page: Page, width: int) -> None:
    service.connect().join("presence-" + "room" * 30, "ada" * 30, {"name": "A" * 200})
    page.set_viewport_size({"width": width, "height": 700})
    page.goto("/")
    expect(page.locator(".members li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@needs_vendor
def test_with_a_password_the_browser_asks_for_it(chromium: Browser, locked_server: Server) -> None:
    assert locked_server.admin is not None
    address = f"http://{locked_server.admin.authority}/"
    context = chromium.new_context(http_credentials={"username": "me", "password": PASSWORD})
    page = context.new_page()
    page.goto(address)
    expect(page.locator(".state")).to_contain_text("Live")
    context.close()


def test_it_is_one_page_whose_files_are_all_ours(reader: Reader) -> None:
    answer = reader.ask("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "http:" not in answer.text
    assert "https:" not in answer.text
    assert "<style" not in answer.text
    assert "onload" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/vendor",
        "/static/../pages.py",
        "/static/..%2fpages.py",
        "/static/%2e%2e/pages.py",
        "/static//etc/passwd",
        "/static/vendor/preact.LICENSE/../../../pages.py",
    ],
)
def test_no_other_file_is_served(reader: Reader, path: str) -> None:
    assert reader.ask(path).status == 404
