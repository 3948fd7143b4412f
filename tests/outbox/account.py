"""What one endpoint was told, judged event by event as a careful backend would.

The picture of who is where is built from the distinct events alone. An endpoint was told rightly
when every request is signed; an event's id never stands for anything else; the events of a lane
come in the order of their sequences, none left out; each fact alternates, added first; a channel
is occupied as long as it has members; a repeated attempt has the same bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from conformance.harness.apps import App
from outbox.receiver import Outcome, Request

_ADDS: Final = {"channel_occupied": True, "channel_vacated": False}
_ADDS_MEMBER: Final = {"member_added": True, "member_removed": False}
_ADDS_USER: Final = {"user_online": True, "user_offline": False}
TRANSITIONS: Final = (*_ADDS, *_ADDS_MEMBER, *_ADDS_USER)
VOLATILE: Final = ("client_event", "cache_miss", "subscription_count")
_TO_USER: Final = "#server-to-user-"
_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_HEX: Final = re.compile(r"[0-9a-f]{64}")


class Fact(NamedTuple):
    """A channel is occupied, a user is a member of it (*user*), or a user is online."""

    channel: str | None
    user: str | None

    @property
    def lane(self) -> str:
        """Whose events keep their order."""
        return f"channel {self.channel}" if self.channel is not None else f"user {self.user}"

    def __str__(self) -> str:
        if self.channel is None:
            return f"{self.user} online"
        return f"{self.user} on {self.channel}" if self.user else f"{self.channel} occupied"


class Picture(NamedTuple):
    """All facts that hold."""

    occupied: frozenset[str]
    members: frozenset[tuple[str, str]]
    online: frozenset[str]

    @property
    def facts(self) -> frozenset[Fact]:
        return frozenset(
            {Fact(channel, None) for channel in self.occupied}
            | {Fact(channel, user) for channel, user in self.members}
            | {Fact(None, user) for user in self.online}
        )


class Told(NamedTuple):
    """One event of one request; ``at`` is when that came."""

    id: str
    sequence: int
    event: dict[str, Any]
    attempt: int
    at: float
    outcome: Outcome

    @property
    def name(self) -> str:
        return str(self.event.get("name"))

    def __str__(self) -> str:
        return (
            f"{self.at:.3f} {self.name} id={self.id} sequence={self.sequence}"
            f" attempt={self.attempt} {self.outcome.value}"
        )


def fact_of(event: dict[str, Any]) -> tuple[Fact, bool] | None:
    """The fact that *event* is about, and whether it holds now; None: it is about none."""
    name, channel, user = event.get("name"), event.get("channel"), event.get("user_id")
    if name in _ADDS:
        return Fact(channel, None), _ADDS[name]
    if name in _ADDS_MEMBER:
        return Fact(channel, user), _ADDS_MEMBER[name]
    if name in _ADDS_USER:
        return Fact(None, user), _ADDS_USER[name]
    return None


@dataclass(slots=True)
class _Lane:
    sequence: int = 0
    """Of the newest distinct event; 0 before the first."""


@dataclass(slots=True)
class Account:
    """Judges the requests of one endpoint of *app*, in the order in which they came.

    *retry_seconds* is for how long an attempt repeats its bytes. ``wrong`` says what was wrong.
    Where *senders_change*, one that took over begins anew, and its first attempt may not have
    arrived: such attempts are counted in ``begun_unseen``, since nothing tells the senders apart.
    """

    app: App
    retry_seconds: float = 300.0
    senders_change: bool = False
    begun_unseen: int = 0
    wrong: list[str] = field(default_factory=list)
    distinct: dict[str, Told] = field(default_factory=dict)
    """The first sight of each event that is not volatile, by id, in order."""
    volatile: dict[str, Told] = field(default_factory=dict)
    repeats: int = 0
    """How often an event that was taken in before came again."""
    requests: int = 0
    _accepted: set[str] = field(default_factory=set)
    _holds: dict[Fact, bool] = field(default_factory=dict)
    _members: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _lanes: dict[str, _Lane] = field(default_factory=lambda: defaultdict(_Lane))
    _history: dict[Fact, list[Told]] = field(default_factory=lambda: defaultdict(list))
    _attempts: dict[str, tuple[Request, Request]] = field(default_factory=dict)
    """By the ids: the first request with the bytes that are sent now, and the last one."""

    def take(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._take(request)

    @property
    def picture(self) -> Picture:
        """What holds after all that came."""
        holding = [fact for fact, holds in self._holds.items() if holds]
        return Picture(
            frozenset(f.channel for f in holding if f.channel is not None and f.user is None),
            frozenset((f.channel, f.user) for f in holding if f.channel and f.user is not None),
            frozenset(f.user for f in holding if f.channel is None and f.user is not None),
        )

    @property
    def never_accepted(self) -> list[Told]:
        """Events that came, but of which no request was taken in: they were lost on the way."""
        return [told for id_, told in self.distinct.items() if id_ not in self._accepted]

    def history(self, fact: Fact) -> list[str]:
        """All that came about *fact*, repeats included."""
        return [str(told) for told in self._history[fact]]

    def differences(self, truth: Picture) -> list[str]:
        """Each fact in which the picture is not *truth*, with what was told about it."""
        return [
            "\n    ".join(
                [
                    f"{fact}: {'holds' if fact in truth.facts else 'does not hold'},"
                    f" told: {'it holds' if self._holds.get(fact) else 'it does not'}",
                    *self.history(fact),
                ]
            )
            for fact in sorted(truth.facts ^ self.picture.facts, key=str)
        ]

    def lane_history(self, fact: Fact, most: int = 30) -> list[str]:
        """The last distinct events of the lane of *fact*."""
        about = [(told, fact_of(told.event)) for told in self.distinct.values()]
        lane = [
            f"{told} {known[0]}" for told, known in about if known and known[0].lane == fact.lane
        ]
        return lane[-most:]

    def assert_right(self) -> None:
        """Nothing was wrong with what came."""
        assert not self.wrong, f"{len(self.wrong)} wrong, first:\n" + "\n".join(self.wrong[:10])

    def _take(self, request: Request) -> None:
        self.requests += 1
        problem = self._unsigned(request)
        if problem:
            self.wrong.append(f"{problem}: {request}")
            return
        ids = request.header("X-Herenow-Event-Ids").split(",")
        sequences = request.header("X-Herenow-Sequences").split(",")
        events = json.loads(request.body)["events"]
        if not len(ids) == len(sequences) == len(events) > 0 or len(set(ids)) != len(ids):
            self.wrong.append(f"not one id and sequence an event: {request}")
            return
        attempt = int(request.header("X-Herenow-Attempt"))
        self._attempted(request, attempt)
        for id_, sequence, event in zip(ids, sequences, events, strict=True):
            told = Told(id_, int(sequence), event, attempt, request.at, request.outcome)
            self._hear(told)

    def _unsigned(self, request: Request) -> str:
        """What is wrong with the headers, or nothing."""
        key, secret = self.app.key, self.app.secret.encode()
        if request.header("Content-Type") != "application/json":
            return "content type"
        if request.header("X-Pusher-Key") != key:
            return "key"
        digest = hmac.new(secret, request.body, hashlib.sha256).hexdigest()
        if request.header("X-Pusher-Signature") != digest:
            return "signature of the body"
        names = ("X-Herenow-Timestamp", "X-Herenow-Event-Ids", "X-Herenow-Sequences")
        signed = b"\n".join([*(request.header(name).encode() for name in names), request.body])
        digest = hmac.new(secret, signed, hashlib.sha256).hexdigest()
        if request.header("X-Herenow-Signature") != digest:
            return "signature of the headers"
        if not request.header("X-Herenow-Timestamp").isdecimal():
            return "timestamp"
        if not request.header("X-Herenow-Attempt").isdecimal():
            return "attempt"
        if not all(map(_ID.fullmatch, request.header("X-Herenow-Event-Ids").split(","))):
            return "ids"
        if not all(map(str.isdecimal, request.header("X-Herenow-Sequences").split(","))):
            return "sequences"
        if type(json.loads(request.body).get("time_ms")) is not int:
            return "time_ms"
        return ""

    def _attempted(self, request: Request, attempt: int) -> None:
        ids = request.header("X-Herenow-Event-Ids")
        first, before = self._attempts.get(ids, (request, request))
        names = ("X-Herenow-Timestamp", "X-Herenow-Sequences", "X-Herenow-Signature")
        same = before.body == request.body
        same &= all(before.header(name) == request.header(name) for name in names)
        self._attempts[ids] = (first if same else request, request)
        if attempt < 1:
            self.wrong.append(f"attempt {attempt}: {request}")
        is_retry = attempt > 1 and int(before.header("X-Herenow-Attempt")) < attempt
        if not is_retry or same or request.at - first.at >= self.retry_seconds:
            return
        if self.senders_change:
            self.begun_unseen += 1
        else:
            self.wrong.append(f"attempt {attempt} has other bytes:\n  {before}\n  {request}")

    def _hear(self, told: Told) -> None:
        if told.outcome.taken_in:
            self.repeats += told.id in self._accepted
            self._accepted.add(told.id)
        about = fact_of(told.event)
        if about is None:
            if told.name not in VOLATILE or told.sequence:
                self.wrong.append(f"not an event that is known: {told.event} {told}")
            self.volatile.setdefault(told.id, told)
            return
        fact, holds = about
        self._history[fact].append(told)
        if fact.channel is None and told.event.get("channel") != f"{_TO_USER}{fact.user}":
            self.wrong.append(f"{told.name} of {fact.user} with channel {told.event['channel']}")
        known = self.distinct.get(told.id)
        if known is not None:
            if (known.event, known.sequence) != (told.event, told.sequence):
                self.wrong.append(f"one id for two events: {known.event} {known}; {told.event}")
            return
        self.distinct[told.id] = told
        self._count(fact, told)
        self._change(fact, holds)

    def _count(self, fact: Fact, told: Told) -> None:
        lane = self._lanes[fact.lane]
        if told.sequence < 1 or (lane.sequence and told.sequence != lane.sequence + 1):
            self.wrong.append(f"{fact.lane}: {told} comes after sequence {lane.sequence}")
        lane.sequence = max(lane.sequence, told.sequence)

    def _change(self, fact: Fact, holds: bool) -> None:
        if self._holds.get(fact, False) is holds:
            self._report(f"{fact} is told {'added' if holds else 'removed'} twice", fact)
        self._holds[fact] = holds
        if fact.channel is None:
            return
        members = self._members[fact.channel]
        if fact.user is None:
            if members and not holds:
                self._report(f"{fact.channel} is vacated before {sorted(members)}", fact)
        elif holds:
            members.add(fact.user)
            if self._holds.get(Fact(fact.channel, None)) is not True:
                self._report(f"{fact} before the channel is occupied", fact)
        else:
            members.discard(fact.user)

    def _report(self, wrong: str, fact: Fact) -> None:
        self.wrong.append("\n    ".join([wrong, *self.lane_history(fact)]))
