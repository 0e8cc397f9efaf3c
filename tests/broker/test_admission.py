"""Who may enter the queue, and which request is known already."""

import msgspec
import pytest

from broker import facts, protocol
from broker.actions import Peer
from broker.job import AUTO_PRIORITY, DEFAULT_PRIORITY
from broker.retry import RetryPolicy
from tests.broker.desk import CLIENT, RULES, Desk, failed, finished, job_id


def of_kind(desk, kind):
    return [fact for fact in desk.facts if isinstance(fact, kind)]


def accepted(number, duplicate=False):
    return protocol.Accepted(job_id=job_id(number), duplicate=duplicate)


# the same key


def test_the_same_key_with_the_same_request_is_the_same_job():
    desk = Desk()
    assert desk.submit(1, idempotency_key='k', user='u') == accepted(1)
    assert desk.submit(2, idempotency_key='k', user='u', priority=9) == accepted(1, duplicate=True)
    assert desk.submit(3, idempotency_key='k', user='other') == accepted(3)
    assert desk.submit(4, idempotency_key='l', user='u') == accepted(4)
    assert len(of_kind(desk, facts.JobQueued)) == 3


@pytest.mark.parametrize('change', [{'body': b'{"other": 1}'}, {'model': 'n'}, {'kind': 'generate'}], ids=str)
def test_the_same_key_with_another_request_is_a_conflict(change):
    desk = Desk()
    desk.submit(1, idempotency_key='k')
    reply = desk.submit(2, idempotency_key='k', **change)
    assert (reply.code, desk.store.job(job_id(2))) == ('conflict', None)
    assert 'new key' in reply.detail


@pytest.mark.parametrize('later_s', [0, 30, 3600])
@pytest.mark.parametrize('restarts', [False, True])
def test_a_key_holds_after_its_job_has_ended(later_s, restarts):
    desk = Desk()
    desk.submit(1, idempotency_key='k')
    desk.ask(protocol.Cancel(job_id=job_id(1)))
    desk.wait(later_s)
    if restarts:
        desk.restart()
    assert desk.submit(2, idempotency_key='k') == accepted(1, duplicate=True)
    assert desk.submit(3, idempotency_key='k', model='n').code == 'conflict'


def test_a_key_holds_for_what_has_begun_and_ended_before_anything_is_on_disk():
    desk = Desk()
    submit = protocol.Submit(job_id=job_id(1), kind='chat', model='m', body=b'{}', idempotency_key='k')
    actions = desk.core.receive(CLIENT, submit, desk.now)
    actions += desk.core.receive(CLIENT, protocol.Cancel(job_id=job_id(1)), desk.now)
    actions += desk.core.receive(CLIENT, msgspec.structs.replace(submit, job_id=job_id(2)), desk.now)
    desk.did(actions)
    assert [fact.job_id for fact in of_kind(desk, facts.JobQueued)] == [job_id(1)]


def test_a_key_is_free_again_when_its_job_is_deleted():
    desk = Desk()
    desk.submit(1, idempotency_key='k')
    desk.ask(protocol.Cancel(job_id=job_id(1)))
    desk.wait(120.0)
    del desk.store._jobs[job_id(1)]
    assert desk.submit(2, idempotency_key='k') == accepted(2)


# requests that share a job


def test_an_equal_request_attaches_to_the_one_that_is_alive():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1, attach=True, user='u')
    assert desk.submit(2, attach=True, user='u', priority=9) == accepted(1, duplicate=True)
    assert desk.store.job(job_id(1)).claims == 2
    assert [fact.claims for fact in of_kind(desk, facts.JobShared)] == [2]
    assert desk.submit(2, attach=True, user='u') == accepted(1, duplicate=True), 'the reply was lost, so it came again'
    assert desk.store.job(job_id(1)).claims == 2
    desk.run(worker, 1, b'{}')
    assert desk.submit(3, attach=True, user='u') == accepted(3)


@pytest.mark.parametrize(
    ('first', 'second'),
    [
        ({'attach': True}, {}),
        ({}, {'attach': True}),
        ({'attach': True, 'user': 'a'}, {'attach': True, 'user': 'b'}),
        ({'attach': True}, {'attach': True, 'body': b'{"x": 1}'}),
        ({'attach': True}, {'attach': True, 'idempotency_key': 'of its own'}),
    ],
    ids=str,
)
def test_other_requests_become_jobs_of_their_own(first, second):
    desk = Desk()
    desk.submit(1, **first)
    assert desk.submit(2, **second) == accepted(2)


