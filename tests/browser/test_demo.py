"""People in browsers of their own use the chat of ``herenow demo``."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.visitors import Visitors
from compat.serving import DEFAULT_APP, Server
from demo.serving import Chat
from herenow import Channels

SALES = "presence-business-sales"
GAMING = "presence-gaming"

AFTER_GRACE_MS = 10_000
FORGOTTEN_MS = 10_000
OFFLINE_MS = 30_000
RECONNECT_MS = 40_000
LET_IN_MS = 15_000


class Chatters(Visitors):
    """The visitors of the demo. Every page of theirs is marked, so that a reload shows."""

    def enter(self, name: str, room: str = SALES, width: int = 1280, height: int = 800) -> Page:
        """Open a tab of *name* in *room*, and sign in in the first one."""
        first = self.is_new(name)
        page = self.open(name, f"/#{room}", width, height)
        if first:
            choose(page, name)
        expect(state(page)).to_have_text("Connected")
        page.evaluate("window.since = 'the beginning'")
        return page


def choose(page: Page, name: str) -> None:
    """Pick the person of that name, or else type it."""
    expect(page.get_by_role("button", name="Emily", exact=True)).to_be_visible()
    person = page.get_by_role("button", name=name, exact=True)
    if person.count():
        person.click()
        return
    page.get_by_label("Or type a name").fill(name)
    page.get_by_role("button", name="Enter").click()


@pytest.fixture
def visitors(chromium: Browser, demo_chat: Chat) -> Iterator[Chatters]:
    visitors = Chatters(chromium, demo_chat.url)
    yield visitors
    visitors.close()


def state(page: Page) -> Locator:
    return page.get_by_role("status")


def members(page: Page) -> Locator:
    return page.get_by_role("complementary").get_by_role("listitem")


def member(page: Page, name: str) -> Locator:
    return members(page).filter(has=page.get_by_text(name, exact=True))


def notes(page: Page) -> list[str]:
    """Who came and went, as the conversation tells it."""
    return page.get_by_role("log").locator(".note").all_inner_texts()


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send", exact=True).click()


def expect_message(page: Page, sender: str, text: str) -> None:
    message = page.get_by_role("log").get_by_role("listitem").filter(has_text=text)
    expect(message).to_contain_text(sender)


def remove(admin: Page, name: str, reason: str) -> None:
    admin.get_by_role("button", name=f"Manage {name}").click()
    admin.get_by_label("Reason for removing").fill(reason)
    admin.get_by_role("button", name="Remove from chat").click()


def was_reloaded(page: Page) -> bool:
    return bool(page.evaluate("window.since !== 'the beginning'"))


def backend(server: Server) -> Channels:
    return Channels(
        DEFAULT_APP.id, DEFAULT_APP.key, DEFAULT_APP.secret, host=server.host, port=server.port
    )


def test_who_is_here(visitors: Chatters) -> None:
    emily = visitors.enter("Emily")
    expect(members(emily)).to_have_count(1)
    expect(member(emily, "Emily")).to_contain_text("you")

    john = visitors.enter("John")
    expect(members(emily)).to_have_count(2)
    expect(member(emily, "John")).to_contain_text("Key accounts")
    expect(member(emily, "John").locator(".avatar")).to_have_text("J")
    expect(emily.locator("#count")).to_have_text("2")
    assert notes(emily) == ["John joined"]

    second_tab = visitors.enter("John")
    say(second_tab, "from my second tab")
    expect_message(emily, "John", "from my second tab")
    john.close()
    say(second_tab, "the first tab is closed")
    expect_message(emily, "John", "the first tab is closed")
    # A departure would show once the grace is over, so this watches for longer.
    emily.wait_for_timeout(4_000)
    expect(members(emily)).to_have_count(2)
    assert notes(emily) == ["John joined"]

    second_tab.close()
    expect(members(emily)).to_have_count(1, timeout=AFTER_GRACE_MS)
    assert notes(emily) == ["John joined", "John left"]
    assert visitors.complaints == []


def test_a_room_shows_its_own_picture_of_a_person(visitors: Chatters) -> None:
    emily, john = visitors.enter("Emily"), visitors.enter("John")
    for page in (emily, john):
        expect(member(page, "Emily")).to_contain_text("Admin")
        expect(member(page, "Emily")).to_contain_text("Head of sales")
        expect(member(page, "John")).not_to_contain_text("Admin")
    for page in (emily, john):
        page.get_by_role("link", name="Gaming").click()
    for page in (emily, john):
        expect(member(page, "Emily")).to_contain_text("Board games and jazz")
        expect(member(page, "John")).to_contain_text("Retro consoles")
        expect(page.get_by_text("Admin")).to_have_count(0)
        expect(page.get_by_role("button", name="Manage")).to_have_count(0)


def test_names_and_messages_are_text(visitors: Chatters) -> None:
    guest = "<b>Zoë</b> & co"
    emily, zoe = visitors.enter("Emily", GAMING), visitors.enter(guest, GAMING)
    expect(member(emily, guest)).to_contain_text("guest")
    markup = "<img src=x onerror=alert(1)> <b>Grüße</b> ☕"
    say(zoe, markup)
    for page in (emily, zoe):
        expect_message(page, guest if page is emily else "You", markup)
        expect(page.get_by_role("log").locator("img, b")).to_have_count(0)
    expect(zoe.get_by_label("Message", exact=True)).to_have_value("")
    assert notes(emily) == [f"{guest} joined"]
    assert visitors.complaints == []


def test_who_types_is_shown_until_the_message_is_there(visitors: Chatters) -> None:
    emily, john = visitors.enter("Emily", GAMING), visitors.enter("John", GAMING)
    expect(members(john)).to_have_count(2)
    john.get_by_label("Message", exact=True).press_sequentially("hello")
    expect(emily.get_by_text("John is typing…")).to_be_visible()
    expect(john.get_by_text("is typing…")).to_have_count(0)
    john.keyboard.press("Enter")
    expect_message(emily, "John", "hello")
    expect(emily.get_by_text("John is typing…")).to_have_count(0)
    john.get_by_label("Message", exact=True).press_sequentially("well")
    expect(emily.get_by_text("John is typing…")).to_be_visible()
    expect(emily.get_by_text("John is typing…")).to_have_count(0, timeout=FORGOTTEN_MS)


def test_friends_come_and_go(visitors: Chatters) -> None:
    emily = visitors.enter("Emily")
    friends = emily.get_by_role("region", name="Friends").get_by_role("listitem")
    john = friends.filter(has_text="John")
    expect(friends).to_have_count(5)
    expect(john).to_contain_text("offline")
    page = visitors.enter("John", GAMING)
    expect(john).to_contain_text("online")
    expect(friends.first).to_contain_text("John")
    page.close()
    expect(john).to_contain_text("offline", timeout=AFTER_GRACE_MS)


def test_an_admin_messages_one_person(visitors: Chatters) -> None:
    emily, john, ada = visitors.enter("Emily"), visitors.enter("John"), visitors.enter("Ada")
    emily.get_by_role("button", name="Manage John").click()
    emily.get_by_label("Message this person").fill("A word, please.")
    emily.get_by_role("button", name="Send message").click()
    expect_message(john, "Emily, admin of Sales, to you", "A word, please.")
    expect_message(emily, "You to John", "A word, please.")
    expect(ada.get_by_text("A word, please.")).to_have_count(0)


def test_a_removed_person_is_gone_and_told_why(visitors: Chatters, demo_chat: Chat) -> None:
    emily, john = visitors.enter("Emily"), visitors.enter("John")
    second_tab = visitors.enter("John", GAMING)
    expect(members(emily)).to_have_count(2)

    remove(emily, "John", "Too <b>loud</b>.")

    removed = "You were removed from the chat"
    for page in (john, second_tab):
        expect(page.get_by_role("heading", name=removed)).to_be_visible()
        expect(page.get_by_text("Emily, an admin of Sales, gave this reason:")).to_be_visible()
        expect(page.get_by_text("Too <b>loud</b>.")).to_be_visible()
        expect(state(page)).to_have_count(0)
    expect(members(emily).filter(has_text="Key accounts")).to_have_count(0)
    expect(emily.get_by_text("Emily removed John from the chat")).to_be_visible()
    with backend(demo_chat.server) as channels:
        assert channels.users(SALES) == {"users": [{"id": "emily"}]}
        assert channels.users(GAMING) == {"users": []}

    john.reload()
    expect(john.get_by_role("heading", name=removed)).to_be_visible()
    expect(john.get_by_text("Too <b>loud</b>.")).to_be_visible()

    emily.get_by_role("button", name="Let John in").click()
    for page in (john, second_tab):
        expect(state(page)).to_have_text("Connected", timeout=LET_IN_MS)
    expect(member(emily, "John")).to_contain_text("Key accounts")
    expect(emily.get_by_role("heading", name="Kept out")).to_have_count(0)


def test_a_restart_of_the_server_brings_everybody_back(visitors: Chatters, demo_chat: Chat) -> None:
    pages = [visitors.enter("Emily"), visitors.enter("John")]
    expect(members(pages[0])).to_have_count(2)
    demo_chat.server.kill()
    for page in pages:
        expect(state(page)).to_have_text("Connection lost. Reconnecting…")
    say(pages[0], "is anybody here?")
    expect(pages[0].get_by_role("alert").filter(has_text="does not answer")).to_be_visible()
    for page in pages:
        expect(state(page)).to_have_text(
            "Offline. Still trying to reach the server…", timeout=OFFLINE_MS
        )
    demo_chat.server.start()
    for page in pages:
        expect(state(page)).to_have_text("Connected", timeout=RECONNECT_MS)
        expect(members(page)).to_have_count(2, timeout=RECONNECT_MS)
        expect(page.get_by_text("Connected again after")).to_be_visible()
        assert not was_reloaded(page)
    say(pages[1], "we are back")
    expect_message(pages[0], "John", "we are back")
    friends = pages[0].get_by_role("region", name="Friends").get_by_role("listitem")
    expect(friends.filter(has_text="John")).to_contain_text("online")


def test_a_refused_connection_can_be_tried_again(visitors: Chatters, demo_chat: Chat) -> None:
    emily = visitors.enter("Emily")
    with backend(demo_chat.server) as channels:
        channels.terminate_user_connections("emily")
    expect(state(emily)).to_have_text("The server refused this connection.")
    emily.get_by_role("button", name="Connect again").click()
    expect(state(emily)).to_have_text("Connected")
    expect(members(emily)).to_have_count(1)


def test_a_session_that_has_ended_is_told(visitors: Chatters, demo_chat: Chat) -> None:
    emily = visitors.enter("Emily")
    emily.context.clear_cookies()
    with backend(demo_chat.server) as channels:
        channels.terminate_user_connections("emily")
    expect(emily.get_by_role("heading", name="Your session has ended")).to_be_visible()
    emily.get_by_role("button", name="Sign in again").click()
    expect(emily.get_by_role("heading", name="Who are you?")).to_be_visible()


def test_signing_out_ends_it_in_every_tab(visitors: Chatters) -> None:
    first, second = visitors.enter("Emily"), visitors.enter("Emily")
    first.get_by_role("button", name="Sign out").click()
    for page in (first, second):
        expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()


def test_the_keyboard_is_enough(visitors: Chatters) -> None:
    john = visitors.enter("John")
    emily = visitors.enter("Emily")
    emily.get_by_label("Message", exact=True).focus()
    emily.keyboard.type("first line")
    emily.keyboard.press("Shift+Enter")
    emily.keyboard.type("second line")
    emily.keyboard.press("Enter")
    expect_message(john, "Emily", "first line\nsecond line")
    manage = emily.get_by_role("button", name="Manage John")
    manage.focus()
    emily.keyboard.press("Enter")
    expect(emily.get_by_role("dialog", name="John")).to_be_visible()
    expect(emily.get_by_label("Message this person")).to_be_focused()
    emily.keyboard.press("Escape")
    expect(emily.get_by_role("dialog")).to_have_count(0)
    expect(manage).to_be_focused()
    visitors.enter("Ada")
    expect(members(emily)).to_have_count(3)
    expect(manage).to_be_focused()
    emily.get_by_role("link", name="Gaming").focus()
    emily.keyboard.press("Enter")
    expect(emily.get_by_role("heading", name="Gaming")).to_be_visible()


def test_it_fits_a_phone(visitors: Chatters) -> None:
    emily = visitors.enter("Emily", width=360, height=740)
    visitors.enter("W" * 32)
    say(emily, "x" * 300)
    expect_message(emily, "You", "x" * 300)
    for view, shown in (("Rooms", "#rooms"), ("People", "#members"), ("Chat", "#log")):
        emily.get_by_role("group", name="View").get_by_role("button", name=view).click()
        expect(emily.locator(shown)).to_be_visible()
        assert emily.evaluate("document.documentElement.scrollWidth") <= 360
    emily.get_by_role("button", name="Rooms").click()
    emily.get_by_role("link", name="Music").click()
    expect(emily.get_by_role("heading", name="Music")).to_be_visible()
    expect(emily.get_by_role("log")).to_be_visible()


def test_no_host_but_ours_is_contacted(visitors: Chatters, demo_chat: Chat) -> None:
    emily, john = visitors.enter("Emily"), visitors.enter("John")
    say(emily, "hello")
    expect_message(john, "Emily", "hello")
    john.get_by_role("link", name="Music").click()
    expect(members(john)).to_have_count(1)
    server = demo_chat.server
    ours = {urlsplit(visitors.url).netloc, f"{server.host}:{server.port}"}
    assert {urlsplit(address).netloc for address in visitors.addresses} == ours
    assert visitors.complaints == []
