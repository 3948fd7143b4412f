"""What must hold of presence on many nodes, whatever happens: the judge, who knows no product.

It is told what people do, what befalls the nodes, what the engine decides and what every client
is told; it says at once when something cannot be right, and at the end what must be so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

ADD: Final = "add"
REMOVE: Final = "remove"
INFO: Final = "info"

EXACT: Final = 0.001


class Violation(AssertionError):
    """Something that must never be. ``rule`` is the number of the invariant."""

    def __init__(self, rule: int, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule


class Mode(Enum):
    """How somebody takes part: in a room, by signing in, or only watching who does."""

    MEMBER = "member"
    SIGNED_IN = "signed in"
    WATCHER = "watcher"


class State(Enum):
    PENDING = "not answered"
    IN = "in"
    REFUSED = "refused"


@dataclass
class Part:
    """A subscription as the library in a browser keeps it."""

    mode: Mode
    info: str
    state: State = State.PENDING
    roster: set[str] = field(default_factory=set)


@dataclass
class Client:
    node: str
    user: str
    parts: dict[str, Part] = field(default_factory=dict)


class Decision(NamedTuple):
    moment: int
    partition: int
    seq: int


class Hold(NamedTuple):
    until: float
    epoch: int


@dataclass
class Stored:
    """What the engine has at the end.

    ``members``: subject → user → (connections, info). ``entries``: (subject, subscription) →
    user. ``outbox``: (kind, subject or channel, user) in order. ``counts``: channel → how many.
    """

    members: dict[str, dict[str, tuple[int, str]]]
    entries: dict[tuple[str, int], str]
    outbox: list[tuple[str, str, str]]
    counts: dict[str, int]
    nodes: set[str]


class Model:
    """The judge of one run.

    A user is *solid* in a subject while a client of his is in it by a node that is well. Moments
    are numbered: each thing that happens is one.
    """

    def __init__(self, *, checks_sequence: bool = True) -> None:
        self._checks_sequence = checks_sequence
        self.clients: dict[str, Client] = {}
        self.sick: set[str] = set()
        self._decisions: list[Decision] = []
        self._partition_of: dict[str, int] = {}
        self.lost = False
        self.hurried = 0.0
        self._moment = 0
        self._solid_since: dict[tuple[str, str], int] = {}
        self._holds: dict[tuple[str, str], Hold] = {}
        self._left: set[int] = set()
        self._terminated: set[str] = set()
        self._entered: dict[int, tuple[int, str]] = {}
        self._known: dict[tuple[str, str], set[int]] = {}
        self._position: dict[int, tuple[int, int]] = {}

    # What people do.

    def connects(self, client: str, node: str, user: str) -> None:
        self.clients[client] = Client(node, user)

    def subscribes(self, client: str, subject: str, mode: Mode, info: str) -> Part:
        part = self.clients[client].parts[subject] = Part(mode, info)
        return part

    def unsubscribes(self, client: str, subject: str) -> None:
        person = self.clients[client]
        del person.parts[subject]
        self._look_again(subject, person.user)

    def closes(self, client: str) -> None:
        person = self.clients.pop(client)
        for subject in person.parts:
            self._look_again(subject, person.user)

    def who_signed_in(self, subject: str) -> set[str]:
        """The clients that are signed in as the user of *subject*."""
        return {
            name
            for name, person in self.clients.items()
            if (part := person.parts.get(subject)) is not None
            and part.state is State.IN
            and part.mode is Mode.SIGNED_IN
        }

    def terminated(self, clients: set[str]) -> None:
        """It was promised that *clients* will be closed."""
        self._terminated |= clients

    # What befalls nodes.

    def falls_ill(self, node: str) -> None:
        self.sick.add(node)
        self._look_at_all_of(node)

    def recovers(self, node: str) -> None:
        self.sick.discard(node)
        self._look_at_all_of(node)

    def loses_lease(self, node: str) -> None:
        if node not in self.sick:
            raise Violation(3, f"{node} is well, and has lost its lease")

    def dies(self, node: str) -> list[str]:
        """Who was connected to *node* is gone."""
        gone = [name for name, person in self.clients.items() if person.node == node]
        for name in gone:
            self.closes(name)
        return gone

    # What clients are told.

    def _part(self, client: str, subject: str) -> Part:
        person = self.clients.get(client)
        part = person.parts.get(subject) if person is not None else None
        if part is None:
            raise Violation(9, f"{client} is told of {subject}, which it has left")
        return part

    def answered(self, client: str, subject: str, roster: Iterable[str]) -> None:
        part = self._part(client, subject)
        if part.state is not State.PENDING:
            raise Violation(9, f"{client} was answered twice for {subject}")
        part.state, part.roster = State.IN, set(roster)
        user = self.clients[client].user
        if part.mode is Mode.MEMBER and user not in part.roster:
            raise Violation(1, f"{client} of {user} is not in its own roster {sorted(part.roster)}")
        self._look_again(subject, user)

    def refused(self, client: str, subject: str) -> None:
        part = self._part(client, subject)
        if part.state is not State.PENDING:
            raise Violation(9, f"{client} is refused {subject} after an answer")
        part.state = State.REFUSED

    def told(self, client: str, subject: str, kind: str, user: str) -> None:
        part = self._part(client, subject)
        if part.state is not State.IN:
            raise Violation(1, f"{client} is told {kind} of {user} before its roster of {subject}")
        if kind == ADD:
            if user in part.roster:
                raise Violation(1, f"{client} is told that {user} came to {subject}, who is there")
            part.roster.add(user)
            return
        if user not in part.roster:
            raise Violation(1, f"{client} is told that {user} left {subject}, who is not there")
        if part.mode is Mode.MEMBER and user == self.clients[client].user:
            raise Violation(1, f"{client} is told that it left {subject} itself")
        part.roster.discard(user)

    def shows_removal(self, node: str, subject: str, user: str, shown_at: int) -> None:
        """*node* shows that *user* left; it had shown him as of the sequence number *shown_at*."""
        since = self._solid_since.get((subject, user))
        if since is not None and since <= self._moment_of(subject, shown_at):
            raise Violation(3, f"{node} shows that {user} left {subject}, who is connected")

    # What the engine does.

    def decided(
        self,
        partition: int,
        subject: str,
        kind: str,
        user: str,
        *,
        epoch: int,
        seq: int,
        now: float,
        makes_room: bool,
    ) -> None:
        """*makes_room*: a newcomer to a full room may end a departure early."""
        self._moment += 1
        self._decisions.append(Decision(self._moment, partition, seq))
        self._partition_of[subject] = partition
        if kind == ADD:
            self._known[subject, user] = set()
        if kind != REMOVE:
            return
        if (subject, user) in self._solid_since:
            raise Violation(3, f"the engine removes {user} of {subject}, who is connected")
        hold = self._holds.pop((subject, user), None)
        if hold is not None and hold.epoch == epoch and not makes_room:
            early = hold.until - now - self.hurried
            if early > EXACT:
                raise Violation(4, f"{user} of {subject} is removed {early:.3f} s too early")

    def published(self, partition: int, epoch: int, seq: int) -> None:
        """The engine has sent the transition *seq* to all nodes."""
        last_epoch, last_seq = self._position.get(partition, (0, 0))
        if self._checks_sequence and epoch == last_epoch and seq != last_seq + 1:
            raise Violation(5, f"after {last_seq} of epoch {epoch} comes {seq}")
        self._position[partition] = (epoch, seq)

    def entered(self, subject: str, user: str, subscription: int, info: str, order: int) -> None:
        """The engine has executed a join."""
        if subscription in self._left:
            raise Violation(7, f"subscription {subscription} of {user} to {subject} had ended")
        self._entered[subscription] = (order, info)
        self.registers(subject, user, subscription)

    def registers(self, subject: str, user: str, subscription: int) -> None:
        """The engine knows a subscription, newly or again."""
        self._known.setdefault((subject, user), set()).add(subscription)

    def left(self, subject: str, user: str, until: float, epoch: int) -> None:
        """The engine has executed a leave with a grace that ends at *until*."""
        hold = self._holds.get((subject, user))
        if hold is None or hold.epoch != epoch or hold.until < until:
            self._holds[subject, user] = Hold(until, epoch)

    def ended(self, subscription: int) -> None:
        """The engine has executed the leave of *subscription*."""
        self._left.add(subscription)

    def _moment_of(self, subject: str, seq: int) -> int:
        """When the partition of *subject* had decided everything up to *seq*."""
        partition = self._partition_of.get(subject)
        for decision in reversed(self._decisions):
            if decision.partition == partition and decision.seq <= seq:
                return decision.moment
        return 0

    def has_ended(self, subscription: int) -> bool:
        return subscription in self._left

    def solid_since(self, subject: str) -> dict[str, int]:
        """Who is solid in *subject*, and since which moment."""
        return {user: at for (where, user), at in self._solid_since.items() if where == subject}

    def _look_at_all_of(self, node: str) -> None:
        for person in list(self.clients.values()):
            if person.node == node:
                for subject in person.parts:
                    self._look_again(subject, person.user)

    def _look_again(self, subject: str, user: str) -> None:
        self._moment += 1
        for person in self.clients.values():
            part = person.parts.get(subject)
            if (
                person.user == user
                and person.node not in self.sick
                and part is not None
                and part.state is State.IN
                and part.mode is not Mode.WATCHER
            ):
                self._solid_since.setdefault((subject, user), self._moment)
                return
        self._solid_since.pop((subject, user), None)

    # The end.

    def truth(self, subject: str) -> set[str]:
        """Who is in *subject*: whoever has a subscription that was answered."""
        return {
            person.user
            for person in self.clients.values()
            if (part := person.parts.get(subject)) is not None
            and part.state is State.IN
            and part.mode is not Mode.WATCHER
        }

    def check_rosters(self) -> None:
        remaining = self._terminated & self.clients.keys()
        if remaining and not self.lost:
            raise Violation(9, f"{remaining} should have been closed")
        for name, person in sorted(self.clients.items()):
            for subject, part in sorted(person.parts.items()):
                if part.state is State.PENDING:
                    raise Violation(9, f"{name} was never answered for {subject}")
                if part.state is not State.IN or part.mode is Mode.SIGNED_IN:
                    continue
                if part.roster != self.truth(subject):
                    truth = sorted(self.truth(subject))
                    raise Violation(
                        2, f"{name} sees {sorted(part.roster)} in {subject}, not {truth}"
                    )

    def check_stored(
        self,
        stored: Stored,
        *,
        subscriptions: Mapping[tuple[str, int], tuple[str, str]],
        counts: Mapping[str, int],
        occupied: set[str],
        living: set[str],
    ) -> None:
        """Compare the engine with the truth: *subscriptions* → (user, info), and so on."""
        entries = {key: user for key, (user, _) in subscriptions.items()}
        if stored.entries != entries:
            raise Violation(6, f"the engine has entries {stored.entries}, not {entries}")
        if stored.nodes - living:
            raise Violation(6, f"dead nodes remain: {sorted(stored.nodes - living)}")
        subjects = set(stored.members) | {subject for subject, _ in entries}
        for subject in sorted(subjects):
            members = stored.members.get(subject, {})
            if set(members) != self.truth(subject):
                raise Violation(
                    2, f"the engine has {sorted(members)} in {subject}, not {self.truth(subject)}"
                )
            for user, (connections, info) in members.items():
                own = [key for key, who in entries.items() if key[0] == subject and who == user]
                if connections != len(own):
                    raise Violation(
                        8, f"{user} of {subject} has {len(own)} entries, not {connections}"
                    )
                if info not in self._infos(subject, user, own, subscriptions) and not self.lost:
                    raise Violation(2, f"{user} of {subject} has the info {info}, an older one")
        if stored.counts != counts:
            raise Violation(8, f"the engine counts {stored.counts}, not {counts}")
        self._check_outbox(stored, occupied)

    def _infos(
        self,
        subject: str,
        user: str,
        own: list[tuple[str, int]],
        subscriptions: Mapping[tuple[str, int], tuple[str, str]],
    ) -> set[str]:
        """What he may be shown with: the newest info since he came, or of those who live."""
        known = self._known.get((subject, user), set())
        newest = max(self._entered[subscription] for subscription in known)
        living = max(own, key=lambda key: self._entered[key[1]])
        return {newest[1], subscriptions[living][1]}

    def _check_outbox(self, stored: Stored, channels: set[str]) -> None:
        """Whoever was told the outbox in its order knows the truth, and was told nothing twice.

        But for an occupied channel without members: while it is uncertain whether it is vacated
        that is not said, and yet whoever compares what he knows with the engine finds it.
        """
        members: dict[str, set[str]] = {}
        occupied: set[str] = set()
        for kind, name, user in stored.outbox:
            if kind in ("occupied", "vacated"):
                again = (kind == "occupied") == (name in occupied)
                if again and (kind == "vacated" or "/presence-" in name):
                    raise Violation(5, f"the outbox says {kind} of {name} twice")
                (occupied.add if kind == "occupied" else occupied.discard)(name)
                continue
            if kind == INFO:
                continue
            known = members.setdefault(name, set())
            if (kind == ADD) == (user in known):
                raise Violation(5, f"the outbox says {kind} of {user} in {name} twice")
            known ^= {user}
        if occupied != channels:
            raise Violation(5, f"the outbox ends with {occupied} occupied, not {channels}")
        for subject in set(members) | set(stored.members):
            if members.get(subject, set()) != set(stored.members.get(subject, {})):
                raise Violation(
                    5,
                    f"the outbox ends with {members.get(subject)} in {subject}, not"
                    f" {set(stored.members.get(subject, {}))}",
                )
