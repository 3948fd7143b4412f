"""The feed of a partition: every transition in one gapless sequence.

After each subscription a beat tells the position from which on nothing is missed; what comes
meanwhile is kept. From then on a number that is left out shows what was lost, by the next delta or
tick, and silence shows that the feed is dead.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from herenow.cluster.base import Clock
from herenow.cluster.partitions.engine import Engine

CHANNEL: Final = "feed"

ADD: Final = b"a"
REMOVE: Final = b"r"
INFO: Final = b"i"
TERMINATE: Final = b"x"
KINDS: Final = frozenset((ADD, REMOVE, INFO, TERMINATE))


class Delta:
    """One transition as the engine publishes it; ``since`` in µs.

    Most concern nobody here, so that only what tells this is read at once.
    """

    __slots__ = ("_body", "_fields", "_subject_end", "epoch", "kind", "seq", "subject")

    def __init__(self, fields: list[bytes], body: bytes) -> None:
        _, epoch, seq, self.kind, _, _, subject_bytes, _ = fields
        if self.kind not in KINDS:
            raise ValueError(f"expected a kind of delta, got {self.kind!r}")
        self.epoch = int(epoch)
        self.seq = int(seq)
        self._fields = fields
        self._body = body
        self._subject_end = int(subject_bytes)
        self.subject = body[: self._subject_end]

    @property
    def stamp(self) -> int:
        return int(self._fields[4])

    @property
    def since(self) -> int:
        return int(self._fields[5])

    @property
    def user(self) -> bytes:
        return self._body[self._subject_end : self._subject_end + int(self._fields[7])]

    @property
    def info(self) -> bytes:
        return self._body[self._subject_end + int(self._fields[7]) :]


class Tick:
    """Where the sequence is, published when nothing else is."""

    __slots__ = ("epoch", "seq")

    def __init__(self, epoch: int, seq: int) -> None:
        self.epoch = epoch
        self.seq = seq


def parse(payload: bytes) -> Delta | Tick:
    """The message in *payload*; ValueError if it is none."""
    head, _, body = payload.partition(b"\n")
    fields = head.split(b" ")
    if fields[0] == b"d" and b"".join(fields[4:]).isdigit():
        return Delta(fields, body)
    if fields[0] == b"t":
        _, epoch, seq = fields
        return Tick(int(epoch), int(seq))
    raise ValueError(f"expected a delta or a tick, got {payload[:80]!r}")


class Listener(Protocol):
    """Who reads the feed, and has a session."""

    @property
    def epoch(self) -> int:
        """The epoch of the session."""

    @property
    def is_up(self) -> bool:
        """Whether what is asked now is sent."""

    def ask_position(self, subscription: int) -> None:
        """Send a beat, and give its answer to ``Feed.based`` with *subscription*."""

    def positioned(self, seq: int) -> None:
        """Nothing after *seq* is missed; anything before it may have been."""

    def missed(self, after: int, seq: int) -> None:
        """Something was lost on the way, later than *after* and up to *seq*."""

    def changed(self, delta: Delta) -> None:
        """The next transition."""

    def advanced(self) -> None:
        """Whoever waited for the present position has it."""

    def epoch_passed(self) -> None:
        """The engine has begun another epoch than the session knows."""


class _State(Enum):
    OFF = "nothing arrives"
    BASE = "position asked for"
    LIVE = "position known"


class Feed:
    """One node's view of the feed. Implements ``engine.Subscriber``."""

    def __init__(self, engine: Engine, partition: int, clock: Clock, listener: Listener) -> None:
        self.position = 0
        self._engine = engine
        self._partition = partition
        self._clock = clock
        self._listener = listener
        self._state = _State.OFF
        self._wanted = False
        self._silent = False
        self._subscription = 0
        self._heard = False
        self._heard_at = 0.0
        self._pending: list[Delta | Tick] = []

    @property
    def is_wanted(self) -> bool:
        return self._wanted

    @property
    def is_live(self) -> bool:
        return self._state is _State.LIVE

    def start(self) -> None:
        if not self._wanted:
            self._wanted = True
            self._engine.subscribe(self._partition, CHANNEL, self)

    def stop(self) -> None:
        if self._wanted:
            self._wanted = self._silent = False
            self.lost()
            self._engine.unsubscribe(self._partition, CHANNEL)

    def subscribed(self) -> None:
        if self._wanted:
            self._rebase()

    def lost(self) -> None:
        self._state = _State.OFF
        self._pending = []

    def epoch_changed(self) -> None:
        """Positions begin anew: ask for the present one."""
        if self._state is not _State.OFF:
            self._rebase()

    def based(self, subscription: int, seq: int) -> None:
        """A beat that was sent when *subscription* was in force found the sequence at *seq*."""
        if self._state is not _State.BASE or subscription != self._subscription:
            return
        self._state = _State.LIVE
        self.position = seq
        self._heard = True
        pending, self._pending = self._pending, []
        self._listener.positioned(seq)
        for message in pending:
            self._take(message)

    def message(self, payload: bytes) -> None:
        if self._state is _State.OFF:
            return
        try:
            message = parse(payload)
        except ValueError:
            return  # not of a node; had it been, the next number would show that it is missing
        self._heard = True
        epoch = self._listener.epoch
        if message.epoch != epoch:
            if message.epoch > epoch:
                self._listener.epoch_passed()
        elif self._state is _State.LIVE:
            self._take(message)
        elif self._listener.is_up:
            # While there is no session, the beat that will tell the position is still to be sent.
            self._pending.append(message)

    def check_silence(self, longest: float, up_since: float) -> None:
        """Subscribe again if nothing came for *longest* seconds, in which beats caused ticks.

        In one turn the engine would find that nothing has changed, so it is done in two.
        """
        if self._silent:
            self._silent = False
            self._engine.subscribe(self._partition, CHANNEL, self)
            return
        if self._state is _State.OFF:
            return
        now = self._clock.time()
        if self._heard:
            self._heard = False
            self._heard_at = now
        if now - max(self._heard_at, up_since) > longest:
            self.lost()
            self._engine.unsubscribe(self._partition, CHANNEL)
            self._silent = True

    def _rebase(self) -> None:
        self._state = _State.BASE
        self._subscription += 1
        self._pending = []
        self._heard = True
        self._listener.ask_position(self._subscription)

    def _take(self, message: Delta | Tick) -> None:
        before = message.seq - 1 if isinstance(message, Delta) else message.seq
        if before > self.position:
            after, self.position = self.position, before
            self._listener.missed(after, before)
        if isinstance(message, Delta) and message.seq > self.position:
            self.position = message.seq
            self._listener.changed(message)
        self._listener.advanced()
