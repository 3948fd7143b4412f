"""A node whose lease is gone registers again, and shows its clients nothing of it."""

from __future__ import annotations

from cluster.engines import room
from cluster.partitions.scripted import EPOCH, ROOM, Scene, listed

OTHER = room("presence-other")


def test_a_lapsed_node_registers_again_under_a_new_id(scene: Scene) -> None:
    """Who is in is restored with his stamp, who is joining joins after that; then the old id may
    be reaped."""
    scene.begin()
    scene.join("anna", 1)
    scene.joined(seq=101)
    scene.join("bert", 2)
    scene.engine.disconnect()
    scene.engine.connect()
    scene.engine.answer("hello", b"lapsed")
    call = scene.engine.answer("hello", b"new", seq=200)
    assert list(call.args) == [b"n-2", 1, EPOCH, 1, b"n-1"]
    assert scene.engine.asked == ["restore", "ready", "join"]
    call = scene.engine.answer("restore", b"restored", seq=201)
    assert call.session == (b"n-2", 1, EPOCH)
    assert call.own == [b"1/p/presence-room", 0, 1, 1, b"anna", b"{}", 101, 3_000_000, 1, 0]
    assert scene.engine.answer("ready", b"ready").own == [b"n-1"]
    scene.joined(seq=202)
    assert scene.told == ["joined anna first", "joined bert first"]
    assert scene.ledger.counters.lapses == 1


def test_a_lapse_while_registering_protects_the_old_id_still(scene: Scene) -> None:
    """The hello of the new id was lost: a further id, and the same old one."""
    scene.begin()
    scene.engine.disconnect()
    scene.engine.connect()
    scene.engine.answer("hello", b"lapsed")
    scene.engine.disconnect()
    scene.engine.connect()
    call = scene.engine.answer("hello", b"new")
    assert list(call.args) == [b"n-3", 1, EPOCH, 1, b"n-1"]


def test_leaves_for_a_lost_lease_are_not_sent(scene: Scene) -> None:
    """What was registered under it is reaped with it."""
    scene.begin()
    scene.join("anna", 1)
    scene.joined(seq=101)
    scene.engine.disconnect()
    scene.ledger.leave(ROOM, 1, 0)
    scene.engine.connect()
    scene.engine.answer("hello", b"lapsed")
    scene.engine.answer("hello", b"new", seq=200)
    assert scene.engine.asked == ["ready"]


def test_who_leaves_while_others_are_registered_is_not_registered(scene: Scene) -> None:
    """Calls are made as late as possible."""
    scene.begin()
    for number in range(3000):
        scene.join(f"u{number}", number)
        scene.joined(seq=101 + number)
    scene.lapse(seq=5000)
    assert scene.engine.asked == ["restore"] * 4
    scene.ledger.leave(ROOM, 2999, 0)
    scene.ledger.leave(ROOM, 0, 0)
    restored = [scene.engine.answer("restore", b"restored", seq=5001) for _ in range(4)]
    scene.engine.drop("leave")
    scene.engine.drop("leave")
    restored += [scene.engine.answer("restore", b"restored", seq=5001) for _ in range(2)]
    assert [call.own[2] for call in restored] == [500] * 5 + [499]
    assert scene.engine.asked == ["ready"]


def test_a_join_waits_until_everything_is_registered(scene: Scene) -> None:
    """So that a limit counts those who were there before."""
    scene.begin()
    for number in range(2001):
        scene.join(f"u{number}", number)
        scene.joined(seq=101 + number)
    scene.lapse(seq=5000)
    scene.join("late", 3000, limit=5)
    assert scene.engine.asked == ["restore"] * 4
    scene.engine.answer("restore", b"restored", seq=5001)
    assert scene.engine.asked == ["restore"] * 4 + ["ready", "join"]


def test_a_followed_room_is_restored_with_its_roster(scene: Scene) -> None:
    """The feed was never broken: the roster of the last restore is taken."""
    scene.begin()
    scene.follow()
    scene.join("anna")
    scene.joined(seq=101)
    scene.engine.delta("a", "anna", 101)
    scene.take_told()
    scene.lapse(seq=110)
    call = scene.engine.calls[0]
    assert call.own[1] == 1
    roster = listed("bert", "anna")
    scene.engine.answer("restore", b"roster", 0, *roster, seq=112)
    scene.engine.answer("ready", b"ready", seq=112)
    assert scene.told == ["add bert"]
    scene.engine.tick(112)
    assert scene.engine.asked == []


