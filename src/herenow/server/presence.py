"""A presence channel on this node: who is there, who may join, and who is told.

The ledger decides who comes and goes. The channel keeps a replica of the roster: transitions are
applied in the order of their revisions and told to the subscribers. A joiner is answered from the
replica as soon as it has reached the joiner's own revision, in the turn in which it becomes a
receiver of later transitions: it misses nobody and sees nobody twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from herenow.cluster.base import Roster, Subject, SubjectKind, Transition, TransitionKind
from herenow.protocol import messages
from herenow.protocol.messages import MemberEntry
from herenow.protocol.names import ChannelKind
from herenow.protocol.websocket import text_frame
from herenow.server.channels import Channel

if TYPE_CHECKING:
    from herenow.server.hub import Hub


class PresenceChannel(Channel):
    """``subject`` is the channel as the ledger knows it."""

    __slots__ = ("_frame", "_kept", "_members", "_revision", "_waiting", "subject")

    def __init__(self, hub: Hub, name: str, kind: ChannelKind) -> None:
        super().__init__(hub, name, kind)
        self.subject = Subject(hub.app.id, SubjectKind.PRESENCE, name)
        self._members: dict[str, MemberEntry] = {}
        self._revision = -1
        self._frame: bytes | None = None
        self._kept: list[Transition] = []
        self._waiting: list[tuple[int, Callable[[], None]]] = []
        hub.ledger.follow(self.subject)
        hub.ledger.roster(self.subject, self._load)

    def _load(self, roster: Roster) -> None:
        self._members = {user: MemberEntry(user, info) for user, info, *_ in roster.members}
        self._revision = roster.revision
        kept, self._kept = self._kept, []
        for transition in kept:
            self.apply(transition)
        self._admit_waiting()

    def apply(self, transition: Transition) -> None:
        """Follow the ledger; a transition that the roster already contained is dropped."""
        if self._revision < 0:
            self._kept.append(transition)
            return
        if transition.revision <= self._revision:
            return
        self._revision = transition.revision
        self._frame = None
        user = transition.user
        if transition.kind is TransitionKind.REMOVE:
            gone = self._members.pop(user)
            self.send(text_frame(gone.removed(self.name)))
        else:
            entry = MemberEntry(user, transition.info)
            self._members[user] = entry
            if transition.kind is TransitionKind.ADD:
                self.send(text_frame(entry.added(self.name)))
        self._admit_waiting()

    def when_reached(self, revision: int, admit: Callable[[], None]) -> None:
        """Call *admit* when the replica knows everything up to *revision*: now, or soon."""
        if self._revision >= revision:
            admit()
        else:
            self._waiting.append((revision, admit))

    def _admit_waiting(self) -> None:
        if self._waiting:
            ready = [admit for revision, admit in self._waiting if revision <= self._revision]
            self._waiting = [item for item in self._waiting if item[0] > self._revision]
            for admit in ready:
                admit()

    def roster_frame(self) -> bytes:
        """``subscription_succeeded`` with everybody who is here, made once per revision."""
        if self._frame is None:
            self._frame = text_frame(messages.roster(self.name, self._members.values()))
        return self._frame

    def close(self) -> None:
        """Stop following; the channel is not used again."""
        self.hub.ledger.unfollow(self.subject)
