"""What an operator does to the queue: pause, delay, look back, do again, clear away."""

import pytest

from broker import facts, protocol
from broker.job import State
from broker.rules import Rules
from tests.broker.desk import Desk, failed, finished, job_id


def started(desk):
    return [int(name, 16) for _, name, _ in desk.assigned()]


def calm_desk():
    return Desk(Rules(lease_ttl_s=1e6))  # so that workers need no heartbeats


def pause(desk, scope, name=''):
    return desk.ask(protocol.Pause(scope=scope, name=name))


def resume(desk, scope, name=''):
    return desk.ask(protocol.Resume(scope=scope, name=name))


SCOPES = [
    ('all', '', {}),
    ('model', 'm', {'model': 'm'}),
    ('priority', '5', {'priority': 5}),
    ('user', 'u', {'user': 'u'}),
]


@pytest.mark.parametrize(('scope', 'name', 'fields'), SCOPES)
def test_what_is_paused_waits_and_goes_on_afterwards(scope, name, fields):
    desk = calm_desk()
    assert isinstance(pause(desk, scope, name), protocol.Done)
    desk.join('w', slots=5, models=('m', 'n'))
    desk.submit(1, **{'user': 'u', **fields})
    assert started(desk) == []
    desk.wait(1)
    (place,) = desk.published(protocol.Standing)[-1].places
    assert (place.job_id, place.reason) == (job_id(1), 'paused')
    resume(desk, scope, name)
    assert started(desk) == [1]


@pytest.mark.parametrize(('scope', 'name', 'fields'), SCOPES[1:])
def test_a_pause_holds_up_nothing_else(scope, name, fields):
    desk = calm_desk()
    desk.join('w', slots=5, models=('m', 'n'))
    pause(desk, scope, name)
    desk.submit(1, **{'user': 'u', **fields, 'priority': fields.get('priority', 15)})
    desk.submit(2, user='v', model='n', priority=1)
    assert started(desk) == [2]


def test_a_paused_worker_finishes_what_it_has_and_gets_nothing_new():
    desk = calm_desk()
    first = desk.join('a')
    desk.submit(1)
    pause(desk, 'worker', 'a')
    desk.submit(2)
    desk.tell(first, finished(1, 1, 0))
    assert desk.history(1)[-1] == 'JobCompleted' and started(desk) == []
    second = desk.join('b')
    assert desk.assigned() == [(second.routing_id, job_id(2), 1)]


def test_a_job_whose_workers_are_all_paused_is_told_so():
    desk = calm_desk()
    desk.join('a')
    desk.join('b')
    pause(desk, 'worker', 'a')
    desk.submit(1)
    desk.submit(2)

    def told():
        desk.wait(1)
        return [(place.job_id, place.reason) for place in desk.published(protocol.Standing)[-1].places]

    assert told() == [(job_id(2), 'ahead')], 'the other one is at work and goes on'
    pause(desk, 'worker', 'b')
    assert told() == [(job_id(2), 'paused')]
    resume(desk, 'worker', 'a')
    assert started(desk)[-1:] == [2]


def test_a_pause_survives_a_restart_and_is_shown():
    desk = calm_desk()
    pause(desk, 'model', 'm')
    pause(desk, 'model', 'm')
    desk.restart()
    desk.join('w')
    desk.submit(1)
    assert started(desk) == []
    assert desk.core.snapshot().pauses == (protocol.PauseInfo(scope='model', name='m'),)
    assert [type(fact) for fact in desk.facts].count(facts.Paused) == 1
    resume(desk, 'model', 'm')
    assert started(desk) == [1]
    desk.restart()
    assert desk.core.snapshot().pauses == ()


@pytest.mark.parametrize(
    ('scope', 'name'), [('planet', 'x'), ('all', 'x'), ('model', ''), ('priority', '16'), ('priority', 'high')]
)
def test_a_pause_of_nothing_is_refused(scope, name):
    desk = calm_desk()
    refused = pause(desk, scope, name)
    assert isinstance(refused, protocol.Refused) and refused.code == 'bad_request'
    assert desk.facts == []


def test_a_job_for_later_waits_for_its_time_and_keeps_it_through_a_restart():
    desk = calm_desk()
    desk.join('w')
    desk.submit(1, due_at=desk.now + 100)
    assert started(desk) == []
    assert desk.ask(protocol.GetJob(job_id=job_id(1))).job.state == State.DELAYED
    desk.restart()
    desk.join('w')
    desk.wait(99)
    assert started(desk) == []
    desk.wait(1)
    assert started(desk) == [1]


def test_a_job_that_cannot_start_in_time_is_dead_with_that_reason():
    desk = calm_desk()
    desk.submit(1, deadline_at=desk.now + 10)
    desk.submit(2, due_at=desk.now + 5, deadline_at=desk.now + 10)
    desk.restart()
    desk.wait(9)
    assert 'JobDied' not in desk.history(1)
    desk.wait(1)
    died = [fact for fact in desk.facts if isinstance(fact, facts.JobDied)]
    assert [(fact.job_id, fact.code, fact.starts) for fact in died] == [
        (job_id(1), 'deadline', 0),
        (job_id(2), 'deadline', 0),
    ]


