"""Who a browser is: chosen once, kept in a cookie, and nobody else's to use."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from demo.visitor import Visitor, until_too_fast


def test_the_session_is_kept_from_scripts_and_other_sites(stranger: Visitor) -> None:
    response = stranger.post("/sign-in", {"person": "ada"})
    assert response.status_code == 204
    attributes = response.headers["set-cookie"].lower().split("; ")
    assert {"httponly", "samesite=lax", "path=/"} <= set(attributes)
    assert stranger.session()["me"]["name"] == "Ada"


def test_a_guest_is_called_as_typed_and_marked(stranger: Visitor) -> None:
    assert stranger.post("/sign-in", {"name": "Zoe"}).status_code == 204
    me = stranger.session()["me"]
    assert (me["name"], me["guest"]) == ("Zoe", True)


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"person": "admin"},
        {"person": None},
        {"person": ["emily"]},
        {"person": "emily", "name": "Zoe", "id": "x"} | {"person": 1},
        {"name": 7},
        {"name": ""},
        {"name": "Emily"},
    ],
)
def test_a_bad_choice_is_refused_with_a_sentence(stranger: Visitor, choice: object) -> None:
    response = stranger.post("/sign-in", choice)
    assert response.status_code == 400
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text.endswith(".")
    assert "set-cookie" not in response.headers


def test_the_id_of_a_guest_is_not_to_be_chosen(stranger: Visitor) -> None:
    stranger.post("/sign-in", {"name": "Zoe", "id": "emily", "person": None})
    assert stranger.session()["me"]["id"].startswith("guest-")


def test_signing_out_ends_the_session_for_whoever_kept_the_cookie(
    stranger: Visitor, visit: Callable[[], Visitor]
) -> None:
    stranger.sign_in("ada")
    copy = visit()
    copy.http.cookies = stranger.http.cookies
    cookies = dict(stranger.http.cookies)
    assert stranger.post("/sign-out", {}).status_code == 204
    assert stranger.session()["me"] is None
    copy.http.cookies.update(cookies)
    assert copy.session()["me"] is None


def test_a_stranger_is_shown_people_and_nothing_of_the_server(stranger: Visitor) -> None:
    assert stranger.session().keys() == {"me", "people", "limits"}


def test_signing_in_is_bounded_in_rate(stranger: Visitor) -> None:
    count, response = until_too_fast(lambda: stranger.post("/sign-in", {"person": "nobody"}))
    assert count >= 10
    assert int(response.headers["retry-after"]) >= 1
    assert response.text == "That is too fast: wait a moment."
