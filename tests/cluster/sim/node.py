"""A node as the ledger's caller: connections, rooms and watchers, as the server keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TypeVar

from cluster.sim.clock import NodeClock
from cluster.sim.model import INFO, Mode, Model, Part, Violation
from cluster.sim.wires import Wires
from herenow.cluster.base import (
    Channels,
    ChannelState,
    Joined,
    Online,
    Refusal,
    Roster,
    Subject,
    SubjectKind,
    Totals,
    Transition,
    TransitionKind,
)
from herenow.cluster.partitions.ledger import PartitionedLedger
from herenow.cluster.partitions.placement import decode, subject_key

T = TypeVar("T")

APP: Final = "1"
NEWS: Final = "news"


def name_of(subject: Subject) -> str:
    """The subject as the model knows it."""
    return decode(subject_key(subject))


class Room:
    """A followed subject: who was shown here, and to whom."""

    def __init__(self) -> None:
        self.shown: dict[str, tuple[str, int]] = {}
        self.joining: dict[str, int] = {}
        self.members: dict[str, int] = {}
        self.asking: set[str] = set()
        self.watchers: set[str] = set()

    @property
    def is_idle(self) -> bool:
        return not (self.joining or self.members or self.asking or self.watchers)


class Node:
    """One life of a node. ``signed_in`` holds subject → client → subscription."""

    def __init__(
        self,
        name: str,
        model: Model,
        wires: Wires,
        clock: NodeClock,
        ledger: PartitionedLedger,
        subscriptions: Iterator[int],
        *,
        limit: int,
        grace: float,
    ) -> None:
        self.name = name
        self.wires = wires
        self.clock = clock
        self.ledger = ledger
        self.frozen = False
        self.inbox: list[Callable[[], None]] = []
        self.rooms: dict[Subject, Room] = {}
        self.signing_in: dict[Subject, dict[str, int]] = {}
        self.signed_in: dict[Subject, dict[str, int]] = {}
        self.infos: dict[int, tuple[str, str]] = {}
        self.news: set[str] = set()
        self.connections: set[str] = set()
        self.questions = 0
        self._model = model
        self._subscriptions = subscriptions
        self._limit = limit
        self._grace = grace
        self._counted: dict[str, int] = {}
        self._parts: dict[tuple[str, str], Part] = {}
        ledger.attach(self)

    # What clients do.

    def connect(self, client: str, limit: int) -> None:
        self.connections.add(client)
        answers: list[bool | Refusal] = []

        def admitted(answer: bool | Refusal) -> None:
            answers.append(answer)
            if len(answers) > 1:
                raise Violation(9, f"{client} was admitted twice")
            if client in self.connections and answer is not True:
                self.refuse(client)
            self.ledger.count_connections(APP, len(self.connections))

        self.ledger.admit(APP, len(self.connections), limit, admitted)

    def refuse(self, client: str) -> None:
        """The server closes the connection."""
        if client in self._model.clients:
            self._model.closes(client)
        self.close(client, 0)

    def close(self, client: str, grace: float) -> None:
        if client not in self.connections:
            return
        self.connections.remove(client)
        for subject, room in list(self.rooms.items()):
            self._leave(subject, room.joining, client, grace)
            self._leave(subject, room.members, client, grace)
            room.asking.discard(client)
            room.watchers.discard(client)
            self._forget(subject)
        for table in (self.signing_in, self.signed_in):
            for subject, people in table.items():
                self._leave(subject, people, client, grace)
        self.news.discard(client)
        self._count()
        self.ledger.count_connections(APP, len(self.connections))

    def subscribe(self, client: str, subject: Subject, user: str, part: Part) -> None:
        if client not in self.connections:
            return
        self._parts[client, name_of(subject)] = part
        mode, info = part.mode, part.info
        if mode is Mode.WATCHER:
            self._watch(client, subject)
            return
        subscription = next(self._subscriptions)
        self.infos[subscription] = (user, info)
        if mode is Mode.MEMBER:
            self._room(subject).joining[client] = subscription
        else:
            self.signing_in.setdefault(subject, {})[client] = subscription
        self.ledger.join(
            subject,
            user,
            subscription,
            info.encode(),
            self._limit if mode is Mode.MEMBER else 0,
            self._grace,
            partial(self._joined, client, subject, mode, subscription),
        )

    def unsubscribe(self, client: str, subject: Subject) -> None:
        room = self.rooms.get(subject)
        if room is None:
            return
        self._leave(subject, room.joining, client, 0)
        self._leave(subject, room.members, client, 0)
        room.watchers.discard(client)
        room.asking.discard(client)
        self._forget(subject)
        self._count()

    def read_news(self, client: str) -> None:
        """Subscribe to a public channel, or unsubscribe."""
        if client in self.connections:
            self.news ^= {client}
            self._count()

    def _room(self, subject: Subject) -> Room:
        room = self.rooms.get(subject)
        if room is None:
            room = self.rooms[subject] = Room()
            self.ledger.follow(subject)
        return room

    def _forget(self, subject: Subject) -> None:
        if self.rooms[subject].is_idle:
            del self.rooms[subject]
            self.ledger.unfollow(subject)

    def _leave(self, subject: Subject, people: dict[str, int], client: str, grace: float) -> None:
        subscription = people.pop(client, None)
        if subscription is not None:
            del self.infos[subscription]
            self.ledger.leave(subject, subscription, grace)

    def _count(self) -> None:
        numbers = {
            subject.name: len(room.members)
            for subject, room in self.rooms.items()
            if subject.kind is SubjectKind.PRESENCE
        }
        numbers[NEWS] = len(self.news)
        for channel in {*numbers, *self._counted}:
            number = numbers.get(channel, 0)
            if self._counted.get(channel, 0) != number:
                self._counted[channel] = number
                self.ledger.count(APP, channel, number)

    def _hears(self, client: str, subject: str) -> bool:
        """Whether the client has not left meanwhile, which this node has still to read."""
        person = self._model.clients.get(client)
        part = person.parts.get(subject) if person is not None else None
        return part is not None and part is self._parts.get((client, subject))

    # What the ledger says.

    def _joined(
        self, client: str, subject: Subject, mode: Mode, subscription: int, answer: Joined | Refusal
    ) -> None:
        room = self.rooms.get(subject)
        if mode is Mode.MEMBER:
            joining = room.joining if room is not None else {}
        else:
            joining = self.signing_in.get(subject, {})
        if joining.get(client) != subscription:
            raise Violation(9, f"a join of {client} to {subject.name} that ended is answered")
        if answer is Refusal.UNAVAILABLE:
            self.refuse(client)
            return
        del joining[client]
        name = name_of(subject)
        if answer is Refusal.FULL:
            del self.infos[subscription]
            if self._hears(client, name):
                self._model.refused(client, name)
            self._forget(subject)
            return
        if mode is Mode.SIGNED_IN:
            self.signed_in.setdefault(subject, {})[client] = subscription
            if self._hears(client, name):
                self._model.answered(client, name, ())
            return
        assert room is not None
        room.members[client] = subscription
        if self._hears(client, name):
            self._model.answered(client, name, room.shown)
        self._count()

    def _watch(self, client: str, subject: Subject) -> None:
        room = self._room(subject)
        room.asking.add(client)

        def answered(answer: Online | Refusal) -> None:
            if client not in room.asking:
                return
            room.asking.remove(client)
            room.watchers.add(client)
            if isinstance(answer, Online) and answer.users != set(room.shown):
                raise Violation(
                    2, f"{self.name} says {set(answer.users)} are online, but showed {room.shown}"
                )
            if self._hears(client, name_of(subject)):
                self._model.answered(client, name_of(subject), room.shown)

        self.ledger.online(APP, [subject.name], answered)

    def apply(self, transition: Transition) -> None:
        subject, user = transition.subject, transition.user
        room, name = self.rooms.get(subject), name_of(subject)
        if room is None:
            raise Violation(9, f"{self.name} is told of {name}, which it does not follow")
        kind = transition.kind
        if (kind is TransitionKind.ADD) is (user in room.shown):
            raise Violation(1, f"{self.name} is told {kind.value} of {user} in {name}, out of turn")
        if kind is TransitionKind.REMOVE:
            _, shown_at = room.shown.pop(user)
            self._model.shows_removal(self.name, name, user, shown_at)
        else:
            _, shown_at = room.shown.get(user, ("", transition.revision))
            room.shown[user] = (transition.info.decode(), shown_at)
        if kind.value == INFO:
            return
        for client in (*sorted(room.members), *sorted(room.watchers)):
            if self._hears(client, name):
                self._model.told(client, name, kind.value, user)

    def announced(self, app: str, channel: str, subscriptions: int) -> None:
        pass

    def terminate(self, app: str, user: str) -> None:
        subject = Subject(app, SubjectKind.USER, user)
        for client in list(self.signed_in.get(subject, ())):
            self.refuse(client)

    # What people ask over HTTP.

    def ask_roster(self, subject: Subject, answered: Callable[[Roster | Refusal], None]) -> None:
        self.ledger.roster(subject, self._once(answered))

    def ask_channel(self, name: str, answered: Callable[[ChannelState | Refusal], None]) -> None:
        self.ledger.channel(APP, name, self._once(answered))

    def ask_channels(self, answered: Callable[[Channels | Refusal], None]) -> None:
        self.ledger.channels(APP, "", self._once(answered))

    def ask_totals(self, answered: Callable[[Totals | Refusal], None]) -> None:
        self.ledger.totals(APP, self._once(answered))

    def announce(self, name: str) -> None:
        self.ledger.announce(APP, name, self._once(lambda _: None))

    def spend(self) -> None:
        self.ledger.spend(APP, 1, 1000, self._once(lambda _: None))

    def ask_to_terminate(self, user: str, answered: Callable[[bool], None]) -> None:
        self.ledger.terminate(APP, user, self._once(answered))

    def _once(self, answered: Callable[[T], None]) -> Callable[[T], None]:
        self.questions += 1
        open_ = [True]

        def done(answer: T) -> None:
            if not open_[0]:
                raise Violation(9, f"{self.name} answers a question twice")
            open_[0] = False
            self.questions -= 1
            answered(answer)

        return done

    def live(self) -> dict[tuple[str, int], tuple[str, str]]:
        """(subject, subscription) → (user, info) of everybody who is in by this node."""
        found: dict[tuple[str, int], tuple[str, str]] = {}
        for subject, room in self.rooms.items():
            for subscription in room.members.values():
                found[name_of(subject), subscription] = self.infos[subscription]
        for subject, people in self.signed_in.items():
            for subscription in people.values():
                found[name_of(subject), subscription] = self.infos[subscription]
        return found
