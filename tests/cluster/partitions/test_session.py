"""The session of a node with a partition: broken connections, fences, beats."""

from __future__ import annotations

from cluster.partitions.scripted import EPOCH, ROOM, Scene, user


def test_a_node_begins_with_an_id_of_its_own(scene: Scene) -> None:
    """It makes a lease, and protects nothing."""
    scene.engine.connect()
    call = scene.engine.answer("hello", b"new")
    assert list(call.args) == [b"n-1", 1, 0, 1, b""]
    assert scene.ledger.ready


def test_a_lost_hello_is_repeated_under_another_id(scene: Scene) -> None:
    """The first may have been executed, or may still be."""
    scene.engine.connect()
    scene.engine.disconnect()
    scene.engine.connect()
    call = scene.engine.answer("hello", b"new")
    assert list(call.args) == [b"n-2", 1, 0, 1, b""]


def test_a_broken_connection_is_followed_by_a_higher_token(scene: Scene) -> None:
    """What the broken one carried is fenced by it."""
    scene.begin()
    scene.engine.disconnect()
    assert not scene.ledger.ready
    scene.engine.connect()
    call = scene.engine.answer("hello", b"ok")
    assert list(call.args) == [b"n-1", 2, EPOCH, 0, b""]


def test_a_stale_token_is_raised(scene: Scene) -> None:
    scene.begin()
    scene.engine.disconnect()
    scene.engine.connect()
    scene.engine.answer("hello", b"stale")
    assert scene.engine.answer("hello", b"ok").session == (b"n-1", 3, EPOCH)


def test_only_what_is_still_wanted_is_sent_again(scene: Scene) -> None:
    """In the order in which it was asked for; instead of a join that was left, its leave."""
    scene.begin()
    scene.join("anna", 1)
    scene.join("bert", 2)
    scene.join("carl", 3)
    scene.joined(seq=101)
    scene.ledger.leave(ROOM, 1, 0)
    scene.ledger.leave(ROOM, 2, 0)
    scene.engine.disconnect()
    scene.ledger.leave(ROOM, 3, 0)
    scene.engine.connect()
    scene.engine.answer("hello", b"ok")
    assert [(call.script, call.own[0]) for call in scene.engine.calls] == [
        ("leave", 1),
        ("leave", 2),
        ("leave", 3),
    ]
    assert scene.told == ["joined anna first"]


def test_a_join_is_sent_again_and_answered_once(scene: Scene) -> None:
    """Under the new token; the engine knows the subscription."""
    scene.begin()
    scene.join("anna")
    scene.engine.disconnect()
    scene.engine.connect()
    scene.engine.answer("hello", b"ok")
    call = scene.joined(seq=101, first=0)
    assert call.session == (b"n-1", 2, EPOCH)
    assert scene.told == ["joined anna"]


def test_fenced_while_joining(scene: Scene) -> None:
    """On the living connection the node says hello, and asks again; what was answered counts."""
    scene.begin()
    scene.join("anna", 1)
    scene.join("bert", 2)
    scene.join("carl", 3)
    scene.joined(seq=101)
    scene.engine.answer("join", b"fenced")
    scene.engine.answer("join", b"fenced")
    assert scene.engine.asked == ["hello"]
    assert scene.engine.answer("hello", b"ok").session == (b"n-1", 2, EPOCH)
    scene.joined(seq=102)
    scene.joined(seq=103)
    assert scene.told == ["joined anna first", "joined bert first", "joined carl first"]
    assert scene.ledger.counters.fenced == 2


def test_an_engine_that_fences_everything_is_not_asked_without_end(scene: Scene) -> None:
    """After some attempts the node waits for the next tick."""
    scene.begin()
    scene.join("anna")
    hellos = 0
    while scene.engine.calls:
        scene.engine.answer("join", b"fenced")
        if scene.engine.calls:
            scene.engine.answer("hello", b"ok")
            hellos += 1
        assert hellos < 100
    scene.advance(0.3)
    assert scene.engine.asked == ["hello"]


def test_another_epoch_on_the_feed_has_the_node_say_hello(scene: Scene) -> None:
    """The engine was lost behind a connection that was not."""
    scene.begin()
    scene.follow()
    scene.engine.tick(5000, epoch=EPOCH + 1)
    scene.engine.tick(5000, epoch=EPOCH + 1)
    assert scene.engine.asked == ["hello"]
    scene.engine.tick(50, epoch=EPOCH - 1)
    scene.engine.answer("hello", b"lapsed", epoch=EPOCH + 1, seq=5000)
    scene.engine.answer("hello", b"new", epoch=EPOCH + 1, seq=5000)
    assert scene.ledger.counters.epochs == 1


def test_beats_come_every_third_of_the_lease(scene: Scene) -> None:
    scene.begin()
    beats = 0
    for _ in range(120):
        scene.advance(0.1)
        beats += len(scene.engine.calls)
        scene.answer_beats(100)
    assert beats == 12 / 2


def test_leaving_the_cluster_gives_the_lease_up(scene: Scene) -> None:
    """Nothing is sent afterwards."""
    scene.begin()
    scene.ledger.follow(user("anna"))
    left: list[str] = []
    scene.ledger.leave_cluster(lambda: left.append("left"))
    scene.engine.answer("bye", b"bye")
    assert left == ["left"]
    scene.join("anna")
    scene.advance(5)
    assert scene.engine.asked == []


def test_leaving_an_unreachable_engine_waits_for_nothing(scene: Scene) -> None:
    left: list[bool] = []
    scene.ledger.leave_cluster(lambda: left.append(True))
    assert left == [True]


def test_settled_when_everything_is_answered(scene: Scene) -> None:
    """What a node waits for before it leaves."""
    states: list[bool] = []

    def note() -> None:
        states.append(scene.ledger.settled)

    scene.begin()
    note()
    scene.join("anna")
    note()
    scene.joined(seq=101)
    note()
    scene.ledger.leave(ROOM, 1, 0)
    note()
    scene.engine.answer("leave", b"left")
    note()
    assert states == [True, False, True, False, True]


def test_ready_while_every_partition_has_a_session(scene: Scene) -> None:
    """What the ready check tells."""
    states = [scene.ledger.ready]
    scene.engine.connect()
    states.append(scene.ledger.ready)
    scene.engine.answer("hello", b"new")
    states.append(scene.ledger.ready)
    scene.engine.disconnect()
    states.append(scene.ledger.ready)
    assert states == [False, False, True, False]
