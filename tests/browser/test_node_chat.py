"""Two people in two browsers use the chat of ``examples/node-chat``."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pusher
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.program import Program
from browser.visitors import Visitors
from compat.serving import DEFAULT_APP, Server

SALES = "presence-business-sales"
GAMING = "presence-gaming"

GRACE_MS = 3_000
AFTER_GRACE_MS = 10_000
RECONNECT_MS = 40_000


class Chatters(Visitors):
    """The visitors of the chat."""

    def enter(self, name: str, room: str = SALES) -> Page:
        """Open a tab of *name* in *room*, and pick the person in the first one."""
        first = self.is_new(name)
        page = self.open(name, f"/#{room}")
        if first:
            page.get_by_role("button", name=name, exact=True).click()
        expect(page.get_by_role("status")).to_have_text("Connected")
        expect(member(page, name)).to_be_visible()
        return page


@pytest.fixture
def visitors(chromium: Browser, node_chat: Program) -> Iterator[Chatters]:
    visitors = Chatters(chromium, node_chat.url)
    yield visitors
    visitors.close()


def members(page: Page) -> Locator:
    return page.get_by_role("complementary").get_by_role("listitem")


def member(page: Page, name: str) -> Locator:
    return members(page).filter(has_text=name)


def notes(page: Page) -> list[str]:
    """Who came and went, as the conversation tells it."""
    return page.get_by_role("log").locator(".note").all_inner_texts()


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send").click()


def expect_message(page: Page, sender: str, text: str) -> None:
    message = page.get_by_role("log").get_by_role("listitem").filter(has_text=text)
    expect(message).to_contain_text(sender)


def test_who_is_here(visitors: Chatters) -> None:
    emily = visitors.enter("Emily")
    expect(members(emily)).to_have_count(1)

    john = visitors.enter("John")
    expect(members(john)).to_have_count(2)
    expect(member(emily, "John")).to_be_visible()
    assert notes(emily) == ["John joined"]

    second_tab = visitors.enter("John")
    say(second_tab, "from my second tab")
    expect_message(emily, "John", "from my second tab")
    john.close()
    say(second_tab, "the first tab is closed")
    expect_message(emily, "John", "the first tab is closed")
    assert notes(emily) == ["John joined"]
    expect(members(emily)).to_have_count(2)

    second_tab.close()
    expect(members(emily)).to_have_count(1, timeout=AFTER_GRACE_MS)
    assert notes(emily) == ["John joined", "John left"]
    assert visitors.complaints == []


def test_a_reload_is_no_departure(visitors: Chatters) -> None:
    emily, john = visitors.enter("Emily"), visitors.enter("John")
    expect(members(emily)).to_have_count(2)
    john.reload()
    expect(members(john)).to_have_count(2)
    # A departure would show once the grace is over, so this watches for longer.
    emily.wait_for_timeout(GRACE_MS + 1_000)
    assert notes(emily) == ["John joined"]
    expect(members(emily)).to_have_count(2)


def test_leaving_a_room_shows_at_once(visitors: Chatters) -> None:
    emily, john = visitors.enter("Emily"), visitors.enter("John")
    expect(members(emily)).to_have_count(2)
    john.get_by_role("link", name="Music").click()
    expect(members(john)).to_have_count(1)
    expect(members(emily)).to_have_count(1, timeout=GRACE_MS - 500)


def test_the_admin_is_one_in_business_rooms_only(visitors: Chatters) -> None:
    emily, john = visitors.enter("Emily"), visitors.enter("John")
    for page in (emily, john):
        expect(member(page, "Emily")).to_contain_text("Admin")
        expect(member(page, "John")).not_to_contain_text("Admin")
    for page in (emily, john):
        page.get_by_role("link", name="Gaming").click()
    for page in (emily, john):
        expect(member(page, "Emily")).to_be_visible()
        expect(member(page, "John")).to_be_visible()
        expect(page.get_by_text("Admin")).to_have_count(0)


def test_messages_are_text(visitors: Chatters) -> None:
    emily, john = visitors.enter("Emily", GAMING), visitors.enter("John", GAMING)
    markup = "<img src=x onerror=alert(1)> <b>Grüße</b> ☕"
    say(john, markup)
    for page in (emily, john):
        expect_message(page, "John", markup)
        expect(page.get_by_role("log").locator("img, b")).to_have_count(0)
    expect(john.get_by_label("Message", exact=True)).to_have_value("")
    assert visitors.complaints == []


def test_messages_stay_in_their_room(visitors: Chatters) -> None:
    emily, john = visitors.enter("Emily", GAMING), visitors.enter("John")
    say(john, "for the sales room")
    expect_message(john, "John", "for the sales room")
    john.get_by_role("link", name="Gaming").click()
    expect(members(john)).to_have_count(2)
    say(john, "for everybody who plays")
    expect_message(emily, "John", "for everybody who plays")
    assert "for the sales room" not in emily.get_by_role("log").inner_text()


def test_a_restart_of_the_server(visitors: Chatters, server: Server) -> None:
    emily = visitors.enter("Emily")
    server.stop()
    expect(emily.get_by_role("status")).to_have_text("Reconnecting…")
    server.start()
    expect(emily.get_by_role("status")).to_have_text("Connected", timeout=RECONNECT_MS)
    expect(members(emily)).to_have_count(1)
    john = visitors.enter("John")
    say(john, "we are back")
    expect_message(emily, "John", "we are back")


def test_a_terminated_person_may_connect_again(visitors: Chatters, server: Server) -> None:
    emily = visitors.enter("Emily")
    backend = pusher.Pusher(
        DEFAULT_APP.id,
        DEFAULT_APP.key,
        DEFAULT_APP.secret,
        ssl=False,
        host=server.host,
        port=server.port,
    )
    backend.terminate_user_connections("emily")
    expect(emily.get_by_role("status")).to_have_text("Disconnected")
    emily.get_by_role("button", name="Connect again").click()
    expect(emily.get_by_role("status")).to_have_text("Connected")
    expect(members(emily)).to_have_count(1)


def test_signing_out_ends_it_in_every_tab(visitors: Chatters) -> None:
    first, second = visitors.enter("Emily"), visitors.enter("Emily")
    first.get_by_role("button", name="Sign out").click()
    for page in (first, second):
        expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()


def test_the_keyboard_is_enough(visitors: Chatters) -> None:
    emily = visitors.enter("Emily")
    emily.get_by_role("link", name="Gaming").focus()
    emily.keyboard.press("Enter")
    expect(emily.get_by_role("heading", name="Gaming")).to_be_visible()
    expect(members(emily)).to_have_count(1)
    emily.get_by_label("Message", exact=True).focus()
    emily.keyboard.type("first line")
    emily.keyboard.press("Shift+Enter")
    emily.keyboard.type("second line")
    emily.keyboard.press("Enter")
    expect_message(emily, "Emily", "first line\nsecond line")


def test_no_host_but_ours_is_contacted(visitors: Chatters, server: Server) -> None:
    """Statement 156."""
    emily = visitors.enter("Emily")
    say(emily, "hello")
    expect_message(emily, "Emily", "hello")
    ours = {urlsplit(visitors.url).netloc, f"{server.host}:{server.port}"}
    assert {urlsplit(address).netloc for address in visitors.addresses} == ours
    assert visitors.complaints == []