def test_a_shared_job_is_cancelled_with_its_last_caller():
    desk = Desk()
    for number in (1, 2, 3):
        desk.submit(number, attach=True)
    for number, rid in ((2, 7), (1, 8)):
        desk.ask(protocol.Cancel(job_id=job_id(1), release=True, rid=rid))
        assert desk.state(1) == 'waiting', number
        desk.ask(protocol.Cancel(job_id=job_id(1), release=True, rid=rid))
        assert desk.store.job(job_id(1)).claims == (2 if rid == 7 else 1), 'the same request again takes nothing back'
    desk.ask(protocol.Cancel(job_id=job_id(1), release=True, rid=9))
    assert desk.state(1) == 'cancelled'


def test_who_is_in_more_of_a_hurry_takes_the_shared_job_along():
    desk = Desk()
    desk.submit(1, attach=True, priority=5)
    for number, priority in ((2, 10), (3, 1), (4, AUTO_PRIORITY)):
        desk.submit(number, attach=True, priority=priority)
        assert desk.store.job(job_id(1)).priority == 10
    desk.join('w')
    desk.submit(5, attach=True, priority=15)
    assert (desk.state(1), desk.store.job(job_id(1)).priority, desk.store.job(job_id(1)).claims) == ('running', 10, 5)


def test_a_plain_cancel_cancels_also_what_is_shared():
    desk = Desk()
    desk.submit(1, attach=True)
    desk.submit(2, attach=True)
    desk.ask(protocol.Cancel(job_id=job_id(1)))
    assert desk.state(1) == 'cancelled'


def test_nobody_attaches_to_a_job_that_is_being_cancelled():
    desk = Desk()
    desk.join('w')
    desk.submit(1, attach=True)
    desk.ask(protocol.Cancel(job_id=job_id(1)))
    assert desk.state(1) == 'cancelling'
    assert desk.submit(2, attach=True) == accepted(2)
    desk.restart()
    assert desk.submit(3, attach=True) == accepted(2, duplicate=True)


def test_claims_and_shared_jobs_survive_a_restart():
    desk = Desk()
    desk.submit(1, attach=True)
    desk.submit(2, attach=True)
    desk.restart()
    assert desk.submit(3, attach=True) == accepted(1, duplicate=True)
    assert desk.store.job(job_id(1)).claims == 3


def test_two_clients_may_use_the_same_number_for_their_requests():
    desk = Desk()
    for number in (1, 2, 3):
        desk.submit(number, attach=True)
    for peer in (CLIENT, Peer('client', b'd')):
        desk.did(desk.core.receive(peer, protocol.Cancel(job_id=job_id(1), release=True, rid=1), desk.now))
    assert desk.store.job(job_id(1)).claims == 1


# what is refused


