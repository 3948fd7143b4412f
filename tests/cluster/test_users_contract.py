"""What every ledger says of users: who is signed in, where they are, when they were last seen."""

from __future__ import annotations

from cluster.engines import START, LedgerEngine, room, signed_in
from herenow.cluster.base import UserPresence, UserState

NOBODY = UserState(None, 0, None)


def test_a_user_who_was_never_here_is_unknown(engine: LedgerEngine) -> None:
    """There is nothing to tell of him, and no error."""
    assert engine.user("anna") == UserPresence(NOBODY, ())
    assert engine.states("anna") == {"anna": NOBODY}


def test_a_signed_in_user_is_seen_now(engine: LedgerEngine) -> None:
    """Since his first connection, by as many as he has."""
    engine.join(signed_in("anna"), "anna")
    engine.advance(5)
    engine.join(signed_in("anna"), "anna")
    assert engine.user("anna").state == UserState(START, 2, START + 5)
    assert engine.states("anna", "bert") == {
        "anna": UserState(START, 2, START + 5),
        "bert": NOBODY,
    }


def test_a_user_in_his_grace_has_no_connection_and_was_seen_when_it_went(
    engine: LedgerEngine,
) -> None:
    """He counts as online until the grace has passed."""
    subscription = engine.join(signed_in("anna"), "anna")
    engine.advance(5)
    engine.leave(signed_in("anna"), subscription, 3)
    engine.advance(1)
    assert engine.user("anna").state == UserState(START, 0, START + 5)
    engine.advance(3)
    assert engine.user("anna").state == UserState(None, 0, START + 5)
    assert engine.states("anna") == {"anna": UserState(None, 0, START + 5)}


def test_a_member_who_never_signed_in_is_seen_when_he_leaves(engine: LedgerEngine) -> None:
    """He is not online, but it is known where he is, and afterwards when he went."""
    rooms = [room(f"presence-{letter}") for letter in "abcdefgh"]
    subscriptions = [engine.join(subject, "anna") for subject in rooms]
    assert engine.user("anna") == UserPresence(NOBODY, tuple(subject.name for subject in rooms))
    for seconds, (subject, subscription) in enumerate(
        zip(rooms, subscriptions, strict=True), start=1
    ):
        engine.advance(1)
        engine.leave(subject, subscription)
        assert engine.user("anna").state == UserState(None, 0, START + seconds)
    assert engine.states("anna")["anna"].last_seen == START + 8
    assert engine.user("anna").channels == ()


def test_a_late_departure_does_not_hide_a_later_one(engine: LedgerEngine) -> None:
    """What counts is when the connections went, not when the graces ended."""
    one, two = engine.join(room(), "anna"), engine.join(signed_in("anna"), "anna")
    engine.leave(room(), one, 30)
    engine.advance(5)
    engine.leave(signed_in("anna"), two)
    engine.advance(60)
    assert engine.user("anna").state.last_seen == START + 5


def test_applications_do_not_see_each_others_users(engine: LedgerEngine) -> None:
    """The same id is somebody else."""
    subscription = engine.join(signed_in("anna", "2"), "anna")
    engine.join(room(app="2"), "anna")
    assert engine.user("anna", "1") == UserPresence(NOBODY, ())
    engine.leave(signed_in("anna", "2"), subscription)
    assert engine.states("anna", app="1") == {"anna": NOBODY}
    assert engine.states("anna", app="2")["anna"].last_seen == START


def test_many_users_are_asked_about_at_once(engine: LedgerEngine) -> None:
    """A thousand ids are answered, each once, in one call."""
    names = [f"user{number}" for number in range(1_000)]
    for name in names[::100]:
        engine.join(signed_in(name), name)
    states = engine.states(*names, "user0")
    assert set(states) == set(names)
    online = [name for name, state in states.items() if state.since is not None]
    assert sorted(online) == sorted(names[::100])


def test_an_id_may_have_any_characters(engine: LedgerEngine) -> None:
    """Members may have ids that could not sign in."""
    odd = 'a/b c\x00"☕\ud800'
    subscription = engine.join(room(), odd)
    assert engine.user(odd).channels == ("presence-room",)
    engine.leave(room(), subscription)
    assert engine.states(odd)[odd].last_seen == START


def test_a_user_can_be_forgotten(engine: LedgerEngine) -> None:
    """Of him alone nothing is left, until he goes again."""
    for name in ("anna", "bert"):
        for subject in (signed_in(name), room("presence-a"), room("presence-b")):
            engine.leave(subject, engine.join(subject, name))
    engine.forget("anna")
    assert engine.user("anna") == UserPresence(NOBODY, ())
    assert engine.states("anna", "bert") == {"anna": NOBODY, "bert": UserState(None, 0, START)}
    engine.advance(1)
    engine.leave(room(), engine.join(room(), "anna"))
    assert engine.user("anna").state.last_seen == START + 1


def test_when_a_user_was_seen_is_kept_for_as_long_as_configured(engine: LedgerEngine) -> None:
    """Then he is as unknown as if he had never been here."""
    engine.keep_for(60)
    engine.leave(signed_in("anna"), engine.join(signed_in("anna"), "anna"))
    engine.advance(50)
    assert engine.user("anna").state.last_seen == START
    engine.advance(15)
    assert engine.user("anna").state == NOBODY
    assert engine.states("anna") == {"anna": NOBODY}


def test_nobody_is_remembered_if_nothing_is_to_be_kept(engine: LedgerEngine) -> None:
    """While he is online it is known all the same."""
    engine.keep_for(0)
    subscription = engine.join(signed_in("anna"), "anna")
    assert engine.user("anna").state == UserState(START, 1, engine.clock.time())
    engine.leave(signed_in("anna"), subscription)
    assert engine.user("anna").state == NOBODY
