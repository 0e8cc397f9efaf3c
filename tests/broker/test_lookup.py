"""Jobs that come after others: they wait, get the answers, and are taken along when one of those fails."""

import json

import pytest

from broker import facts, protocol
from broker.lookup import Unfit
from tests.broker.desk import RULES, Desk, failed, job_id


def after(*numbers):
    return tuple(map(job_id, numbers))


def said(text):
    return json.dumps({'message': {'role': 'assistant', 'content': text}}).encode()


def many(desk, *jobs):
    """``SubmitMany`` of (number, fields)."""
    made = [
        protocol.Submit(**{'job_id': job_id(number), 'kind': 'chat', 'model': 'm', 'body': b'{}', **fields})
        for number, fields in jobs
    ]
    return desk.ask(protocol.SubmitMany(jobs=tuple(made))).results


def test_a_job_waits_for_those_before_it_and_gets_their_answers():
    desk = Desk()
    worker = desk.join('w', slots=2)
    desk.submit(1)
    desk.submit(2, kind='generate')
    desk.submit(3, after=after(1, 2), body=b'{"prompt": "{{2}}, {{1}}"}')
    assert desk.state(3) == 'blocked'
    queued = desk.facts[-1]
    assert isinstance(queued, facts.JobQueued) and queued.blocked_by == 2
    desk.run(worker, 1, said('wor'), said('ld"\n'))
    assert desk.state(3) == 'blocked'
    desk.run(worker, 2, b'{"response": "hello"}')
    assert desk.history(3) == ['JobQueued', 'JobUnblocked', 'JobStarted']
    assert json.loads(desk.body(3)) == {'prompt': 'hello, world"\n'}


@pytest.mark.parametrize('restarts', [False, True])
def test_a_job_after_one_that_is_long_completed_waits_for_nothing(restarts):
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.run(worker, 1, said('a'))
    if restarts:
        desk.wait(120.0)
        desk.restart()
    desk.submit(2, after=after(1), body=b'{"a": "{{1}}"}')
    assert desk.state(2) in ('waiting', 'running')
    assert desk.body(2) == b'{"a": "a"}'


def fail(desk, worker, number, how):
    if how == 'cancelled':
        desk.ask(protocol.Cancel(job_id=job_id(number)))
        desk.run(worker, number)
    else:
        desk.tell(worker, failed(number, 1, retryable=False))


@pytest.mark.parametrize('how', ['cancelled', 'dead'])
def test_a_failure_takes_all_that_come_after_along(how):
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.submit(2, after=after(1))
    desk.submit(3, after=after(2))
    desk.submit(4, after=after(2, 3))
    desk.submit(5)
    fail(desk, worker, 1, how)
    jobs = [desk.store.job(job_id(number)) for number in (2, 3, 4)]
    assert [(job.state, job.code) for job in jobs] == [('dead', 'predecessor')] * 3
    assert jobs[0].detail == f'the job {job_id(1)} that it comes after is {how}'
    assert desk.state(5) == 'running'


@pytest.mark.parametrize('how', ['cancelled', 'dead'])
@pytest.mark.parametrize('restarts', [False, True])
def test_a_job_after_one_that_has_failed_dies_at_once(how, restarts):
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    fail(desk, worker, 1, how)
    if restarts:
        desk.restart()
    assert isinstance(desk.submit(2, after=after(1)), protocol.Accepted)
    assert desk.history(2) == ['JobQueued', 'JobDied']
    assert desk.store.job(job_id(2)).code == 'predecessor'


def test_a_long_chain_falls_without_recursion():
    desk = Desk(RULES._replace(max_waiting=10_000))
    desk.core.check = lambda: None  # after each of so many steps it would take minutes
    desk.submit(0)
    for number in range(1, 3_000):
        desk.submit(number, after=after(number - 1))
    desk.ask(protocol.Cancel(job_id=job_id(0)))
    assert desk.state(2_999) == 'dead'
    assert not desk.core.snapshot().jobs


