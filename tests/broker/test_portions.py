"""However many jobs are due at the same moment, a turn looks at some of them, and others are served in between."""

from collections import Counter

import pytest

from broker import facts, protocol
from broker.actions import Persist
from tests.broker.desk import RULES, Desk, job_id

FEW = RULES._replace(due_at_once=3)


def turns(desk):
    """The kinds of facts of each turn until nothing is due."""
    told = []
    while desk.core.next_deadline() < desk.now + 1e-6:
        desk.now = max(desk.now, desk.core.next_deadline())
        actions = desk.did(desk.core.tick(desk.now))
        told.append(Counter(type(action.fact) for action in actions if isinstance(action, Persist)))
    return [turn for turn in told if turn]


@pytest.mark.parametrize(
    ('field', 'fact', 'end'),
    [('due_at', facts.JobDue, 'waiting'), ('deadline_at', facts.JobDied, 'dead')],
    ids=['delays that are over', 'deadlines that pass'],
)
def test_jobs_that_are_due_at_once_are_looked_at_in_portions(field, fact, end):
    desk = Desk(FEW)
    for number in range(1, 9):
        desk.submit(number, **{field: desk.now + 10})
    desk.wait(9.9)
    desk.now += 0.1
    desk.did(desk.core.tick(desk.now))
    assert isinstance(desk.submit(99), protocol.Accepted), 'somebody else is served after the first portion'
    assert turns(desk) == [{fact: 3}, {fact: 2}]
    assert {desk.state(number) for number in range(1, 9)} == {end}


def test_deadlines_that_pass_while_a_slot_is_free_are_noticed_in_portions_too():
    desk = Desk(FEW)
    for number in range(1, 9):
        desk.submit(number, deadline_at=desk.now + 10)
    desk.submit(9)
    desk.wait(9.9)
    desk.now += 0.1
    worker = desk.join('w')  # it asks for work before anybody has looked at the deadlines
    died = [action.fact.job_id for action in desk.last if isinstance(getattr(action, 'fact', None), facts.JobDied)]
    assert len(died) == 3 and not desk.assigned()
    told = turns(desk)
    assert max(turn[facts.JobDied] for turn in told) <= 6, 'as many by their timers, as many where a slot is free'
    assert sum(turn[facts.JobDied] for turn in told) == 5
    desk.run(worker, 9, b'{}')
    assert desk.state(9) == 'completed'
    assert all(desk.history(number)[-1] == 'JobDied' for number in range(1, 9))


def test_a_lease_that_ends_together_with_many_delays_is_looked_at_all_the_same():
    desk = Desk(FEW)
    desk.join('w')
    desk.submit(1)
    for number in range(2, 9):
        desk.submit(number, due_at=desk.now + desk.rules.lease_ttl_s)
    desk.wait(desk.rules.lease_ttl_s + 0.001)
    assert desk.history(1)[-1] == 'JobRequeued'
    assert {desk.state(number) for number in range(1, 9)} == {'waiting'}
    assert desk.store.job(job_id(1)).losses == 1
