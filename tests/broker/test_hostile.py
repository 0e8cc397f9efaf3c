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
        ({'t': 'Read', 'job_id': job_id(1), 'index': -1}, protocol.decode_request),
        ({'t': 'FactsAfter', 'seq': 2**63}, protocol.decode_request),
        ({'t': 'FindJobs', 'before_order': 2**64 - 1}, protocol.decode_request),
        ({'t': 'Tokens', 'job_id': job_id(1), 'epoch': 1, 'index': -1, 'lines': [b'a']}, protocol.decode_from_worker),
        ({'t': 'Heartbeat', 'runs': [{'job_id': job_id(1), 'epoch': 1, 'index': 2**63}]}, protocol.decode_from_worker),
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
        patch.setattr(store, '_db', Full())
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
