"""What is sent to whom, when, and how often."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from itertools import pairwise

import pytest

from herenow.apps.base import Key
from herenow.webhooks.deliveries import MAX_VOLATILE
from herenow.webhooks.delivery import MAX_IN_FLIGHT, MAX_IN_MEMORY
from herenow.webhooks.events import ClientEvent
from herenow.webhooks.journal import Condition
from herenow.webhooks.sending import Outcome
from webhooks.backlogs import NO, OK, MemoryBacklog, Sent, delivering, until

pytestmark = pytest.mark.anyio


def typing(channel: str, app: str = "a") -> ClientEvent:
    return ClientEvent(app, channel, "client-typing", "{}", "1.1", None)


async def test_what_waited_is_delivered_in_order_and_forgotten() -> None:
    """Entries that were there before, and entries that come, leave once each."""
    async with delivering(attach=False) as service:
        for _ in range(3):
            service.append("croom")
        service.deliveries.attach("shard", service.backlog)
        service.append("croom")
        service.arrived()
        await until(lambda: not service.backlog.entries)
        assert service.sender.ids == ["id-1", "id-2", "id-3", "id-4"]
        assert service.counters.delivered == 4


async def test_one_request_of_a_lane_is_in_flight() -> None:
    """The next event of a channel waits for the answer to the one before."""
    async with delivering() as service:
        service.sender.hung = {"room"}
        service.append("croom")
        service.append("croom")
        service.append("cother")
        service.arrived()
        await until(lambda: len(service.sender.sent) == 2)
        assert service.sender.ids == ["id-1", "id-3"]
        service.sender.let_go()
        await until(lambda: service.sender.ids == ["id-1", "id-3", "id-2"])


async def test_at_most_so_many_requests_are_in_flight() -> None:
    """An endpoint is not flooded."""
    async with delivering() as service:
        url = service.endpoints.of("a")[0].target.url
        service.sender.hung = {url}
        for number in range(MAX_IN_FLIGHT + 20):
            service.append(f"c{number}")
        service.arrived()
        await until(lambda: service.sender.in_flight == MAX_IN_FLIGHT)
        service.sender.let_go()
        await until(lambda: not service.backlog.entries)
        assert service.sender.most_in_flight == MAX_IN_FLIGHT


async def test_an_endpoint_that_hangs_delays_no_other() -> None:
    """Each has requests of its own."""
    async with delivering() as service:
        service.sender.hung = {service.endpoints.of("a")[0].target.url}
        for number in range(100):
            service.append(f"c{number}", app="a")
            service.append(f"c{number}", app="b")
        service.arrived()
        await until(
            lambda: all(e.endpoint == service.endpoint("a") for e in service.backlog.entries)
        )


async def test_a_retry_is_the_same_to_the_byte() -> None:
    """Only the attempt counts up."""
    async with delivering() as service:
        answers = [NO, OK]
        service.sender.answer = lambda sent: answers.pop(0)
        service.append("croom")
        service.arrived()
        await until(lambda: not service.backlog.entries)
        first, second = service.sender.sent
        assert first.body == second.body
        assert (
            first.headers.pop("X-Herenow-Attempt"),
            second.headers.pop("X-Herenow-Attempt"),
        ) == (
            "1",
            "2",
        )
        assert first.headers == second.headers


async def test_a_retry_after_a_rotation_is_signed_anew() -> None:
    """The body stays, the oldest key that lives signs it."""
    async with delivering() as service:
        answers = [NO, OK]

        def answer(sent: Sent) -> Outcome:
            app = service.apps["a"]
            service.apps["a"] = dataclasses.replace(app, keys=(Key("new", "secret"),))
            return answers.pop(0)

        service.sender.answer = answer
        service.append("croom")
        service.arrived()
        await until(lambda: not service.backlog.entries)
        first, second = service.sender.sent
        assert first.body == second.body
        assert second.headers["X-Pusher-Key"] == "new"
        assert first.headers["X-Pusher-Signature"] != second.headers["X-Pusher-Signature"]


async def test_a_failing_endpoint_gets_one_probe_at_a_time() -> None:
    """After a failure the others wait, and pauses grow."""
    async with delivering() as service:
        service.sender.answer = lambda sent: NO
        service.append("c0")
        service.arrived()
        await until(lambda: len(service.sender.sent) == 1)
        for number in range(1, 10):
            service.append(f"c{number}")
        service.arrived()
        await until(lambda: len(service.sender.sent) == 3)
        times = [sent.at for sent in service.sender.sent]
        pauses = [after - before for before, after in pairwise(times)]
        assert pauses[0] > 0.7
        assert pauses[1] > 1.5
        await until(lambda: service.backlog.conditions[service.endpoint()].answer == "500 not now")
        service.sender.answer = lambda sent: OK
        await until(lambda: not service.backlog.entries)
        condition = service.backlog.conditions[service.endpoint()]
        assert condition.failing_since is None


async def test_who_knows_better_has_a_failing_endpoint_tried_at_once() -> None:
    """However long the pause is that its failures have earned it."""
    async with delivering() as service:
        service.sender.answer = lambda sent: NO
        service.append("croom")
        service.arrived()
        await until(lambda: len(service.sender.sent) == 3 and not service.sender.in_flight)
        service.sender.answer = lambda sent: OK
        service.deliveries.hurry(service.endpoint())
        await until(lambda: not service.backlog.entries)
        last, hurried = (sent.at for sent in service.sender.sent[2:])
        assert hurried - last < 2, "the pause after a third failure is longer"


async def test_probes_try_one_lane_after_another() -> None:
    """One event that a receiver does not take holds up no other lane."""
    async with delivering() as service:
        service.sender.answer = lambda sent: NO if sent.channels == ["poison"] else OK
        service.append("cpoison")
        for number in range(40):
            service.append(f"c{number}")
        service.arrived()
        await until(lambda: [e.fact.lane for e in service.backlog.entries] == ["cpoison"])


async def test_an_event_that_fails_alone_is_buried() -> None:
    """After the retry time it is a dead letter, and those behind it go on."""
    async with delivering(retry_seconds=0.5) as service:
        service.sender.answer = lambda sent: NO if "id-1" in sent.ids else OK
        service.append("cpoison")
        service.append("cpoison", holds=False)
        service.append("cother")
        service.arrived()
        await until(lambda: [e.position for e in service.backlog.entries] == [1], 20)
        assert service.backlog.buried == [1]
        assert service.counters.buried == 1


async def test_an_event_that_fails_again_and_again_is_no_outage() -> None:
    """Though others are seldom, so that each time the endpoint fails for as long as an outage."""
    async with delivering(retry_seconds=0.5) as service:
        service.sender.answer = lambda sent: NO if "id-1" in sent.ids else OK
        service.append("cpoison")
        service.arrived()
        loop, number = asyncio.get_running_loop(), 0
        await until(lambda: bool(service.sender.sent))
        begin = loop.time()
        while not service.backlog.buried:
            assert loop.time() - begin < 15
            number += 1
            service.append(f"c{number}")
            service.arrived()
            await until(lambda: len(service.backlog.entries) == 1, 20)
        assert service.backlog.buried == [1]


async def test_nothing_is_buried_while_all_fails_and_later_envelopes_are_new() -> None:
    """An endpoint that was away for long gets everything, with a fresh time and the same ids."""
    async with delivering(retry_seconds=0.2) as service:
        service.sender.answer = lambda sent: NO if len(service.sender.sent) < 3 else OK
        service.append("croom")
        service.append("croom", holds=False)
        service.arrived()
        await until(lambda: not service.backlog.entries, 20)
        assert service.sender.ids == ["id-1", "id-1", "id-1", "id-2"]
        times = [json.loads(sent.body)["time_ms"] for sent in service.sender.sent]
        assert times[0] < times[2]
        assert not service.backlog.buried


async def test_a_retry_that_leaves_after_the_retry_time_is_a_new_envelope() -> None:
    """Receivers refuse what is old, so the time is that of sending, however long the pause was."""
    async with delivering() as service:
        answers = [NO, OK]
        service.sender.answer = lambda sent: answers.pop(0)
        service.append("croom")
        service.arrived()
        await until(lambda: service.deliveries.failing_since(service.endpoint()) is not None)
        service.time.ahead = 300
        await until(lambda: not service.backlog.entries)
        first, second = (json.loads(sent.body)["time_ms"] for sent in service.sender.sent)
        assert second - first >= 300_000
        assert service.sender.ids == ["id-1", "id-1"]


async def test_an_outage_counts_for_no_event() -> None:
    """What failed while all failed has the whole retry time once the endpoint is back."""
    async with delivering() as service:

        async def go_on(seconds: float) -> None:
            """Let time pass and what is due be tried."""
            before = len(service.sender.sent)
            service.time.ahead += seconds
            service.arrived()
            await until(lambda: len(service.sender.sent) > before and not service.sender.in_flight)

        service.sender.answer = lambda sent: NO
        service.append("cpoison")
        service.append("cother")
        while service.time.ahead < 400:
            await go_on(80)
        service.sender.answer = lambda sent: NO if sent.channels == ["poison"] else OK
        while len(service.backlog.entries) == 2:
            await go_on(80)
        back = service.time.ahead
        service.append("cother", holds=False)
        while len(service.backlog.entries) == 2:
            await go_on(80)
        while service.time.ahead < back + 240:
            await go_on(20)
            assert not service.backlog.buried
        await go_on(80)
        await until(lambda: service.backlog.buried == [1])


async def test_a_shard_of_somebody_who_saw_failures_is_told_of_success() -> None:
    """Whoever takes a shard over notes that the endpoint answers, also if it never failed here."""
    async with delivering() as service:
        service.append("croom")
        service.arrived()
        await until(lambda: not service.backlog.entries)
        taken = MemoryBacklog()
        taken.conditions[service.endpoint()] = Condition(1.0, "500", 2.0)
        taken.append(service.endpoint(), "croom")
        service.deliveries.attach("taken", taken)
        await until(lambda: not taken.entries)
        await until(lambda: taken.conditions[service.endpoint()].failing_since is None)
        assert taken.conditions[service.endpoint()].answer == "200"


async def test_whoever_failed_before_a_start_is_tried_with_one_request() -> None:
    """How an endpoint does outlives the process, and recovery is told."""
    async with delivering(attach=False) as service:
        recovered: list[str] = []
        service.deliveries.recovered = recovered.append
        service.backlog.conditions[service.endpoint()] = Condition(1.0, "500", 2.0)
        for number in range(10):
            service.append(f"c{number}")
        service.sender.hung = {service.endpoints.of("a")[0].target.url}
        service.deliveries.attach("shard", service.backlog)
        await until(lambda: service.sender.in_flight == 1)
        service.sender.let_go()
        await until(lambda: not service.backlog.entries)
        assert recovered == [service.endpoint()]


async def test_batches_carry_up_to_ten_events_in_order() -> None:
    """Of several lanes, if there are."""
    async with delivering(batch=True) as service:
        for number in range(25):
            service.append(f"c{number % 3}")
        service.arrived()
        await until(lambda: not service.backlog.entries)
        assert sorted(service.sender.ids, key=lambda name: int(name[3:])) == [
            f"id-{number}" for number in range(1, 26)
        ]
        assert len(service.sender.sent) < 10
        for lane in range(3):
            mine = [name for name in service.sender.ids if (int(name[3:]) - 1) % 3 == lane]
            assert mine == sorted(mine, key=lambda name: int(name[3:]))


async def test_a_batch_that_fails_for_long_is_taken_apart() -> None:
    """The one event that is not taken is buried, the others are delivered."""
    async with delivering(batch=True, retry_seconds=0.3) as service:
        service.sender.answer = lambda sent: NO if "id-2" in sent.ids else OK
        for number in range(5):
            service.append(f"c{number}")
        service.arrived()
        await until(lambda: service.backlog.buried == [2], 30)
        await until(lambda: [e.position for e in service.backlog.entries] == [2], 30)


async def test_what_is_sent_singly_survives_a_reload() -> None:
    """Events of a batch that was taken apart are read again like all others."""
    async with delivering(batch=True, retry_seconds=0.1) as service:
        service.sender.answer = lambda sent: NO
        for number in range(4):
            service.append(f"c{number}")
        service.arrived()
        await until(lambda: any(len(sent.ids) == 1 for sent in service.sender.sent), 20)
        service.sender.answer = lambda sent: OK
        service.deliveries.reload("shard", service.endpoint())
        await until(lambda: not service.backlog.entries, 20)


async def test_a_reload_leaves_a_retry_as_it_is() -> None:
    """An operator's or the journal's work on other entries changes no byte of it."""
    async with delivering() as service:
        answers = [NO, OK]
        service.sender.answer = lambda sent: answers.pop(0)
        service.append("croom")
        service.arrived()
        await until(lambda: len(service.sender.sent) == 1 and not service.sender.in_flight)
        service.deliveries.reload("shard", service.endpoint())
        await until(lambda: not service.backlog.entries)
        first, second = service.sender.sent
        assert first.body == second.body
        assert second.headers["X-Herenow-Attempt"] == "2"


async def test_an_endpoint_that_comes_back_is_sent_what_waits() -> None:
    """Also if nothing new comes for it."""
    async with delivering() as service:
        service.sender.answer = lambda sent: NO
        service.append("croom")
        service.arrived()
        await until(lambda: len(service.sender.sent) == 1)
        service.goes()
        service.sender.answer = lambda sent: OK
        service.comes()
        await until(lambda: not service.backlog.entries)


async def test_a_shard_is_read_when_others_have_made_room() -> None:
    """Its first event may come while memory is full of theirs."""
    async with delivering() as service:
        other = MemoryBacklog()
        service.deliveries.attach("other", other)
        url = service.endpoints.of("a")[0].target.url
        service.sender.hung = {url}
        for number in range(MAX_IN_MEMORY + 600):
            service.append(f"c{number % 500}")
        service.arrived()
        await until(lambda: service.sender.in_flight == MAX_IN_FLIGHT)
        for number in range(10):
            other.append(service.endpoint(), f"c{number}")
        service.deliveries.arrived("other", [service.endpoint()])
        service.sender.let_go()
        await until(lambda: not service.backlog.entries and not other.entries, 30)


async def test_a_backlog_is_read_as_it_is_sent() -> None:
    """Of many events only some are in memory, and all leave in order."""
    async with delivering() as service:
        service.sender.hung = {"0"}
        for number in range(3 * MAX_IN_MEMORY):
            service.append(f"c{number % 7}")
        service.arrived()
        await until(lambda: all(e.fact.lane == "c0" for e in service.backlog.entries), 60)
        service.sender.let_go()
        await until(lambda: not service.backlog.entries, 60)
        assert service.backlog.largest <= 500
        for lane in range(7):
            mine = [int(name[3:]) for name in service.sender.ids if (int(name[3:]) - 1) % 7 == lane]
            assert mine == sorted(mine)
        assert len(service.sender.ids) == 3 * MAX_IN_MEMORY


async def test_entries_that_come_while_a_full_lane_is_read_on_are_not_lost() -> None:
    """What was passed over is read later, whenever it came."""
    async with delivering() as service:
        sent = service.sender.sent
        added = 300
        for _ in range(added):
            service.append("croom")
        service.arrived()

        def more() -> bool:
            nonlocal added
            if added < 600 and len(sent) * 2 > added - 300:
                added += 1
                service.append("croom")
                service.arrived()
            return added >= 600 and not service.backlog.entries

        await until(more, 30)
        assert service.sender.ids == [f"id-{number}" for number in range(1, 601)]


async def test_an_answer_that_cannot_be_recorded_is_not_asked_for_again() -> None:
    """The journal may be away; the receiver is not bothered."""
    async with delivering() as service:
        service.append("croom")
        service.arrived()

        def answer(sent: Sent) -> Outcome:
            service.backlog.away = True
            return OK

        service.sender.answer = answer
        await until(lambda: service.counters.delivered == 1)
        service.deliveries.reload("shard", service.endpoint())
        service.backlog.away = False
        await until(lambda: not service.backlog.entries)
        assert service.sender.ids == ["id-1"]


async def test_what_was_dropped_is_not_sent_after_a_reload() -> None:
    """An operator's word holds for what was read already."""
    async with delivering() as service:
        service.sender.hung = {"room"}
        for _ in range(3):
            service.append("croom")
        service.arrived()
        await until(lambda: service.sender.in_flight == 1)
        del service.backlog.entries[1]
        service.deliveries.reload("shard", service.endpoint())
        service.sender.let_go()
        await until(lambda: not service.backlog.entries)
        assert service.sender.ids == ["id-1", "id-3"]