def test_a_removal_of_somebody_who_is_here_is_not_shown(scene: Scene) -> None:
    """It means that the registration is gone: hello, registering, and a new roster."""
    scene.begin()
    scene.follow()
    scene.join("anna")
    scene.joined(seq=101)
    scene.engine.delta("a", "anna", 101)
    scene.engine.delta("a", "bert", 102)
    scene.take_told()
    scene.engine.delta("r", "anna", 103)
    scene.engine.delta("r", "bert", 104)
    assert scene.told == []
    scene.engine.answer("hello", b"lapsed", seq=104)
    scene.engine.answer("hello", b"new", seq=104)
    scene.engine.answer("restore", b"roster", 0, *listed("anna"), seq=105)
    assert scene.told == ["remove bert"]
    scene.engine.answer("ready", b"ready", seq=105)
    scene.engine.delta("a", "anna", 105)
    assert scene.told == ["remove bert"]


def test_a_registration_that_is_gone_under_a_living_lease_is_made_anew(scene: Scene) -> None:
    """The engine says that all is well, but it is not."""
    scene.begin()
    scene.follow()
    scene.join("anna")
    scene.joined(seq=101)
    scene.engine.delta("a", "anna", 101)
    scene.take_told()
    scene.engine.delta("r", "anna", 102)
    scene.engine.answer("hello", b"ok", seq=102)
    call = scene.engine.answer("hello", b"new", seq=102)
    assert list(call.args) == [b"n-2", 1, EPOCH, 1, b"n-1"]
    scene.engine.answer("restore", b"roster", 0, *listed("anna"), seq=103)
    assert scene.told == []


def test_a_roster_without_somebody_who_is_here_is_not_shown(scene: Scene) -> None:
    """The same, seen by a roster."""
    scene.begin()
    scene.follow()
    scene.join("anna")
    scene.joined(seq=101)
    scene.engine.delta("a", "anna", 101)
    scene.take_told()
    scene.engine.tick(102)
    scene.roster("bert", seq=102)
    assert scene.told == []
    assert scene.engine.asked == ["hello"]


def test_a_removal_from_before_a_join_is_shown(scene: Scene) -> None:
    """A user was removed and came back: the first is no contradiction."""
    scene.begin()
    scene.follow("anna")
    scene.take_told()
    scene.join("anna")
    scene.joined(seq=102)
    scene.engine.delta("r", "anna", 101)
    scene.engine.delta("a", "anna", 102)
    assert scene.told == ["remove anna", "add anna", "joined anna first"]


def test_a_lost_engine_is_given_back_what_is_known(scene: Scene) -> None:
    """In a new epoch a node registers its own, and hands back whom it knows from others. Nobody
    is told anything."""
    scene.begin()
    scene.follow("bert")
    scene.ledger.follow(OTHER)
    scene.engine.answer("roster", b"roster", 0, *listed("carl", info=b'"c"'), seq=100)
    scene.join("anna")
    scene.joined(seq=101)
    scene.engine.delta("a", "anna", 101)
    scene.take_told()
    scene.engine.disconnect()
    scene.engine.connect()
    new = {"epoch": EPOCH + 1, "seq": 5000}
    scene.engine.answer("hello", b"lapsed", **new)
    call = scene.engine.answer("hello", b"new", **new)
    assert call.args[2] == EPOCH
    assert scene.engine.asked == ["beat", "restore", "restore", "ready"]
    scene.engine.answer("beat", b"beat", 0, **new)
    restored = {
        call.own[0]: call.own[1:]
        for call in (scene.engine.answer("restore", b"restored", **new) for _ in range(2))
    }
    assert restored == {
        b"1/p/presence-room": [0, 1, 1, b"anna", b"{}", 101, 3_000_000, 1, 1, b"bert", b"{}", 1, 1],
        b"1/p/presence-other": [0, 0, 1, b"carl", b'"c"', 1, 1],
    }
    scene.engine.answer("ready", b"ready", **new)
    scene.engine.answer("roster", b"roster", 1, *listed("anna"), **new)
    scene.engine.answer("roster", b"roster", 1, **new)
    assert scene.told == []


def test_what_was_known_long_ago_is_not_handed_back(scene: Scene) -> None:
    """A node that was away longer than its lease does not know who is there."""
    scene.begin()
    scene.follow("bert")
    scene.engine.disconnect()
    scene.advance(7)
    scene.engine.connect()
    scene.engine.answer("hello", b"lapsed", epoch=EPOCH + 1, seq=5000)
    scene.engine.answer("hello", b"new", epoch=EPOCH + 1, seq=5000)
    assert "restore" not in scene.engine.asked


def test_sign_ins_are_registered_without_rosters(scene: Scene) -> None:
    scene.begin()
    scene.sign_in("anna")
    scene.joined(seq=101)
    scene.lapse(seq=200)
    assert scene.engine.calls[0].own[:3] == [b"1/u/anna", 0, 1]
