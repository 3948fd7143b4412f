"""No input of a publisher or client makes a frame that a conforming client rejects.

The client of these tests reads with another WebSocket library and another JSON reader, and fails
on whatever they refuse.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from typing import Any, Final, TypeVar
from urllib.parse import quote_from_bytes

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from herenow.protocol.signing import hex_digest, user_string
from server.client import MEMBER_ADDED, SUCCEEDED, WATCHLIST, Client, Message, roster_ids
from server.serving import app_with, serving

T = TypeVar("T")

APP: Final = app_with(client_events_per_second=0, messages_per_second=0)


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


ODD_TOKENS = st.sampled_from(
    [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e400",
        b"-1e999999",
        b"1" * 5_000,
        b"-0",
        b"0.1e-400",
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\ud83d\\ude00"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\x00"',
        b'"\x1b[2J"',
        b'"\\u0000\\u001f\\u007f\\u0085\\u2028"',
        '"\u2028\u2029\ufeff\ufffe"'.encode(),
        b'"\\x"',
        b'"\\u12"',
        b"[" * 200 + b"]" * 200,
        b"[" * 2_000 + b"]" * 2_000,
        b'{"a":' * 1_100 + b"1" + b"}" * 1_100,
        b"{}",
        b'{"a":1,"a":2}',
        b'{"\\ud800":1e400}',
        b"",
        b"nul",
        b"'a'",
        b"[1,]",
        b"\xef\xbb\xbf{}",
    ]
)
ANY_CHARACTER = st.characters(exclude_categories=())
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(ANY_CHARACTER, max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
TOKENS = st.one_of(
    ODD_TOKENS,
    VALUES.map(lambda value: json.dumps(value).encode()),
    VALUES.map(lambda value: json.dumps(value, indent=1).encode()),
    st.text(max_size=12).map(lambda text: json.dumps(text, ensure_ascii=False).encode()),
    st.binary(max_size=12),
)
TEXTS = st.text(ANY_CHARACTER, max_size=20)

TEXT_TOKENS = TOKENS.filter(lambda token: is_utf8(token))
LAWS = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class World:
    """A node with two clients on the same channels, kept through all examples."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._failures: list[dict[str, Any]] = []
        self._runner.get_loop().set_exception_handler(lambda _, what: self._failures.append(what))
        self._context = serving(APP)
        self.serving = self.run(self._context.__aenter__())
        self.sender, self.reader = self.run(self._set_up())

    async def _set_up(self) -> tuple[Client, Client]:
        sender = await self.serving.join("private-a")
        reader = await self.serving.join("private-a", "cache-a")
        await reader.expect("pusher:cache_miss", "cache-a")
        await reader.enter("presence-a", "reader")
        await reader.barrier()
        return sender, reader

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def read(self) -> tuple[list[Message], list[Message]]:
        """All that both clients were sent; they must still be connected."""
        found = self.run(self._read())
        assert not self._failures, self._failures
        return found

    async def _read(self) -> tuple[list[Message], list[Message]]:
        return await self.sender.barrier(), await self.reader.barrier()

    def send(self, frame: bytes) -> tuple[list[str], list[Message]]:
        """Send *frame* and read: the names of what the sender got, and what the other got."""
        self.run(self.sender.send_text(frame))
        answers, relayed = self.read()
        return [message.event for message in answers], relayed

    def close(self) -> None:
        self.run(self._stop())
        self._runner.close()

    async def _stop(self) -> None:
        await self._context.__aexit__(None, None, None)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@LAWS
@given(token=TEXT_TOKENS)
def test_the_data_of_a_client_event(world: World, token: bytes) -> None:
    answers, relayed = world.send(b'{"event":"client-odd","channel":"private-a","data":%b}' % token)
    if relayed:
        assert [message.event for message in relayed] == ["client-odd"]
        assert answers == []
        value = json.loads(token)
        data = relayed[0].data
        assert data == value if isinstance(value, str) else json.loads(data) == value
    else:
        assert answers == ["pusher:error"]