async def test_detaching_waits_for_what_is_in_flight() -> None:
    """Afterwards another may deliver what is left."""
    async with delivering() as service:
        service.sender.hung = {"room"}
        service.append("croom")
        service.append("croom")
        service.arrived()
        await until(lambda: service.sender.in_flight == 1)
        detaching = asyncio.ensure_future(service.deliveries.detach("shard"))
        await asyncio.sleep(0.01)
        assert not detaching.done()
        service.sender.let_go()
        await detaching
        assert [entry.position for entry in service.backlog.entries] == [2]
        assert service.sender.ids == ["id-1"]
        service.deliveries.attach("shard", service.backlog)
        await until(lambda: not service.backlog.entries)


async def test_what_hangs_is_given_up_when_a_shard_goes_to_another() -> None:
    """Which delivers it under the same id; room for other requests is left behind."""
    async with delivering() as service:
        service.sender.hung = {"room"}
        service.append("croom")
        service.arrived()
        await until(lambda: service.sender.in_flight == 1)
        await service.deliveries.detach("shard")
        assert (service.sender.in_flight, service.counters.in_flight) == (0, 0)
        assert [entry.position for entry in service.backlog.entries] == [1]
        service.sender.let_go()
        service.deliveries.attach("shard", service.backlog)
        await until(lambda: not service.backlog.entries)
        assert set(service.sender.ids) == {"id-1"}


