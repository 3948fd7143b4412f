"""What admins can do, and nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from compat.serving import DEFAULT_APP
from demo.visitor import GAMING, SALES, SOCKET_ID, SUPPORT, Visitor, held, open_tab, present
from herenow import Channels


@pytest.fixture
def noor(visit: Callable[[], Visitor]) -> Visitor:
    visitor = visit()
    visitor.sign_in("noor")
    return visitor


@pytest.fixture
def boss(visit: Callable[[], Visitor]) -> Visitor:
    """Emily, in a session of her own, since what a session does is bounded in rate."""
    visitor = visit()
    visitor.sign_in("emily")
    return visitor


def members(visitor: Visitor, room: str) -> set[str]:
    server = visitor.chat.server
    with Channels(
        DEFAULT_APP.id, DEFAULT_APP.key, DEFAULT_APP.secret, host=server.host, port=server.port
    ) as channels:
        return {user["id"] for user in channels.users(room)["users"]}


def test_a_removed_person_is_told_why_and_is_gone(
    boss: Visitor, noor: Visitor, visit: Callable[[], Visitor]
) -> None:
    with present(boss, SALES) as room, present(noor, SALES, GAMING) as tab:
        assert members(noor, SALES) == {"emily", "noor"}
        assert boss.remove("noor", reason=" Too loud. ").status_code == 204

        told = {"by": "Emily", "room": "Sales", "reason": "Too loud."}
        assert tab.expect("removed") == told
        assert tab.expect_close() == 4009
        assert room.expect("moderation") == {"what": "removed", "name": "Noor", "by": "Emily"}
        assert members(noor, SALES) == {"emily"}
        assert members(noor, GAMING) == set()

    sentence = "Emily removed Noor from the chat: Too loud."
    for response in (noor.authenticate(), noor.authorize(GAMING), noor.say("hello")):
        assert (response.status_code, response.text) == (403, sentence)
    assert noor.session()["removal"] == told
    assert noor.session().keys() == {"me", "removal"}

    # Neither another name nor another browser of the same person is a way back.
    assert noor.post("/sign-in", {"name": "Zoe"}).status_code == 403
    assert noor.post("/sign-out", {}).status_code == 403
    assert visit().post("/sign-in", {"person": "noor"}).text == sentence

    kept_out = boss.http.get("/removals", params={"room": SALES}).json()["removals"]
    assert kept_out == [{"id": "noor", "name": "Noor", **told}]
    assert boss.let_in("noor").status_code == 204
    assert noor.authorize(GAMING).status_code == 200
    assert boss.http.get("/removals", params={"room": SALES}).json() == {"removals": []}


def test_only_an_admin_of_that_room_removes(
    boss: Visitor, john: Visitor, kenji: Visitor, stranger: Visitor
) -> None:
    with present(john, SALES, SUPPORT), present(boss, SALES, SUPPORT):
        assert stranger.remove("john").status_code == 401
        assert john.remove("emily").status_code == 403
        response = kenji.remove("john")
        assert (response.status_code, response.text) == (403, "Only an admin of Sales may do that.")
        assert kenji.remove("emily", SUPPORT).text == "An admin of Support cannot be removed."
        assert boss.remove("emily").status_code == 403
        assert boss.remove("john", GAMING).status_code == 403
        assert members(john, SALES) == {"emily", "john"}
    assert john.authorize(SALES).status_code == 200


@pytest.mark.parametrize("user", ["", "nobody", "ada", None, 1, ["john"], "john\n"])
def test_only_who_is_in_the_room_is_removed(boss: Visitor, john: Visitor, user: object) -> None:
    with present(john, SALES):
        response = boss.remove(user)
        assert (response.status_code, response.text) == (400, "Nobody by that name is in Sales.")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, 1, None])
def test_a_removal_has_a_reason(boss: Visitor, john: Visitor, reason: object) -> None:
    with present(john, SALES):
        assert boss.remove("john", reason=reason).status_code == 400
    assert john.session()["removal"] is None


def test_only_an_admin_of_the_room_that_decided_lets_in(
    boss: Visitor, kenji: Visitor, noor: Visitor, john: Visitor
) -> None:
    with present(noor, SALES):
        assert boss.remove("noor").status_code == 204
    assert john.let_in("noor").status_code == 403
    assert noor.let_in("noor").status_code == 403
    assert kenji.let_in("noor").status_code == 403
    assert kenji.let_in("noor", SUPPORT).status_code == 400
    assert boss.let_in("john").status_code == 400
    assert john.http.get("/removals", params={"room": SALES}).status_code == 403
    assert kenji.http.get("/removals", params={"room": SUPPORT}).json() == {"removals": []}
    assert noor.authorize(SALES).status_code == 403
    assert boss.let_in("noor").status_code == 204
    assert noor.authorize(SALES).status_code == 200


def test_a_guest_can_be_removed(boss: Visitor, stranger: Visitor) -> None:
    stranger.post("/sign-in", {"name": "Zoe"})
    guest = stranger.session()["me"]["id"]
    with present(stranger, SALES) as tab:
        assert boss.remove(guest).status_code == 204
        assert tab.expect_close() == 4009
    assert stranger.authorize(SALES).text == "Emily removed Zoe from the chat: spam"


def test_a_message_to_one_person_reaches_every_tab_of_that_person(
    boss: Visitor, john: Visitor, kenji: Visitor
) -> None:
    with (
        present(john, SALES) as first,
        present(john, GAMING) as second,
        present(kenji, SALES) as other,
    ):
        content = {"room": SALES, "user": "john", "text": "A word, please."}
        assert boss.post("/direct-messages", content).status_code == 204
        for tab in (first, second):
            message = tab.expect("direct-message")
            assert message["text"] == "A word, please."
            assert message["from"] == {"id": "emily", "name": "Emily", "room": "Sales"}
        assert boss.say("to everybody", SALES).status_code == 204
        assert other.expect("message")["text"] == "to everybody"


def test_only_an_admin_messages_one_person(boss: Visitor, john: Visitor, kenji: Visitor) -> None:
    content = {"room": SALES, "user": "emily", "text": "hello"}
    with present(boss, SALES):
        assert john.post("/direct-messages", content).status_code == 403
        assert kenji.post("/direct-messages", content).status_code == 403
    assert boss.post("/direct-messages", content | {"user": "ada"}).status_code == 400


def test_a_page_that_has_not_signed_in_is_reported(boss: Visitor, noor: Visitor) -> None:
    with open_tab(noor) as tab:
        tab.enter(SALES)
        response = boss.remove("noor")
        assert response.status_code == 409
        assert "has not signed in" in response.text
        assert noor.authorize(GAMING).status_code == 403
    assert boss.let_in("noor").status_code == 204


def test_a_page_that_stays_in_another_room_is_reported(boss: Visitor, noor: Visitor) -> None:
    with open_tab(noor) as other, present(noor, SALES):
        other.enter(SUPPORT)
        assert boss.remove("noor").status_code == 409
        assert members(noor, SALES) == set()
        assert members(noor, SUPPORT) == {"noor"}
    assert boss.let_in("noor").status_code == 204


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/pusher/auth", f"socket_id={SOCKET_ID}&channel_name={SALES}", FORM),
        ("/pusher/user-auth", f"socket_id={SOCKET_ID}", FORM),
        ("/messages", json.dumps({"room": GAMING, "text": "hello"}), "application/json"),
        ("/sign-in", json.dumps({"name": "Zoe"}), "application/json"),
    ],
)
def test_a_request_that_was_begun_before_the_removal_is_refused(
    boss: Visitor, noor: Visitor, path: str, body: str, kind: str
) -> None:
    with held(noor, path, body, kind) as request:
        with present(noor, SALES):
            assert boss.remove("noor").status_code == 204
        assert request.finish() == (403, "Emily removed Noor from the chat: spam")
    assert boss.let_in("noor").status_code == 204


@pytest.mark.parametrize(
    ("path", "more"),
    [("/remove", {"reason": "spam"}), ("/direct-messages", {"text": "hello"}), ("/let-in", {})],
)
def test_an_admin_who_is_removed_meanwhile_does_nothing_more(
    boss: Visitor, visit: Callable[[], Visitor], path: str, more: dict[str, str]
) -> None:
    kenji = visit()
    kenji.sign_in("kenji")
    body = json.dumps({"room": SUPPORT, "user": "john", **more})
    with held(kenji, path, body) as request:
        with present(kenji, SALES):
            assert boss.remove("kenji").status_code == 204
        assert request.finish() == (403, "Emily removed Kenji from the chat: spam")
    assert boss.let_in("kenji").status_code == 204