@LAWS
@given(name=TEXTS)
def test_the_name_of_a_client_event(world: World, name: str) -> None:
    frame = {"event": f"client-{name}", "channel": "private-a", "data": {}}
    answers, relayed = world.send(json.dumps(frame).encode())
    assert (answers, [message.event for message in relayed]) == ([], [f"client-{name}"])


@LAWS
@given(text=TEXTS, token=TEXT_TOKENS)
def test_any_text(world: World, text: str, token: bytes) -> None:
    for frame in (
        json.dumps(text).encode(),
        json.dumps({"event": text}).encode(),
        b'{"event":%b,"channel":%b,"data":%b}' % (token, token, token),
        b'{"event":"pusher:subscribe","data":%b}' % token,
        b'{"event":"pusher:subscribe","data":{"channel":%b}}' % token,
        b'{"event":"pusher:unsubscribe","data":{"channel":%b}}' % token,
        b'{"event":"pusher:signin","data":{"auth":%b,"user_data":%b}}' % (token, token),
        json.dumps({"event": "pusher:subscribe", "data": {"channel": text}}).encode(),
        token,
    ):
        answers, relayed = world.send(frame)
        assert len(answers) <= 1 or answers == ["pusher:error", "pusher:subscription_error"]
        assert relayed == []
        _leave_all(world)


def _leave_all(world: World) -> None:
    """Leave what a frame has happened to join."""
    connection = world.serving.connection(world.sender)
    for name in set(connection.session.subscriptions) - {"private-a"}:
        world.run(world.sender.unsubscribe(name))
    world.read()


@LAWS
@given(user_id=TEXT_TOKENS, info=TEXT_TOKENS, whole=TEXT_TOKENS | st.none())
def test_channel_data(world: World, user_id: bytes, info: bytes, whole: bytes | None) -> None:
    member = whole if whole is not None else b'{"user_id":%b,"user_info":%b}' % (user_id, info)
    _join_and_leave(world, member.decode("utf-8", "surrogatepass"))


@LAWS
@given(user_id=TEXTS, info=st.dictionaries(TEXTS, VALUES, max_size=2))
def test_members_of_any_name(world: World, user_id: str, info: dict[str, object]) -> None:
    _join_and_leave(world, json.dumps({"user_id": user_id, "user_info": info}))
    _join_and_leave(
        world, json.dumps({"user_id": user_id, "user_info": info}, ensure_ascii=False, indent=1)
    )


def _join_and_leave(world: World, channel_data: str) -> None:
    """Join as *channel_data* says: the other sees it and its end, or the sender an error."""
    sender = world.sender
    subscribe = {
        "channel": "presence-a",
        "channel_data": channel_data,
        "auth": sender.auth("presence-a", channel_data),
    }
    frame = {"event": "pusher:subscribe", "data": subscribe}
    world.run(sender.send_text(json.dumps(frame)))
    answers, relayed = world.read()
    if answers[0].event == SUCCEEDED:
        assert len(answers) == 1
        [added] = relayed
        assert added.event == MEMBER_ADDED
        ids = roster_ids(answers[0])
        assert ids == ["reader", added.decoded["user_id"]]
        assert answers[0].decoded["presence"]["hash"][ids[1]] == added.decoded["user_info"]
        world.run(sender.unsubscribe("presence-a"))
        _, [removed] = world.read()
        assert removed.decoded == {"user_id": ids[1]}
    else:
        assert [message.event for message in answers] == [
            "pusher:error",
            "pusher:subscription_error",
        ]
        assert relayed == []


