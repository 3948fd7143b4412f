"""What the follower is told of a partition: replicas and watched users, kept by the feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from herenow.cluster.base import Clock, Subject, SubjectKind, Transition, TransitionKind
from herenow.cluster.partitions.counters import Counters
from herenow.cluster.partitions.engine import Argument, Engine
from herenow.cluster.partitions.feed import ADD, INFO, REMOVE, TERMINATE, Delta, Feed
from herenow.cluster.partitions.joins import Joins
from herenow.cluster.partitions.placement import subject_key, subject_of
from herenow.cluster.partitions.registration import Known
from herenow.cluster.partitions.replica import Replica
from herenow.cluster.partitions.rosters import listed
from herenow.cluster.partitions.session import NodeSession, Operation
from herenow.cluster.partitions.telling import Telling
from herenow.cluster.partitions.terminations import Terminations
from herenow.cluster.partitions.watched import Watched

_KINDS: Final = {
    ADD: TransitionKind.ADD.value,
    REMOVE: TransitionKind.REMOVE.value,
    INFO: TransitionKind.INFO.value,
}


class FollowingOwner(Protocol):
    """What following needs of its partition."""

    counters: Counters
    telling: Telling
    session: NodeSession
    joins: Joins

    @property
    def is_registered(self) -> bool:
        """Whether what is asked now is sent, after everything that is to be registered again."""

    def is_restoring(self, key: bytes) -> bool:
        """Whether entries of a subject are still being registered again."""

    def find_position(self, subscription: int) -> None:
        """Send a beat that tells the feed's position for *subscription*."""

    def beat_soon(self) -> None:
        """Send a beat that asks for the terminations that were missed."""