@pytest.mark.parametrize(
    ('fields', 'named'),
    [
        ({'kind': 'raw'}, 'path'),
        ({'kind': 'raw', 'path': 'v1/rerank'}, 'path'),
        ({'kind': 'raw', 'path': '/a/../b'}, 'path'),
        ({'kind': 'raw', 'path': '//evil.example/x'}, 'path'),
        ({'kind': 'raw', 'path': '/a\r\nHost: x'}, 'path'),
        ({'kind': 'raw', 'path': '/a b'}, 'path'),
        ({'kind': 'raw', 'path': '/a\\b'}, 'path'),
        ({'kind': 'raw', 'path': '/' + 'a' * 500}, 'path'),
        ({'kind': 'chat', 'path': '/v1/rerank'}, 'path'),
        ({'idempotency_key': 'k' * 201}, 'idempotency_key'),
        ({'retry_base_s': -1.0}, 'retry_base_s'),
        ({'retry_base_s': 4000.0}, 'retry_base_s'),
        ({'retry_max_s': float('nan')}, 'retry_max_s'),
        ({'retry_base_s': 9.0, 'retry_max_s': 8.0}, 'retry_base_s'),
        ({'schedule': 's'}, 'schedule'),
        ({'after': (job_id(1),)}, 'after itself'),
        ({'after': (job_id(7), job_id(7))}, 'each once'),
        ({'after': ('line\nbreak',)}, 'by their ids'),
        ({'after': tuple(map(job_id, range(2, 103)))}, '100 jobs'),
        ({'after': (job_id(7),), 'due_at': 5_000.0}, 'due_at'),
        ({'priority': -2}, 'priority'),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_one_sentence(fields, named):
    reply = Desk().submit(1, **fields)
    assert (reply.code, '\n' in reply.detail) == ('bad_request', False)
    assert named in reply.detail


def test_a_raw_job_carries_its_path_to_the_worker():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1, kind='raw', path='/v1/rerank')
    assert [message.path for message in desk.told(worker)] == ['/v1/rerank']


def test_bytes_that_wait_are_bounded():
    desk = Desk(RULES._replace(max_waiting_bytes=10))
    desk.submit(1, body=b'{"a": 1}')
    reply = desk.submit(2, body=b'{ }')
    assert (reply.code, reply.retry_after_s > 0) == ('queue_full', True)
    assert desk.submit(3, body=b'{}') == accepted(3)
    desk.restart()
    assert desk.submit(4, body=b'{}').code == 'queue_full'
    desk.join('w')
    assert desk.submit(4, body=b'{}') == accepted(4), 'what runs waits no longer'
    desk.ask(protocol.Cancel(job_id=job_id(3)))
    assert desk.submit(5, body=b'{    }') == accepted(5)


def test_bytes_of_a_job_that_comes_back_count_again():
    desk = Desk(RULES._replace(max_waiting_bytes=8))
    worker = desk.join('w')
    desk.submit(1, body=b'{"a": 1}')
    desk.tell(worker, failed(1, 1))
    assert desk.submit(2, body=b'{}').code == 'queue_full'


# priority auto


def test_a_guessed_priority_shows_which_rule_spoke():
    desk = Desk()
    desk.submit(1, priority=AUTO_PRIORITY, body='{"messages": [{"role": "user", "content": "马上！"}]}'.encode())
    desk.submit(2, priority=AUTO_PRIORITY, body=b'{"prompt": "hello"}')
    desk.submit(3, priority=3, body=b'{"prompt": "urgent"}')
    jobs = [desk.store.job(job_id(number)) for number in (1, 2, 3)]
    assert [(job.priority, job.terms.priority_rule) for job in jobs] == [
        (10, 'urgent'),
        (DEFAULT_PRIORITY, ''),
        (3, ''),
    ]
    told = [(fact.priority, fact.priority_rule) for fact in of_kind(desk, facts.JobQueued)]
    assert told == [(10, 'urgent'), (DEFAULT_PRIORITY, ''), (3, '')]
    assert desk.ask(protocol.SetPriority(job_id=job_id(1), priority=AUTO_PRIORITY)).code == 'bad_request'


# retries of its own


def test_a_job_may_have_its_own_back_off_and_number_of_tries():
    desk = Desk(RULES._replace(retry=RetryPolicy(base_s=0.001, max_s=0.002)))
    worker = desk.join('w')
    desk.submit(1, max_failures=5, retry_base_s=1_000.0)
    due = []
    for epoch in range(1, 5):
        desk.tell(worker, failed(1, epoch))
        due.append(desk.store.job(job_id(1)).due_at - desk.now)
        desk.wait(1_001.0)
        worker = desk.join('w')
    assert max(due) > 100.0 and all(0 <= each <= 1_000.0 for each in due), 'the settings would give 2 ms at most'
    desk.tell(worker, failed(1, 5))
    assert desk.state(1) == 'dead'


def test_a_long_back_off_of_its_own_survives_a_restart():
    desk = Desk(RULES._replace(retry=RetryPolicy(base_s=0.001, max_s=0.002)))
    worker = desk.join('w')
    desk.submit(1, retry_base_s=1_000.0)
    desk.tell(worker, failed(1, 1))
    due_at = desk.store.job(job_id(1)).due_at
    desk.restart()
    assert desk.core.snapshot().jobs[0].due_at == due_at


def test_the_history_has_the_stack_trace_of_every_attempt():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1, max_failures=2)
    desk.tell(worker, msgspec.structs.replace(failed(1, 1), trace='first'))
    desk.wait(3.0)
    desk.tell(worker, msgspec.structs.replace(failed(1, 2), trace='x' * 9_000 + 'the end'))
    traces = [
        fact.trace for fact in desk.store.history(job_id(1)) if isinstance(fact, facts.JobRequeued | facts.JobDied)
    ]
    assert traces[0] == 'first'
    assert len(traces[1]) == 8_000 and traces[1].endswith('the end')


def test_a_run_that_ends_well_is_not_upset_by_what_it_asked_for():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1, idempotency_key='k', attach=True, retry_base_s=1.0, priority=AUTO_PRIORITY)
    desk.tell(worker, finished(1, 1, 0))
    assert desk.state(1) == 'completed'
