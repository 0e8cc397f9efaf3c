"""Batches: who may join, how far each is, when it is over."""

import pytest

from broker import protocol
from broker.batches import MAX_TOTAL, REMEMBERED, Batches, problem_with
from broker.job import Job, State
from tests.broker.desk import job_id


def a_job(number, state=State.WAITING, parent='b'):
    values = {'job_id': job_id(number), 'order': number, 'kind': 'chat', 'model': 'm', 'priority': 5, 'queued_at': 1.0}
    return Job(**values, parent=parent, state=state)


def move(batches, job, state):
    was, job.state = job.state, state
    batches.moved(job, was)
    return batches.find(job.parent) if batches.is_over(job.parent) else None


def opened(total, **fields):
    batches = Batches()
    batches.open(protocol.Batch(batch_id='b', total=total, user='u', **fields), 0.0)
    return batches


def test_a_batch_counts_its_jobs_and_is_over_with_the_last():
    batches, jobs = opened(3), [a_job(number) for number in (1, 2, 3)]
    for job in jobs:
        batches.joined(job)
    assert move(batches, jobs[0], State.RUNNING) is None
    assert move(batches, jobs[1], State.RUNNING) is None
    assert move(batches, jobs[1], State.DELAYED) is None
    batches.check(jobs)
    assert batches.find('b') == protocol.Batch(batch_id='b', total=3, user='u', submitted=3, running=1)
    assert move(batches, jobs[0], State.COMPLETED) is None
    assert move(batches, jobs[1], State.DEAD) is None
    over = move(batches, jobs[2], State.CANCELLED)
    assert (over.completed, over.dead, over.cancelled, over.running) == (1, 1, 1, 0)
    assert batches.end('b', 9.0).ended_at == 9.0
    assert batches.find('b').ended_at == 9.0
    assert batches.why_not('b', 'u')


def test_what_still_runs_when_a_batch_is_ended_counts_as_cancelled():
    batches, job = opened(5), a_job(1)
    batches.joined(job)
    move(batches, job, State.RUNNING)
    ended = batches.end('b', 9.0)
    assert (ended.cancelled, ended.running, ended.submitted) == (1, 0, 1)
    assert move(batches, job, State.CANCELLED) is None
    batches.check([])


@pytest.mark.parametrize(('batch_id', 'user'), [('other', 'u'), ('b', 'other'), ('', 'u')])
def test_only_its_owner_may_join_an_open_batch(batch_id, user):
    assert 'batch of yours' in opened(1).why_not(batch_id, user)


def test_a_batch_takes_no_more_than_its_total():
    batches = opened(1)
    assert batches.why_not('b', 'u') == ''
    batches.joined(a_job(1))
    assert 'all its 1 jobs' in batches.why_not('b', 'u')


def test_an_earlier_brokers_batches_go_on():
    batches, job = Batches(), a_job(2, State.RUNNING)
    counted = protocol.Batch(batch_id='b', total=2, submitted=2, running=1, completed=1)
    batches.restore([counted], [job, a_job(3, parent='')], 0.0)
    batches.check([job])
    assert list(batches.last_first('b')) == [job_id(2)]
    assert move(batches, job, State.COMPLETED).completed == 2


def test_batches_that_ended_are_known_for_a_while_only():
    batches = Batches()
    for number in range(REMEMBERED + 1):
        batches.open(protocol.Batch(batch_id=str(number), total=1), 0.0)
        batches.end(str(number), 1.0)
    assert batches.find('0') is None and batches.find('1') is not None


@pytest.mark.parametrize(
    'fields',
    [{'batch_id': 'b'}, {'total': 0}, {'total': MAX_TOTAL + 1}, {'name': 'n' * 301}, {'user': 'n' * 301}],
    ids=str,
)
def test_a_batch_that_cannot_be_is_refused(fields):
    assert problem_with(protocol.OpenBatch(**{'batch_id': job_id(1), 'total': 1, **fields}))
    assert not problem_with(protocol.OpenBatch(batch_id=job_id(1), total=1))
