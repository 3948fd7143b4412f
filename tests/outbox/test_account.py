"""The judge of what receivers were told finds what is wrong, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.harness.apps import App
from outbox.account import Account, Fact, Picture
from outbox.receiver import Outcome, Request
from outbox.sender import APP, event, request

ROOM = "presence-room"
OCCUPIED = event("channel_occupied", ROOM)
VACATED = event("channel_vacated", ROOM)
ADDED = event("member_added", ROOM, "ada")
REMOVED = event("member_removed", ROOM, "ada")
ONLINE = event("user_online", user="ada")
OFFLINE = event("user_offline", user="ada")


def judged(*requests: Request) -> Account:
    account = Account(APP)
    account.take(requests)
    return account


def one(number: int, content: dict[str, Any], **more: Any) -> Request:
    return request((f"e-{number}", number, content), **more)


def test_the_picture_is_what_the_events_say() -> None:
    """Who is told to be there is in the picture, who is told to have gone is not."""
    account = judged(
        request(("e-1", 1, OCCUPIED), ("e-2", 2, ADDED), ("u-1", 7, ONLINE)),
        one(3, event("member_added", ROOM, "bob")),
        one(4, event("member_removed", ROOM, "bob")),
        request(("x-1", 1, event("channel_occupied", "news"))),
        request(("x-2", 2, event("channel_vacated", "news"))),
    )
    account.assert_right()
    assert account.picture == Picture(
        frozenset({ROOM}), frozenset({(ROOM, "ada")}), frozenset({"ada"})
    )
    assert account.never_accepted == []


def test_a_room_that_empties_in_order_is_right() -> None:
    """The member goes before the channel is vacant, and both may come again."""
    account = judged(
        one(1, OCCUPIED), one(2, ADDED), one(3, REMOVED), one(4, VACATED), one(5, OCCUPIED)
    )
    account.assert_right()
    assert account.picture.occupied == {ROOM}


def test_a_repeat_is_counted_once() -> None:
    """An event that comes again with its id changes nothing, also in another envelope."""
    account = judged(
        one(1, OCCUPIED, outcome=Outcome.UNHEARD),
        one(1, OCCUPIED, attempt=2),
        one(1, OCCUPIED, time_ms=1_760_000_009_000, at=400.0),
    )
    account.assert_right()
    assert account.repeats == 2
    assert account.picture.occupied == {ROOM}


def test_what_was_never_taken_in_is_named() -> None:
    """An event whose requests all failed is one that the backend does not have."""
    account = judged(
        one(1, OCCUPIED, outcome=Outcome.REFUSED), one(1, OCCUPIED, outcome=Outcome.DROPPED)
    )
    account.assert_right()
    assert [told.id for told in account.never_accepted] == ["e-1"]


def test_a_difference_is_shown_with_its_history() -> None:
    """Each fact that is not as the truth says comes with every event about it."""
    account = judged(one(1, OCCUPIED), one(2, ADDED))
    truth = Picture(frozenset({ROOM}), frozenset({(ROOM, "bob")}), frozenset())
    ada, bob = account.differences(truth)
    assert ada.startswith(f"ada on {ROOM}: does not hold, told: it holds")
    assert "member_added id=e-2" in ada
    assert bob == f"bob on {ROOM}: holds, told: it does not"
    assert account.history(Fact(ROOM, "bob")) == []


@pytest.mark.parametrize(
    ("requests", "found"),
    [
        ([one(1, OCCUPIED), one(2, OCCUPIED)], "added twice"),
        ([one(1, VACATED)], "removed twice"),
        ([one(1, OCCUPIED), one(2, ADDED), one(3, ADDED)], "added twice"),
        ([one(1, ONLINE), one(2, OFFLINE), one(3, OFFLINE)], "removed twice"),
        ([one(1, OCCUPIED), one(3, VACATED)], "comes after sequence 1"),
        ([one(2, OCCUPIED), one(1, VACATED)], "comes after sequence 2"),
        ([one(0, OCCUPIED)], "comes after sequence 0"),
        ([one(1, ADDED)], "before the channel is occupied"),
        ([one(1, OCCUPIED), one(2, ADDED), one(3, VACATED)], "is vacated before ['ada']"),
        ([one(1, OCCUPIED), one(1, VACATED)], "one id for two events"),
        ([request(("a", 1, OCCUPIED)), request(("a", 2, OCCUPIED))], "one id for two events"),
        (
            [one(1, OCCUPIED, outcome=Outcome.REFUSED), one(1, OCCUPIED, attempt=2, time_ms=5)],
            "attempt 2 has other bytes",
        ),
        ([one(1, event("user_online", "news", "ada"))], "user_online of ada with channel news"),
        ([one(1, event("member_moved", ROOM, "ada"))], "not an event that is known"),
        ([one(1, event("client_event", ROOM))], "not an event that is known"),
        ([request(("a b", 1, OCCUPIED))], "ids"),
        ([request(("a", 1, OCCUPIED), ("a", 2, ADDED))], "not one id"),
        ([one(1, OCCUPIED, X_Herenow_Sequences="2")], "signature of the headers"),
        ([one(1, OCCUPIED, X_Herenow_Timestamp="1760000001")], "signature of the headers"),
        ([one(1, OCCUPIED, X_Pusher_Signature="00")], "signature of the body"),
        ([one(1, OCCUPIED, app=App("9", "sender-key", "foreign"))], "signature of the body"),
        ([one(1, OCCUPIED, app=App("9", "foreign-key", "sender-secret"))], "key"),
        ([one(1, OCCUPIED, Content_Type="application/json; charset=utf-8")], "content type"),
        ([one(1, OCCUPIED, attempt=0)], "attempt 0"),
    ],
)
def test_what_is_wrong_is_found(requests: list[Request], found: str) -> None:
    """Each kind of wrong telling is reported."""
    account = judged(*requests)
    assert any(found in wrong for wrong in account.wrong), account.wrong
    with pytest.raises(AssertionError):
        account.assert_right()


def test_a_later_delivery_is_a_new_envelope() -> None:
    """After the time for retries the same ids may come in other bytes."""
    account = judged(
        one(1, OCCUPIED, outcome=Outcome.REFUSED),
        one(1, OCCUPIED, attempt=2, time_ms=1_760_000_400_000, at=400.0),
    )
    account.assert_right()


def test_where_senders_change_an_attempt_may_begin_unseen() -> None:
    """Another sender's second attempt has other bytes; that is counted, for it must be rare."""
    account = Account(APP, senders_change=True)
    account.take(
        [one(1, OCCUPIED, outcome=Outcome.REFUSED), one(1, OCCUPIED, attempt=2, time_ms=5)]
    )
    account.assert_right()
    assert account.begun_unseen == 1
