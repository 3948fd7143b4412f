"""Publishing: what a body may be, and that nothing of a bad call is published."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

import pytest

from herenow.cluster.base import Clock, Done, Publication
from herenow.cluster.memory_bus import MemoryBus
from server.serving import APP, Serving, app_with, serving

pytestmark = pytest.mark.anyio

EVENTS = f"/apps/{APP.id}/events"
BATCH = f"/apps/{APP.id}/batch_events"


@pytest.fixture
async def started() -> AsyncIterator[Serving]:
    async with serving() as started:
        yield started


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"{",
        b'{"name":"e","channel":"a","data":"x"',
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"\xff\xfe",
        b'{"name":"e","channel":"a","data":"\xff"}',
        b"[" * 100_000,
        b'{"name":"e","channel":"a","data":"x","deep":%b}' % (b"[" * 5_000 + b"]" * 5_000),
        b'{"name":"e","channel":"a","data":%b}' % (b"[" * 5_000 + b"]" * 5_000),
        b'{"channel":"a","data":"x"}',
        b'{"name":null,"channel":"a","data":"x"}',
        b'{"name":7,"channel":"a","data":"x"}',
        b'{"name":"e","channel":"a"}',
        b'{"name":"e","channel":"a","data":null}',
        b'{"name":"e","channel":"a","data":"\x01"}',
        b'{"name":"e","channel":"a","data":"\\q"}',
        b'{"name":"e","channel":"a","data":"\\u12"}',
        b'{"name":"e","data":"x"}',
        b'{"name":"e","channel":7,"data":"x"}',
        b'{"name":"e","channels":"a","data":"x"}',
        b'{"name":"e","channels":[],"data":"x"}',
        b'{"name":"e","channels":["a",7],"data":"x"}',
        b'{"name":"e","channels":["a","b c"],"data":"x"}',
        b'{"name":"e","channels":["a","#x"],"data":"x"}',
        b'{"name":"e","channel":"a\\nb","data":"x"}',
        b'{"name":"pusher:e","channel":"a","data":"x"}',
        b'{"name":"e","channel":"a","data":"x","info":7}',
        b'{"name":"e","channel":"a","data":"x","info":"colour\\nblue"}',
    ],
)
async def test_a_bad_body_is_one_line_of_400_and_publishes_nothing(
    started: Serving, body: bytes
) -> None:
    client = await started.join("a")
    for path, content in ((EVENTS, body), (BATCH, b'{"batch":[%b]}' % body)):
        answer = await started.call("POST", path, content)
        assert answer.status == 400, (path, answer)
        assert answer.headers["content-type"] == "text/plain"
        assert len(answer.text.splitlines()) == 1
        assert answer.text.endswith("\n")
    await client.expect_nothing()


async def test_null_members_are_as_absent_ones(started: Serving) -> None:
    client = await started.join("a")
    body = {"name": "e", "channel": "a", "channels": None, "data": "x"}
    answer = await started.call("POST", EVENTS, body | {"socket_id": None, "info": None})
    assert (answer.status, answer.body) == (200, b"{}")
    await client.expect("e", "a")


async def test_one_bad_event_of_a_batch_stops_all(started: Serving) -> None:
    client = await started.join("a")
    good = {"name": "e", "channel": "a", "data": "x"}
    for bad, status in (
        ({"name": "e", "channel": "a"}, 400),
        ({"name": "e", "channels": ["a", "b"], "data": ""}, 400),
        ({"name": "e", "channel": "a", "data": "x" * 10_241}, 413),
        ("event", 400),
    ):
        answer = await started.call("POST", BATCH, {"batch": [good, good, bad]})
        assert answer.status == status
    await client.expect_nothing()


@pytest.mark.parametrize("batch", [None, [], {}, "x", 7])
async def test_a_batch_is_a_list_with_something_in_it(started: Serving, batch: object) -> None:
    assert (await started.call("POST", BATCH, {"batch": batch})).status == 400


async def test_parameters_may_stand_in_the_query(started: Serving) -> None:
    client = await started.join("a", "b")
    query = "name=e&data=hello+w%C3%B6rld&channels[]=a&channels%5B%5D=b&channels[]=a"
    answer = await started.call("POST", EVENTS, query=query)
    assert (answer.status, answer.body) == (200, b"{}")
    messages = [await client.next(), await client.next()]
    assert sorted(str(message.channel) for message in messages) == ["a", "b"]
    assert {message.data for message in messages} == {"hello wörld"}
    query = f"NAME=f&data=&channel=a&socket_id={client.socket_id}"
    assert (await started.call("POST", EVENTS, query=query)).status == 200
    await client.expect_nothing()


async def test_a_channel_is_published_to_once(started: Serving) -> None:
    client = await started.join("a", "b")
    body = {"name": "e", "channel": "a", "channels": ["b", "a", "b"], "data": "x"}
    assert (await started.call("POST", EVENTS, body)).status == 200
    found = await client.barrier()
    assert sorted(str(message.channel) for message in found) == ["a", "b"]


async def test_events_that_nobody_hears_change_nothing_for_the_others(started: Serving) -> None:
    client = await started.join("a", "b")
    channels = ["nobody", "a", "nobody", "b", "a", "nobody", "cache-nobody"]
    batch = [{"name": "e", "channel": name, "data": str(n)} for n, name in enumerate(channels)]
    answer = await started.call("POST", BATCH, json.dumps({"batch": batch}).encode())
    assert (answer.status, json.loads(answer.body)) == (200, {})
    found = await client.barrier()
    assert [(message.channel, message.data) for message in found] == [
        ("a", "1"),
        ("b", "3"),
        ("a", "4"),
    ]
    answer = await started.call("POST", EVENTS, {"name": "e", "channel": "nobody", "data": "x"})
    assert (answer.status, json.loads(answer.body)) == (200, {})
    newcomer = await started.join("cache-nobody")
    assert (await newcomer.expect("e", "cache-nobody")).data == "6"


class RecordingBus(MemoryBus):
    """Remembers the channels that were published on."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.channels: list[str] = []

    def publish(self, publications: Sequence[Publication], done: Done[bool]) -> None:
        self.channels += [publication.channel for publication in publications]
        super().publish(publications, done)


