"""Events as JSON: what clients send and are sent."""

from __future__ import annotations

from bench.micro.samples import CHANNEL, CLIENT_EVENT, DATA, SUBSCRIBE

from herenow.protocol import messages
from herenow.protocol.messages import MemberEntry

_members = [MemberEntry(f"u{i}", b'{"name":"user %d"}' % i) for i in range(500)]
_spaced = b'{ "user_id": "u1", "user_info": { "name": "user 1" } }'


def read_a_subscribe() -> object:
    return messages.decode_client_message(SUBSCRIBE)


def read_a_client_event() -> object:
    return messages.decode_client_message(CLIENT_EVENT)


def write_an_event() -> object:
    return messages.event("ev", DATA, "bench-0")


def compact_an_object() -> object:
    return messages.compact_json(_spaced)


def write_a_roster_of_500() -> object:
    return messages.roster(CHANNEL, _members)


SUBJECTS = (
    read_a_subscribe,
    read_a_client_event,
    write_an_event,
    compact_an_object,
    write_a_roster_of_500,
)
