"""Batches in the queue: opened, joined, counted, cancelled, over."""

import pytest

from broker import facts, protocol
from broker.actions import Persist
from broker.memory_store import MemoryStore
from broker.store import Store
from tests.broker.desk import RULES, Desk, failed, finished, job_id, tokens

BATCH = f'{0xB:032x}'


def open_batch(desk, total=3, **fields):
    return desk.ask(protocol.OpenBatch(batch_id=BATCH, total=total, **fields))


def batch(desk):
    (found,) = desk.ask(protocol.GetBatch(batch_id=BATCH)).batches
    return found


def ends(desk):
    return [(f.completed, f.dead, f.cancelled) for f in desk.facts if isinstance(f, facts.BatchEnded)]


def test_a_batch_runs_from_its_opening_to_its_last_job():
    desk = Desk()
    worker = desk.join('w')
    assert open_batch(desk, name='nightly') == protocol.Done()
    for number in (1, 2, 3):
        assert isinstance(desk.submit(number, parent=BATCH, max_failures=1), protocol.Accepted)
    assert batch(desk) == protocol.Batch(
        batch_id=BATCH, total=3, name='nightly', opened_at=desk.now, submitted=3, running=1
    )
    desk.run(worker, 1, b'{}')
    desk.tell(worker, failed(2, 1))
    assert (batch(desk).completed, batch(desk).dead, batch(desk).running) == (1, 1, 1)
    assert ends(desk) == []
    desk.run(worker, 3, b'{}')
    assert ends(desk) == [(2, 1, 0)]
    assert desk.store.batch(BATCH).ended_at == desk.now
    assert isinstance(desk.facts[-2], facts.JobCompleted | facts.BatchEnded)
    assert next(f.parent for f in desk.facts if isinstance(f, facts.JobCompleted)) == BATCH


def test_a_batch_opened_twice_is_one_and_another_of_the_same_id_is_refused():
    desk = Desk()
    assert open_batch(desk) == open_batch(desk) == protocol.Done()
    assert open_batch(desk, total=4).code == 'conflict'
    desk.ask(protocol.CancelBatch(batch_id=BATCH))
    assert open_batch(desk) == protocol.Done()
    desk.restart()
    assert open_batch(desk) == protocol.Done()
    assert open_batch(desk, user='other').code == 'conflict'
    assert sum(isinstance(f, facts.BatchOpened) for f in desk.facts) == 1


@pytest.mark.parametrize('fields', [{'total': 0}, {'name': 'n' * 301}], ids=str)
def test_a_batch_that_cannot_be_is_refused(fields):
    assert open_batch(Desk(), **fields).code == 'bad_request'


def test_a_job_cannot_join_what_is_full_over_unknown_or_anothers():
    desk = Desk()
    open_batch(desk, total=1, user='u')
    assert desk.submit(1, parent=BATCH, user='other').code == 'bad_batch'
    assert desk.submit(1, parent=job_id(99), user='u').code == 'bad_batch'
    assert isinstance(desk.submit(1, parent=BATCH, user='u'), protocol.Accepted)
    assert isinstance(desk.submit(1, parent=BATCH, user='u'), protocol.Accepted), 'the same one again'
    assert 'all its 1 jobs' in desk.submit(2, parent=BATCH, user='u').detail
    desk.ask(protocol.Cancel(job_id=job_id(1)))
    assert ends(desk) == [(0, 0, 1)]
    assert desk.submit(3, parent=BATCH, user='u').code == 'bad_batch'


def test_cancelling_a_batch_stops_all_of_it_and_closes_it():
    desk = Desk()
    worker = desk.join('w')
    open_batch(desk, total=9)
    for number in (1, 2, 3):
        desk.submit(number, parent=BATCH)
    desk.submit(4, parent=BATCH, after=(job_id(2),))
    desk.submit(5)
    assert desk.ask(protocol.CancelBatch(batch_id=BATCH)) == protocol.Done()
    assert [desk.state(number) for number in (1, 2, 3, 4, 5)] == [
        'cancelling',
        'cancelled',
        'cancelled',
        'cancelled',
        'waiting',
    ]
    assert ends(desk) == [(0, 0, 4)], 'what was told to stop will be cancelled, whatever it says'
    assert desk.submit(6, parent=BATCH).code == 'bad_batch'
    desk.run(worker, 1, b'{}')
    assert desk.state(1) == 'cancelled'
    assert desk.store.batch(BATCH).cancelled == 4


def large_batch(waiting, running=2):
    """A batch of which some run; a turn cancels three."""
    desk = Desk(RULES._replace(stop_at_once=3))
    worker = desk.join('w', slots=running)
    open_batch(desk, total=100)
    for number in range(1, waiting + running + 1):
        desk.submit(number, parent=BATCH)
    return desk, worker


def cancel(desk):
    """How many are cancelled so far."""
    return desk.ask(protocol.CancelBatch(batch_id=BATCH)).batches[0].cancelled


def turns(desk):
    """What each further turn does until nothing is due: the jobs that it cancels."""
    cancelled = []
    while desk.core.next_deadline() < desk.now + 1e-6:
        desk.now = max(desk.now, desk.core.next_deadline())
        facts_of_turn = [action.fact for action in desk.did(desk.core.tick(desk.now)) if isinstance(action, Persist)]
        cancelled.append([f.job_id for f in facts_of_turn if isinstance(f, facts.JobCancelled)])
    return [jobs for jobs in cancelled if jobs]


