"""The bus over the engine: one channel of the engine for each channel that has subscribers here.

=================================================  =================================
``e <flags> <socket id to skip, or ->\\n<payload>``  an event; flags: 1 cached, 2 sealed
``n <number>``                                     how many subscriptions there are
``a <app>``, on the control channel                an application was changed
=================================================  =================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from herenow.cluster.base import Bus, CachedEvent, Clock, Done, Publication, Receiver, Refusal
from herenow.cluster.partitions.engine import Answer, Argument, Engine
from herenow.cluster.partitions.placement import decode, encode, name_key, partition_of
from herenow.protocol.names import is_socket_id

CONTROL: Final = "control"
CONTROL_PARTITION: Final = 0
QUESTION_SECONDS: Final = 2.0
FOLLOW_SECONDS: Final = 1.0
_ASK_AGAIN_SECONDS: Final = 0.1
_CACHED: Final = 1
_SEALED: Final = 2
_NOBODY: Final = b"-"

Announced = Callable[[str, str, int], None]


class RedisBus(Bus):
    """Carries events by the engine, also those for subscribers of the node that publishes.

    *announced* is told how many subscriptions a followed channel has, when a node announces it.
    """

    is_local: bool = False

    def __init__(self, engine: Engine, clock: Clock, announced: Announced) -> None:
        self._engine = engine
        self._clock = clock
        self._announced = announced
        self._receiver: Receiver | None = None
        self._followed: dict[tuple[str, str], _Followed] = {}

    def attach(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._engine.subscribe(CONTROL_PARTITION, CONTROL, _Control(receiver))

    def follow(self, app: str, channel: str, done: Callable[[], None]) -> None:
        partition = self._partition_of(app, channel)
        followed = self._followed.get((app, channel))
        if followed is None:
            followed = _Followed(
                app, channel, self._clock, self._deliver, self._missed, self._announced
            )
            self._followed[app, channel] = followed
            self._engine.subscribe(partition, f"b:{app}/{channel}", followed)
        if followed.is_in_force:
            done()
        elif self._engine.is_listening(partition):
            followed.wait(done)
        else:
            followed.is_behind = True
            done()

    def unfollow(self, app: str, channel: str) -> None:
        followed = self._followed.pop((app, channel), None)
        if followed is not None:
            self._engine.unsubscribe(self._partition_of(app, channel), f"b:{app}/{channel}")
            followed.release()

    def publish(self, publications: Sequence[Publication], done: Done[bool]) -> None:
        items = [
            (self._partition_of(each.app, each.channel), _arguments(each)) for each in publications
        ]
        self._engine.call_all("publish", items, lambda answer: done(answer is not None))

    def cached(self, app: str, channel: str, done: Done[CachedEvent | Refusal | None]) -> None:
        self._ask(app, channel, self._clock.time() + QUESTION_SECONDS, done)

    def first_miss(self, app: str, channel: str, seconds: float, done: Done[bool]) -> None:
        self._engine.call(
            "miss",
            self._partition_of(app, channel),
            [name_key(app, channel), max(round(seconds * 1_000), 1)],
            lambda answer: done(answer is None or answer[0] == b"first"),
        )

    def change_app(self, app: str, done: Done[bool]) -> None:
        self._engine.call(
            "tell",
            CONTROL_PARTITION,
            [b"a " + encode(app)],
            lambda answer: done(answer is not None),
        )

    def _ask(
        self, app: str, channel: str, deadline: float, done: Done[CachedEvent | Refusal | None]
    ) -> None:
        def answered(answer: Answer) -> None:
            if answer is not None:
                done(_cached_event(answer))
            elif self._clock.time() >= deadline:
                done(Refusal.UNAVAILABLE)
            else:
                ask_again = partial(self._ask, app, channel, deadline, done)
                self._clock.call_later(_ASK_AGAIN_SECONDS, ask_again)

        partition = self._partition_of(app, channel)
        self._engine.call("cached", partition, [name_key(app, channel)], answered)

    def _deliver(self, publication: Publication) -> None:
        if self._receiver is not None:
            self._receiver.deliver(publication)

    def _missed(self, app: str, channel: str) -> None:
        if self._receiver is not None:
            self._receiver.missed(app, channel)

    def _partition_of(self, app: str, channel: str) -> int:
        return partition_of(app, channel, self._engine.partitions)


class _Followed:
    """A channel that has subscribers here. Implements ``engine.Subscriber``.

    ``is_behind``: some of them are subscribed as far as they know, and may not have heard all.
    """

    def __init__(
        self,
        app: str,
        channel: str,
        clock: Clock,
        deliver: Callable[[Publication], None],
        missed: Callable[[str, str], None],
        announced: Announced,
    ) -> None:
        self.is_in_force = False
        self.is_behind = False
        self._waiting: list[Callable[[], None]] = []
        self._clock = clock
        self._app = app
        self._channel = channel
        self._deliver = deliver
        self._missed = missed
        self._announced = announced

    def subscribed(self) -> None:
        self.is_in_force = True
        self.release()
        if self.is_behind:
            self.is_behind = False
            self._missed(self._app, self._channel)

    def lost(self) -> None:
        self.is_in_force = False
        self.is_behind = True
        self.release()

    def wait(self, done: Callable[[], None]) -> None:
        """Call *done* when the channel is in force, or the engine has taken too long."""
        if not self._waiting:
            self._clock.call_later(FOLLOW_SECONDS, partial(self._give_up, self._waiting))
        self._waiting.append(done)

    def release(self) -> None:
        """Whoever waited is told: what he waited for has come about, or is not waited for."""
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done()

    def _give_up(self, waiting: list[Callable[[], None]]) -> None:
        if waiting and waiting is self._waiting:
            self.is_behind = True
            self.release()

    def message(self, payload: bytes) -> None:
        head, _, body = payload.partition(b"\n")
        match head.split(b" "):
            case [b"e", flags, skip] if flags.isdigit():
                number = int(flags)
                self._deliver(
                    Publication(
                        self._app,
                        self._channel,
                        body,
                        None if skip == _NOBODY else decode(skip),
                        bool(number & _CACHED),
                        bool(number & _SEALED),
                    )
                )
            case [b"n", number_of_subscriptions] if number_of_subscriptions.isdigit():
                self._announced(self._app, self._channel, int(number_of_subscriptions))


class _Control:
    """What is told to all nodes. Implements ``engine.Subscriber``."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def subscribed(self) -> None:
        pass

    def lost(self) -> None:
        pass

    def message(self, payload: bytes) -> None:
        kind, _, app = payload.partition(b" ")
        if kind == b"a":
            self._receiver.app_changed(decode(app))


def _message(publication: Publication) -> bytes:
    flags = publication.cached * _CACHED + publication.sealed * _SEALED
    skip = _NOBODY
    if publication.skip is not None and is_socket_id(publication.skip):
        skip = encode(publication.skip)
    return b"e %d %b\n%b" % (flags, skip, publication.payload)


def _arguments(publication: Publication) -> list[Argument]:
    milliseconds = max(round(publication.ttl * 1_000), 1) if publication.cached else 0
    return [
        name_key(publication.app, publication.channel),
        _message(publication),
        milliseconds,
        publication.data if publication.cached else b"",
    ]


def _cached_event(answer: list[Any]) -> CachedEvent | None:
    if answer[0] != b"cached":
        return None
    _, _, _, message, data, milliseconds = answer
    return CachedEvent(message.partition(b"\n")[2], data, milliseconds / 1_000)