class Following:
    """Listener of the feed, and what replicas and watched users have in common."""

    def __init__(self, engine: Engine, index: int, clock: Clock, owner: FollowingOwner) -> None:
        self.counters = owner.counters
        self.telling = owner.telling
        self.watched = Watched(self)
        self.feed = Feed(engine, index, clock, self)
        self.terminations = Terminations(self.feed)
        self._clock = clock
        self._owner = owner
        self._joins = owner.joins
        self._session = owner.session
        self._replicas: dict[bytes, Replica] = {}
        self._needed_at = 0.0

    @property
    def epoch(self) -> int:
        return self._session.epoch

    @property
    def is_up(self) -> bool:
        return self._session.is_up

    @property
    def can_ask(self) -> bool:
        return self.feed.is_live and self._owner.is_registered

    def now(self) -> float:
        return self._clock.time()

    def send(self, operation: Operation) -> None:
        self._session.send(operation)

    def follow(self, subject: Subject) -> None:
        key = subject_key(subject)
        if subject.kind is SubjectKind.USER:
            self.watched.add(key)
        elif key not in self._replicas:
            self._replicas[key] = Replica(self, subject, self.feed.position)
            self._ask(self._replicas[key])
        self.need_feed()

    def unfollow(self, subject: Subject) -> None:
        key = subject_key(subject)
        self.watched.remove(key)
        replica = self._replicas.pop(key, None)
        if replica is not None:
            replica.closed = True
        self._needed_at = self.now()
        self._joins.settle(key, None)

    def reached(self, key: bytes) -> int | None:
        """Up to where the follower knows everything of a subject; None if it does not follow."""
        replica = self._replicas.get(key)
        if replica is not None:
            return max(replica.reached, self.feed.position) if replica.live else -1
        if key in self.watched:
            return self.watched.reached(key, self.feed.position)
        return None

    def need_feed(self) -> None:
        self._needed_at = self.now()
        if not self.feed.is_wanted:
            self.terminations.start(self._session.seq)
            self.feed.start()

    def stop_feed_if_unneeded(self, linger: float) -> None:
        """Stop it *linger* seconds after it was needed last."""
        now = self.now()
        if self._replicas or self.watched or self._joins.entries.signed_in:
            self._needed_at = now
        elif self.feed.is_wanted and now - self._needed_at > linger:
            self.feed.stop()

    def known(self) -> dict[bytes, Sequence[Known]]:
        """Who is in channels that are followed, but for those who are here."""
        here = {(entry.key, entry.user) for entry in self._joins.entries if entry.is_member}
        found: dict[bytes, Sequence[Known]] = {}
        for key, replica in self._replicas.items():
            shown = replica.shown.items() if replica.live else ()
            others = [Known(user, *set_) for user, set_ in shown if (key, user) not in here]
            if others:
                found[key] = others
        return found

    def lapsed(self, seq: int, changed: bool) -> None:
        """There is a new lease as of *seq*: nothing that was asked is answered any more."""
        for replica in self._replicas.values():
            replica.invalidate(seq if changed else max(replica.need, seq))
            replica.asked = None
        self.watched.restart()
        if changed:
            self.feed.epoch_changed()

    def wants_roster(self, key: bytes, operation: Operation) -> bool:
        replica = self._replicas.get(key)
        if replica is None:
            return False
        if replica.live or not self.feed.is_live:
            if replica.asked is operation:
                # It wanted the roster when it was sent first; sent again, it does not.
                replica.asked = None
            return False
        replica.asked = operation
        replica.asking()
        return True

    def take(self, key: bytes, operation: Operation, reply: list[Any]) -> None:
        """The answer of *operation* is a roster."""
        replica = self._replicas.get(key)
        if replica is None or replica.asked is not operation:
            return
        replica.asked = None
        seq = reply[2]
        if self.feed.is_live and seq >= replica.need:
            replica.take(seq, listed(reply), bool(reply[3]), self.now())
            self._joins.settle(key, self.reached(key))
        self._ask(replica)

    def ask_all(self) -> None:
        """Ask for whatever is not known and not asked for."""
        for replica in self._replicas.values():
            self._ask(replica)
        self.watched.ask()

    def ask_restored(self, key: bytes) -> None:
        """The subject is registered again."""
        replica = self._replicas.get(key)
        if replica is not None:
            self._ask(replica)

    def ask_held(self) -> None:
        """Ask again about those whom a young epoch may not know yet."""
        for replica in self._replicas.values():
            if replica.holding and replica.live:
                replica.invalidate(replica.reached)
                self._ask(replica)
        self.watched.ask_held()

    def terminate(self, key: bytes, seq: int) -> None:
        self._joins.terminated(key, subject_of(key).name, seq)

    def _ask(self, replica: Replica) -> None:
        key = replica.key
        if (
            replica.live
            or replica.asked is not None
            or not self.feed.is_live
            or not self._session.is_up
            or self._owner.is_restoring(key)
        ):
            return

        def arguments() -> list[Argument]:
            replica.asking()
            return [key]

        operation = Operation("roster", arguments, lambda reply: self.take(key, operation, reply))
        replica.asked = operation
        self.send(operation)

    # As the feed's listener.

    def ask_position(self, subscription: int) -> None:
        self._owner.find_position(subscription)

    def positioned(self, seq: int) -> None:
        for replica in self._replicas.values():
            replica.invalidate(seq)
        self.watched.invalidate()
        self.ask_all()

    def missed(self, after: int, seq: int) -> None:
        for replica in self._replicas.values():
            if not replica.live or replica.reached < seq:
                replica.invalidate(max(replica.need, seq))
        self.watched.invalidate()
        self.ask_all()
        if self._joins.entries.signed_in:
            self.terminations.missed(after, seq)
            self._owner.beat_soon()

    def changed(self, delta: Delta) -> None:
        if delta.kind == TERMINATE:
            self.terminate(delta.subject, delta.seq)
            return
        self.counters.transitions[_KINDS[delta.kind]] += 1
        replica = self._replicas.get(delta.subject)
        if replica is not None:
            replica.changed(delta)
        else:
            self.watched.changed(delta)

    def advanced(self) -> None:
        if self.watched.is_ahead:
            self.watched.advanced(self.feed.position)
        if self._joins.is_waiting:
            self._joins.settle_all()
        if self.telling:
            self.telling.run()

    def epoch_passed(self) -> None:
        self._session.say_hello_again()

    # As the owner of replicas and watched users.

    def tell(self, replica: Replica, transition: Transition) -> None:
        self.telling.add_transition(transition, lambda: not replica.closed)

    def tell_watched(self, key: bytes, transition: Transition) -> None:
        # Who was unfollowed and followed again meanwhile is not known yet.
        self.telling.add_transition(transition, lambda: self.watched.is_online(key) is not None)

    def is_registered_before(self, key: bytes, user: str, seq: int) -> bool:
        return self._joins.entries.is_registered_before(key, user, seq)

    def registration_lost(self) -> None:
        self._session.suspect()

    def settle(self, key: bytes, reached: int) -> None:
        self._joins.settle(key, reached)
