"""What every frame of the server must look like, and what it means once it does (§1)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from conformance.harness.websocket import Frame, Opcode

_MEMBERS: Final = {"event", "channel", "data", "user_id"}


@dataclass(frozen=True, slots=True)
class Event:
    """Any frame but an error."""

    name: str
    data: str
    channel: str | None = None
    user_id: str | None = None

    def decoded(self) -> dict[str, Any]:
        """The object that the data string holds."""
        value = json.loads(self.data)
        assert isinstance(value, dict), f"{self.name} holds {value!r}, not an object"
        return value


@dataclass(frozen=True, slots=True)
class Error:
    """A ``pusher:error``."""

    code: int | None
    message: str


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    assert len(members) == len(pairs), f"a member stands twice: {pairs}"
    return members


def _not_json(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def parse(frame: Frame) -> Event | Error:
    """Check the envelope invariants of *frame* and read it."""
    assert frame.opcode is Opcode.TEXT, f"the server sent a {frame.opcode.name} message"
    text = frame.payload.decode("utf-8")
    envelope = json.loads(text, object_pairs_hook=_unique_members, parse_constant=_not_json)
    assert isinstance(envelope, dict), f"not an object: {text}"
    assert envelope.keys() <= _MEMBERS, f"unknown members: {text}"
    assert isinstance(envelope.get("event"), str), f"no event name: {text}"
    assert "data" in envelope, f"no data: {text}"
    name, data = envelope["event"], envelope["data"]
    if name == "pusher:error":
        return _parse_error(envelope, text)
    assert isinstance(data, str), f"data is not a string: {text}"
    assert isinstance(envelope.get("channel", ""), str), f"channel is not a string: {text}"
    if "user_id" in envelope:
        assert isinstance(envelope["user_id"], str), f"user_id is not a string: {text}"
        assert name.startswith("client-"), f"user_id outside a client event: {text}"
    return Event(name, data, envelope.get("channel"), envelope.get("user_id"))


def _parse_error(envelope: dict[str, Any], text: str) -> Error:
    data = envelope["data"]
    assert envelope.keys() == {"event", "data"}, f"an error has only event and data: {text}"
    assert isinstance(data, dict), f"an error's data is an object: {text}"
    assert data.keys() == {"message", "code"}, f"an error has message and code: {text}"
    message, code = data["message"], data["code"]
    assert isinstance(message, str), text
    assert message, f"an error says why: {text}"
    assert code is None or type(code) is int, f"an error's code is an integer or null: {text}"
    return Error(code, message)


@dataclass(frozen=True, slots=True)
class Roster:
    """The members that a presence subscription starts with, consistent in itself (§9.5)."""

    ids: tuple[str, ...]
    hash: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, succeeded: Event) -> Roster:
        data = succeeded.decoded()
        assert data.keys() == {"presence"}, f"presence and nothing else: {data}"
        presence = data["presence"]
        assert presence.keys() == {"count", "ids", "hash"}, f"count, ids and hash: {presence}"
        count, ids, infos = presence["count"], presence["ids"], presence["hash"]
        assert all(isinstance(user_id, str) for user_id in ids), f"ids are strings: {ids}"
        assert all(isinstance(info, dict) for info in infos.values()), f"objects: {infos}"
        assert len(set(ids)) == len(ids), f"an id stands twice: {ids}"
        assert set(infos) == set(ids), "hash and ids name different users"
        assert type(count) is int, f"count is {count!r}"
        assert count == len(ids), f"count is {count}, but there are {len(ids)} ids"
        return cls(tuple(ids), infos)
