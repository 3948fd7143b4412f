"""The ledger of many nodes: every question goes to the partition that decides it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any, Final, TypeVar

from herenow.cluster.base import (
    ANNOUNCE_EVERY_CHANGE_UP_TO,
    ANNOUNCE_INTERVAL_SECONDS,
    Announcement,
    Channels,
    ChannelState,
    Clock,
    Difference,
    Done,
    Follower,
    Joined,
    Ledger,
    Online,
    Refusal,
    Roster,
    Subject,
    SubjectKind,
    Totals,
    UserPresence,
    Users,
)
from herenow.cluster.partitions import rosters
from herenow.cluster.partitions.counters import Counters
from herenow.cluster.partitions.engine import Answer, Argument, Engine
from herenow.cluster.partitions.partition import Partition, Setting
from herenow.cluster.partitions.placement import (
    decode,
    encode,
    home_of,
    name_key,
    partition_of,
    subject_key,
)
from herenow.cluster.partitions.telling import Telling
from herenow.cluster.partitions.users import (
    all_of_many,
    all_of_one,
    ask_about_user,
    roster_difference,
    users_from,
)
from herenow.cluster.seen import KEEP_SECONDS
from herenow.protocol.names import channel_kind

T = TypeVar("T")

_MOST_REVISION: Final = 2**53 - 1


class PartitionedLedger(Ledger):
    """One node's part of a ledger that an engine keeps for all.

    *node* names this process and no other, ever. *flags_of* an application: 1 if it has webhooks.
    Users who were seen are kept for *keep_seconds*, 0: not at all.
    Whoever owns the ledger calls ``tick`` about every twentieth of the lease.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        node: str,
        lease_seconds: float,
        hold_seconds: float,
        flags_of: Callable[[str], int],
        keep_seconds: float = KEEP_SECONDS,
    ) -> None:
        self.counters = Counters()
        self.node = node
        self.partitions = engine.partitions
        self._clock = clock
        self._telling = Telling(clock)
        numbers = count(1)
        setting = Setting(
            engine,
            clock,
            lease_seconds,
            hold_seconds,
            keep_seconds,
            lambda: f"{node}-{next(numbers)}",
            flags_of,
            self._telling,
            self.counters,
        )
        self._partitions = [Partition(setting, index) for index in range(engine.partitions)]

    @property
    def transitions(self) -> dict[str, int]:
        """How many transitions of each kind this node has heard of."""
        return self.counters.transitions

    @property
    def suppressed(self) -> int:
        """How many departures joins from here have cancelled."""
        return self.counters.suppressed

    @property
    def held(self) -> int:
        """How many joins have no answer yet."""
        return sum(partition.joins.under_way for partition in self._partitions)

    @property
    def ready(self) -> bool:
        """Whether every partition can be asked."""
        return all(partition.session.is_up for partition in self._partitions)

    @property
    def settled(self) -> bool:
        """Whether everything that was asked for is answered."""
        return all(partition.is_settled for partition in self._partitions)

    def tick(self) -> None:
        for partition in self._partitions:
            partition.tick()
        self._telling.run()

    def leave_cluster(self, done: Callable[[], None]) -> None:
        """Give up the leases. What is still registered goes with the grace it was given."""
        left = len(self._partitions)

        def ended() -> None:
            nonlocal left
            left -= 1
            if not left:
                done()

        for partition in self._partitions:
            partition.end(ended)

    def attach(self, follower: Follower) -> None:
        self._telling.follower = follower

    def announced(self, app: str, channel: str, subscriptions: int) -> None:
        """The bus has brought an announcement."""
        if self._telling.follower is not None:
            self._telling.follower.announced(app, channel, subscriptions)

    def follow(self, subject: Subject) -> None:
        self._of(subject).follow(subject)
        self._telling.run()

    def unfollow(self, subject: Subject) -> None:
        self._of(subject).unfollow(subject)
        self._telling.run()

    def join(
        self,
        subject: Subject,
        user: str,
        subscription: int,
        info: bytes,
        limit: int,
        grace: float,
        done: Done[Joined | Refusal],
    ) -> None:
        self._of(subject).join(subject, user, subscription, info, limit, grace, done)
        self._telling.run()

    def leave(self, subject: Subject, subscription: int, grace: float) -> None:
        self._of(subject).leave(subject, subscription, grace)
        self._telling.run()

    def roster(self, subject: Subject, done: Done[Roster | Refusal]) -> None:
        key = subject_key(subject)
        self._of(subject).ask("roster", lambda: [key], rosters.roster, done)

    def difference(self, subject: Subject, since: int, done: Done[Difference | Refusal]) -> None:
        key = subject_key(subject)
        # No revision has more digits, and the engine counts in doubles.
        known = min(max(since, 0), _MOST_REVISION)
        self._of(subject).ask("difference", lambda: [key, known], roster_difference, done)

    def user(self, app: str, user: str, done: Done[UserPresence | Refusal]) -> None:
        def add(answers: list[UserPresence], is_complete: bool) -> UserPresence:
            return all_of_one(answers, complete=is_complete)

        answered = self._gather(add, done)
        for partition in self._partitions:
            ask_about_user(partition, app, user, answered)

    def users(self, app: str, users: Sequence[str], done: Done[Users | Refusal]) -> None:
        asked = list(dict.fromkeys(users))
        number = len(self._partitions)
        homes = [partition_of(app, user, number) for user in asked]
        answers: list[Users] = []
        left = number

        def answered(answer: Users | Refusal) -> None:
            nonlocal left
            left -= 1
            if not isinstance(answer, Refusal):
                answers.append(answer)
            if not left:
                complete = len(answers) == number
                done(
                    all_of_many(answers, asked, complete=complete)
                    if answers
                    else Refusal.UNAVAILABLE
                )

        for index in range(number):
            self._ask_about(index, app, asked, homes, answered)

    def _ask_about(
        self,
        index: int,
        app: str,
        asked: Sequence[str],
        homes: Sequence[int],
        done: Done[Users | Refusal],
    ) -> None:
        first = [user for user, home in zip(asked, homes, strict=True) if home == index]
        others = [user for user, home in zip(asked, homes, strict=True) if home != index]
        ordered, at_home = first + others, len(first)
        arguments: list[Argument] = [app, at_home, *map(encode, ordered)]
        self._partitions[index].ask(
            "users", lambda: arguments, lambda reply: users_from(reply, ordered, at_home), done
        )

    def forget(self, app: str, user: str, done: Done[bool | Refusal]) -> None:
        def add(answers: list[bool], is_complete: bool) -> bool:
            return is_complete

        def answered(answer: bool | Refusal) -> None:
            done(answer if answer is True else Refusal.UNAVAILABLE)

        self._ask_all("unsee", [app, encode(user)], lambda _: True, add, answered)

    def online(self, app: str, users: Iterable[str], done: Done[Online | Refusal]) -> None:
        keys = {user: subject_key(Subject(app, SubjectKind.USER, user)) for user in users}
        watched = {user: self._at(app, user).following.watched for user in keys}
        unknown = [user for user in keys if watched[user].is_online(keys[user]) is None]
        left = len(unknown)
        question = self._home(app).question(done)

        def answer() -> None:
            found = frozenset(user for user in keys if watched[user].is_online(keys[user]))
            is_complete = not any(at.uncertain for at in watched.values())
            question.answer(Online(found, is_complete))

        def known() -> None:
            nonlocal left
            left -= 1
            if not left:
                answer()

        for user in unknown:
            watched[user].when_known(keys[user], known)
        if not unknown:
            answer()
        self._telling.run()

    def terminate(self, app: str, user: str, done: Done[bool]) -> None:
        key = subject_key(Subject(app, SubjectKind.USER, user))
        self._at(app, user).ask(
            "terminate", lambda: [key], lambda _: True, lambda answer: done(answer is True)
        )

    def count(self, app: str, channel: str, subscriptions: int) -> None:
        self._at(app, channel).count(name_key(app, channel), subscriptions)

    def announce(self, app: str, channel: str, done: Done[Announcement | Refusal]) -> None:
        name, partition = name_key(app, channel), self._at(app, channel)

        def arguments() -> list[Argument]:
            numbers = partition.numbers
            numbers.carried(name)
            interval = round(ANNOUNCE_INTERVAL_SECONDS * 1e6)
            return [
                name,
                numbers.get(name),
                numbers.flags(name),
                interval,
                ANNOUNCE_EVERY_CHANGE_UP_TO,
            ]

        def answered(answer: Announcement | Refusal) -> None:
            if isinstance(answer, Refusal):
                partition.numbers.doubt(name)
            done(answer)

        partition.ask("announce", arguments, _announcement, answered)

    def admit(self, app: str, connections: int, limit: int, done: Done[bool | Refusal]) -> None:
        if limit:
            self._home(app).admit(app, connections, limit, done)
        else:
            self.count_connections(app, connections)
            self._telling.add(lambda: done(True))
        self._telling.run()

    def count_connections(self, app: str, connections: int) -> None:
        self._home(app).count_connections(app, connections)

    def spend(self, app: str, events: int, rate: int, done: Done[float | Refusal]) -> None:
        def answered(answer: Answer) -> None:
            reply: Any = answer
            # It may have been taken all the same: asking again could take it twice.
            done(Refusal.UNAVAILABLE if reply is None else reply[3] / 1e6)

        self._home(app).session.send_unfenced("spend", [app, events, rate], answered)

    def channel(self, app: str, channel: str, done: Done[ChannelState | Refusal]) -> None:
        def read(reply: list[Any]) -> ChannelState:
            return _state(channel, reply[4], reply[5], is_complete=not reply[3])

        self._at(app, channel).ask("channel", lambda: [app, encode(channel)], read, done)

    def channels(self, app: str, prefix: str, done: Done[Channels | Refusal]) -> None:
        def add(answers: list[Channels], is_complete: bool) -> Channels:
            states: dict[str, ChannelState] = {}
            for answer in answers:
                states.update(answer.states)
            return Channels(states, is_complete and all(answer.complete for answer in answers))

        self._ask_all("channels", [app, encode(prefix)], _channels, add, done)

    def totals(self, app: str, done: Done[Totals | Refusal]) -> None:
        def add(answers: list[Totals], is_complete: bool) -> Totals:
            return Totals(
                sum(answer.connections for answer in answers),
                sum(answer.channels for answer in answers),
                sum(answer.users for answer in answers),
                sum(answer.members for answer in answers),
                is_complete and all(answer.complete for answer in answers),
            )

        self._ask_all("totals", [app], _totals, add, done)

    def ask(
        self,
        partition: int,
        script: str,
        arguments: Sequence[Argument],
        done: Done[list[Any] | Refusal],
    ) -> None:
        """Run *script*, which begins with this node's session, in *partition*; answers its reply.

        It is sent again if need be, for a moment, so it may be executed more than once.
        """
        self._partitions[partition].ask(script, lambda: arguments, lambda reply: reply, done)
        self._telling.run()

    def _ask_all(
        self,
        script: str,
        arguments: list[Argument],
        read: Callable[[list[Any]], T],
        add: Callable[[list[T], bool], T],
        done: Done[T | Refusal],
    ) -> None:
        """Ask every partition and put together the answers of those that gave one."""
        answered = self._gather(add, done)
        for partition in self._partitions:
            partition.ask(script, lambda: arguments, read, answered)

    def _gather(
        self, add: Callable[[list[T], bool], T], done: Done[T | Refusal]
    ) -> Done[T | Refusal]:
        """What takes the answer of each partition, and puts them together at last."""
        answers: list[T] = []
        left = len(self._partitions)

        def answered(answer: T | Refusal) -> None:
            nonlocal left
            left -= 1
            if not isinstance(answer, Refusal):
                answers.append(answer)
            if left:
                return
            if answers:
                done(add(answers, len(answers) == len(self._partitions)))
            else:
                done(Refusal.UNAVAILABLE)

        return answered

    def _of(self, subject: Subject) -> Partition:
        return self._at(subject.app, subject.name)

    def _at(self, app: str, name: str) -> Partition:
        return self._partitions[partition_of(app, name, len(self._partitions))]

    def _home(self, app: str) -> Partition:
        return self._partitions[home_of(app, len(self._partitions))]


def _state(channel: str, subscriptions: int, users: int, *, is_complete: bool) -> ChannelState:
    is_occupied = users > 0 if channel_kind(channel).presence else subscriptions > 0
    return ChannelState(is_occupied, subscriptions, users, is_complete)


def _channels(reply: list[Any]) -> Channels:
    is_complete = not reply[3]
    names = map(decode, reply[4::3])
    states: dict[str, ChannelState] = {}
    for name, subscriptions, users in zip(names, reply[5::3], reply[6::3], strict=True):
        state = _state(name, subscriptions, users, is_complete=is_complete)
        # Between a join and its count, or a leave and its count, a presence channel may have one
        # without the other. A user's own channel is not for others to see.
        if state.occupied and not channel_kind(name).user:
            states[name] = state
    return Channels(states, is_complete)


def _totals(reply: list[Any]) -> Totals:
    connections, channels, users, members = reply[4:8]
    return Totals(connections, channels, users, members, not reply[3])


def _announcement(reply: list[Any]) -> Announcement:
    if reply[0] == b"announced":
        return Announcement(reply[3], 0)
    return Announcement(None, reply[3] / 1e6)
