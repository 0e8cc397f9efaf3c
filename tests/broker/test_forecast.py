"""What is told about the wait, against what happens."""

import random

import pytest

from broker.backend import Backend
from broker.durations import Durations
from broker.forecast import Forecast, Slot
from broker.job import Job
from broker.order import Fairness, Waiting
from broker.playback import Playback
from broker.share import Ledger

M = frozenset({'m'})
NOW = 1.0e9


def known(*seconds, model='m'):
    durations = Durations()
    for each in seconds:
        durations.learn(model, each)
    return durations


def slot(models=M, free_s=0.0, variance=0.0, *, backend=None):
    if backend is None:
        backend = Backend()
        backend.loaded = {f'{model}:latest': '' for model in models}
    return Slot(models, backend, free_s, variance)


def forecast(line, slots, durations, fairness=Fairness()):  # noqa: B008
    """The starts of ``line`` (id and model, first come first served), by id, and the forecast."""
    waiting = Waiting(fairness, Ledger(), durations)
    for order, (name, model) in enumerate(line):
        waiting.add(Job(job_id=name, order=order, kind='chat', model=model, priority=5, queued_at=NOW))
    made = Forecast(Playback(waiting, NOW), slots, durations)
    return {start.job_id: start for start in made.starts()}, made


def test_a_free_slot_means_now():
    start = forecast([('a', 'm')], [slot()], Durations())[0]['a']
    assert (start.earliest_s, start.likely_s, start.latest_s, start.load_s) == (0.0, 0.0, 0.0, 0.0)


def test_jobs_go_one_after_the_other_and_two_slots_halve_the_wait():
    durations = known(*[10.0] * 20)
    line = [(str(number), 'm') for number in range(4)]
    one, _ = forecast(line, [slot(M, 4.0)], durations)
    assert [one[job].likely_s for job, _ in line] == [4.0, 14.0, 24.0, 34.0]
    two, _ = forecast(line, [slot(M, 4.0), slot(M, 9.0)], durations)
    assert [two[job].likely_s for job, _ in line] == [4.0, 9.0, 14.0, 19.0]
    assert one['3'].earliest_s == one['3'].latest_s == 34.0, 'all took the same: nothing is uncertain'


def test_nobody_waits_for_a_slot_that_cannot_run_the_model():
    slots = [slot(M, 100.0), slot(frozenset({'n'}), 1.0)]
    found, _ = forecast([('a', 'm'), ('b', 'n'), ('c', 'unknown')], slots, Durations())
    assert (found['a'].likely_s, found['b'].likely_s) == (100.0, 1.0)
    assert 'c' not in found


def test_what_has_to_be_loaded_is_told_and_puts_off_those_behind():
    durations = known(10.0, 10.0)
    durations.learn('n', 19.0, load_s=9.0)
    both = frozenset({'m', 'n'})
    warm = Backend()
    warm.loaded = {'m:latest': ''}
    found, _ = forecast(
        [('a', 'n'), ('b', 'n'), ('c', 'm')], [slot(both, backend=warm)], durations, Fairness(600, 3, 0)
    )
    assert [found[job].load_s for job in 'abc'] == [9.0, 0.0, 0.0]
    assert [found[job].likely_s for job in 'abc'] == [0.0, 19.0, 29.0]


def test_the_forecast_keeps_a_loaded_model_as_the_dispatch_does():
    durations = known(10.0)
    durations.learn('n', 19.0, load_s=9.0)
    both = frozenset({'m', 'n'})
    warm = Backend()
    warm.loaded = {'m:latest': ''}
    found, _ = forecast([('a', 'n'), ('b', 'm'), ('c', 'm')], [slot(both, backend=warm)], durations)
    assert list(found) == ['b', 'c', 'a']


def test_one_more_job_would_start_behind_them_all_where_its_model_is():
    durations = known(10.0, 10.0)
    slots = [slot(M), slot(frozenset({'n'}))]
    _, made = forecast([('a', 'm'), ('b', 'm')], slots, durations)
    assert made.answer_s('m') == (20.0, 30.0)
    assert made.answer_s('n') == (0.0, 10.0)
    assert made.answer_s('unknown')[0] == float('inf')


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
        told, _ = forecast(line, [slot() for _ in range(slots)], durations)
        free = [0.0] * slots
        for job, _ in line:
            place = min(range(slots), key=free.__getitem__)
            held += told[job].earliest_s - 1e-9 <= free[place] <= told[job].latest_s + 1e-9
            total += 1
            seconds = takes()
            free[place] += seconds
            durations.learn('m', seconds)
    assert held / total >= 0.8