def test_a_job_that_started_in_time_may_take_its_time():
    desk = calm_desk()
    worker = desk.join('w')
    desk.submit(1, deadline_at=desk.now + 10)
    desk.wait(20)
    desk.tell(worker, finished(1, 1, 0))
    assert desk.history(1)[-1] == 'JobCompleted'


def test_a_deadline_before_the_start_is_refused():
    desk = calm_desk()
    refused = desk.submit(1, due_at=desk.now + 10, deadline_at=desk.now + 5)
    assert isinstance(refused, protocol.Refused) and 'deadline_at' in refused.detail


def test_a_delayed_job_can_be_cancelled():
    desk = calm_desk()
    desk.submit(1, due_at=desk.now + 10)
    desk.ask(protocol.Cancel(job_id=job_id(1)))
    desk.join('w')
    desk.wait(20)
    assert desk.history(1) == ['JobQueued', 'JobCancelled']


def test_the_history_of_a_job_has_every_failure():
    desk = calm_desk()
    worker = desk.join('w')
    desk.submit(1, max_failures=2)
    desk.tell(worker, failed(1, 1, code='busy'))
    desk.wait(2)
    desk.tell(worker, failed(1, 2, code='unreachable'))
    told = desk.store.history(job_id(1))
    assert [type(fact).__name__ for fact in told] == [
        'JobQueued', 'JobStarted', 'JobRequeued', 'JobDue', 'JobStarted', 'JobDied',
    ]  # fmt: skip
    assert [getattr(fact, 'code', '') for fact in told if getattr(fact, 'code', '')] == ['busy', 'unreachable']


def drained(desk):
    return [(fact.scope, fact.name) for fact in desk.facts if isinstance(fact, facts.Drained)]


@pytest.mark.parametrize(('scope', 'name', 'fields'), [*SCOPES, ('worker', 'w', {})])
def test_a_drain_pauses_and_tells_when_the_last_run_has_ended(scope, name, fields):
    desk = calm_desk()
    worker = desk.join('w', slots=2)
    desk.join('other', slots=1, models=('n',))
    for number in (1, 2):
        desk.submit(number, **{'user': 'u', **fields})
    if scope != 'all':
        desk.submit(3, model='n', priority=9, user='v')
    assert desk.ask(protocol.Drain(scope=scope, name=name)) == protocol.Done()
    assert desk.core.snapshot().pauses == (protocol.PauseInfo(scope=scope, name=name, draining=True),)
    desk.submit(4, **{'user': 'u', **fields})
    desk.tell(worker, finished(1, 1, 0))
    assert drained(desk) == []
    desk.restart()
    run = protocol.Run(job_id=job_id(2), epoch=1, index=0)
    worker = desk.join('w', slots=2, runs=(run,))
    desk.tell(worker, finished(2, 1, 0))
    assert drained(desk) == [(scope, name)]
    assert desk.core.snapshot().pauses == (protocol.PauseInfo(scope=scope, name=name),)
    assert desk.history(4) == ['JobQueued'], 'it stays paused'
    desk.wait(5)
    assert drained(desk) == [(scope, name)], 'once'
    resume(desk, scope, name)
    assert 'JobStarted' in desk.history(4)


def test_a_drain_of_what_is_idle_is_told_at_once():
    desk = calm_desk()
    pause(desk, 'model', 'm')
    desk.ask(protocol.Drain(scope='model', name='m'))
    assert drained(desk) == [('model', 'm')]


def test_a_worker_is_told_to_leave_and_gets_nothing_new():
    desk = calm_desk()
    worker = desk.join('w', slots=2)
    desk.submit(1)
    assert desk.ask(protocol.Retire(worker='w', grace_s=30.0)) == protocol.Done()
    assert desk.told(worker) == [protocol.Leave(grace_s=30.0)]
    desk.submit(2)
    assert desk.history(2) == ['JobQueued']
    desk.tell(worker, finished(1, 1, 0))
    desk.tell(worker, protocol.Bye())
    assert [fact.reason for fact in desk.facts if isinstance(fact, facts.WorkerLeft)] == ['drained']


@pytest.mark.parametrize(
    ('fields', 'code'),
    [({'worker': 'nobody'}, 'not_found'), ({'worker': 'w', 'grace_s': -1.0}, 'bad_request'),
     ({'worker': 'w', 'grace_s': float('nan')}, 'bad_request')],
)  # fmt: skip
def test_a_worker_that_is_none_or_a_grace_that_is_none_is_refused(fields, code):
    desk = calm_desk()
    desk.join('w')
    assert desk.ask(protocol.Retire(**fields)).code == code


def test_a_worker_that_did_not_hear_that_it_shall_leave_is_told_again_until_it_says_so():
    desk = Desk()
    worker = desk.join('w')
    desk.ask(protocol.Retire(worker='w', grace_s=5.0))
    assert desk.told(worker) == [protocol.Leave(grace_s=5.0)]
    desk.tell(worker, protocol.Heartbeat())
    assert desk.told(worker) == [protocol.Leave(grace_s=5.0)]
    desk.tell(worker, protocol.Bye(draining=True))
    desk.tell(worker, protocol.Heartbeat())
    assert desk.told(worker) == []
