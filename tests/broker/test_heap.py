"""The heap agrees with sorting."""

import random

from broker.heap import PriorityHeap
from tests.broker.desk import job_id


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