async def test_an_endpoint_that_is_gone_is_sent_nothing_more() -> None:
    """What is in flight is given up."""
    async with delivering() as service:
        url = service.endpoints.of("a")[0].target.url
        service.sender.hung = {url}
        service.append("croom")
        service.arrived()
        await until(lambda: service.sender.in_flight == 1)
        service.goes()
        await until(lambda: service.sender.in_flight == 0)
        assert service.counters.in_flight == 0


async def test_client_events_keep_their_place_in_the_channel() -> None:
    """They are sent behind what was written down before them, and uncounted."""
    async with delivering() as service:
        service.append("croom")
        service.arrived()
        service.deliveries.offer(typing("room"), "shard", 1)
        service.append("croom")
        service.arrived()
        await until(lambda: len(service.sender.sent) == 3)
        names = [json.loads(sent.body)["events"][0]["name"] for sent in service.sender.sent]
        assert names == ["channel_occupied", "client_event", "channel_occupied"]
        assert service.sender.sent[1].headers["X-Herenow-Sequences"] == "0"


async def test_client_events_keep_their_place_when_entries_are_read_anew() -> None:
    """Neither a reload nor a full lane lets them overtake, or be overtaken."""
    async with delivering() as service:
        service.sender.hung = {"room"}
        for number in range(1, 121):
            service.append("croom")
            service.arrived()
            service.deliveries.offer(typing("room"), "shard", number)
        await until(lambda: service.sender.in_flight == 1)
        service.deliveries.reload("shard", service.endpoint())
        service.sender.let_go()
        await until(lambda: service.counters.delivered == 240, 30)
        counted = [sent.headers["X-Herenow-Sequences"] for sent in service.sender.sent]
        assert counted == [word for number in range(1, 121) for word in (str(number), "0")]


