"""The power goes at every single write and sync of the store: nothing acknowledged is lost, nothing is torn."""

import random
from pathlib import Path

import pytest

from broker import errors, facts, protocol
from broker.memory_store import MemoryStore
from broker.store import Store
from tests.broker.crashing_disk import Disk
from tests.broker.desk import Desk, finished, job_id, tokens

PATH = Path('/queue.db')


def workload():
    """Batches as the broker would commit them: twelve jobs, some done or cancelled, and everything else there is."""
    desk, batches = Desk(), []
    commit = desk.store.commit
    desk.store.commit = lambda batch: (batches.append(batch) if batch else None, commit(batch))
    worker = desk.join('w', slots=3)
    for number in range(1, 13):
        desk.submit(number, body=b'{"n": "%s"}' % (b'x' * 300))
        if number % 3 == 0:
            desk.tell(worker, tokens(number - 2, 1, 0, b'{"a": 1}' * 50))
            desk.tell(worker, finished(number - 2, 1, 1))
    with_ties(desk)
    desk.tell(worker, protocol.HandBack(job_id=job_id(12), epoch=1))
    return batches


def with_ties(desk):
    """A batch that is cancelled, a chain, a key, a shared job, a schedule that ticks, pauses, a drain, a retry."""
    desk.ask(protocol.OpenBatch(batch_id=job_id(0xB), total=4, user='u'))
    for number in (20, 21):
        desk.submit(number, parent=job_id(0xB), user='u', idempotency_key=f'key {number}')
    desk.submit(22, after=(job_id(20),), user='u')
    for number in (23, 24):
        desk.submit(number, user='v', attach=True)
    desk.ask(protocol.SetPriority(job_id=job_id(22), priority=9))
    schedule = protocol.Schedule(
        schedule_id='s', name='s', cron='* * * * *', kind='chat', model='nobody', body=b'{}', missed='once'
    )
    desk.ask(protocol.SetSchedule(schedule=schedule))
    desk.ask(protocol.Pause(scope='model', name='m'))
    desk.ask(protocol.Drain(scope='user', name='nobody'))
    desk.wait(121)
    desk.ask(protocol.Resume(scope='model', name='m'))
    desk.ask(protocol.CancelBatch(batch_id=job_id(0xB)))
    desk.ask(protocol.RemoveSchedule(schedule_id='s'))


BATCHES = workload()


def told(store):
    """All that a new broker asks of a store."""
    jobs = list(store.alive())
    return {
        'jobs': jobs,
        'batches': [*store.open_batches(), store.batch(job_id(0xB))],
        'schedules': store.schedules(),
        'pauses': store.pauses(),
        'starts': store.starts_since(0.0),
        'work': store.work_since(0.0),
        'keys': [store.by_key('u', f'key {number}') for number in (20, 21)],
    }


def expectations():
    """By the seq of each batch, what its twin without a disk tells from there on."""
    twin = MemoryStore()
    found = {0: told(twin)}
    for batch in BATCHES:
        twin.commit(batch)
        found[batch[-1].fact.seq] = told(twin)
    return found


EXPECTED = expectations()


def open_on(disk, synchronous):
    store = Store(PATH, vfs=disk.name)
    store._db.execute(f'PRAGMA synchronous = {synchronous}').fetchall()
    store._db.execute('PRAGMA wal_autocheckpoint = 50').fetchall()  # so that checkpoints are hit as well
    return store


def lost_or_torn(acknowledged, files):
    """What is wrong with the queue that the restarted machine finds, if anything."""
    disk = Disk(files)
    try:
        store = Store(PATH, vfs=disk.name)
        try:
            if store._db.execute('PRAGMA integrity_check').fetchall() != [('ok',)]:
                return 'corrupt'
            seq = store.last_seq()
            if seq < acknowledged:
                return 'lost'
            if seq not in EXPECTED or told(store) != EXPECTED[seq]:
                return 'torn'
            queued = [
                f.job_id for batch in BATCHES for (f, *_) in batch if isinstance(f, facts.JobQueued) and f.seq <= seq
            ]
            return '' if all(store.job(each) and store.body(each) for each in queued) else 'lost'
        finally:
            store.close()
    except errors.StoreError:
        return 'corrupt'
    finally:
        disk.close()


def damage(synchronous, seed, *, stride=1):
    """How the power losses at every ``stride``-th operation ended, those that ended badly; and how many there are.

    The power goes in thought only: what the disk has at that moment is what another machine finds.
    """
    chance, acknowledged, bad = random.Random(seed), 0, []

    def power_goes(disk):
        if disk.operations % stride == 0 and (problem := lost_or_torn(acknowledged, disk.survivors(chance))):
            bad.append((disk.operations, problem))

    disk = Disk(before_each=power_goes)
    store = open_on(disk, synchronous)
    for batch in BATCHES:
        store.commit(batch)
        acknowledged = batch[-1].fact.seq
    store.close()
    disk.close()
    return bad, disk.operations


@pytest.mark.parametrize(('seed', 'stride'), [(0, 1), (1, 3), (2, 4), (3, 5)])
def test_no_power_loss_takes_back_what_was_acknowledged(seed, stride):
    bad, operations = damage('FULL', seed, stride=stride)
    assert operations > 100
    assert bad == []


def test_the_same_test_sees_what_a_weaker_setting_loses():
    bad, _ = damage('NORMAL', 1, stride=2)
    assert 'lost' in {problem for _, problem in bad}


def test_the_workload_has_all_that_is_stored():
    seen = {type(change.fact).__name__ for batch in BATCHES for change in batch}
    assert {'BatchOpened', 'BatchEnded', 'ScheduleSet', 'ScheduleRemoved'} <= seen
    assert {'JobShared', 'JobPriorityChanged', 'Paused', 'Drained', 'Resumed', 'JobRequeued', 'JobDied'} <= seen
    assert any(change.schedule and isinstance(change.fact, facts.JobQueued) for batch in BATCHES for change in batch)
    assert told(MemoryStore()) != EXPECTED[BATCHES[-1][-1].fact.seq]
