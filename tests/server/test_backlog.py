"""Who reads too slowly: over the limit for five seconds, or eight times over it."""

from __future__ import annotations

from herenow.server.backlog import CLOSE_AFTER_SECONDS, CLOSE_AT_TIMES, Backlog

LIMIT = 1_000


def test_the_frame_being_sent_does_not_count() -> None:
    backlog = Backlog(LIMIT, buffered=50 * LIMIT)
    assert not backlog.is_hopeless(50 * LIMIT, now=0)
    assert not backlog.is_hopeless(50 * LIMIT, now=3_600)


def test_what_waits_behind_the_frame_being_sent_counts() -> None:
    backlog = Backlog(LIMIT, buffered=50 * LIMIT)
    backlog.add(LIMIT)
    assert not backlog.is_hopeless(51 * LIMIT, now=0)
    assert not backlog.is_hopeless(51 * LIMIT, now=100)
    backlog.add(1)
    assert not backlog.is_hopeless(51 * LIMIT + 1, now=100)
    assert not backlog.is_hopeless(51 * LIMIT + 1, now=100 + CLOSE_AFTER_SECONDS - 0.1)
    assert backlog.is_hopeless(51 * LIMIT + 1, now=100 + CLOSE_AFTER_SECONDS)


def test_a_large_frame_counts_until_its_turn_comes() -> None:
    backlog = Backlog(LIMIT, buffered=100)
    backlog.add(5 * LIMIT)
    assert not backlog.is_hopeless(5 * LIMIT + 100, now=0)
    assert backlog.is_hopeless(5 * LIMIT + 50, now=CLOSE_AFTER_SECONDS)
    assert not backlog.is_hopeless(5 * LIMIT, now=CLOSE_AFTER_SECONDS)


def test_eight_times_the_limit_is_too_much_at_once() -> None:
    backlog = Backlog(LIMIT, buffered=10)
    backlog.add(CLOSE_AT_TIMES * LIMIT - 1)
    assert not backlog.is_hopeless(CLOSE_AT_TIMES * LIMIT + 9, now=0)
    backlog.add(1)
    assert backlog.is_hopeless(CLOSE_AT_TIMES * LIMIT + 10, now=0)


def test_the_five_seconds_begin_again_with_each_excess() -> None:
    backlog = Backlog(LIMIT, buffered=0)
    for _ in range(3):
        backlog.add(LIMIT)
    assert not backlog.is_hopeless(3 * LIMIT, now=0)
    assert not backlog.is_hopeless(LIMIT, now=4)
    for _ in range(2):
        backlog.add(LIMIT)
    assert not backlog.is_hopeless(3 * LIMIT, now=5)
    assert not backlog.is_hopeless(3 * LIMIT, now=9)
    assert backlog.is_hopeless(3 * LIMIT, now=5 + CLOSE_AFTER_SECONDS)


def test_a_reader_that_keeps_up_with_a_steady_stream_stays() -> None:
    backlog = Backlog(LIMIT, buffered=0)
    buffered = 0
    for second in range(100):
        backlog.add(LIMIT // 2)
        buffered = min(buffered + LIMIT // 2, LIMIT)
        assert not backlog.is_hopeless(buffered, now=second)


def test_no_limit_is_never_exceeded() -> None:
    backlog = Backlog(0, buffered=0)
    backlog.add(1 << 40)
    assert not backlog.is_hopeless(1 << 40, now=0)
    assert not backlog.is_hopeless(1 << 40, now=3_600)


def test_what_is_sent_is_what_is_no_longer_buffered() -> None:
    backlog = Backlog(LIMIT, buffered=70_000)
    backlog.add(500)
    assert backlog.sent(70_500) == 0
    assert backlog.sent(30_000) == 40_500
