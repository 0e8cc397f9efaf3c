"""The power goes at every single write and sync of the store: nothing acknowledged is lost, nothing is torn."""

import contextlib
import random
from pathlib import Path

import pytest

from broker import errors, facts
from broker.store import Store
from tests.broker.crashing_disk import Disk, PowerLoss
from tests.broker.desk import Desk, finished, tokens

PATH = Path('/queue.db')


def workload():
    """Batches as the broker would commit them: twelve jobs, some done, some cancelled."""
    desk, batches = Desk(), []
    commit = desk.store.commit
    desk.store.commit = lambda batch: (batches.append(batch) if batch else None, commit(batch))
    worker = desk.join('w', slots=3)
    for number in range(1, 13):
        desk.submit(number, body=b'{"n": "%s"}' % (b'x' * 300))
        if number % 3 == 0:
            desk.tell(worker, tokens(number - 2, 1, 0, b'{"a": 1}' * 50))
            desk.tell(worker, finished(number - 2, 1, 1))
    return batches


BATCHES = workload()


def open_on(disk, synchronous):
    store = Store(PATH, vfs=disk.name)
    store._db.execute(f'PRAGMA synchronous = {synchronous}').fetchall()
    store._db.execute('PRAGMA wal_autocheckpoint = 50').fetchall()  # so that checkpoints are hit as well
    return store


def run_until_power_loss(files, power_for, synchronous):
    """The seq of the last batch that was acknowledged, and the disk as it was at that moment."""
    disk, acknowledged = Disk(files, power_for), 0
    store = None
    with contextlib.suppress(PowerLoss, errors.StoreError):
        store = open_on(disk, synchronous)
        for batch in BATCHES:
            store.commit(batch)
            acknowledged = batch[-1].fact.seq
    if store is not None:
        with contextlib.suppress(PowerLoss):
            store.close()
    return acknowledged, disk


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
            if seq not in {0, *(batch[-1].fact.seq for batch in BATCHES)}:
                return 'torn'
            queued = [
                f.job_id for batch in BATCHES for (f, *_) in batch if isinstance(f, facts.JobQueued) and f.seq <= seq
            ]
            return '' if all(store.has(each) and store.body(each) for each in queued) else 'lost'
        finally:
            store.close()
    except errors.StoreError:
        return 'corrupt'
    finally:
        disk.close()


def damage(synchronous, seed, *, stride=1):
    """How the power losses at every ``stride``-th operation ended, those that ended badly."""
    chance = random.Random(seed)
    _, whole = run_until_power_loss({}, None, synchronous)
    operations = whole.operations
    whole.close()
    bad = []
    for power_for in range(0, operations, stride):
        acknowledged, disk = run_until_power_loss({}, power_for, synchronous)
        files = disk.survivors(chance)
        disk.close()
        if problem := lost_or_torn(acknowledged, files):
            bad.append((power_for, problem))
    return bad, operations


@pytest.mark.parametrize('seed', range(4))
def test_no_power_loss_takes_back_what_was_acknowledged(seed):
    bad, operations = damage('FULL', seed)
    assert operations > 100
    assert bad == []


def test_the_same_test_sees_what_a_weaker_setting_loses():
    bad, _ = damage('NORMAL', 1)
    assert 'lost' in {problem for _, problem in bad}
