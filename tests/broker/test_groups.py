"""Batches in the queue: opened, joined, counted, cancelled, over."""

import pytest

from broker import facts, protocol
from tests.broker.desk import RULES, Desk, failed, job_id

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
