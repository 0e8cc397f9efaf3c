"""The wait that is told first, against the wait that follows, over shifts of mixed work."""

import functools
import random
import statistics

import pytest

from tests.broker.shift import SHIFTS, Shift, first_batch, share

HOURS = {'models': 1.5, 'closed': 1.0}


@functools.cache
def told(name):
    """What was told in this shift; the same in every run."""
    machines, jobs = SHIFTS[name](random.Random(0), HOURS.get(name, 0.5))
    return Shift(machines).play(jobs)


@pytest.mark.parametrize('name', SHIFTS)
def test_about_nine_of_ten_start_when_they_were_told_to_whatever_the_work(name):
    assert len(told(name)) > 100
    assert 0.86 <= share(told(name), lambda each: each.held) <= 0.97


@pytest.mark.parametrize('name', SHIFTS)
def test_nobody_is_told_to_start_any_moment_while_all_slots_are_busy_for_long(name):
    soon_s, waited_s = (sum(values) for values in zip(*((t.soon_s, t.waited_s) for t in told(name)), strict=True))
    assert soon_s < 0.01 * waited_s


def test_the_interval_says_something():
    """An interval as wide as the day would always hold."""
    for name in ('levels', 'models', 'closed'):
        widths, waits = ([t.width_s for t in told(name)], [t.waited_s for t in told(name)])
        assert statistics.median(widths) <= 5 * statistics.median(waits)


def test_what_is_known_about_the_jobs_makes_the_interval_narrower():
    mixed, marked = (statistics.median(each.width_s for each in told(name)) for name in ('mixed', 'marked'))
    assert marked < 0.8 * mixed


def test_one_answer_is_enough_to_tell_a_first_batch_when_its_jobs_will_start():
    """All of them are wrong together where what is not known yet counts for each of them anew."""
    told = []
    for seed in range(16):
        machines, jobs = first_batch(random.Random(seed))
        told += Shift(machines).play(jobs)
    assert share(told, lambda each: each.held) > 0.9
    assert sum(each.width_s for each in told) < 3 * sum(each.waited_s for each in told)
