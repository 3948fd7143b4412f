"""What clients do, and what is asked over HTTP."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from cluster.sim.model import Mode, Violation
from cluster.sim.node import APP, name_of
from herenow.cluster.base import ChannelState, Refusal, Roster, Subject, SubjectKind

if TYPE_CHECKING:
    from cluster.sim.world import World

USERS: Final = ("anna", "bert", "cleo")
ROOMS: Final = tuple(Subject(APP, SubjectKind.PRESENCE, f"presence-{room}") for room in "ab")


def signed_in(user: str) -> Subject:
    return Subject(APP, SubjectKind.USER, user)


class People:
    """Clients are chosen among those who are connected, by their place in that list."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._model = world.model
        self._numbers = count(1)

    def join(self, index: int, user: int, room: int, info: int) -> bool:
        """Somebody connects to a node and comes to a room."""
        client = self._connect(index, user)
        return client is not None and self._take_part(client, ROOMS[room], Mode.MEMBER, info)

    def sign(self, index: int, user: int) -> bool:
        """Somebody connects and signs in."""
        client, subject = self._connect(index, user), signed_in(USERS[user])
        return client is not None and self._take_part(client, subject, Mode.SIGNED_IN, 0)

    def watch(self, index: int, user: int) -> bool:
        """Somebody connects and watches whether a user is signed in."""
        client, subject = self._connect(index, user), signed_in(USERS[user])
        return client is not None and self._take_part(client, subject, Mode.WATCHER, 0)

    def subscribe(self, index: int, room: int) -> bool:
        client = self._client(index)
        return client is not None and self._take_part(client, ROOMS[room], Mode.MEMBER, index % 2)

    def unsubscribe(self, index: int) -> bool:
        client = self._client(index)
        room = self._room_of(client) if client is not None else None
        if client is None or room is None:
            return False
        node = self._model.clients[client].node
        self._model.unsubscribes(client, name_of(room))
        self._world.tell(node, lambda node: node.unsubscribe(client, room))
        return True

    def close(self, index: int) -> bool:
        """Somebody's connection is gone, with the grace that is given for it."""
        client = self._client(index)
        if client is None:
            return False
        node = self._model.clients[client].node
        self._model.closes(client)
        self._world.tell(node, lambda node: node.close(client, self._world.grace))
        return True

    def reload(self, index: int, elsewhere: int) -> bool:
        """Somebody closes and comes to his room again, perhaps by another node."""
        client = self._client(index)
        if client is None:
            return False
        user, room = self._model.clients[client].user, self._room_of(client)
        self.close(index)
        other = self._connect(elsewhere, USERS.index(user))
        if other is not None and room is not None:
            self._take_part(other, room, Mode.MEMBER, elsewhere % 2)
        return True

    def news(self, index: int) -> bool:
        """Somebody subscribes to a public channel, or unsubscribes."""
        client = self._client(index)
        if client is None:
            return False
        self._world.tell(self._model.clients[client].node, lambda node: node.read_news(client))
        return True

    def ask(self, index: int, what: int) -> bool:
        """Somebody asks a node something over HTTP."""
        node = self._world.node(index)
        if node is None or node.frozen:
            return False
        room = ROOMS[0]
        before = self._model.solid_since(name_of(room))
        questions = (
            lambda: node.ask_roster(room, partial(self._check_roster, before)),
            lambda: node.ask_channel(room.name, partial(self._check_channel, before)),
            lambda: node.ask_channels(lambda _: None),
            lambda: node.ask_totals(lambda _: None),
            lambda: node.announce(room.name),
            node.spend,
        )
        questions[what]()
        return True

    def terminate(self, index: int, user: int) -> bool:
        """Somebody asks that all connections of a user be closed."""
        node, name = self._world.node(index), USERS[user]
        if node is None or node.frozen:
            return False
        concerned = self._model.who_signed_in(name_of(signed_in(name)))

        def done(promised: bool) -> None:
            if promised:
                self._model.terminated(concerned)

        node.ask_to_terminate(name, done)
        return True

    def _connect(self, index: int, user: int) -> str | None:
        node = self._world.node(index)
        if node is None:
            return None
        client = f"c{next(self._numbers)}"
        self._model.connects(client, node.name, USERS[user])
        most = self._world.setting.most_connections
        self._world.tell(node.name, lambda node: node.connect(client, most))
        return client

    def _client(self, index: int) -> str | None:
        living = list(self._model.clients)
        return living[index % len(living)] if living else None

    def _room_of(self, client: str) -> Subject | None:
        parts = self._model.clients[client].parts
        return next((room for room in ROOMS if name_of(room) in parts), None)

    def _take_part(self, client: str, subject: Subject, mode: Mode, info: int) -> bool:
        person, name = self._model.clients.get(client), name_of(subject)
        if person is None or name in person.parts:
            return False
        part = self._model.subscribes(client, name, mode, f'{{"n":{info}}}')
        user = person.user
        self._world.tell(person.node, lambda node: node.subscribe(client, subject, user, part))
        return True

    def _steady(self, before: dict[str, int]) -> set[str]:
        """Who was connected to nodes that were well all the time since *before*."""
        after = self._model.solid_since(name_of(ROOMS[0]))
        return {user for user, since in before.items() if after.get(user) == since}

    def _check_roster(self, before: dict[str, int], answer: Roster | Refusal) -> None:
        if isinstance(answer, Roster) and answer.complete:
            missing = self._steady(before) - {member.user for member in answer.members}
            if missing:
                raise Violation(2, f"a complete roster lacks {missing}")

    def _check_channel(self, before: dict[str, int], answer: ChannelState | Refusal) -> None:
        if isinstance(answer, ChannelState) and answer.complete:
            steady = self._steady(before)
            if answer.users < len(steady):
                raise Violation(2, f"a complete answer counts {answer.users} users, not {steady}")
