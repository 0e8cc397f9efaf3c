"""What is told about the wait, against what happens."""

import random

import pytest

from broker.backend import Backend
from broker.durations import STRATA, Durations, Traits
from broker.forecast import Forecast, Slot, shuffled
from broker.job import Job
from broker.order import Fairness, Waiting
from broker.playback import Playback
from broker.share import Ledger

M = frozenset({'m'})
NOW = 1.0e9


def known(*seconds, model='m'):
    durations = Durations()
    for each in seconds:
        durations.learn(Traits(model), each)
    return durations


def slot(models=M, free_s=0.0, *, backend=None):
    if backend is None:
        backend = Backend()
        backend.loaded = {f'{model}:latest': '' for model in models}
    return Slot(models, backend, (free_s,) * STRATA)


def forecast(line, slots, durations, fairness=Fairness()):  # noqa: B008
    """The starts of ``line`` (id and model, first come first served), by id, and the forecast."""
    waiting = Waiting(fairness, Ledger(), durations)
    for order, (name, model) in enumerate(line):
        waiting.add(Job(job_id=name, order=order, kind='chat', model=model, priority=5, queued_at=NOW))
    kinds = {name: (Traits(model), order) for order, (name, model) in enumerate(line)}
    made = Forecast(Playback(waiting, NOW), slots, durations, kinds.__getitem__)
    return {start.job_id: start for start in made.starts()}, made


def test_a_free_slot_means_now():
    start = forecast([('a', 'm')], [slot()], Durations())[0]['a']
    assert (start.earliest_s, start.likely_s, start.latest_s, start.load_s) == (0.0, 0.0, 0.0, 0.0)


def test_jobs_go_one_after_the_other_and_two_slots_halve_the_wait():
    durations = known(*[10.0] * 64)
    line = [(str(number), 'm') for number in range(4)]
    one, _ = forecast(line, [slot(M, 4.0)], durations)
    assert [round(one[job].likely_s) for job, _ in line] == [4, 14, 24, 34]
    two, _ = forecast(line, [slot(M, 4.0), slot(M, 9.0)], durations)
    assert [round(two[job].likely_s) for job, _ in line] == [4, 9, 14, 19]
    assert one['0'].earliest_s == one['0'].latest_s == 4.0, 'nothing is uncertain about it'


def test_with_many_slots_the_first_that_is_free_counts_and_not_the_usual_one():
    """Nine of ten jobs are short: with one slot the next one may well wait long, with eight it will not."""
    durations = known(*[*[2.0] * 9, 60.0] * 6)
    rest = durations.of(Traits('m')).rest(0.0)
    slots = [Slot(M, slot().backend, tuple(shuffled(rest, number))) for number in range(8)]
    assert forecast([('a', 'm')], slots[:1], durations)[0]['a'].latest_s > 20.0
    assert forecast([('a', 'm')], slots, durations)[0]['a'].latest_s < 5.0


def test_the_same_queue_is_told_the_same_and_numbers_differ_in_what_they_are_dealt():
    durations = known(*[*[2.0] * 9, 60.0] * 6)
    line = [(str(number), 'm') for number in range(40)]
    assert forecast(line, [slot()], durations)[0] == forecast(line, [slot()], durations)[0]
    strata = tuple(float(part) for part in range(STRATA))
    dealt = [tuple(shuffled(strata, number)) for number in range(200)]
    assert len(set(dealt)) == 200 and all(sorted(each) == list(strata) for each in dealt)


def test_nobody_waits_for_a_slot_that_cannot_run_the_model():
    slots = [slot(M, 100.0), slot(frozenset({'n'}), 1.0)]
    found, _ = forecast([('a', 'm'), ('b', 'n'), ('c', 'unknown')], slots, Durations())
    assert (found['a'].likely_s, found['b'].likely_s) == (100.0, 1.0)
    assert 'c' not in found


def test_what_has_to_be_loaded_is_told_and_puts_off_those_behind():
    durations = known(*[10.0] * 60)
    for _ in range(40):
        durations.learn(Traits('n'), 19.0, load_s=9.0)
    both = frozenset({'m', 'n'})
    warm = Backend()
    warm.loaded = {'m:latest': ''}
    found, _ = forecast(
        [('a', 'n'), ('b', 'n'), ('c', 'm')], [slot(both, backend=warm)], durations, Fairness(600, 3, 0)
    )
    assert [found[job].load_s for job in 'abc'] == [9.0, 0.0, 0.0]
    assert [round(found[job].likely_s) for job in 'abc'] == [0, 19, 29]


def test_the_forecast_keeps_a_loaded_model_as_the_dispatch_does():
    durations = known(10.0)
    for _ in range(40):
        durations.learn(Traits('n'), 19.0, load_s=9.0)
    both = frozenset({'m', 'n'})
    warm = Backend()
    warm.loaded = {'m:latest': ''}
    found, _ = forecast([('a', 'n'), ('b', 'm'), ('c', 'm')], [slot(both, backend=warm)], durations)
    assert list(found) == ['b', 'c', 'a']


def test_one_more_job_would_start_behind_them_all_where_its_model_is():
    durations = known(*[10.0] * 60)
    slots = [slot(M), slot(frozenset({'n'}))]
    _, made = forecast([('a', 'm'), ('b', 'm')], slots, durations)
    assert made.answer_s('m') == pytest.approx((20.0, 30.0), abs=0.5)
    assert made.answer_s('n') == pytest.approx((0.0, 10.0), abs=0.5)
    assert made.answer_s('unknown')[0] == float('inf')


@pytest.mark.parametrize('slots', [1, 3])
def test_the_interval_holds_the_truth_more_than_eight_times_in_ten(slots):
    chance = random.Random(slots)
    durations = Durations()

    def takes():
        return chance.lognormvariate(2.0, 0.6)

    for _ in range(40):
        durations.learn(Traits('m'), takes())
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
            durations.learn(Traits('m'), seconds)
    assert 0.8 <= held / total <= 0.97


def test_before_anything_is_known_all_may_be_quick_or_slow_together():
    line = [(str(number), 'm') for number in range(20)]
    new, old = (forecast(line, [slot()], durations)[0]['19'] for durations in (Durations(), known(*[5.0] * 64)))
    assert new.latest_s > 10 * new.earliest_s
    assert old.latest_s < 1.5 * old.earliest_s
