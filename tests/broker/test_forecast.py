"""What is told about the wait, against what happens."""

import random

import pytest

from broker.forecast import Durations, Slot, forecast

M = frozenset({'m'})


def known(*seconds, model='m'):
    durations = Durations()
    for each in seconds:
        durations.learn(model, each)
    return durations


def test_a_free_slot_means_now():
    start = forecast([('a', 'm')], [Slot(M)], Durations())['a']
    assert (start.earliest_s, start.likely_s, start.latest_s) == (0.0, 0.0, 0.0)


def test_jobs_go_one_after_the_other_and_two_slots_halve_the_wait():
    durations = known(*[10.0] * 20)
    line = [(str(number), 'm') for number in range(4)]
    one = forecast(line, [Slot(M, 4.0)], durations)
    assert [one[job].likely_s for job, _ in line] == [4.0, 14.0, 24.0, 34.0]
    two = forecast(line, [Slot(M, 4.0), Slot(M, 9.0)], durations)
    assert [two[job].likely_s for job, _ in line] == [4.0, 9.0, 14.0, 19.0]
    assert one['3'].earliest_s == one['3'].latest_s == 34.0, 'all took the same: nothing is uncertain'


def test_nobody_waits_for_a_slot_that_cannot_run_the_model():
    slots = [Slot(M, 100.0), Slot(frozenset({'n'}), 1.0)]
    found = forecast([('a', 'm'), ('b', 'n'), ('c', 'unknown')], slots, Durations())
    assert (found['a'].likely_s, found['b'].likely_s) == (100.0, 1.0)
    assert 'c' not in found


def test_the_longer_one_has_run_the_less_is_left_until_it_is_one_of_the_long_ones():
    durations = known(*[10.0] * 10, *[60.0] * 10)
    assert durations.rest('m', 0.0).mean_s == pytest.approx(35.0)
    assert durations.rest('m', 9.0).mean_s == pytest.approx(26.0)
    assert durations.rest('m', 11.0).mean_s == pytest.approx(49.0)
    assert durations.rest('m', 500.0).mean_s > 0


def test_an_unknown_model_is_guessed_from_the_others():
    assert known(30.0, 30.0, 30.0, 30.0, 30.0, model='other').of('m').mean_s == 30.0


@pytest.mark.parametrize('slots', [1, 3])
def test_the_interval_holds_the_truth_at_least_eight_times_in_ten(slots):
    chance = random.Random(slots)
    durations = Durations()

    def takes():
        return chance.lognormvariate(2.0, 0.6)

    for _ in range(40):
        durations.learn('m', takes())
    held = total = 0
    for _ in range(120):
        line = [(str(number), 'm') for number in range(12)]
        told = forecast(line, [Slot(M) for _ in range(slots)], durations)
        free = [0.0] * slots
        for job, _ in line:
            place = min(range(slots), key=free.__getitem__)
            held += told[job].earliest_s - 1e-9 <= free[place] <= told[job].latest_s + 1e-9
            total += 1
            seconds = takes()
            free[place] += seconds
            durations.learn('m', seconds)
    assert held / total >= 0.8