async def test_a_client_event_does_not_wait_behind_what_came_later() -> None:
    """Also if the entry before it is another endpoint's and the one after is read first."""
    async with delivering(attach=False) as service:
        service.append("croom", app="b")
        service.append("croom", app="a")
        service.deliveries.attach("shard", service.backlog)
        service.deliveries.offer(typing("room"), "shard", 1)
        await until(lambda: service.counters.delivered == 3)
        mine = [sent for sent in service.sender.sent if "//a." in sent.url]
        assert [sent.headers["X-Herenow-Sequences"] for sent in mine] == ["0", "2"]


async def test_client_events_beyond_the_bound_are_dropped_and_counted() -> None:
    """An endpoint has at most as many as it leaves free for others; what was sent makes room."""
    async with delivering() as service:
        service.sender.hung = {"room"}
        for _ in range(MAX_VOLATILE // 2 + 50):
            service.deliveries.offer(typing("room"))
        assert service.counters.dropped["client_event"] == 50
        service.deliveries.offer(typing("else", app="b"))
        await until(lambda: service.counters.delivered == 1)
        service.sender.let_go()
        await until(lambda: service.counters.delivered == MAX_VOLATILE // 2 + 1, 30)
        service.deliveries.offer(typing("room"))
        await until(lambda: service.counters.delivered == MAX_VOLATILE // 2 + 2)
        assert service.counters.dropped["client_event"] == 50


async def test_client_events_of_an_endpoint_that_is_gone_make_room() -> None:
    """Those in flight too; all are counted as dropped."""
    async with delivering() as service:
        service.sender.hung = {"room"}
        for _ in range(MAX_VOLATILE // 2):
            service.deliveries.offer(typing("room"))
        await until(lambda: service.sender.in_flight == 1)
        service.goes()
        await until(lambda: service.counters.dropped["client_event"] == MAX_VOLATILE // 2)
        for _ in range(MAX_VOLATILE // 2):
            service.deliveries.offer(typing("room"))
        assert service.counters.dropped["client_event"] == MAX_VOLATILE // 2


async def test_stopping_finishes_what_is_in_flight_within_the_grace() -> None:
    """And begins nothing more."""
    async with delivering() as service:
        service.sender.hung = {"room"}
        service.append("croom")
        service.append("croom")
        service.arrived()
        await until(lambda: service.sender.in_flight == 1)
        stopping = asyncio.ensure_future(service.deliveries.stop(5))
        await asyncio.sleep(0.01)
        service.sender.let_go()
        await stopping
        assert [entry.position for entry in service.backlog.entries] == [2]
