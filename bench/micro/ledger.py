"""The ledger and the bus in memory: joins and leaves of a channel with 500 members, publishing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from bench.micro.samples import CHANNEL, EVENT, NOW

from herenow.cluster.base import Publication, Subject, SubjectKind, Transition
from herenow.cluster.memory import MemoryBus, MemoryLedger

_MEMBERS = 500
_INFO = b'{"name":"user 1"}'


class _StandingClock:
    def time(self) -> float:
        return NOW

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        return None


class _Node:
    """A follower and receiver that does nothing with what it is told."""

    def apply(self, transition: Transition) -> None: ...

    def announced(self, app: str, channel: str, subscriptions: int) -> None: ...

    def terminate(self, app: str, user: str) -> None: ...

    def deliver(self, publication: Publication) -> None: ...

    def app_changed(self, app: str) -> None: ...

    def missed(self, app: str, channel: str) -> None: ...


def _ignore(_: object) -> None: ...


_subject = Subject("app-id", SubjectKind.PRESENCE, CHANNEL)
_subscriptions = count(1)
_ledger = MemoryLedger(_StandingClock(), _ignore)
_ledger.attach(_Node())
_ledger.follow(_subject)
for _number in range(_MEMBERS):
    _ledger.join(_subject, f"u{_number}", next(_subscriptions), _INFO, 0, 0, _ignore)

_bus = MemoryBus(_StandingClock())
_bus.attach(_Node())
_bus.follow("app-id", "bench-0", lambda: None)
_publications = (Publication("app-id", "bench-0", EVENT),)


def join_and_leave() -> None:
    subscription = next(_subscriptions)
    _ledger.join(_subject, "newcomer", subscription, _INFO, 0, 0, _ignore)
    _ledger.leave(_subject, subscription, 0)


def join_again_and_leave() -> None:
    subscription = next(_subscriptions)
    _ledger.join(_subject, "u1", subscription, _INFO, 0, 0, _ignore)
    _ledger.leave(_subject, subscription, 0)


def read_the_roster() -> None:
    _ledger.roster(_subject, _ignore)


def publish() -> None:
    _bus.publish(_publications, _ignore)


SUBJECTS = (join_and_leave, join_again_and_leave, read_the_roster, publish)
