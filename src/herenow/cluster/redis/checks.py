"""What has to agree within a partition, rule by rule."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from herenow.cluster.partitions.placement import home_of, partition_of
from herenow.cluster.redis import hooked
from herenow.cluster.redis.findings import Finding, Problem
from herenow.cluster.redis.snapshot import Snapshot, readable

_LEASES_OF_PATIENCE: Final = 3
_DECIDES: Final = 2


def check(snapshot: Snapshot, lease: int, partitions: int) -> Iterator[Finding]:
    """What does not agree in one partition."""
    for rule in _RULES:
        yield from rule(snapshot, lease)
    yield from _of_placement(snapshot, partitions)
    yield from hooked.check(snapshot.partition, snapshot.hooked)
    for key in snapshot.unreadable:
        yield Finding(Problem.UNREADABLE, snapshot.partition, readable(key))


def _of_members(snapshot: Snapshot, lease: int) -> Iterator[Finding]:
    counted: Counter[tuple[bytes, bytes]] = Counter()
    for node, entries in snapshot.entries.items():
        for entry in entries.values():
            counted[entry.subject, entry.user] += 1
            if entry.user not in snapshot.members.get(entry.subject, {}):
                yield _finding(
                    snapshot, Problem.MEMBER_MISSING, entry.subject, entry.user, node=readable(node)
                )
    for subject, members in snapshot.members.items():
        departing = snapshot.departing.get(subject, {})
        for user, member in members.items():
            entries_of_user = counted[subject, user]
            if member.connections != entries_of_user:
                yield _finding(
                    snapshot,
                    Problem.COUNT_DIFFERS,
                    subject,
                    user,
                    expected=entries_of_user,
                    found=member.connections,
                )
            if member.connections == 0 and user not in departing:
                yield _finding(snapshot, Problem.NOT_DEPARTING, subject, user)
            if member.connections > 0 and user in departing:
                yield _finding(
                    snapshot,
                    Problem.DEPARTING_WITH_CONNECTIONS,
                    subject,
                    user,
                    found=member.connections,
                )


def _of_departures(snapshot: Snapshot, lease: int) -> Iterator[Finding]:
    scheduled = dict(snapshot.departures)
    for subject, departing in snapshot.departing.items():
        for user, deadline in departing.items():
            if scheduled.pop((subject, user), None) != deadline:
                yield _finding(snapshot, Problem.SCHEDULES_DIFFER, subject, user)
    for subject, user in scheduled:
        yield _finding(snapshot, Problem.SCHEDULES_DIFFER, subject, user)
    late = _lateness(snapshot, lease)
    for (subject, user), deadline in snapshot.departures.items():
        if user not in snapshot.members.get(subject, {}):
            yield _finding(snapshot, Problem.DEPARTURE_OF_NOBODY, subject, user)
        elif late(deadline):
            yield _finding(snapshot, Problem.DEPARTURE_OVERDUE, subject, user, found=late(deadline))


def _of_vacancies(snapshot: Snapshot, lease: int) -> Iterator[Finding]:
    for name in snapshot.vacancies:
        app, _, channel = name.partition(b"/")
        subscriptions = snapshot.sums.get(app, {}).get(channel, 0)
        if subscriptions:
            yield _finding(snapshot, Problem.VACANCY_OF_OCCUPIED, name, found=subscriptions)


def _of_leases(snapshot: Snapshot, lease: int) -> Iterator[Finding]:
    for what, records in (("entries", snapshot.entries), ("numbers", snapshot.numbers)):
        for node in records.keys() - snapshot.leases.keys():
            yield Finding(
                Problem.NODE_WITHOUT_LEASE,
                snapshot.partition,
                node=readable(node),
                record=what,
                found=len(records[node]),
            )
    for node in snapshot.tokens.keys() - snapshot.leases.keys():
        yield Finding(
            Problem.NODE_WITHOUT_LEASE,
            snapshot.partition,
            node=readable(node),
            record="token",
            found=1,
        )
    late = _lateness(snapshot, lease)
    for node, expiry in snapshot.leases.items():
        if late(expiry) and node not in snapshot.heirs:
            yield Finding(
                Problem.LEASE_OVERDUE, snapshot.partition, node=readable(node), found=late(expiry)
            )


def _of_sums(snapshot: Snapshot, lease: int) -> Iterator[Finding]:
    said: dict[bytes, Counter[bytes]] = defaultdict(Counter)
    connections: Counter[bytes] = Counter()
    deciding: dict[bytes, set[bytes]] = defaultdict(set)
    for numbers in snapshot.numbers.values():
        for name, number in numbers.items():
            app, slash, channel = name.partition(b"/")
            if not slash:
                connections[app] += number.number
                continue
            said[app][channel] += number.number
            if number.flags >= _DECIDES:
                deciding[app].add(channel)
    for app in said.keys() | snapshot.sums.keys():
        recorded = snapshot.sums.get(app, {})
        for channel in said[app].keys() | recorded.keys():
            expected, found = said[app][channel], recorded.get(channel, 0)
            if expected != found:
                name = app + b"/" + channel
                yield _finding(snapshot, Problem.SUM_DIFFERS, name, expected=expected, found=found)
    for app, told in snapshot.told.items():
        for channel in told.keys() - snapshot.sums.get(app, {}).keys():
            yield _finding(snapshot, Problem.TOLD_OF_NOTHING, app + b"/" + channel)
    yield from _of_total(snapshot, b"connections", connections)
    channels = Counter({app: len(names) for app, names in deciding.items()})
    yield from _of_total(snapshot, b"channels", channels)


def _of_rooms(snapshot: Snapshot, lease: int) -> Iterator[Finding]:
    users: Counter[bytes] = Counter()
    members: Counter[bytes] = Counter()
    rooms: dict[bytes, dict[bytes, int]] = defaultdict(dict)
    for subject, present in snapshot.members.items():
        app, kind, name = subject.split(b"/", 2)
        if kind == b"p":
            rooms[app][name] = len(present)
            members[app] += len(present)
        else:
            users[app] += len(present)
    for app in rooms.keys() | snapshot.present.keys():
        recorded = snapshot.present.get(app, {})
        for name in rooms[app].keys() | recorded.keys():
            expected, found = rooms[app].get(name, 0), recorded.get(name, 0)
            if expected != found:
                yield _finding(
                    snapshot,
                    Problem.ROOM_DIFFERS,
                    app + b"/" + name,
                    expected=expected,
                    found=found,
                )
    yield from _of_total(snapshot, b"users", users)
    yield from _of_total(snapshot, b"members", members)


def _of_online(snapshot: Snapshot, lease: int) -> Iterator[Finding]:
    signed_in: dict[bytes, set[bytes]] = defaultdict(set)
    for subject in snapshot.members:
        app, kind, name = subject.split(b"/", 2)
        if kind == b"u":
            signed_in[app].add(name)
    for app in signed_in.keys() | snapshot.online.keys():
        for user in signed_in[app] ^ snapshot.online.get(app, set()):
            yield _finding(snapshot, Problem.ONLINE_DIFFERS, app, user)


def _of_total(snapshot: Snapshot, what: bytes, expected: Counter[bytes]) -> Iterator[Finding]:
    for app in expected.keys() | snapshot.totals.keys():
        found = snapshot.totals.get(app, {}).get(what, 0)
        if found != expected[app]:
            yield Finding(
                Problem.TOTAL_DIFFERS,
                snapshot.partition,
                readable(app),
                record=readable(what),
                expected=expected[app],
                found=found,
            )


def _of_placement(snapshot: Snapshot, partitions: int) -> Iterator[Finding]:
    places: dict[str, int] = {}
    for subject in snapshot.members:
        app, _, name = readable(subject).split("/", 2)
        places[readable(subject)] = partition_of(app, name, partitions)
    for raw, channels in snapshot.sums.items():
        app = readable(raw)
        for channel in map(readable, channels):
            places[f"{app}/{channel}"] = partition_of(app, channel, partitions)
    for raw, totals in snapshot.totals.items():
        if b"connections" in totals:
            places[readable(raw)] = home_of(readable(raw), partitions)
    for name, expected in places.items():
        if expected != snapshot.partition:
            yield Finding(
                Problem.PARTITION_WRONG,
                snapshot.partition,
                name,
                expected=expected,
                found=snapshot.partition,
            )


def _lateness(snapshot: Snapshot, lease: int) -> Callable[[int], int]:
    """For a deadline how many leases ago it passed, 0 while that is nothing to worry about.

    Who registers again holds everything up for a while. The ledger's clock stands still while no
    node is there.
    """
    clock = snapshot.clock(lease)
    held = max(
        int(snapshot.state.get(b"recover", b"0")),
        int(snapshot.state.get(b"born", b"0")) + 10 * lease if snapshot.heirs else 0,
    )

    def late(deadline: int) -> int:
        leases = (clock - max(deadline, held)) // lease
        return leases if leases >= _LEASES_OF_PATIENCE else 0

    return late


def _finding(
    snapshot: Snapshot,
    problem: Problem,
    subject: bytes,
    user: bytes = b"",
    *,
    node: str = "",
    expected: int | None = None,
    found: int | None = None,
) -> Finding:
    return Finding(
        problem,
        snapshot.partition,
        readable(subject),
        readable(user),
        node,
        expected=expected,
        found=found,
    )


_RULES: Final = (
    _of_members,
    _of_departures,
    _of_vacancies,
    _of_leases,
    _of_sums,
    _of_rooms,
    _of_online,
)
