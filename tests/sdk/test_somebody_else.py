"""Nobody becomes somebody else by a channel's name, not even with a valid signature."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NoReturn

import pytest

from conformance.harness.service import Service
from herenow.apps.base import Limits
from herenow.protocol.messages import encode_json
from herenow.protocol.session import Refused, Session
from herenow.protocol.signing import hex_digest
from sdk.callers import KEY, SECRET, SOCKET_ID

CHANNELS: Final = [':user::{"id":"admin"}', 'presence-x:{"user_id":"admin"}', "private-room\n"]


@dataclass
class NoSecrets:
    """Rules of an application whose secret nobody may ask for."""

    client_events: bool = True
    limits: Limits = field(default_factory=Limits)

    def secret_of(self, key: str) -> NoReturn:
        raise AssertionError("a signature is computed")


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_name_is_refused_before_a_signature_is_computed(channel: str) -> None:
    session = Session(SOCKET_ID, NoSecrets())
    data = encode_json({"channel": channel, "auth": f"{KEY}:{'0' * 64}"})
    refusal = session.subscribe(data)
    assert isinstance(refusal, Refused)
    assert refusal.reason == "bad_channel_name"


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_server_refuses_the_name_whatever_its_signature(service: Service, channel: str) -> None:
    connection = service.connect()
    signature = hex_digest(SECRET, f"{connection.socket_id}:{channel}")
    for digest in (signature, "0" * 64):
        connection.send("pusher:subscribe", {"channel": channel, "auth": f"{KEY}:{digest}"})
        connection.expect_error(message=f"Invalid channel name {channel}")
