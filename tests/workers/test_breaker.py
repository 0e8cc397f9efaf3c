"""The fuse between a worker and its engine."""

import math

import pytest

from workers.breaker import Breaker


def broken(failures=3, at=100.0):
    breaker = Breaker(failures)
    for _ in range(failures):
        breaker.failed(at)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row():
    breaker = Breaker(3)
    for _ in range(2):
        breaker.failed(100.0)
    assert breaker.closed and breaker.retry_at == math.inf
    breaker.failed(101.0)
    assert breaker.open and breaker.retry_at == 106.0


def test_an_answer_ends_the_row():
    breaker = Breaker(2)
    for _ in range(5):
        breaker.failed(1.0)
        breaker.answered()
    assert breaker.closed


def test_zero_never_opens():
    breaker = Breaker(0)
    for _ in range(100):
        breaker.failed(1.0)
    assert breaker.closed


def test_runs_that_fail_after_it_opened_do_not_prolong_the_pause():
    breaker = broken()
    breaker.failed(104.0)
    assert breaker.open and breaker.retry_at == 105.0


def test_a_run_that_ends_well_after_it_opened_closes_it():
    breaker = broken()
    breaker.answered()
    assert breaker.closed


def test_one_good_try_closes_it_and_the_next_row_starts_anew():
    breaker = broken()
    breaker.try_again()
    assert breaker.half_open and not breaker.open
    breaker.answered()
    assert breaker.closed
    breaker.failed(200.0)
    assert breaker.closed


@pytest.mark.parametrize('fail', [Breaker.failed, Breaker.still_failing])
def test_each_failed_try_doubles_the_pause_up_to_a_limit(fail):
    breaker, now, pauses = broken(), 100.0, []
    for _ in range(9):
        pauses.append(breaker.retry_at - now)
        now = breaker.retry_at
        breaker.try_again()
        fail(breaker, now)
        assert breaker.open
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    breaker.answered()
    for _ in range(3):
        breaker.failed(now)
    assert breaker.retry_at == now + 5  # all is forgotten


def test_a_server_that_is_back_need_not_wait_for_the_pause():
    breaker = broken()
    breaker.back(102.0)
    assert breaker.open and breaker.retry_at == 102.0
    whole = Breaker(3)
    whole.back(1.0)
    assert whole.retry_at == math.inf