def test_a_large_batch_is_cancelled_in_portions_and_others_are_served_in_between():
    desk, worker = large_batch(10)
    assert cancel(desk) == 3
    assert desk.submit(50, parent=BATCH).detail == 'the batch is being cancelled; open another one'
    assert isinstance(desk.submit(51), protocol.Accepted), 'a job of somebody else comes between two portions'
    desk.tell(worker, tokens(1, 1, 0, b'{}'))
    assert desk.published(protocol.TokensOut), 'and so do the words of what runs'
    assert cancel(desk) == 3, 'asking how far it is does no more'
    assert [len(jobs) for jobs in turns(desk)] == [3, 3, 1]
    assert ends(desk) == [(0, 0, 12)]
    assert [desk.state(number) for number in (1, 2, 51)] == ['cancelling', 'cancelling', 'waiting']
    desk.run(worker, 1)
    assert desk.state(1) == 'cancelled' and desk.state(51) == 'running'


def test_what_ends_between_two_portions_is_counted_as_it_ended():
    desk, worker = large_batch(4)
    assert cancel(desk) == 3
    desk.tell(worker, tokens(1, 1, 0, b'{}'))
    desk.tell(worker, finished(1, 1, 1))
    assert desk.state(1) == 'completed' and desk.state(3) == 'running', 'its slot is not kept empty'
    turns(desk)
    assert ends(desk) == [(1, 0, 5)]
    assert desk.state(3) == 'cancelling'


def test_a_batch_that_is_half_cancelled_when_the_broker_dies_is_finished_when_asked_again():
    desk, _ = large_batch(10)
    assert cancel(desk) == 3
    desk.restart()
    assert batch(desk).cancelled == 3 and not batch(desk).ended_at, 'what was told is on disk'
    assert cancel(desk) == 6
    turns(desk)
    assert ends(desk) == [(0, 0, 12)]
    ended = [f.job_id for f in desk.facts if isinstance(f, facts.JobCancelled)]
    assert len(ended) == len(set(ended)) == 10, 'none twice; two still run'


def test_a_batch_whose_last_portion_is_a_whole_one_ends_once():
    desk, _ = large_batch(6, running=0)
    assert cancel(desk) == 3
    assert [len(jobs) for jobs in turns(desk)] == [3]
    assert ends(desk) == [(0, 0, 6)]


def test_a_batch_goes_on_after_a_restart():
    desk = Desk()
    worker = desk.join('w')
    open_batch(desk)
    for number in (1, 2):
        desk.submit(number, parent=BATCH)
    desk.run(worker, 1, b'{}')
    desk.restart()
    assert batch(desk).completed == 1 and batch(desk).submitted == 2
    desk.submit(3, parent=BATCH)
    for number in (2, 3):
        desk.ask(protocol.Cancel(job_id=job_id(number)))
    desk.wait(60.0)  # the worker never came back
    assert ends(desk) == [(1, 0, 2)]


@pytest.mark.parametrize('make_store', [lambda path: Store(path / 'queue.db'), lambda path: MemoryStore()])
def test_dead_jobs_that_are_purged_still_count_in_a_batch_that_goes_on_also_over_a_restart(make_store, tmp_path):
    desk = Desk()
    desk.store = make_store(tmp_path)
    worker = desk.join('w')
    open_batch(desk, total=2)
    desk.submit(1, parent=BATCH, max_failures=1)
    desk.tell(worker, failed(1, 1))
    assert desk.store.purge('', desk.now + 1) == 1
    desk.restart()
    assert (batch(desk).submitted, batch(desk).dead) == (1, 1)
    worker = desk.join('w', session='again')
    desk.submit(2, parent=BATCH)
    assert desk.submit(3, parent=BATCH).code == 'bad_batch', 'it has its two jobs'
    desk.run(worker, 2, b'{}')
    assert ends(desk) == [(1, 1, 0)]
    ended = desk.store.batch(BATCH)
    assert (ended.submitted, ended.completed, ended.dead) == (2, 1, 1)
    desk.store.close()


def test_a_batch_that_nobody_fills_is_over_after_a_while_also_over_a_restart():
    desk = Desk(RULES._replace(batch_patience_s=100.0))
    worker = desk.join('w')
    open_batch(desk)
    desk.ask(protocol.Pause(scope='all'))
    desk.submit(1, parent=BATCH)
    desk.wait(200.0)
    assert batch(desk).ended_at == 0, 'a job of it is alive'
    desk.ask(protocol.Resume(scope='all'))
    worker = desk.join('w', session='again')
    desk.run(worker, 1, b'{}')
    desk.wait(90.0)
    desk.submit(2, parent=BATCH)
    desk.ask(protocol.Cancel(job_id=job_id(2)))
    desk.wait(90.0)
    desk.restart()
    desk.wait(90.0)
    assert ends(desk) == []
    desk.wait(20.0)
    assert ends(desk) == [(1, 0, 1)]
    assert desk.submit(3, parent=BATCH).code == 'bad_batch'
