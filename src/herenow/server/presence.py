"""A presence channel on this node: who is there, and who is told.

The ledger decides who comes and goes, and tells it in a chain without gaps: the channel repeats
each link to its subscribers. The answer to a join comes when the chain has reached it. So a joiner
who is given the roster in that turn, and is a subscriber from then on, misses nobody and sees
nobody twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from herenow.cluster.base import Subject, SubjectKind, Transition, TransitionKind
from herenow.protocol import messages
from herenow.protocol.messages import MemberEntry
from herenow.protocol.names import ChannelKind
from herenow.protocol.websocket import text_frame
from herenow.server.channels import Channel

if TYPE_CHECKING:
    from herenow.server.connection import Connection
    from herenow.server.hub import Hub


class PresenceChannel(Channel):
    """``subject`` is the channel as the ledger knows it, ``subscription_ids`` its subscribers'."""

    __slots__ = ("_frame", "_members", "subject", "subscription_ids")

    def __init__(self, hub: Hub, name: str, kind: ChannelKind) -> None:
        super().__init__(hub, name, kind)
        self.subject = Subject(hub.app.id, SubjectKind.PRESENCE, name)
        self.subscription_ids: dict[Connection, int] = {}
        self._members: dict[str, MemberEntry] = {}
        self._frame: bytes | None = None

    def open(self) -> None:
        super().open()
        self.hub.ledger.follow(self.subject)

    def apply(self, transition: Transition) -> None:
        """Take over what the ledger decided, and tell it to whoever is subscribed."""
        self._frame = None
        user = transition.user
        if transition.kind is TransitionKind.REMOVE:
            gone = self._members.pop(user)
            if self.subscribers:
                self.send(text_frame(gone.removed(self.name)))
            return
        entry = MemberEntry(user, transition.info)
        self._members[user] = entry
        if transition.kind is TransitionKind.ADD and self.subscribers:
            self.send(text_frame(entry.added(self.name)))

    def roster_frame(self) -> bytes:
        """``subscription_succeeded`` with everybody who is here, made once per change."""
        if self._frame is None:
            self._frame = text_frame(messages.roster(self.name, self._members.values()))
        return self._frame

    def close(self) -> None:
        super().close()
        self.hub.ledger.unfollow(self.subject)
