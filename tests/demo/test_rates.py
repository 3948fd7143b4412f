"""So many at once, so many a second."""

from __future__ import annotations

from herenow.demo.rates import MAX_KEYS, Rate


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds


def test_what_is_too_fast_waits_until_there_is_one_again() -> None:
    clock = Clock()
    rate = Rate(at_once=2, per_second=4, now=clock.now)
    assert [rate.seconds_to_wait("emily") for _ in range(3)] == [0, 0, 0.25]
    clock.seconds += 0.25
    assert rate.seconds_to_wait("emily") == 0
    assert rate.seconds_to_wait("emily") == 0.25


def test_nobody_waits_for_another() -> None:
    rate = Rate(at_once=1, per_second=1, now=Clock().now)
    assert rate.seconds_to_wait("emily") == 0
    assert rate.seconds_to_wait("john") == 0


def test_idle_time_is_not_saved_up() -> None:
    clock = Clock()
    rate = Rate(at_once=1, per_second=1, now=clock.now)
    clock.seconds += 100
    assert rate.seconds_to_wait("emily") == 0
    assert rate.seconds_to_wait("emily") == 1


def test_no_more_keys_are_kept_than_a_bound() -> None:
    rate = Rate(at_once=1, per_second=1, now=Clock().now)
    for number in range(MAX_KEYS + 1):
        assert rate.seconds_to_wait(str(number)) == 0
    assert rate.seconds_to_wait("0") == 0
    assert rate.seconds_to_wait(str(MAX_KEYS)) == 1
