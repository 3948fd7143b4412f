"""Only a cookie that was issued here, is not over and was not ended is a session."""

from __future__ import annotations

import base64
import json

import pytest

from herenow.demo.people import PEOPLE, guest_called
from herenow.demo.sessions import LIFETIME_SECONDS, Sessions


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_760_000_000.0

    def now(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(b"k" * 32, clock.now)


def test_a_session_is_the_person_who_signed_in(sessions: Sessions) -> None:
    for person in (PEOPLE["lucia"], guest_called("\N{MATHEMATICAL SCRIPT CAPITAL Z}" * 32)):
        session = sessions.read(sessions.issue(person))
        assert session is not None
        assert session.person == person


def test_each_sign_in_is_a_session_of_its_own(sessions: Sessions) -> None:
    first, second = (sessions.read(sessions.issue(PEOPLE["emily"])) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.id != second.id


def test_a_session_is_over_in_time(sessions: Sessions, clock: Clock) -> None:
    cookie = sessions.issue(PEOPLE["emily"])
    clock.seconds += LIFETIME_SECONDS - 1
    assert sessions.read(cookie) is not None
    clock.seconds += 1
    assert sessions.read(cookie) is None


def test_an_ended_session_stays_ended(sessions: Sessions) -> None:
    cookie, other = sessions.issue(PEOPLE["emily"]), sessions.issue(PEOPLE["emily"])
    session = sessions.read(cookie)
    assert session is not None
    sessions.end(session)
    assert sessions.read(cookie) is None
    assert sessions.read(other) is not None


def test_a_cookie_of_another_secret_is_nothing(sessions: Sessions, clock: Clock) -> None:
    assert sessions.read(Sessions(b"x" * 32, clock.now).issue(PEOPLE["emily"])) is None


def test_a_changed_cookie_is_nothing(sessions: Sessions) -> None:
    payload, _, signature = sessions.issue(PEOPLE["john"]).partition(".")
    fields = json.loads(base64.urlsafe_b64decode(payload + "=="))
    forged = json.dumps(fields | {"id": "emily", "name": "Emily"}).encode()
    for cookie in (
        f"{base64.urlsafe_b64encode(forged).decode().rstrip('=')}.{signature}",
        f"{payload}.{signature[:-1]}{'0' if signature[-1] != '0' else '1'}",
        f"{payload}.{signature.upper()}",
        f"{payload}.",
        f"{payload}==.{signature}",
        payload,
        f".{signature}",
    ):
        assert sessions.read(cookie) is None


@pytest.mark.parametrize("cookie", [None, "", ".", "…", "\ud800.\udfff", "x" * 100_000])
def test_what_is_no_cookie_of_ours_is_nothing(sessions: Sessions, cookie: str | None) -> None:
    assert sessions.read(cookie) is None
