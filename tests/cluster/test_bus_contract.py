"""What every bus promises."""

from __future__ import annotations

from functools import partial

import msgspec

from cluster.engines import BusEngine
from herenow.cluster.base import CachedEvent, Publication


def test_an_event_of_a_followed_channel_is_delivered_as_published(bus_engine: BusEngine) -> None:
    """The payload and the socket id to leave out arrive unchanged."""
    publication = Publication("1", "news", b'{"event":"a"}', "1.2")
    bus_engine.follow("1", "news")
    bus_engine.publish(publication)
    assert bus_engine.delivered == [publication]


def test_only_a_local_bus_has_delivered_when_publish_returns(bus_engine: BusEngine) -> None:
    """Those who are not on this node are thought of unless it says so."""
    publication = Publication("1", "news", b'{"event":"a"}')
    bus_engine.follow("1", "news")
    bus_engine.bus.publish((publication,), lambda published: None)
    assert (bus_engine.delivered == [publication]) == bus_engine.bus.is_local
    bus_engine.settle()
    assert bus_engine.delivered == [publication]


def test_events_of_a_channel_keep_their_order(bus_engine: BusEngine) -> None:
    """Cached or not, events arrive in the order in which they were published."""
    bus_engine.follow("1", "cache-news")
    publications = [
        Publication("1", "cache-news", str(n).encode(), cached=n % 3 == 0) for n in range(20)
    ]
    for publication in publications:
        if publication.cached:
            publication = msgspec.structs.replace(publication, data=b'"x"', ttl=60)
        bus_engine.bus.publish((publication,), lambda published: None)
    bus_engine.settle()
    assert bus_engine.delivered == publications


def test_events_published_together_keep_their_order(bus_engine: BusEngine) -> None:
    """Across channels as well, and each with what it says of how it leaves."""
    for channel in ("x", "cache-y", "z"):
        bus_engine.follow("1", channel)
    publications = [
        Publication("1", "x", b"1", sealed=True),
        Publication("1", "cache-y", b"2", "1.2", cached=True, sealed=True),
        Publication("1", "cache-y", b"3", cached=True),
        Publication("1", "x", b"4", sealed=True),
        Publication("1", "z", b"5"),
    ]
    kept = [
        msgspec.structs.replace(item, data=b'"d"', ttl=9) if item.cached else item
        for item in publications
    ]
    bus_engine.publish(*kept)
    assert bus_engine.delivered == publications
    assert bus_engine.cached("1", "cache-y") == CachedEvent(b"3", b'"d"', 9)


def test_the_last_cached_event_is_kept(bus_engine: BusEngine) -> None:
    """The newest event is answered, with the time at which it expires."""
    bus_engine.keep("cache-a", b"old", b'"old"', 60)
    bus_engine.keep("cache-a", b"new", b'"new"', 60)
    assert bus_engine.cached("1", "cache-a") == CachedEvent(b"new", b'"new"', 60)


def test_an_event_that_is_not_cached_leaves_the_cached_one(bus_engine: BusEngine) -> None:
    """A client event in a cache channel does not become the channel's last event."""
    bus_engine.keep("cache-a", b"kept", b'"kept"', 60)
    bus_engine.publish(Publication("1", "cache-a", b"passing"))
    cached = bus_engine.cached("1", "cache-a")
    assert cached is not None
    assert cached.payload == b"kept"


def test_a_cached_event_is_kept_without_any_follower(bus_engine: BusEngine) -> None:
    """Who comes later gets what was published before anybody was here."""
    bus_engine.keep("cache-a", b"early", b'"early"', 60)
    bus_engine.follow("1", "cache-a")
    assert bus_engine.cached("1", "cache-a") is not None


def test_an_expired_event_is_never_answered(bus_engine: BusEngine) -> None:
    """It is there until its time has passed, and not a moment longer."""
    bus_engine.keep("cache-a", b"a", b'"a"', 60)
    bus_engine.advance(59.5)
    assert bus_engine.cached("1", "cache-a") is not None
    bus_engine.advance(0.5)
    assert bus_engine.cached("1", "cache-a") is None


def test_publishing_again_begins_the_time_again(bus_engine: BusEngine) -> None:
    """The expiry of an event that was replaced does not take its successor away."""
    bus_engine.keep("cache-a", b"a", b'"a"', 60)
    bus_engine.advance(40)
    bus_engine.keep("cache-a", b"b", b'"b"', 60)
    bus_engine.advance(40)
    assert bus_engine.cached("1", "cache-a") is not None
    bus_engine.advance(20)
    assert bus_engine.cached("1", "cache-a") is None


def test_a_shorter_time_replaces_a_longer_one(bus_engine: BusEngine) -> None:
    """The newest event's own time counts, also when it ends before its predecessor's."""
    bus_engine.keep("cache-a", b"a", b'"a"', 60)
    bus_engine.keep("cache-a", b"b", b'"b"', 5)
    bus_engine.advance(5)
    assert bus_engine.cached("1", "cache-a") is None


def test_channels_and_applications_are_kept_apart(bus_engine: BusEngine) -> None:
    """A channel of the same name in another application has nothing to do with this one."""
    bus_engine.keep("cache-a", b"a", b'"a"', 60)
    assert bus_engine.cached("2", "cache-a") is None
    assert bus_engine.cached("1", "cache-b") is None


def test_a_changed_application_is_told_to_the_node(bus_engine: BusEngine) -> None:
    """Every node looks it up again."""
    assert bus_engine.ask(partial(bus_engine.bus.change_app, "7"))
    assert bus_engine.changed == ["7"]


def test_the_first_miss_of_a_channel_is_told_from_those_after_it(bus_engine: BusEngine) -> None:
    """Until something is kept for the channel, or the time has passed."""
    assert bus_engine.first_miss("cache-a")
    assert not bus_engine.first_miss("cache-a")
    assert bus_engine.first_miss("cache-b")
    bus_engine.keep("cache-a", b"new", b'"new"', 1)
    assert bus_engine.first_miss("cache-a")
    assert not bus_engine.first_miss("cache-a")
    bus_engine.advance(1)
    assert bus_engine.first_miss("cache-a")
