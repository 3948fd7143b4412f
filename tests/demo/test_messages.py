"""What may be said, and from where."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from demo.visitor import GAMING, SALES, Visitor, present, until_too_fast


@pytest.fixture
def ada(visit: Callable[[], Visitor]) -> Visitor:
    """A session of its own for each test, since what a session does is bounded in rate."""
    visitor = visit()
    visitor.sign_in("ada")
    return visitor


def test_a_message_comes_from_the_person_of_the_session(ada: Visitor, john: Visitor) -> None:
    with present(john, GAMING) as tab:
        content = {"room": GAMING, "text": " hello ", "from": {"id": "emily", "name": "Emily"}}
        assert ada.post("/messages", content).status_code == 204
        message = tab.expect("message")
    assert message["from"] == {"id": "ada", "name": "Ada"}
    assert message["text"] == "hello"


@pytest.mark.parametrize("text", ["", "   ", "x" * 1_001, 1, None, ["x"], {"x": 1}, "\ud800"])
def test_messages_are_bounded(ada: Visitor, text: object) -> None:
    response = ada.say(text)
    assert response.status_code == 400
    assert response.text.startswith("A message ")


@pytest.mark.parametrize("text", ["€" * 1_000, "😀" * 1_000, "\x01" * 1_000, '"\\' * 500])
def test_the_longest_messages_fit(ada: Visitor, text: str) -> None:
    assert ada.say(text).status_code == 204


@pytest.mark.parametrize("room", ["", "presence-x", f"{SALES}\n", "#server-to-user-emily", None, 1])
def test_there_is_nothing_but_the_rooms_to_speak_in(ada: Visitor, room: object) -> None:
    response = ada.say("hello", room)
    assert (response.status_code, response.text) == (400, "There is no such room.")


def test_large_and_broken_requests_are_refused(ada: Visitor) -> None:
    def send(body: str | bytes, kind: str = "application/json") -> tuple[int, str]:
        response = ada.http.post("/messages", content=body, headers={"Content-Type": kind})
        return response.status_code, response.text

    assert send("x" * 5_000_000) == (413, "That is too long.")
    assert send("{") == (400, "That is not JSON.")
    assert send(b"\xff\xfe") == (400, "That is not JSON.")
    assert send("[" * 10_000) == (400, "That is not JSON.")
    assert send("null") == (400, "That is not a JSON object.")
    assert send("room=x", "application/x-www-form-urlencoded")[0] == 415
    assert send('{"room":"x"}', "text/plain")[0] == 415


def test_messages_are_bounded_in_rate(ada: Visitor) -> None:
    count, _ = until_too_fast(lambda: ada.say("hello"))
    assert count >= 10


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://chat.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_page_may_not_act(ada: Visitor, headers: dict[str, str]) -> None:
    for path in ("/messages", "/sign-in", "/sign-out", "/remove", "/let-in", "/direct-messages"):
        response = ada.post(path, {"room": GAMING, "text": "hello"}, **headers)
        assert (response.status_code, response.text) == (
            403,
            "This page may not act for the chat.",
        )
    assert ada.http.post("/pusher/auth", data={}, headers=headers).status_code == 403
    assert ada.session()["me"]["id"] == "ada"


def test_the_own_page_may_act(ada: Visitor) -> None:
    own = {"Origin": ada.chat.url, "Sec-Fetch-Site": "same-origin"}
    assert ada.post("/messages", {"room": GAMING, "text": "hello"}, **own).status_code == 204


def test_a_name_that_was_made_to_point_here_is_refused(ada: Visitor) -> None:
    for host in ("chat.example", "chat.example:80", "127.0.0.1.example", "", "["):
        assert ada.http.get("/session", headers={"Host": host}).status_code in (400, 421)
    assert ada.http.get("/session", headers={"Host": "localhost:1"}).status_code == 200