class SharedBus(RecordingBus):
    is_local = False


@pytest.mark.parametrize(
    ("make_bus", "published"),
    [(RecordingBus, ["a", "cache-b"]), (SharedBus, ["a", "nobody", "cache-b"])],
)
async def test_an_event_that_nobody_hears_is_left_out_on_a_single_node(
    make_bus: type[RecordingBus], published: list[str]
) -> None:
    async with serving(make_bus=make_bus) as started:
        await started.join("a")
        body = {"name": "e", "channels": ["a", "nobody", "cache-b"], "data": "x"}
        batch = [{"name": "e", "channel": name, "data": "x"} for name in body["channels"]]
        for path, content in ((EVENTS, body), (BATCH, {"batch": batch})):
            assert (await started.call("POST", path, content)).status == 200
        assert isinstance(started.bus, RecordingBus)
        assert started.bus.channels == published * 2


async def test_data_that_is_no_string_becomes_its_compact_text(started: Serving) -> None:
    client = await started.join("a")
    body = b'{"name":"e","channel":"a","data":{ "b" : [1.50, "\xc3\xa9\\u00e9 x"] , "a":1e2 }}'
    assert (await started.call("POST", EVENTS, body)).status == 200
    message = await client.expect("e", "a")
    assert message.data in ('{"b":[1.50,"é\\u00e9 x"],"a":1e2}', '{"b":[1.50,"éé x"],"a":1e2}')


@pytest.mark.parametrize("token", ['"\\ud83d\\u0000\\/"', '"{\\"a\\": 1}"', '""', '"\\u003c é"'])
async def test_a_string_arrives_as_it_was_sent(started: Serving, token: str) -> None:
    client = await started.join("a")
    body = f'{{"name":"e","channel":"a","data":{token}}}'.encode()
    for path, content in ((EVENTS, body), (BATCH, b'{"batch":[%b]}' % body)):
        assert (await started.call("POST", path, content)).status == 200
        assert (await client.expect("e", "a")).data == json.loads(token)