def test_an_unknown_job_or_anothers_is_named_and_not_told_apart():
    desk = Desk()
    desk.submit(1, user='alice')
    unknown, foreign = (desk.submit(2, after=after(number), user='bob') for number in (9, 1))
    assert (unknown.code, foreign.code) == ('unknown_job', 'unknown_job')
    assert job_id(9) in unknown.detail
    assert foreign.detail.replace(job_id(1), '') == unknown.detail.replace(job_id(9), '')
    desk.ask(protocol.Cancel(job_id=job_id(1)))
    desk.wait(120.0)
    assert desk.submit(2, after=after(1), user='bob').code == 'unknown_job'


def test_several_jobs_at_once_may_come_in_any_order():
    desk = Desk()
    results = many(desk, (3, {'after': after(2)}), (1, {}), (2, {'after': after(1)}), (1, {}))
    assert [result.job_id for result in results] == [job_id(number) for number in (3, 1, 2, 1)]
    assert [result.duplicate for result in results] == [False, False, False, True]
    assert [desk.state(number) for number in (1, 2, 3)] == ['waiting', 'blocked', 'blocked']


def test_a_circle_is_refused_by_name_and_the_others_go_on():
    desk = Desk()
    results = many(desk, (1, {'after': after(2)}), (2, {'after': after(1)}), (3, {'after': after(1)}), (4, {}))
    assert [getattr(result, 'code', 'ok') for result in results] == ['circle', 'circle', 'circle', 'ok']
    assert f'{job_id(1)} after {job_id(2)} after {job_id(1)}' in results[0].detail
    assert desk.core.snapshot().jobs[0].job_id == job_id(4)


def test_a_message_carries_only_so_many_jobs(monkeypatch):
    monkeypatch.setattr('broker.admission.MAX_MANY', 2)
    desk = Desk()
    assert len(many(desk, (1, {}), (2, {}))) == 2
    jobs = tuple(protocol.Submit(job_id=job_id(n), kind='chat', model='m', body=b'{}') for n in (3, 4, 5))
    assert desk.ask(protocol.SubmitMany(jobs=jobs)).code == 'bad_request'
    assert desk.store.job(job_id(3)) is None


def test_what_comes_after_a_refused_job_is_refused_too():
    desk = Desk()
    results = many(desk, (2, {'after': after(1)}), (1, {'model': ''}))
    assert [result.code for result in results] == ['unknown_job', 'bad_request']


def test_a_blocked_job_counts_can_be_moved_cancelled_and_expires():
    desk = Desk(RULES._replace(max_waiting=4))
    desk.submit(1)
    desk.submit(2, after=after(1))
    desk.submit(3, after=after(1), deadline_at=desk.now + 5.0)
    desk.submit(4, after=after(1, 2))
    assert desk.submit(5).code == 'queue_full'
    assert desk.ask(protocol.SetPriority(job_id=job_id(4), priority=9)) == protocol.Done()
    assert desk.ask(protocol.GetJob(job_id=job_id(4))).job.priority == 9
    desk.wait(6.0)
    assert (desk.state(3), desk.store.job(job_id(3)).code) == ('dead', 'deadline')
    desk.ask(protocol.Cancel(job_id=job_id(2)))
    assert (desk.state(2), desk.state(4)) == ('cancelled', 'dead')
    worker = desk.join('w')
    desk.run(worker, 1)
    assert not desk.core.snapshot().jobs


def test_blocked_jobs_survive_a_restart_whichever_came_first():
    desk = Desk()
    many(desk, (3, {'after': after(2)}), (2, {'after': after(1)}), (1, {}))
    desk.restart()
    worker = desk.join('w')
    for number in (1, 2, 3):
        desk.run(worker, number, said('x'))
    assert [desk.state(number) for number in (1, 2, 3)] == ['completed'] * 3


def test_a_body_that_grows_too_large_cannot_be_given_to_a_worker():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.submit(2, after=after(1), body=b'{"a": "%s"}' % (b'{{1}}' * 5))
    desk.run(worker, 1, said('x' * 1_000_000))
    with pytest.raises(Unfit) as unfit:
        desk.body(2)
    assert unfit.value.code == 'body_too_large'


def test_a_job_whose_predecessor_was_deleted_meanwhile_says_so():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.submit(2, after=after(1))
    desk.run(worker, 1, said('x'))
    del desk.store._jobs[job_id(1)]
    with pytest.raises(Unfit) as unfit:
        desk.body(2)
    assert (unfit.value.code, job_id(1) in unfit.value.detail) == ('predecessor', True)