@LAWS
@given(info=TEXT_TOKENS, watchlist=TEXT_TOKENS, watched=st.lists(TEXTS, max_size=3))
def test_user_data(world: World, info: bytes, watchlist: bytes, watched: list[str]) -> None:
    for user_data in (
        b'{"id":"u","user_info":%b}' % info,
        b'{"id":"u","watchlist":%b}' % watchlist,
        json.dumps({"id": "u", "watchlist": watched}).encode(),
        b'{"id":%b}' % info,
        info,
    ):
        sender, text = world.sender, user_data.decode("utf-8", "surrogatepass")
        pair = APP.keys[0]
        digest = hex_digest(pair.secret, user_string(sender.socket_id, text))
        data = {"auth": f"{pair.key}:{digest}", "user_data": text}
        frame = json.dumps({"event": "pusher:signin", "data": data}).encode()
        answers, relayed = world.send(frame)
        assert answers in (
            ["pusher:signin_success"],
            ["pusher:signin_success", WATCHLIST],
            ["pusher:error"],
        )
        assert relayed == []


@LAWS
@given(name=TOKENS, data=TOKENS, path=st.sampled_from(["events", "batch_events"]))
def test_published_events(world: World, name: bytes, data: bytes, path: str) -> None:
    for body in (
        b'{"name":"odd","channel":"cache-a","data":%b}' % data,
        b'{"name":%b,"channel":"cache-a","data":"x"}' % name,
        b'{"name":"odd","channel":%b,"data":"x"}' % name,
        b'{"name":"odd","channel":"cache-a","data":"x","socket_id":%b,"info":%b}' % (name, data),
    ):
        if path == "batch_events":
            body = b'{"batch":[%b]}' % body
        answer = world.run(world.serving.call("POST", f"/apps/{APP.id}/{path}", body))
        _, relayed = world.read()
        if answer.status == 200:
            json.loads(answer.body)
            assert [message.channel for message in relayed] in (["cache-a"], [])
        else:
            assert answer.status == 400
            assert answer.text.endswith("\n")
            assert len(answer.text.splitlines()) == 1
            assert relayed == []


@LAWS
@given(body=st.binary(max_size=30) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_raw_bodies_and_queries(world: World, body: bytes) -> None:
    query = f"name=n&channel=cache-a&data={quote_from_bytes(body)}"
    events, raw = f"/apps/{APP.id}/events", f"/apps/{APP.id}/channels/cache-a/events"
    for path, content, parameters in ((events, b"", query), (raw, body, "name=n")):
        answer = world.run(world.serving.call("POST", path, content, parameters))
        _, relayed = world.read()
        accepted = answer.status in (200, 202)
        assert accepted or answer.status == 400, answer
        assert len(relayed) == accepted


def test_the_last_event_of_a_cache_channel_is_as_readable(world: World) -> None:
    world.run(world.serving.trigger("cache-a", "odd\ud800", "\ud800\u2028"))
    world.read()
    world.run(world.sender.subscribe("cache-a"))
    answers, _ = world.read()
    assert [message.data for message in answers] == ["{}", "\ud800\u2028"]
    path = f"/apps/{APP.id}/channels/cache-a"
    answer = world.run(world.serving.call("GET", path, query="info=cache"))
    assert json.loads(answer.body)["cache"]["data"] == "\ud800\u2028"


@pytest.mark.parametrize("character", ["[", '{"a":'])
def test_every_depth_is_read_or_refused(world: World, character: str) -> None:
    """Where reading ends and writing begins to fail is not known beforehand."""
    closing = "]" if character == "[" else "}"
    for depth in (*range(80, 130, 7), *range(940, 1_020)):
        nested = character * depth + "1" + closing * depth
        for data in (nested, f'{{"a":"\\ud800","b":{nested}}}'):
            world.run(
                world.sender.send_text(
                    f'{{"event":"client-deep","channel":"private-a","data":{data}}}',
                    f'{{"event":"pusher:subscribe","data":{data}}}',
                )
            )
        world.read()
        body = f'{{"name":"deep","channel":"cache-a","data":{nested}}}'.encode()
        answer = world.run(world.serving.call("POST", f"/apps/{APP.id}/events", body))
        assert answer.status in (200, 400)
        world.read()