@pytest.mark.parametrize(
    "character", ["a", "é", "\u2028", "\U0001f600", "\x01", "\ud800"], ids=ascii
)
async def test_the_size_of_data_is_that_of_its_utf8(started: Serving, character: str) -> None:
    size = len(character.encode("utf-8", "surrogatepass"))
    fitting = character * (10_240 // size) + "x" * (10_240 % size)
    for escaped in (True, False):
        if not escaped and character in "\x01\ud800":
            continue
        for data, status in ((fitting, 200), (fitting + "x", 413)):
            body = json.dumps({"name": "e", "channel": "a", "data": data}, ensure_ascii=escaped)
            answer = await started.call("POST", EVENTS, body.encode("utf-8", "surrogatepass"))
            assert answer.status == status


async def test_ten_events_of_the_largest_size_fit_into_a_batch(started: Serving) -> None:
    client = await started.join("a")
    event = {"name": "e", "channel": "a", "data": "\x01" * 10_240}
    answer = await started.call("POST", BATCH, json.dumps({"batch": [event] * 10}).encode())
    assert answer.status == 200
    for _ in range(10):
        assert (await client.expect("e", "a")).data == "\x01" * 10_240


async def test_limits_of_zero_are_none() -> None:
    app = app_with(
        max_event_bytes=0,
        max_event_channels=0,
        max_batch_events=0,
        max_event_name_length=0,
        max_channel_name_length=0,
    )
    async with serving(app) as started:
        channels = [f"c{number}" for number in range(150)]
        body = {"name": "e" * 300, "channels": channels, "data": "x" * 20_000}
        assert (await started.call("POST", EVENTS, body)).status == 200
        event = {"name": "e", "channel": "c" * 300, "data": ""}
        assert (await started.call("POST", BATCH, {"batch": [event] * 20})).status == 200


class TestRawEvents:
    """``POST /apps/{id}/channels/{name}/events?name=E``, the body being the data."""

    async def test_the_body_is_the_data(self, started: Serving) -> None:
        client = await started.join("a,b")
        path = f"/apps/{APP.id}/channels/a%2Cb/events"
        for body in (b"", b'{ "a": 1 }', "é\u2028".encode(), b"\x00"):
            answer = await started.call("POST", path, body, "name=e")
            assert (answer.status, answer.body) == (202, b"")
            assert (await client.expect("e", "a,b")).data == body.decode()

    async def test_who_is_excluded_gets_nothing(self, started: Serving) -> None:
        client = await started.join("a")
        path = f"/apps/{APP.id}/channels/a/events"
        query = f"name=e&socket_id={quote(client.socket_id)}"
        assert (await started.call("POST", path, b"x", query)).status == 202
        await client.expect_nothing()

    async def test_what_is_wrong_is_400(self, started: Serving) -> None:
        path = f"/apps/{APP.id}/channels"
        for rest, body, query in (
            ("a/events", b"x", ""),
            ("a/events", b"\xff", "name=e"),
            ("a%20b/events", b"x", "name=e"),
            ("a/events", b"x", "name=pusher:e"),
        ):
            assert (await started.call("POST", f"{path}/{rest}", body, query)).status == 400
        too_large = await started.call("POST", f"{path}/a/events", b"x" * 10_241, "name=e")
        assert too_large.status == 413


async def test_stats_tell_connections_and_members(started: Serving) -> None:
    client = await started.join("a")
    await client.enter("presence-a", "u")
    for channel, expected in (
        ("a", {"occupied": True, "connection_count": 1}),
        ("b", {"occupied": False, "connection_count": 0}),
        ("presence-a", {"occupied": True, "connection_count": 1, "user_count": 1}),
    ):
        answer = await started.call("GET", f"/apps/{APP.id}/channels/{channel}/stats")
        assert json.loads(answer.body) == expected
