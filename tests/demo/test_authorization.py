"""What the two endpoints of pusher-js sign, and for whom."""

from __future__ import annotations

import json

import pytest

from demo.serving import SECRET
from demo.visitor import GAMING, SALES, SOCKET_ID, SUPPORT, Visitor, until_too_fast
from herenow.demo.people import PEOPLE
from herenow.demo.sessions import COOKIE, Sessions


def test_a_hobby_room_gets_a_signature_and_nothing_else(emily: Visitor) -> None:
    response = emily.authorize(GAMING)
    assert response.status_code == 200
    assert response.json().keys() == {"auth"}


def test_a_business_room_gets_its_own_picture_of_the_person(
    emily: Visitor, john: Visitor, kenji: Visitor
) -> None:
    def picture(visitor: Visitor, room: str) -> dict[str, object]:
        member = json.loads(visitor.authorize(room).json()["channel_data"])
        assert member["user_id"] == visitor.session()["me"]["id"]
        info: dict[str, object] = member["user_info"]
        return info

    assert picture(emily, SALES) == {
        "name": "Emily",
        "job": "Head of sales",
        "admin": True,
        "guest": False,
    }
    assert picture(john, SALES)["admin"] is False
    assert picture(kenji, SALES)["admin"] is False
    assert picture(kenji, SUPPORT)["admin"] is True


def test_a_guest_is_an_admin_nowhere(stranger: Visitor) -> None:
    stranger.post("/sign-in", {"name": "Admin"})
    for room in (SALES, SUPPORT):
        member = json.loads(stranger.authorize(room).json()["channel_data"])
        assert member["user_info"] == {
            "name": "Admin",
            "job": "Visitor",
            "admin": False,
            "guest": True,
        }


def test_the_user_is_the_one_of_the_session(john: Visitor) -> None:
    response = john.post_form(
        "/pusher/user-auth", {"socket_id": SOCKET_ID, "id": "emily", "user_data": '{"id":"emily"}'}
    )
    user = json.loads(response.json()["user_data"])
    assert user["id"] == "john"
    assert user["user_info"] == {"name": "John", "likes": "Retro consoles", "guest": False}
    assert set(user["watchlist"]) == PEOPLE.keys() - {"john"}


def test_nothing_is_signed_without_a_session(stranger: Visitor) -> None:
    assert stranger.authorize(GAMING).status_code == 401
    assert stranger.authenticate().status_code == 401
    assert stranger.say("hello").status_code == 401
    assert stranger.authenticate().text == "Pick a person first."


def test_nothing_is_signed_for_a_session_of_somebody_else(stranger: Visitor) -> None:
    stranger.sign_in("john")
    own = stranger.http.cookies[COOKIE]
    payload, _, signature = own.partition(".")
    foreign = Sessions(bytes(32), lambda: 1_760_000_000.0).issue(PEOPLE["emily"])
    over = Sessions(SECRET, lambda: 1_000_000.0).issue(PEOPLE["emily"])
    assert stranger.authorize(GAMING).status_code == 200
    for cookie in (foreign, over, f"x{payload}.{signature}", f"{payload}.{signature[1:]}", "x"):
        stranger.http.cookies.clear()
        headers = {"Cookie": f"{COOKIE}={cookie}"}
        form = {"socket_id": SOCKET_ID, "channel_name": GAMING}
        for path in ("/pusher/auth", "/pusher/user-auth"):
            assert stranger.http.post(path, data=form, headers=headers).status_code == 401


@pytest.mark.parametrize(
    "channel",
    [
        "",
        "presence-other",
        f"{GAMING}\n",
        f" {GAMING}",
        GAMING.upper(),
        "private-x",
        "#server-to-user-emily",
        "#server-to-user-john",
        ':user::{"id":"admin"}',
        'presence-gaming:{"user_id":"admin"}',
        'presence-x:{"user_id":"admin"}',
        "presence-gaming\x00",
        "x" * 500,
    ],
)
def test_only_the_rooms_are_signed(john: Visitor, channel: str) -> None:
    response = john.authorize(channel)
    assert (response.status_code, response.text) == (403, "There is no such room.")


@pytest.mark.parametrize(
    "socket_id",
    [
        "",
        "1",
        "1.2\n",
        "1.2 ",
        "1.2:presence-gaming",
        '1.2::user::{"id":"admin"}',
        "a.b",
        "1.2.3",
        "\N{ARABIC-INDIC DIGIT ONE}.\N{ARABIC-INDIC DIGIT TWO}",
        "1.\N{SUPERSCRIPT TWO}",
        "-1.2",
    ],
)
def test_only_socket_ids_are_signed(john: Visitor, socket_id: str) -> None:
    for response in (john.authorize(SALES, socket_id), john.authenticate(socket_id)):
        assert response.status_code == 400
        assert response.text.startswith("Invalid socket_id")


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("socket_id=1.2&socket_id=3.4", FORM, 400),
        ("socket_id=%ff", FORM, 400),
        ("&".join(f"f{number}=1" for number in range(40)), FORM, 400),
        (f"socket_id=1.2&more={'x' * 5_000}", FORM, 413),
        ('{"socket_id":"1.2"}', "application/json", 415),
    ],
)
def test_bad_forms_are_refused(john: Visitor, body: str, kind: str, status: int) -> None:
    for path in ("/pusher/auth", "/pusher/user-auth"):
        response = john.http.post(path, content=body, headers={"Content-Type": kind})
        assert response.status_code == status
        assert response.text.endswith(".")


def test_authorizations_are_bounded_in_rate(stranger: Visitor) -> None:
    stranger.sign_in("noor")
    count, _ = until_too_fast(stranger.authenticate)
    assert count >= 50, "a person with many tabs comes back after a restart"
