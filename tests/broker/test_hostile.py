"""Numbers and clocks that nobody can mean: the queue goes on, and what it has told stays readable."""

import math

import apsw
import msgspec
import pytest

from broker import errors, facts, protocol
from broker.limits import Limits, parse
from broker.rules import Rules
from broker.store import Store
from tests.broker.desk import Desk, failed, finished, job_id, tokens


@pytest.mark.parametrize(
    ('message', 'decode'),
    [
        ({'t': 'Read', 'job_id': job_id(1), 'index': -1}, protocol.requests_in),
        ({'t': 'FactsAfter', 'seq': 2**63}, protocol.requests_in),
        ({'t': 'FindJobs', 'before_order': 2**64 - 1}, protocol.requests_in),
        ({'t': 'Tokens', 'job_id': job_id(1), 'epoch': 1, 'index': -1, 'lines': [b'a']}, protocol.from_worker_in),
        ({'t': 'Heartbeat', 'runs': [{'job_id': job_id(1), 'epoch': 1, 'index': 2**63}]}, protocol.from_worker_in),
    ],
)
def test_a_count_below_zero_or_beyond_all_bounds_is_not_understood(message, decode):
    with pytest.raises(protocol.Malformed):
        decode(msgspec.msgpack.encode(message))


@pytest.mark.parametrize('field', ['due_at', 'deadline_at'])
def test_a_time_that_a_fact_cannot_hold_is_refused(field):
    reply = Desk().submit(1, **{field: math.inf})
    assert isinstance(reply, protocol.Refused) and 'unix seconds' in reply.detail


def test_a_cost_that_a_fact_cannot_hold_is_left_out_and_the_facts_stay_readable():
    desk = Desk()
    worker = desk.join('w', slots=2)
    for number in (1, 2):
        desk.submit(number)
    endless = facts.Usage(output_tokens=3, load_s=math.inf)
    desk.tell(worker, protocol.Finished(job_id=job_id(1), epoch=1, lines=0, usage=endless))
    desk.tell(worker, msgspec.structs.replace(failed(2, 1), usage=endless))
    assert desk.history(1)[-1] == 'JobCompleted'
    assert [facts.decode(facts.encode(fact)) for fact in desk.facts] == desk.facts


def test_the_reason_of_a_failure_is_cut_to_what_can_be_shown():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.tell(worker, msgspec.structs.replace(failed(1, 1, retryable=False, code='c' * 10_000), detail='d' * 1_000_000))
    died = desk.facts[-1]
    assert isinstance(died, facts.JobDied)
    assert (len(died.code), len(died.detail)) == (100, 4_000)


def test_a_filter_that_names_a_state_many_times_still_finds(tmp_path):
    store = Store(tmp_path / 'queue.db')
    assert store.find(protocol.FindJobs(states=('dead',) * 40_000), 10) == []
    store.close()


def test_a_purge_that_finds_no_room_says_so(tmp_path, monkeypatch):
    class Full:
        def __enter__(self):
            raise apsw.FullError

        def __exit__(self, *_):
            return False

    store = Store(tmp_path / 'queue.db')
    with monkeypatch.context() as patch:
        patch.setattr(store._pruning, '_db', Full())
        with pytest.raises(errors.StoreFull):
            store.purge('', 1.0)
    store.close()


def test_a_clock_put_back_between_two_starts_holds_nobody_up():
    desk = Desk(Rules(limits=Limits(user_rate=parse('1 per min'))))
    worker = desk.join('w')
    desk.now += 86_400  # the clock is a day ahead
    for number in (1, 2):
        desk.submit(number, user='u')
    desk.tell(worker, finished(1, 1, 0))
    desk.now -= 86_400
    desk.restart()
    desk.wait(61)
    desk.join('w')
    assert desk.history(2) == ['JobQueued', 'JobStarted']


def test_a_retry_is_not_a_day_away_because_the_clock_was_put_back():
    desk = Desk()
    worker = desk.join('w')
    desk.now += 86_400
    desk.submit(1)
    desk.tell(worker, failed(1, 1))
    desk.now -= 86_400
    desk.restart()
    desk.wait(desk.rules.retry.max_s + 1)
    desk.join('w')
    assert desk.history(1)[-1] == 'JobStarted'


def test_a_job_queued_before_the_clock_was_put_back_still_goes_before_later_ones():
    desk = Desk()
    desk.now += 86_400
    desk.submit(1)
    desk.now -= 86_400
    desk.restart()
    desk.submit(2)
    desk.join('w')
    assert desk.history(1) == ['JobQueued', 'JobStarted']
    assert desk.facts[-1].waited_s >= 0


def test_after_a_broker_restart_a_new_process_in_the_old_place_starts_the_run_anew():
    desk = Desk()
    worker = desk.join('w', session='old')
    desk.submit(1)
    desk.tell(worker, tokens(1, 1, 0, b'a', b'b'))
    desk.restart()  # and the worker died meanwhile: readers have lines of epoch 1 that nobody can give again
    new = desk.join('w', session='new')
    assert desk.assigned() == [(new.routing_id, job_id(1), 2)]
    assert [fact.losses for fact in desk.facts if isinstance(fact, facts.JobRequeued)] == [0]


