"""Deliberate faults: each takes a safety measure out of the product, and must be found.

Those of the scripts replace text of their sources, exactly; those of the node replace a method.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from unittest import mock

from cluster.lua.fake import FakeServer
from cluster.sim.server import SimulatedServer
from herenow.cluster.lua import NAMES, source
from herenow.cluster.partitions.entries import Entries, Entry, Stage
from herenow.cluster.partitions.feed import Delta, Feed, Tick
from herenow.cluster.partitions.following import Following
from herenow.cluster.partitions.joins import Joins
from herenow.cluster.partitions.replica import Replica
from herenow.cluster.partitions.session import Operation


class Fault(NamedTuple):
    """``replacements``: what in the scripts becomes what, in as many of them as have it.

    Without ``checks_sequence`` the judge does not look at numbers, only at what comes of them.
    """

    what: str
    replacements: Sequence[tuple[str, str]] = ()
    patches: Sequence[tuple[type, str, Any]] = ()
    published_by_node: bool = False
    checks_sequence: bool = True

    def server(self) -> SimulatedServer:
        sources = {}
        for name in NAMES:
            text = source(name)
            for old, new in self.replacements:
                text = text.replace(old, new)
            if text != source(name):
                sources[name] = text
        for old, _ in self.replacements:
            assert any(old in source(name) for name in NAMES), f"no script has {old!r}"
        return SimulatedServer(FakeServer(sources), published_by_node=self.published_by_node)

    @contextmanager
    def in_force(self) -> Iterator[SimulatedServer]:
        patchers = [mock.patch.object(owner, name, new) for owner, name, new in self.patches]
        for patcher in patchers:
            patcher.start()
        try:
            yield self.server()
        finally:
            for patcher in reversed(patchers):
                patcher.stop()


FENCE: Final = """  if tonumber(ARGV[9]) ~= epoch then
    return true
  end
  if call("HGET", B .. ":token", ARGV[7]) ~= ARGV[8] then
    return true
  end
"""
CANCEL: Final = """    if cancelled then
      cancel_departure(subject, user)
    end
"""


def _take_as_it_comes(feed: Feed, message: Delta | Tick) -> None:
    feed.position = max(feed.position, message.seq)
    if isinstance(message, Delta):
        feed._listener.changed(message)
    feed._listener.advanced()


_changed = Replica.changed


def _changed_as_it_comes(replica: Replica, delta: Delta) -> None:
    live, replica.live = replica.live, True
    replica.reached = delta.seq - 1
    _changed(replica, delta)
    replica.live = live


REQUIRED: Final = {
    "fence": Fault("no incarnation check", [(FENCE, "")]),
    "seq": Fault(
        "the revision restarts at 1 with an empty room",
        [
            (
                '      write_outbox("v", name, "", "", member.left)\n    end\n  end\n',
                '      write_outbox("v", name, "", "", member.left)\n    end\n  end\n'
                "  if members == 0 then seq = 0 end\n",
            )
        ],
        checks_sequence=False,
    ),
    "cancel": Fault("a departure is not cancelled by a join elsewhere", [(CANCEL, "")]),
    "publish": Fault("the node publishes after the answer", published_by_node=True),
    "order": Fault(
        "the replica applies out of order",
        patches=[
            (Replica, "changed", _changed_as_it_comes),
            (Feed, "_take", _take_as_it_comes),
        ],
    ),
    "clock": Fault("an outage counts as time", [("silent = step > LEASE / 2", "silent = false")]),
}

_leave = Joins.leave
_operation = Operation.__init__


def _positioned_as_before(following: Following, seq: int) -> None:
    following.ask_all()


def _changed_or_dropped(replica: Replica, delta: Delta) -> None:
    if replica.live:
        _changed(replica, delta)


def _leave_if_answered(joins: Joins, key: bytes, subscription: int, grace: float) -> None:
    entry: Entry | None = joins.entries.get(key, subscription)
    if entry is not None and entry.stage is Stage.ASKED:
        joins.entries.remove(entry)
        return
    _leave(joins, key, subscription, grace)


def _always_wanted(operation: Operation, *args: Any, wanted: Any = None, **kwargs: Any) -> None:
    _operation(operation, *args, **kwargs)


def _never_registered(entries: Entries, key: bytes, user: str, seq: int) -> bool:
    return False


def _not_silent(feed: Feed, longest: float, up_since: float) -> None:
    pass


HELD: Final = "  if grace > 0 then\n    member.held"

YOUNG: Final = (
    ("recover = lost and extended or clock + floor(LEASE / 2)", "recover = clock"),
    ("local lost = create and known_epoch ~= 0 and", "local lost = false and"),
)

FURTHER: Final = {
    "base": Fault(
        "after subscribing replicas stay as they are",
        patches=[(Following, "positioned", _positioned_as_before)],
    ),
    "history": Fault(
        "a failover begins no epoch", [("if epoch == 0 or state[2] ~= history", "if epoch == 0")]
    ),
    "hold": Fault(
        "a grace counts only with the last leave",
        [(HELD, HELD.replace("grace > 0", "grace > 0 and member.connections == 0"))],
    ),
    "leave": Fault(
        "a connection that closes before its join is answered sends no leave",
        patches=[(Joins, "leave", _leave_if_answered)],
    ),
    "selfhold": Fault(
        "a removal of somebody connected here is shown",
        patches=[(Entries, "is_registered_before", _never_registered)],
    ),
}
"""Found by the same search."""

RARE: Final = {
    "buffer": Fault(
        "deltas are dropped while a roster is on its way",
        patches=[(Replica, "changed", _changed_or_dropped)],
    ),
    "intent": Fault(
        "everything is sent again, wanted or not", patches=[(Operation, "__init__", _always_wanted)]
    ),
    "silence": Fault(
        "a feed that fell silent is believed", patches=[(Feed, "check_silence", _not_silent)]
    ),
    "stamp": Fault(
        "an older info replaces a newer one", [("(not stamp or stamp > member.stamp)", "true")]
    ),
    "young": Fault("no epoch is ever young", YOUNG),
}
"""Found in several thousand examples. What each of them keeps out is kept out by others mostly."""
