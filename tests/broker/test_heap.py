"""The order of the waiting jobs."""

import random

from broker.heap import PriorityHeap, Waiting
from broker.job import Job
from tests.broker.desk import job_id


def job(number, priority=5, model='m'):
    return Job(job_id=job_id(number), order=number, kind='chat', model=model, priority=priority, queued_at=0.0)


def test_order_and_first_agree_with_sorting_through_any_pushes_moves_and_removals():
    chance = random.Random(7)
    heap, truth = PriorityHeap(), {}
    for step in range(3_000):
        name = job_id(chance.randrange(300))
        if name in truth and chance.random() < 0.5:
            heap.remove(name)
            del truth[name]
        else:
            truth[name] = (-chance.randrange(16), truth.get(name, (0, step))[1])
            heap.push(name, truth[name])
        if step % 100 == 0:
            wanted = sorted((key, name) for name, key in truth.items())
            assert list(heap.in_order()) == wanted
            assert heap.first() == (wanted[0] if wanted else None)
            assert len(heap) == len(truth)


def test_a_job_that_moved_away_and_back_is_listed_once():
    heap = PriorityHeap()
    heap.push('a', (-5, 1))
    heap.push('a', (-9, 1))
    heap.push('a', (-5, 1))
    assert list(heap.in_order()) == [((-5, 1), 'a')]


def test_removed_jobs_do_not_pile_up():
    heap = PriorityHeap()
    for number in range(10_000):
        heap.push(job_id(number), (-5, number))
        heap.remove(job_id(number))
    assert len(heap._entries) < 200


def test_the_best_job_is_found_over_all_models_that_can_run():
    waiting = Waiting()
    for each in (job(1, model='a'), job(2, 9, model='b'), job(3, 15, model='c')):
        waiting.add(each)
    assert waiting.best(lambda model: model != 'c') == job_id(2)
    assert list(waiting.in_order(lambda model: True)) == [job_id(3), job_id(2), job_id(1)]
    assert waiting.best(lambda model: False) is None


def test_how_many_are_ahead_counts_to_its_limit_and_no_further():
    waiting = Waiting()
    jobs = [job(number) for number in range(20)]
    for each in jobs:
        waiting.add(each)
    assert waiting.ahead_of(jobs[7], lambda model: True, 500) == 7
    assert waiting.ahead_of(jobs[7], lambda model: True, 5) == 5
