"""The end of a run: all faults end, time passes, and everything must be as it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.sim.model import Violation
from cluster.sim.node import APP, NEWS, Node, name_of
from cluster.sim.people import ROOMS, USERS, signed_in
from cluster.sim.times import QUANTA_A_LEASE
from herenow.cluster.base import Channels, ChannelState, Roster, SubjectKind, Totals
from herenow.cluster.partitions.placement import decode, name_key

if TYPE_CHECKING:
    from cluster.sim.world import World


def settle(world: World, *, run_zombies: bool, patiently: bool) -> None:
    """End all faults and wait until nothing is left to happen.

    *patiently*: for ten leases in any case.
    """
    world.trouble.resume()
    for index in range(world.setting.nodes):
        world.trouble.thaw(index)
        world.trouble.heal(index)
    if not world.nodes:
        world.boot(0)
    quanta = 0
    while zombies := world.trouble.zombies():
        if run_zombies:
            world.trouble.zombie(len(zombies) - 1)
        else:
            world.trouble.forget(0)
        _rest(world, 1)
        quanta += 1
    while quanta < 10 * QUANTA_A_LEASE and (patiently or not _is_quiet(world)):
        _rest(world, QUANTA_A_LEASE // 2)
        quanta += QUANTA_A_LEASE // 2
    _rest(world, QUANTA_A_LEASE)


def _rest(world: World, quanta: int) -> None:
    for _ in range(quanta):
        world.flush()
        world.time(1)
    world.flush()


def _is_quiet(world: World) -> bool:
    """Whether nothing but beats will happen any more."""
    return world.server.is_quiet(world.nodes) and all(
        node.ledger.ready and node.ledger.settled and not node.questions and node.wires.is_whole
        for node in world.nodes.values()
    )


def check(world: World) -> None:
    """What clients saw last, what is stored, and what every node answers, is the truth."""
    world.model.check_rosters()
    live: dict[tuple[str, int], tuple[str, str]] = {}
    counts: dict[str, int] = {}
    for node in world.nodes.values():
        live.update(node.live())
        for channel, number in _numbers(node).items():
            counts[channel] = counts.get(channel, 0) + number
        if node.questions:
            raise Violation(9, f"{node.name} never answered {node.questions} questions")
    counts = {channel: number for channel, number in counts.items() if number}
    world.model.check_stored(
        world.server.stored(),
        subscriptions=live,
        counts=counts,
        occupied=_occupied(world, counts),
        living=world.server.ids(world.nodes),
    )
    for node in world.nodes.values():
        _check_answers(world, node, counts)


def _occupied(world: World, counts: dict[str, int]) -> set[str]:
    """Which channels have somebody, as the outbox names them."""
    rooms = {room.name for room in ROOMS if world.model.truth(name_of(room))}
    return {decode(name_key(APP, channel)) for channel in rooms | (counts.keys() & {NEWS})}


def check_nothing_was_repaired(world: World) -> None:
    """Where nothing was lost, every change has come by the feed."""
    for node in world.nodes.values():
        counters = node.ledger.counters
        if counters.resyncs or counters.differences or counters.lapses or counters.fenced:
            raise Violation(10, f"{node.name} has repaired something: {vars(counters)}")


def _numbers(node: Node) -> dict[str, int]:
    """How many subscriptions each channel has on *node*."""
    rooms = {
        subject.name: len(room.members)
        for subject, room in node.rooms.items()
        if subject.kind is SubjectKind.PRESENCE
    }
    return {NEWS: len(node.news), **rooms}


def _check_answers(world: World, node: Node, counts: dict[str, int]) -> None:
    members = {room.name: world.model.truth(name_of(room)) for room in ROOMS}
    states = {
        channel: ChannelState(True, counts.get(channel, 0), len(members.get(channel, ())))
        for channel in {*counts, *(room for room, users in members.items() if users)}
    }
    totals = Totals(
        connections=sum(len(node.connections) for node in world.nodes.values()),
        channels=len(states),
        users=sum(bool(world.model.truth(name_of(signed_in(user)))) for user in USERS),
        members=sum(map(len, members.values())),
    )
    answers: list[object] = []
    node.ask_totals(answers.append)
    node.ask_channels(answers.append)
    for room in ROOMS:
        node.ask_roster(room, answers.append)
        node.ask_channel(room.name, answers.append)
    node.wires.settle()
    _rest(world, 1)
    if answers[0] != totals:
        raise Violation(8, f"{node.name} answers {answers[0]}, not {totals}")
    if answers[1] != Channels(states):
        raise Violation(8, f"{node.name} answers {answers[1]}, not {states}")
    for room, roster, state in zip(ROOMS, answers[2::2], answers[3::2], strict=True):
        if not isinstance(roster, Roster) or not roster.complete:
            raise Violation(2, f"{node.name} answers {roster} for {room.name}")
        if {member.user for member in roster.members} != members[room.name]:
            raise Violation(2, f"{node.name} answers {roster} for {room.name}")
        if state != states.get(room.name, ChannelState(False, 0, 0)):
            raise Violation(8, f"{node.name} answers {state} for {room.name}")
        if (replica := node.rooms.get(room)) is not None:
            infos = {member.user: member.info.decode() for member in roster.members}
            shown = {user: info for user, (info, _) in replica.shown.items()}
            if shown != infos:
                raise Violation(2, f"{node.name} shows {shown} in {room.name}, not {infos}")