def test_a_cancelled_run_that_its_worker_never_got_is_not_assigned_again():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1)
    desk.ask(protocol.Cancel(job_id=job_id(1)))
    desk.wait(5)
    desk.tell(worker, protocol.Heartbeat())
    assert desk.assigned() == []
    assert protocol.Stop(job_id=job_id(1), epoch=1) in desk.told(worker)


def test_a_worker_that_signs_in_again_and_again_is_looked_after_once():
    desk = Desk()
    for _ in range(50):
        peer = desk.join('w')
        desk.gone(peer)
    assert desk.core.timers <= 3


def test_a_user_over_a_limit_is_looked_after_once_however_much_they_submit():
    desk = Desk(Rules(limits=Limits(user_rate=parse('1 per min'))))
    desk.join('w', slots=2)
    for number in range(100):
        desk.submit(number, user='u')
    assert desk.core.timers < 10


def test_a_steady_load_gets_no_second_burst_from_a_restart():
    limits = Limits(user_rate=parse('10 per min burst 5'))
    desk = Desk(Rules(limits=limits, lease_ttl_s=1e6))
    worker = desk.join('w', slots=100)
    for number in range(1, 60):
        desk.submit(number, user='u')
    desk.wait(200)  # by now only the starts of the last minute and a half are looked up at a restart
    before = [fact for fact in desk.facts if isinstance(fact, facts.JobStarted)]
    desk.restart()
    runs = tuple(protocol.Run(job_id=fact.job_id, epoch=1, index=0) for fact in before)
    desk.tell(worker, ready_of(worker, runs))
    assert len([fact for fact in desk.facts if isinstance(fact, facts.JobStarted)]) == len(before)


def test_many_starts_before_the_clock_was_put_back_count_as_one_burst():
    desk = Desk(Rules(limits=Limits(user_rate=parse('60 per min burst 2')), lease_ttl_s=1e6))
    worker = desk.join('w', slots=100)
    for number in range(1, 60):
        desk.submit(number, user='u')
    desk.wait(40)
    desk.now -= 900
    desk.restart()
    desk.wait(3)
    runs = tuple(protocol.Run(job_id=f.job_id, epoch=1, index=0) for f in desk.facts if isinstance(f, facts.JobStarted))
    desk.tell(worker, ready_of(worker, runs))
    assert isinstance(desk.facts[-1], facts.JobStarted)


def test_jobs_keep_their_order_when_the_clock_goes_back_and_forth():
    desk = Desk()
    desk.now += 700
    desk.submit(1)
    desk.now -= 700
    desk.restart()
    desk.submit(2)
    desk.now += 800
    desk.restart()
    desk.join('w')
    assert desk.history(1)[-1] == 'JobStarted' and desk.history(2) == ['JobQueued']


def test_a_run_that_began_before_the_clock_was_put_back_did_not_begin_in_the_future():
    desk = Desk()
    desk.now += 3_600
    worker = desk.join('w')
    desk.submit(1)
    desk.now -= 3_600
    desk.restart()
    desk.tell(worker, ready_of(worker, (protocol.Run(job_id=job_id(1), epoch=1, index=0),)))
    desk.wait(2)
    desk.tell(worker, finished(1, 1, 0))
    done = desk.facts[-1]
    assert (done.waited_s, done.ran_s) == (0.0, 2.0)


def test_a_job_whose_deadline_passed_while_the_broker_was_down_does_not_start():
    desk = Desk()
    desk.submit(1, deadline_at=desk.now + 10)
    desk.now += 20
    desk.restart()
    desk.join('w')
    assert desk.history(1) == ['JobQueued', 'JobDied']


def test_a_job_that_its_worker_hands_back_after_the_deadline_does_not_start_again():
    desk = Desk()
    worker = desk.join('w')
    desk.submit(1, deadline_at=desk.now + 10)
    desk.now += 11
    desk.tell(worker, protocol.HandBack(job_id=job_id(1), epoch=1))
    assert desk.history(1) == ['JobQueued', 'JobStarted', 'JobRequeued', 'JobDied']


def test_a_deadline_that_is_over_is_refused():
    desk = Desk()
    desk.join('w')
    refused = desk.submit(1, deadline_at=desk.now)
    assert refused.code == 'bad_request' and 'deadline_at' in refused.detail


def test_all_starts_of_a_job_count_for_limits_after_a_restart():
    limits = Limits(user_rate=parse('3 per min'))
    desk = Desk(Rules(limits=limits))
    worker = desk.join('w')
    for number in (1, 2):
        desk.submit(number, user='u')
    for epoch in (1, 2, 3):
        desk.tell(worker, protocol.HandBack(job_id=job_id(1), epoch=epoch))
    desk.restart()
    desk.join('w', session='new')
    assert desk.history(2) == ['JobQueued']


def ready_of(worker, runs):
    """The worker of ``Desk.join`` signs in again and shows these runs."""
    name, session = worker.routing_id.decode().split('/')
    models = (facts.ModelInfo(name='m', engine='demo'),)
    return protocol.Ready(
        worker=name,
        session=session,
        host='h',
        pid=1,
        engine='demo',
        engine_version='1',
        slots=100,
        models=models,
        runs=runs,
    )
