"""The limits that are checked before anything is signed or sent (protocol reference §20)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an application may use, as its server is configured; ``0`` means unlimited.

    The defaults are those of the protocol. Where a server has others (``limits`` of herenow's
    configuration has the same names), give them to the client, or it refuses what the server would
    take. Lengths are in characters, sizes in bytes of UTF-8; ``max_presence_member_bytes`` is that
    of a member's ``user_info`` as compact JSON.
    """

    max_channel_name_length: int = 164
    max_event_name_length: int = 200
    max_event_bytes: int = 10_240
    max_event_channels: int = 100
    max_batch_events: int = 10
    max_presence_member_bytes: int = 1_024
    max_watchlist: int = 100
